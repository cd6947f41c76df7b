"""Input gradients of fitted estimators, and the network's gradients: against finite differences."""

import numpy as np
import pytest

from numlstm import LSTMClassifier, LSTMRegressor, LSTMVariant
from numlstm.data.sequences import stack_sequences
from numlstm.nn.gradcheck import numerical_gradient, relative_error
from numlstm.nn.memory import Workspace
from numlstm.nn.network import REGRESSION_LOSSES, SequenceNetwork
from numlstm.nn.rows import load_batch, select
from numlstm.training.problem import Problem, accumulate, part_of

QUICK = {"hidden_size": 4, "max_iter": 3, "n_threads": 1, "random_state": 0, "dtype": "float64"}
SHAPES = {"plain": {}, "deep": {"n_layers": 2, "bidirectional": True}}


@pytest.fixture
def X(rng):
    return 3 + 2 * rng.normal(size=(6, 5, 2))


@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_of_a_regressor(X, shape, per_step):
    y = 7 * np.cumsum(X, axis=1) if per_step else np.stack([X[:, 0, 0], 9 * X[:, -1, 1]], axis=1)
    model = LSTMRegressor(**QUICK, **SHAPES[shape]).fit(X, y)
    for k in range(2):

        def total(X, k=k):
            out = model.predict(X)
            return (out[:, -1] if per_step else out)[:, k].sum()

        expected = numerical_gradient(total, X, eps=1e-5)
        assert relative_error(model.input_gradients(X, output=k), expected) < 1e-7


@pytest.mark.parametrize("per_step", [False, True])
def test_of_a_classifier(X, per_step):
    y = np.array(["a", "b", "c"])[np.arange(6) % 3]
    y = np.repeat(y[:, None], 5, axis=1) if per_step else y
    model = LSTMClassifier(**QUICK).fit(X, y)

    def total(X):
        out = model.predict_log_proba(X)
        return (out[:, -1] if per_step else out)[:, 2].sum()

    expected = numerical_gradient(total, X, eps=1e-5)
    assert relative_error(model.input_gradients(X, output=2), expected) < 1e-7


def test_beyond_the_dtype_they_are_refused():
    """Units that are all alike: each step of a layer normalisation multiplies by one over eps."""
    variant = LSTMVariant(layer_norm=True, proj_size=1)
    X = np.zeros((2, 40, 2))
    model = LSTMRegressor(3, variant=variant, max_iter=0, dtype="float32", random_state=0)
    model.fit(X, [0, 1])
    with pytest.raises(ValueError, match="gradients of X are beyond float32.* normalisation"):
        model.input_gradients(X)


@pytest.mark.parametrize("per_step", [False, True])
def test_of_ragged_sequences(X, per_step):
    X = [x[: 1 + k % 5] for k, x in enumerate(X)]
    model = LSTMRegressor(**QUICK).fit(X, [x if per_step else x.sum() for x in X])
    gradients = model.input_gradients(X)
    assert [g.shape for g in gradients] == [x.shape for x in X]
    for x, g in zip(X, gradients, strict=True):
        np.testing.assert_allclose(model.input_gradients([x])[0], g, rtol=1e-9, atol=1e-15)


def test_of_two_dimensional_X(X):
    X, y = X[:, :, 0], X[:, -1, 0]
    model = LSTMRegressor(**QUICK).fit(X, y)
    assert model.input_gradients(X).shape == X.shape
    expected = LSTMRegressor(**QUICK).fit(X[:, :, None], y).input_gradients(X[:, :, None])
    np.testing.assert_array_equal(model.input_gradients(X), expected[:, :, 0])


def test_they_leave_the_model_alone(X):
    model = LSTMRegressor(**QUICK).fit(X, X[:, 0, 0])
    before = model.predict(X)
    model.input_gradients(X)
    assert np.array_equal(model.predict(X), before)
    model._network.parameters *= 1e200
    with pytest.raises(ValueError, match="beyond float64: the fitted weights are too large"):
        model.input_gradients(X)
    with pytest.raises(ValueError, match=r"output must be an integer in \[0, 0\], got 1"):
        model.input_gradients(X, output=1)


@pytest.mark.kernel
@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("loss", [*REGRESSION_LOSSES, "log_loss"])
def test_the_gradient_of_every_loss(rng, loss, per_step):
    """Of weighted ragged sequences; class weights and quantile included."""
    n_outputs = 3
    network = SequenceNetwork(2, 4, n_outputs, per_step=per_step, dtype="float64")
    network.initialise(1.0, np.random.RandomState(0))
    network.quantile, network.class_weights = 0.8, np.array([1.0, 2.0, 0.5])
    parts = [rng.normal(size=(n, 2)) for n in (3, 1, 4)]
    sequences = stack_sequences(parts)
    n = 8 if per_step else 3
    targets = rng.normal(size=(n, n_outputs))
    if loss == "log_loss":
        targets = rng.integers(0, n_outputs, (n, 1)).astype(float)
    if per_step:
        targets = sequences._replace(values=targets)
    problem, rows = Problem(sequences, targets, np.array([1.0, 0.5, 3.0])), np.arange(3)

    def value(flat):
        network.parameters[...] = flat
        network.gradient.fill(0)
        return accumulate(network, problem, part_of(problem, rows), 0.25, loss) * 0.25

    start = network.parameters.copy()
    expected = numerical_gradient(value, start, eps=1e-6)
    value(start)
    assert np.abs(expected).max() > 1e-3
    used = expected != 0  # the padding has no effect; its gradient does not matter
    assert relative_error(network.gradient[used], expected[used]) < 1e-7


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("loss", "error", "expected"),
    [
        ("squared_error", -1.5, 2.25),
        ("absolute_error", -1.5, 1.5),
        ("huber", -1.5, 1.0),  # 1.5 - 1 / 2
        ("huber", 0.5, 0.125),
        ("quantile", -1.5, 0.8 * 1.5),  # predicted too low
        ("quantile", 1.5, 0.2 * 1.5),
        ("quantile", 0.0, 0.0),
    ],
)
def test_the_value_of_every_loss(loss, error, expected):
    network = SequenceNetwork(1, 1, 1, dtype="float64")
    network.quantile = 0.8
    network.dense.set_weights(network._head, np.zeros((1, 1)), np.array([error]))
    sequences = stack_sequences([np.ones((2, 1))])
    selection = select(sequences, np.arange(1))
    batch = load_batch(sequences.values, selection, Workspace("float64"))
    value = network.loss_and_gradient(batch, np.zeros((1, 1)), np.ones(1), 1.0, loss)
    assert value == pytest.approx(expected)
