"""How `LSTMRegressor` trains: step by step, when it stops, and what it does when cut short."""

import itertools

import numba
import numpy as np
import pytest
from sklearn.metrics import mean_squared_error
from sklearn.preprocessing import StandardScaler

from numlstm import LSTMRegressor
from numlstm.kernels import _threads
from numlstm.nn import reference
from numlstm.nn.network import SequenceNetwork
from numlstm.training import lbfgs, loop

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

TRACE = {"batch_size": 8, "learning_rate_init": 0.02, "clip_norm": 0.5, "alpha": 0.01}


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
                g + TRACE["alpha"] * on * p
                for g, p, on in zip(gradients, parameters, shrunk, strict=True)
            ]
            squares = sum(on * (p**2).sum() for p, on in zip(parameters, shrunk, strict=True))
            total += (loss + TRACE["alpha"] / 2 * squares) * len(rows)
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
STORED = {"adam": (), "sgd": ()}


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
    real = loop._epoch
    monkeypatch.setattr(loop, "_epoch", lambda *args: orders.append(args[5]) or real(*args))
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


# --- when to stop -----------------------------------------------------------------------------


def held_out(n, seed, n_held, **geometry):
    """Return the rows that a fit holds out: the first draw after the weights."""
    rng = np.random.RandomState(seed)
    SequenceNetwork(2, 5, 1, dtype="float64").initialise(1.0, rng)
    return np.sort(rng.permutation(n)[:n_held])


@pytest.mark.parametrize("solver", SOLVERS)
def test_early_stopping_restores_the_best_weights(rng, solver):
    X, noise = rng.normal(size=(60, 7, 2)), rng.normal(size=60)
    y = X.sum(axis=(1, 2)) + 4 * noise  # so that it overfits
    options = {"solver": solver, "learning_rate_init": 3e-2, "early_stopping": True}
    options |= {"validation_fraction": 0.25, "n_iter_no_change": 5}
    model = regressor(max_iter=300, **options).fit(X, y)
    scores = model.validation_scores_
    best = int(np.argmax(scores))
    assert best < len(scores) - 1 == model.n_iter_ - 1 < 299
    assert model.best_loss_ is None and model.best_validation_score_ == max(scores)
    rows = held_out(60, 0, 15)
    assert model.score(X[rows], y[rows]) == pytest.approx(max(scores), rel=1e-9)
    shorter = regressor(max_iter=best + 1, **options).fit(X, y)
    assert np.array_equal(flat(shorter), flat(model))


def test_training_stops_when_the_loss_does(X, y):
    model = regressor(max_iter=500, tol=0.05, n_iter_no_change=3).fit(X, y)
    assert 4 <= model.n_iter_ < 500
    assert model.validation_scores_ is None


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("early_stopping", [False, True])
def test_no_iterations_leave_the_initial_weights(X, y, solver, early_stopping):
    options = {"max_iter": 0, "early_stopping": early_stopping}
    model = regressor(solver=solver, **options).fit(X, y)
    assert (model.n_iter_, model.loss_curve_, model.loss_, model.best_loss_) == (0, [], None, None)
    network = SequenceNetwork(2, 5, 1, dtype="float64")
    network.initialise(1.0, np.random.RandomState(0))
    assert np.array_equal(flat(model), network.parameters)
    assert model.predict(X).shape == (60,)


@pytest.mark.parametrize("solver", SOLVERS)
def test_warm_start_goes_on_where_the_last_fit_ended(X, y, solver):
    options = {"solver": solver, "learning_rate_init": 1e-2, "max_iter": 15}
    model = regressor(warm_start=True, **options).fit(X, y)
    first, weights = model.loss_curve_, flat(model)
    second = model.fit(X, y).loss_curve_
    assert second[0] < 1.2 * first[-1] < first[0]
    assert second[-1] < first[-1]
    assert np.array_equal(flat(model.set_params(max_iter=0).fit(X, y)), flat(model))
    cold = regressor(**options).fit(X, y)
    assert np.array_equal(flat(cold.fit(X, y)), weights)


# --- cut short --------------------------------------------------------------------------------


@pytest.mark.parametrize("early_stopping", [False, True])
def test_ctrl_c_keeps_the_weights_reached(X, y, monkeypatch, early_stopping):
    real, seen = loop.accumulate, []

    def accumulate(network, *args):
        seen.append(network.parameters.copy())
        if len(seen) == 18:
            raise KeyboardInterrupt
        return real(network, *args)

    monkeypatch.setattr(loop, "accumulate", accumulate)
    model = regressor(batch_size=8, max_iter=9, early_stopping=early_stopping)
    with pytest.warns(RuntimeWarning, match="interrupted in epoch 3.*kept") as record:
        model.fit(X, y)
    assert record[0].filename == __file__
    assert len(model.loss_curve_) == 2
    steps = 7 if early_stopping else 8
    assert 2 * steps < 17  # in the middle of the third epoch
    kept = seen[2 * steps] if early_stopping else seen[17]  # the best, or the last
    assert np.array_equal(flat(model), kept)
    assert model.predict(X).shape == (60,)


def test_ctrl_c_in_a_line_search_keeps_the_last_iterate(X, y, monkeypatch):
    real = lbfgs.accumulate
    for moment in range(1, 30):
        calls = itertools.count(1)

        def accumulate(*args, calls=calls, moment=moment):
            if next(calls) == moment:
                raise KeyboardInterrupt
            return real(*args)

        monkeypatch.setattr(lbfgs, "accumulate", accumulate)
        with pytest.warns(RuntimeWarning, match="interrupted.*kept"):
            model = regressor(solver="lbfgs", max_iter=100).fit(X, y)
        if model.loss_curve_:
            error = mean_squared_error(y, model.predict(X)) / y.var()
            assert model.loss_ == pytest.approx(error, rel=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("rate", [1e6, 1e300])
@pytest.mark.parametrize("solver", ITERATIVE)
def test_a_diverging_fit_warns_and_keeps_finite_weights(X, y, dtype, early_stopping, rate, solver):
    model = regressor(
        solver=solver, learning_rate_init=rate, clip_norm=None, max_iter=60, dtype=dtype,
        early_stopping=early_stopping, n_iter_no_change=60,
    )  # fmt: skip
    if solver == "adam" and rate == 1e6:  # its steps are bounded: bad, but never infinite
        model.fit(X, y)
    else:
        with pytest.warns(RuntimeWarning, match="infinite or NaN.*kept") as record:
            model.fit(X, y)
        assert record[0].filename == __file__
    assert np.isfinite(flat(model)).all()
    assert np.isfinite(model.loss_curve_).all()


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("moment", [1, 4])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_becomes_nan_ends_the_fit(X, y, monkeypatch, solver, moment, value):
    module, calls = (lbfgs if solver == "lbfgs" else loop), itertools.count(1)
    real = module.accumulate
    monkeypatch.setattr(
        module, "accumulate", lambda *args: real(*args) if next(calls) < moment else value
    )
    with pytest.warns(RuntimeWarning, match="infinite or NaN.*kept"):
        model = regressor(solver=solver, max_iter=20).fit(X, y)
    assert np.isfinite(flat(model)).all()
    assert np.isfinite(model.loss_curve_).all()
    if moment == 1:
        initial = regressor(solver=solver, max_iter=0).fit(X, y)
        assert np.array_equal(flat(model), flat(initial))


# --- what is shown ----------------------------------------------------------------------------


@pytest.mark.parametrize("solver", SOLVERS)
def test_verbose_shows_a_bar_and_otherwise_nothing(X, y, solver, capsys):
    regressor(solver=solver).fit(X, y)
    assert capsys.readouterr() == ("", "")
    regressor(solver=solver, verbose=True, early_stopping=True).fit(X, y)
    out, err = capsys.readouterr()
    assert out == ""
    for part in ("4/4", "iteration" if solver == "lbfgs" else "epoch", "loss", "validation score"):
        assert part in err
