"""Data at the edge of what makes sense, and a real Ctrl-C: a sound model or a clear error."""

import signal
import subprocess
import sys

import numpy as np
import pytest
from test_cli import read_until

from numlstm import LSTMClassifier, LSTMForecaster, LSTMRegressor
from numlstm.training import loop

QUICK = {"hidden_size": 3, "max_iter": 2, "n_threads": 1, "random_state": 0}
both = pytest.mark.parametrize("kind", [LSTMRegressor, LSTMClassifier])


def sound(model, X):
    """Check that all that was fitted is finite, and predict."""
    assert np.isfinite(model._network.parameters).all()
    assert np.isfinite(model.loss_curve_).all()
    out = model.predict(X)
    assert out.dtype.kind in "iU" or np.isfinite(out).all()
    return out


@both
def test_a_million_steps(kind, rng):
    X = rng.normal(size=(1, 1_000_000, 1))
    model = kind(**QUICK | {"hidden_size": 1, "max_iter": 1}).fit(X, [1])
    whole = sound(model, X)
    state = None
    for x in np.split(X, 4, axis=1):  # what the state carries over is all that is needed
        outputs, state = model.lstm_((x - model._x_mean) / model._x_scale, state=state)
    W, b = model._network.dense.get_weights(model._network._head)
    if kind is LSTMRegressor:
        out = (outputs[:, -1] @ W + b)[:, 0] * model._y_scale + model._y_mean
        np.testing.assert_allclose(whole, out, rtol=1e-5)


@both
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_a_batch_larger_than_the_data(kind, solver, rng):
    X, y = rng.normal(size=(7, 4, 2)), np.arange(7) % 2
    fits = [kind(**QUICK, solver=solver, batch_size=size).fit(X, y) for size in (7, 10**9)]
    assert np.array_equal(fits[0]._network.parameters, fits[1]._network.parameters)
    sound(fits[1], X)


@both
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 2), (6, 1, 2)])
def test_one_sample_one_step(kind, solver, shape, rng):
    X = rng.normal(size=shape)
    sound(kind(**QUICK, solver=solver).fit(X, np.arange(shape[0]) % 2), X)


@both
@pytest.mark.parametrize("given", [False, True])
def test_a_single_sample_to_validate_on(kind, given, rng):
    X, y = rng.normal(size=(8, 4, 2)), np.arange(8) % 2
    options = {"early_stopping": True, "validation_fraction": 0.1}
    held = {"X_val": X[:1], "y_val": y[:1]} if given else {}
    model = kind(**QUICK, **options).fit(X, y, **held)
    assert len(model.validation_scores_) == 2 and np.isfinite(model.validation_scores_).all()
    sound(model, X)


@both
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_constant_features_and_targets(kind, dtype):
    X = np.full((5000, 4, 3), [0.1, 1e8 / 3, 0])
    X[::2, :, 0] = np.nextafter(0.1, 1)
    y = np.full(5000, 0.1) if kind is LSTMRegressor else np.full(5000, 7)
    model = kind(**QUICK, dtype=dtype, batch_size=5000).fit(X, y)
    # A spread of rounding errors is none: 0.1 and 1e8 / 3 are sums of 20,000 alike, not data.
    np.testing.assert_array_equal(model._x_scale, [1, 1, 1])
    np.testing.assert_allclose(model._x_mean, X[0, 0], rtol=1e-7)
    assert np.abs(sound(model, X) - y).max() < 0.5


@both
@pytest.mark.parametrize("size", [1e-300, 1e-30, 1e30, 1e200, 1e299])
def test_inputs_of_any_size(kind, size, rng):
    X = rng.uniform(-1, 1, size=(8, 4, 2))
    y = np.arange(8) % 2
    model = kind(**QUICK, dtype="float64").fit(size * X, y)
    expected = kind(**QUICK, dtype="float64").fit(X, y)
    np.testing.assert_allclose(
        model._network.parameters, expected._network.parameters, rtol=1e-6, atol=1e-9
    )
    sound(model, size * X)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1e-300, 1e-30, 1e30, 1e200, 1e299])
def test_targets_of_any_size(dtype, size, rng):
    X, y = rng.normal(size=(8, 4, 2)), rng.uniform(-1, 1, 8)
    model = LSTMRegressor(**QUICK, dtype=dtype).fit(X, size * y)
    expected = LSTMRegressor(**QUICK, dtype=dtype).fit(X, y).predict(X)
    np.testing.assert_allclose(sound(model, X) / size, expected, rtol=1e-4, atol=1e-6)
    forecaster = LSTMForecaster(3, **QUICK, dtype=dtype).fit(size * rng.uniform(-1, 1, 30))
    assert np.isfinite(forecaster.predict(4)).all()


def test_what_a_dtype_cannot_hold(rng):
    X, y = rng.normal(size=(8, 4, 2)), rng.normal(size=8)
    with pytest.raises(ValueError, match="y must be of a size that float32 can hold"):
        LSTMRegressor(**QUICK, standardize=False).fit(X, 1e50 * y)
    with pytest.raises(ValueError, match="beyond 1e[+]300 cannot be standardised, got 1.5e[+]308"):
        LSTMRegressor(**QUICK).fit(X, [1.5e308] * 8)
    with pytest.raises(ValueError, match="y .and X. must be of a size that float32 can hold"):
        LSTMForecaster(3, **QUICK, standardize=False).fit(1e50 * rng.normal(size=30))
    series = np.append(rng.normal(size=30), 1e50)  # the last value is a target only
    with pytest.raises(ValueError, match="^y must be of a size that float32 can hold"):
        LSTMForecaster(3, **QUICK, standardize=False).fit(series)
    forecaster = LSTMForecaster(3, **QUICK).fit(series[:-1], 1e-30 * rng.normal(size=(30, 1)))
    with pytest.raises(ValueError, match="y .and X. must be of a size that float32 can hold"):
        forecaster.predict(1, [[1e30]])
    model = LSTMRegressor(**QUICK).fit(1e-30 * X, y)
    for method, values in ((model.predict, 1e30 * X), (model.predict_step, 1e30 * X[:, 0])):
        with pytest.raises(ValueError, match="(?i)x must be of a size that float32 can hold"):
            method(values)


@both
@pytest.mark.parametrize("early_stopping", [False, True])
def test_no_iterations(kind, early_stopping, rng):
    X, y = rng.normal(size=(8, 4, 2)), np.arange(8) % 2
    model = kind(**QUICK | {"max_iter": 0}, early_stopping=early_stopping).fit(X, y)
    assert (model.n_iter_, model.loss_curve_, model.loss_) == (0, [], None)
    sound(model, X)


@both
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_an_exploding_loss(kind, solver, rng):
    X, y = rng.normal(size=(40, 4, 2)), np.arange(40) % 2
    options = {"solver": solver, "learning_rate_init": 1e30, "clip_norm": None, "max_iter": 9}
    with pytest.warns(RuntimeWarning, match="infinite or NaN in epoch .* best weights .* are kept"):
        model = kind(**QUICK | options).fit(X, y)
    sound(model, X)


@both
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_an_explosion_costs_nothing_learnt_before_it(kind, solver, rng, monkeypatch):
    """The third of five epochs was the best one; in the sixth all is lost."""
    X, y = rng.normal(size=(40, 4, 2)), np.arange(40) % 2
    options = {"solver": solver, "shuffle": False}
    best = kind(**QUICK | options | {"max_iter": 3}).fit(X, y)
    real, seen = loop._epoch, []

    def epoch(network, *rest):
        seen.append(real(network, *rest))
        return None if len(seen) == 6 else seen[-1] + (len(seen) - 3) ** 2

    monkeypatch.setattr(loop, "_epoch", epoch)
    with pytest.warns(RuntimeWarning, match="infinite or NaN in epoch 6: the best weights"):
        model = kind(**QUICK | options | {"max_iter": 9}).fit(X, y)
    assert (len(model.loss_curve_), np.argmin(model.loss_curve_)) == (5, 2)
    assert np.array_equal(model._network.parameters, best._network.parameters)


CTRL_C = """
import signal, sys, warnings
import numpy as np
from numlstm import LSTMRegressor
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
X = np.random.default_rng(0).normal(size=(2000, 30, 2))
model = LSTMRegressor(32, max_iter=1, n_threads=1, random_state=0).fit(X, X[:, 0, 0])
model.set_params(max_iter=10**6, n_iter_no_change=10**6, verbose=1)
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    model.fit(X, X[:, 0, 0])
assert [str(w.message)[:11] for w in said] == ["interrupted"], said
assert 1 <= model.n_iter_ == len(model.loss_curve_) < 10**6
assert np.isfinite(model.predict(X)).all()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for another process")
def test_a_real_ctrl_c_ends_a_fit_within_a_minibatch():
    process = subprocess.Popen([sys.executable, "-c", CTRL_C], stderr=subprocess.PIPE)
    try:
        said = read_until(process.stderr, b"loss ")  # of an epoch that has passed
        process.send_signal(signal.SIGINT)
        said += process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == 0, said.decode()
