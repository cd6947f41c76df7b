"""How `LSTMRegressor` trains: step by step as NumPy does, and the same bits every time."""

import numba
import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from numlstm import LSTMRegressor
from numlstm.kernels import _threads
from numlstm.nn import reference
from numlstm.nn.network import SequenceNetwork
from numlstm.training import loop

SOLVERS = ("adam", "sgd", "lbfgs")
ITERATIVE = SOLVERS[:2]


def regressor(**options):
    """Return a small regressor on one thread: more would wait for each other."""
    usual = {"hidden_size": 5, "max_iter": 4, "n_threads": 1, "random_state": 0, "dtype": "float64"}
    return LSTMRegressor(**usual | options)


def flat(model):
    """Return all weights of a fitted model."""
    return model._network.parameters.copy()


@pytest.fixture
def X(rng):
    return rng.normal(size=(60, 7, 2))


@pytest.fixture
def y(X):
    return X.sum(axis=(1, 2))


# --- the first steps, against NumPy -----------------------------------------------------------

TRACE = {"batch_size": 8, "learning_rate_init": 0.02, "clip_norm": 0.5, "alpha": 0.1}


def numpy_losses(X, y, solver, epochs, seed):
    """Train as `LSTMRegressor` should, on nn/reference.py alone; return the loss of each epoch.

    Only the initial weights come from the package. Also returns how many gradients were clipped.
    """
    rng = np.random.RandomState(seed)
    network = SequenceNetwork(X.shape[2], 5, y.shape[1], dtype="float64")
    network.initialise(1.0, rng)
    ((Wx, Wh, b),) = network.lstm.weights
    parameters = [Wx, Wh, b, *network.dense.get_weights(network._head)]
    shrunk = (1, 1, 0, 1, 0)  # no penalty on biases
    X = StandardScaler().fit_transform(X.reshape(-1, X.shape[2])).reshape(X.shape)
    y = StandardScaler().fit_transform(y)
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in parameters]
    losses, clipped, t = [], 0, 0
    for _ in range(epochs):
        order, total = rng.permutation(len(X)), 0
        for start in range(0, len(X), TRACE["batch_size"]):
            rows = order[start : start + TRACE["batch_size"]]
            Wx, Wh, b, W, bias = parameters
            zero = np.zeros((len(rows), 5))
            _, h, _, tape = reference.lstm_forward(X[rows], Wx, Wh, b, zero, zero)
            loss, d_out = reference.squared_error(h @ W + bias, y[rows])
            d_hidden = np.zeros((len(rows), X.shape[1], 5))
            d_lstm = reference.lstm_backward(d_hidden, d_out @ W.T, zero, tape)[3:]
            gradients = [*d_lstm, h.T @ d_out, d_out.sum(axis=0)]
            gradients = [
                g + TRACE["alpha"] / len(rows) * on * p
                for g, p, on in zip(gradients, parameters, shrunk, strict=True)
            ]
            squares = sum(on * (p**2).sum() for p, on in zip(parameters, shrunk, strict=True))
            total += loss * len(rows) + TRACE["alpha"] / 2 * squares
            gradients, norm = reference.clip_by_global_norm(gradients, TRACE["clip_norm"])
            clipped, t = clipped + (norm > TRACE["clip_norm"]), t + 1
            rate = TRACE["learning_rate_init"]
            for k, (p, g, (m, v)) in enumerate(zip(parameters, gradients, moments, strict=True)):
                if solver == "adam":
                    p, m, v = reference.adam_step(p, g, m, v, t, learning_rate=rate)
                else:
                    m = 0.9 * m - rate * g
                    p = p + m
                parameters[k], moments[k] = p, (m, v)
        losses.append(total / len(X))
    return losses, clipped


# What numpy_losses gave when this test was written.
STORED = {
    "adam": (1.2881566960887, 1.1425190414919, 1.0308067045158),
    "sgd": (1.3081562843858, 1.2859124054439, 1.2520642183646),
}


@pytest.mark.kernel
@pytest.mark.parametrize("solver", ITERATIVE)
def test_losses_are_those_of_a_numpy_loop(solver):
    rng = np.random.RandomState(5)
    X = 3 * rng.normal(size=(20, 6, 2)) + 1
    y = np.stack([X.sum(axis=(1, 2)), X[:, -1, 0]], axis=1)
    expected, clipped = numpy_losses(X, y, solver, epochs=3, seed=7)
    assert 0 < clipped < 9
    model = regressor(solver=solver, max_iter=3, random_state=7, **TRACE).fit(X, y)
    np.testing.assert_allclose(model.loss_curve_, expected, rtol=1e-9)
    np.testing.assert_allclose(model.loss_curve_, STORED[solver], rtol=1e-9)
    assert model.t_ == 9


# --- the same bits ----------------------------------------------------------------------------

NETWORKS = {
    "plain": {},
    "deep": {"n_layers": 2, "bidirectional": True, "dropout": 0.3, "dtype": "float32"},
}


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("kind", NETWORKS)
def test_a_seed_repeats_a_fit_to_the_bit(X, y, solver, kind):
    options = NETWORKS[kind] | ({"dropout": 0.0} if solver == "lbfgs" else {})
    fits = [regressor(solver=solver, random_state=s, **options).fit(X, y) for s in (3, 3, 4)]
    assert np.array_equal(flat(fits[0]), flat(fits[1]))
    assert fits[0].loss_curve_ == fits[1].loss_curve_
    assert fits[0].loss_curve_ != fits[2].loss_curve_


def test_random_state_may_be_a_generator_state(X, y):
    rng = np.random.RandomState(3)
    first, second = (regressor(random_state=rng).fit(X, y) for _ in range(2))
    assert np.array_equal(flat(first), flat(regressor(random_state=3).fit(X, y)))
    assert not np.array_equal(flat(first), flat(second))


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("per_step", [False, True])
def test_one_and_two_threads_give_the_same_fit(X, y, solver, kind, per_step, monkeypatch):
    real, parallel = _threads.start, []
    monkeypatch.setattr(_threads, "WORK_PER_THREAD", 1)
    monkeypatch.setattr(_threads, "start", lambda args, n: parallel.append(int(n)) or real(args, n))
    options = NETWORKS[kind] | ({"dropout": 0.0} if solver == "lbfgs" else {})
    X = [x[: 1 + k % 7] for k, x in enumerate(X)]
    y = [x.cumsum(axis=0) for x in X] if per_step else y
    one = regressor(solver=solver, max_iter=2, n_threads=1, **options).fit(X, y)
    assert not parallel
    two = regressor(solver=solver, max_iter=2, n_threads=2, **options).fit(X, y)
    assert set(parallel) == {2}
    assert np.array_equal(flat(one), flat(two))
    assert one.loss_curve_ == two.loss_curve_
    for a, b in zip(one.predict(X), two.predict(X), strict=True):
        assert np.array_equal(a, b)


def test_without_shuffle_only_the_weights_are_random(X, y, monkeypatch):
    orders = []
    real = loop.batches

    def batches(*args):
        orders.append(np.concatenate(real(*args)))
        return real(*args)

    monkeypatch.setattr(loop, "batches", batches)
    regressor(shuffle=False, max_iter=2).fit(X, y)
    regressor(shuffle=True, max_iter=2).fit(X, y)
    assert all(np.array_equal(order, np.arange(60)) for order in orders[:2])
    assert not np.array_equal(orders[2], orders[3])
    assert np.array_equal(np.sort(orders[3]), np.arange(60))


# --- dropout, penalty -------------------------------------------------------------------------


def test_dropout_changes_training_and_not_prediction(X, y):
    plain, dropped = (regressor(n_layers=2, dropout=p).fit(X, y) for p in (0.0, 0.5))
    assert plain.loss_curve_[0] != dropped.loss_curve_[0]
    assert np.array_equal(dropped.predict(X), dropped.predict(X))
    alone = np.concatenate([dropped.predict(x[None]) for x in X])
    np.testing.assert_allclose(dropped.predict(X), alone, rtol=1e-10)


@pytest.mark.parametrize("solver", SOLVERS)
def test_alpha_shrinks_the_weights(X, y, solver):
    options = {"solver": solver, "max_iter": 20, "learning_rate_init": 1e-2}
    norms = []
    for alpha in (0, 0.1, 10):
        network = regressor(alpha=alpha, **options).fit(X, y)._network
        norms.append(sum((w**2).sum() for w, _ in network.weight_arrays()))
    assert norms[0] > norms[1] > norms[2]
