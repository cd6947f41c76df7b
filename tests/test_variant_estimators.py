"""Estimators with a variant: what they are without one, and nothing is lost on the way."""

import copy
import pickle

import numpy as np
import onnxruntime
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from test_variants import VARIANTS, variants

import numlstm
from numlstm import LSTMClassifier, LSTMForecaster, LSTMRegressor, LSTMVariant, interop
from numlstm.data.sequences import from_array
from numlstm.nn.gradcheck import numerical_gradient, relative_error
from numlstm.nn.network import SequenceNetwork
from numlstm.persistence import read_model, write_model
from numlstm.training.problem import Problem, accumulate, part_of

SMALL = {"hidden_size": 4, "max_iter": 2, "batch_size": 8, "random_state": 0}
RANDOM = LSTMVariant(recurrent_dropout=0.3, zoneout_cell=0.2, zoneout_hidden=0.1)


@pytest.fixture
def data(rng):
    X = rng.normal(size=(12, 5, 3))
    return X, X.sum(axis=(1, 2))


def fitted(make, data, **options):
    X, y = data
    if make is LSTMForecaster:
        return make(5, 2, **SMALL | options).fit(X[:, :, 0].ravel())
    return make(**SMALL | options).fit(X, y > 0 if make is LSTMClassifier else y)


def predict(model, data):
    return model.predict() if isinstance(model, LSTMForecaster) else model.predict(data[0])


# Training ------------------------------------------------------------------------------------


@variants
@pytest.mark.parametrize("per_step", [False, True])
def test_the_gradient_of_a_whole_network_is_that_of_differences(variant, per_step, rng):
    """With dropout between the layers; the same seed has the same masks."""
    variant = LSTMVariant(**VARIANTS[variant])
    network = SequenceNetwork(
        2, 3, 1, n_layers=2, bidirectional=True, per_step=per_step, dropout=0.4, dtype="float64",
        variant=variant,
    )  # fmt: skip
    network.initialise(1.0, rng)
    point = {k: w + 0.3 * rng.normal(size=w.shape) for k, w in network.get_weights().items()}
    sequences = from_array(rng.normal(size=(3, 3, 2)))._replace(lengths=np.array([3, 1, 2]))
    targets = rng.normal(size=(3, 1))
    if per_step:
        targets = sequences._replace(values=rng.normal(size=(9, 1)))
    problem = Problem(sequences, targets, np.array([1.0, 2.0, 0.5]))

    def loss(**changed):
        network.set_weights(point | changed)
        network.gradient.fill(0)
        return accumulate(
            network, problem, part_of(problem, np.arange(3)), 1.0, "squared_error", seed=5
        )

    loss()
    analytic = network.get_weights(network.gradient)
    for name in ("lstm.0.Wx", "lstm.1.Wh", "lstm.0.peepholes", "lstm.1.Wp", "lstm.3.gain_c"):
        if name in analytic:
            differences = numerical_gradient(
                lambda value, name=name: loss(**{name: value}), point[name], eps=1e-5
            )
            assert relative_error(analytic[name], differences) < 1e-6, name


@variants
def test_the_padding_of_packed_weights_stays_zero(variant, data):
    """Or else it would leak into sums over units."""
    model = fitted(LSTMRegressor, data, variant=LSTMVariant(**VARIANTS[variant]), alpha=0.1)
    network, again = model._network, np.zeros_like(model._network.parameters)
    network.set_weights(network.get_weights(), again)
    np.testing.assert_array_equal(again, network.parameters)
    assert model.loss_curve_[1] < model.loss_curve_[0] or model._network.is_random


def test_a_variant_without_an_option_is_the_plain_network(data):
    plain, nothing = (fitted(LSTMRegressor, data, variant=v) for v in (None, LSTMVariant()))
    np.testing.assert_array_equal(plain.predict(data[0]), nothing.predict(data[0]))
    assert nothing.lstm_.variant is None


def test_masks_follow_from_the_seed_not_from_the_threads(data):
    first, second, other = (
        fitted(LSTMRegressor, data, variant=RANDOM, n_threads=n, random_state=seed)
        for n, seed in ((1, 0), (2, 0), (2, 1))
    )
    assert first.loss_curve_ == second.loss_curve_ != other.loss_curve_
    np.testing.assert_array_equal(first._network.parameters, second._network.parameters)


def test_a_penalty_shrinks_all_but_biases_and_gains(data):
    variant = LSTMVariant(peepholes=True, proj_size=2, layer_norm=True)
    network = fitted(LSTMRegressor, data, variant=variant)._network
    shrunk = sum(np.count_nonzero(weights) for weights, _ in network.weight_arrays())
    counts = {name: array.size for name, array in network.get_weights().items()}
    free = ("b", "gain_x", "gain_h", "gain_c", "shift_c")
    assert shrunk == sum(n for name, n in counts.items() if not name.endswith(free))


# Their use -----------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [LSTMRegressor, LSTMClassifier, LSTMForecaster])
@pytest.mark.parametrize("variant", ["all", "all, coupled"])
def test_files_pickles_and_copies(make, variant, data, tmp_path):
    variant = LSTMVariant(**VARIANTS[variant])
    model = fitted(make, data, variant=variant, n_layers=2, bidirectional=True)
    model.save(tmp_path / "model")
    loaded = numlstm.load(tmp_path / "model")
    assert loaded.get_params() == model.get_params()
    assert clone(model).variant == variant
    for again in (loaded, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert again.lstm_.variant == variant
        np.testing.assert_array_equal(predict(again, data), predict(model, data))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda content: content["parameters"].update(variant=None), "variant is None and"),
        (lambda content: content["parameters"]["variant"].update(peephole=True), "peephole"),
        (lambda content: content["fitted"]["geometry"].update(variant=[1]), "makes no sense"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(change, match, data, tmp_path):
    fitted(LSTMRegressor, data, variant=RANDOM).save(tmp_path / "model")
    kind, arrays, content = read_model(tmp_path / "model")
    change(content)
    write_model(tmp_path / "model", kind, arrays, content)
    with pytest.raises(ValueError, match=match):
        numlstm.load(tmp_path / "model")


def test_steps_gates_and_input_gradients(data):
    X, _ = data
    variant = LSTMVariant(**VARIANTS["all"])
    model = fitted(LSTMRegressor, data, variant=variant, n_layers=2, dtype="float64")
    state = None
    for t in range(X.shape[1]):
        y, state = model.predict_step(X[:, t], state)
    np.testing.assert_allclose(y, model.predict(X))
    assert model.trace(X).h.shape == (2, 12, 5, variant.proj_size)
    gradient, step = model.input_gradients(X), 1e-5
    up, down = X.copy(), X.copy()
    up[:, 2, 1] += step
    down[:, 2, 1] -= step
    slope = (model.predict(up) - model.predict(down)) / (2 * step)
    np.testing.assert_allclose(gradient[:, 2, 1], slope, rtol=1e-5, atol=1e-9)


def test_learning_goes_on_with_the_same_variant_only(data):
    X, y = data
    model = fitted(LSTMRegressor, data, variant=RANDOM, warm_start=True)
    before = model.lstm_.weights[0].Wx
    assert (model.fit(X, y).lstm_.weights[0].Wx != before).any()
    model.partial_fit(X, y)
    with pytest.raises(ValueError, match="warm_start needs the geometry .*variant"):
        model.set_params(variant=LSTMVariant(peepholes=True)).fit(X, y)


def test_a_search_over_variants(data):
    grid = {"variant": [None, LSTMVariant(peepholes=True)]}
    search = GridSearchCV(LSTMRegressor(**SMALL), grid, cv=2).fit(*data)
    assert search.best_params_["variant"] in grid["variant"]


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"variant": "peepholes"}, TypeError, "variant must be an LSTMVariant or None, got"),
        ({"variant": LSTMVariant(proj_size=5)}, ValueError, "proj_size must be at most .*=4"),
        (
            {"variant": RANDOM, "solver": "lbfgs"},
            ValueError,
            r"variant=LSTMVariant\(recurrent_dropout=0.3, .* draws masks, and needs solver 'adam'",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(options, error, match, data):
    with pytest.raises(error, match=match):
        fitted(LSTMRegressor, data, **options)


def test_onnx_has_what_its_operator_has(data, tmp_path):
    X, path = data[0].astype("f"), tmp_path / "model.onnx"
    variant = LSTMVariant(peepholes=True, coupled_gates=True, recurrent_dropout=0.2)
    model = fitted(LSTMRegressor, data, variant=variant)
    interop.to_onnx(model, path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it mentions every input with a default
    predicted, *_ = onnxruntime.InferenceSession(path, options).run(None, {"X": X})
    np.testing.assert_allclose(predicted, model.predict(X), atol=1e-5)
    with pytest.raises(ValueError, match="to_onnx can't convert .* zoneout_cell=0.2"):
        interop.to_onnx(fitted(LSTMRegressor, data, variant=RANDOM), path)
