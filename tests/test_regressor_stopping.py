"""When `LSTMRegressor` stops training, what it keeps when cut short, and what it shows."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import mean_squared_error

from numlstm import LSTMForecaster, LSTMRegressor
from numlstm.nn import replay
from numlstm.nn.network import SequenceNetwork
from numlstm.training import lbfgs, loop, step

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


def held_out(n, seed, n_held):
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


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_n_iter_no_change_is_the_patience(X, y, n, early_stopping):
    options = {"tol": 1e300, "n_iter_no_change": n, "early_stopping": early_stopping}
    assert regressor(max_iter=50, **options).fit(X, y).n_iter_ == 1 + n + 1


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
    real, seen = step.accumulate, []

    def accumulate(network, *args):
        seen.append(network.parameters.copy())
        if len(seen) == 18:
            raise KeyboardInterrupt
        return real(network, *args)

    monkeypatch.setattr(step, "accumulate", accumulate)
    monkeypatch.setattr(step, "compile_ahead", lambda *_: None)  # would call it once more
    monkeypatch.setattr(replay, "WORTH", 1000)  # the steps repeated would not call it
    model = regressor(batch_size=8, max_iter=9, early_stopping=early_stopping)
    with pytest.warns(RuntimeWarning, match="interrupted in epoch 3.*kept") as record:
        model.fit(X, y)
    assert record[0].filename == __file__
    assert len(model.loss_curve_) == 2
    steps = 7 if early_stopping else 8  # of an epoch
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


@pytest.mark.parametrize("solver", ITERATIVE)
def test_a_last_step_to_infinity_is_taken_back(X, y, solver):
    options = {"batch_size": 60, "dtype": "float32", "solver": solver}
    model = regressor(learning_rate_init=1e300, max_iter=1, clip_norm=None, **options)
    with pytest.warns(RuntimeWarning, match="infinite or NaN in epoch 1.*kept"):
        model.fit(X, y)
    assert np.array_equal(flat(model), flat(regressor(max_iter=0, **options).fit(X, y)))


def jump(network, *args):
    """Stand for an epoch that ends in finite weights, but predictions that are not."""
    network.parameters[...] = 3e38
    return 1.0


def test_predictions_beyond_float32_are_taken_back(X, y, monkeypatch):
    options = {"dtype": "float32", "early_stopping": True}
    initial = regressor(max_iter=0, **options).fit(X, y)
    monkeypatch.setattr(loop, "_epoch", jump)
    with pytest.warns(RuntimeWarning, match="infinite or NaN in epoch 1.*kept"):
        model = regressor(**options).fit(X, y)
    assert np.array_equal(flat(model), flat(initial))
    forecaster = LSTMForecaster(5, solver="adam", random_state=0, **options)
    with pytest.warns(RuntimeWarning, match="infinite or NaN in epoch 1.*kept"):
        forecaster.fit(y)
    assert np.isfinite(forecaster.predict()).all()


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("moment", [1, 4])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_becomes_nan_ends_the_fit(X, y, monkeypatch, solver, moment, value):
    module, calls = (lbfgs if solver == "lbfgs" else step), itertools.count(1)
    real = module.accumulate

    def accumulate(network, *args):
        loss = real(network, *args)
        if next(calls) < moment:
            return loss
        network.sums[0] = value
        return value

    monkeypatch.setattr(module, "accumulate", accumulate)
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
