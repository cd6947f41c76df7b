"""`LSTMRegressor`: what it learns, the forms of X and y it takes, and its place in scikit-learn."""

import copy
import pickle

import numpy as np
import pytest
from scipy import optimize, special
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from numlstm import LSTMRegressor
from numlstm.estimators import base

LOSSES = ("squared_error", "absolute_error", "huber", "quantile")
SOLVERS = ("adam", "sgd", "lbfgs")
TRAIN, TEST = slice(None, 200), slice(200, None)


def regressor(**options):
    """Return a regressor that learns in a second, on one thread: more would wait for each other."""
    usual = {"hidden_size": 8, "solver": "lbfgs", "max_iter": 60, "n_threads": 1, "random_state": 0}
    return LSTMRegressor(**usual | options)


def quick(**options):
    """Return a regressor that is trained just enough to differ from its initial weights."""
    return regressor(**{"hidden_size": 5, "max_iter": 4, "dtype": "float64"} | options)


@pytest.fixture
def X(rng):
    return rng.normal(size=(260, 10, 2))


@pytest.fixture
def y(X):
    return X.sum(axis=(1, 2))


@pytest.fixture
def ragged(rng):
    """Sequences of 1 to 12 steps."""
    return [rng.normal(size=(n, 2)) for n in rng.integers(1, 13, 260)]


def test_learns_the_sum_of_a_sequence(X, y):
    model = regressor().fit(X[TRAIN], y[TRAIN])
    assert model.predict(X[TEST]).shape == (60,)
    assert model.score(X[TEST], y[TEST]) > 0.97
    assert (model.n_features_in_, model.n_outputs_) == (2, 1)


def test_learns_two_outputs(X):
    y = np.stack([X[:, :, 0].sum(axis=1), X[:, -1, 1]], axis=1)
    model = regressor().fit(X[TRAIN], y[TRAIN])
    assert model.predict(X[TEST]).shape == (60, 2)
    assert model.score(X[TEST], y[TEST]) > 0.95
    assert model.n_outputs_ == 2


def test_learns_one_target_per_step(X):
    y = np.stack([X.sum(axis=2).cumsum(axis=1), X[:, :, 1]], axis=2)
    model = regressor().fit(X[TRAIN], y[TRAIN])
    assert model.predict(X[TEST]).shape == (60, 10, 2)
    assert model.score(X[TEST], y[TEST]) > 0.95
    weights = np.r_[np.ones(30), np.zeros(30)]
    half = model.score(X[200:230], y[200:230])
    assert model.score(X[TEST], y[TEST], sample_weight=weights) == pytest.approx(half)


def test_only_a_bidirectional_one_learns_what_is_still_to_come(X):
    y = X[:, ::-1].sum(axis=2).cumsum(axis=1)[:, ::-1, None]
    scores = [
        regressor(bidirectional=wanted).fit(X[TRAIN], y[TRAIN]).score(X[TEST], y[TEST])
        for wanted in (False, True)
    ]
    assert scores[0] < 0.5 < 0.95 < scores[1]


def test_learns_one_target_per_ragged_sequence(ragged):
    y = np.array([x.sum() for x in ragged])
    model = regressor().fit(ragged[TRAIN], y[TRAIN])
    assert model.score(ragged[TEST], y[TEST]) > 0.95


def test_learns_one_target_per_step_of_ragged_sequences(ragged):
    y = [x.sum(axis=1).cumsum() for x in ragged]
    model = regressor().fit(ragged[TRAIN], y[TRAIN])
    predicted = model.predict(ragged[TEST])
    assert [p.shape for p in predicted] == [(len(x), 1) for x in ragged[TEST]]
    assert model.score(ragged[TEST], y[TEST]) > 0.95


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_learns(X, y, loss):
    model = regressor(loss=loss).fit(X[TRAIN], y[TRAIN])
    assert model.score(X[TEST], y[TEST]) > 0.9


@pytest.mark.parametrize("quantile", [0.1, 0.9])
def test_a_quantile_is_that_share_of_the_targets(quantile, rng):
    X, y = np.zeros((200, 1, 1)), rng.exponential(size=200)
    options = {"solver": "adam", "learning_rate_init": 0.05, "max_iter": 60}
    model = regressor(loss="quantile", quantile=quantile, **options).fit(X, y)
    assert (y < model.predict(X)).mean() == pytest.approx(quantile, abs=0.05)


def test_each_loss_finds_its_own_middle_of_targets_with_outliers(rng):
    X, y = np.zeros((200, 1, 1)), rng.normal(size=200)
    y[:10] += 100
    z = (y - y.mean()) / y.std()
    bend = optimize.minimize_scalar(lambda c: special.huber(1, z - c).sum()).x
    middles = {
        "squared_error": y.mean(), "absolute_error": np.median(y),
        "huber": y.mean() + y.std() * bend,
    }  # fmt: skip
    options = {"solver": "adam", "learning_rate_init": 0.05, "max_iter": 60, "alpha": 0}
    for loss, middle in middles.items():
        found = regressor(loss=loss, **options).fit(X, y).predict(X[:1])
        assert found == pytest.approx(middle, abs=0.5), loss


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_solver_lowers_the_loss(X, y, solver, dtype):
    options = {"learning_rate_init": 1e-2, "max_iter": 10, "dtype": dtype}
    model = regressor(solver=solver, **options).fit(X, y)
    assert len(model.loss_curve_) == model.n_iter_ == 10
    assert model.loss_curve_[-1] < 0.5 * model.loss_curve_[0]
    assert model.loss_ == model.loss_curve_[-1]
    assert model.best_loss_ == min(model.loss_curve_)
    assert model.lstm_.dtype == dtype and model.predict(X).dtype == np.float64
    assert np.isfinite(model.predict(X)).all()


def test_two_dimensions_are_sequences_of_one_feature(X, y):
    flat, deep = X[:, :, 0], X[:, :, :1]
    forms = [flat, flat.tolist(), deep, list(deep), list(flat)]
    models = [quick().fit(form, y) for form in forms]
    expected = models[0].predict(flat)
    for model in models:
        for form in forms:
            assert np.array_equal(model.predict(form), expected)
    assert [model.n_features_in_ for model in models] == [10, 10, 1, 1, 1]


def test_forms_of_one_target_per_step(X):
    y = X.cumsum(axis=1)
    expected = quick().fit(X, y).predict(X)
    assert np.array_equal(np.stack(quick().fit(list(X), list(y)).predict(list(X))), expected)
    assert np.array_equal(quick().fit(X, list(y)).predict(X), expected)
    column = quick().fit(list(X), list(y[:, :, :1])).predict(X)
    assert np.array_equal(quick().fit(list(X), list(y[:, :, 0])).predict(X), column)


def test_shape_of_predictions_is_that_of_y(X, y):
    for target in (y, y[:, None], X[:, :, :1]):
        assert quick().fit(X, target).predict(X).shape == target.shape
    assert np.array_equal(quick().fit(X, y).predict(X), quick().fit(X, y[:, None]).predict(X)[:, 0])


@pytest.mark.parametrize("options", [{}, {"n_layers": 2, "bidirectional": True}])
@pytest.mark.parametrize("per_step", [False, True])
def test_a_ragged_prediction_is_that_of_each_sequence_alone(ragged, options, per_step):
    y = [x.cumsum(axis=0) if per_step else x.sum() for x in ragged]
    model = quick(**options).fit(ragged, y)
    together = model.predict(ragged)
    alone = [model.predict(x[None])[0] for x in ragged]
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_a_float32_batch_is_its_rows_one_by_one(X, y):
    model = quick(dtype="float32").fit(X, y)
    alone = np.concatenate([model.predict(x[None]) for x in X])
    np.testing.assert_allclose(model.predict(X), alone, atol=1e-6)


@pytest.mark.parametrize("solver", SOLVERS)
def test_scale_and_offset_of_the_data_carry_over_to_predictions(X, y, solver):
    base_predictions = quick(solver=solver).fit(X, y).predict(X)
    moved = quick(solver=solver).fit(1e3 * X - 7, 0.01 * y + 5).predict(1e3 * X - 7)
    np.testing.assert_allclose(moved, 0.01 * base_predictions + 5, rtol=1e-7)


@pytest.mark.parametrize("per_step", [False, True])
def test_standardize_is_what_one_would_do_by_hand(X, y, per_step):
    X, y = 5 * X + 3, (7 * X + 2 if per_step else 7 * y + 2)
    inner = (0, 1) if per_step else 0
    Xs = (X - X.mean(axis=(0, 1))) / X.std(axis=(0, 1))
    ys = (y - y.mean(axis=inner)) / y.std(axis=inner)
    by_hand = quick(standardize=False).fit(Xs, ys).predict(Xs) * y.std(axis=inner)
    expected = by_hand + y.mean(axis=inner)
    np.testing.assert_allclose(quick().fit(X, y).predict(X), expected, rtol=1e-8)


def test_constant_features_and_targets(X):
    X[:, :, 1] = 1e6 / 3
    model = quick(max_iter=40).fit(X, np.full(260, 0.1))
    np.testing.assert_allclose(model.predict(X), 0.1, atol=0.05)
    assert np.isfinite(quick(standardize=False).fit(X, np.zeros(260)).predict(X)).all()


@pytest.mark.parametrize("shape", [(1, 5, 2), (5, 1, 2), (1, 1, 1)])
def test_one_sample_and_one_step(rng, shape):
    X = rng.normal(size=shape)
    assert quick().fit(X, np.ones(shape[0])).predict(X).shape == (shape[0],)


@pytest.mark.parametrize("n", [5, 20])  # few rows go a shorter way
@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("n_layers", [1, 2])
def test_predict_step_equals_predict_on_growing_prefixes(X, y, per_step, n_layers, n):
    X, y = X[:n], X[:n].cumsum(axis=1) if per_step else y[:n]
    model = quick(n_layers=n_layers).fit(3 * X + 1, y)
    state = None
    for t in range(X.shape[1]):
        out, state = model.predict_step(3 * X[:, t] + 1, state)
        prefix = model.predict(3 * X[:, : t + 1] + 1)
        np.testing.assert_allclose(out, prefix[:, t] if per_step else prefix, rtol=1e-10)


def test_sequences_of_no_weight_have_no_influence(X, y):
    weights = np.r_[np.ones(200), np.zeros(60)]
    spoilt_X, spoilt_y = X.copy(), y.copy()
    spoilt_X[TEST] *= 50
    spoilt_y[TEST] = 1e4
    model = quick(max_iter=10).fit(spoilt_X, spoilt_y, sample_weight=weights)
    expected = quick(max_iter=10).fit(X[TRAIN], y[TRAIN])
    np.testing.assert_allclose(model.predict(X), expected.predict(X), rtol=1e-6)
    assert model.score(spoilt_X, spoilt_y, weights) == pytest.approx(
        expected.score(X[TRAIN], y[TRAIN])
    )


@pytest.mark.parametrize("per_step", [False, True])
def test_a_weight_of_two_counts_a_sequence_twice(ragged, per_step):
    y = [x.cumsum(axis=0) if per_step else x.sum() for x in ragged]
    weights = np.where(np.arange(260) < 40, 2, 1)
    twice = quick(max_iter=10).fit(ragged + ragged[:40], y + y[:40]).predict(ragged)
    weighted = quick(max_iter=10).fit(ragged, y, sample_weight=weights).predict(ragged)
    for a, b in zip(twice, weighted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)


def test_clone_has_the_parameters_and_nothing_learnt(X, y):
    model = quick(hidden_size=3, n_layers=2, loss="huber", n_threads=1).fit(X, y)
    copied = clone(model)
    assert copied.get_params() == model.get_params()
    with pytest.raises(NotFittedError, match="LSTMRegressor"):
        copied.predict(X)
    assert np.array_equal(copied.fit(X, y).predict(X), model.predict(X))


@pytest.mark.parametrize("method", ["predict", "trace", "predict_step", "score"])
def test_nothing_works_before_fit(X, y, method):
    args = (X, y) if method == "score" else (X,)
    with pytest.raises(NotFittedError, match="LSTMRegressor"):
        getattr(LSTMRegressor(), method)(*args)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda m: pickle.loads(dumps(m))])
def test_copies_and_pickles_predict_and_train_on_alike(X, y, duplicate):
    model = quick(n_layers=2, bidirectional=True, warm_start=True).fit(X, y)
    twin = duplicate(model)
    assert np.array_equal(twin.predict(X), model.predict(X))
    before = model.predict(X)
    after = twin.fit(X, y).predict(X)
    assert not np.array_equal(after, before)
    assert np.array_equal(model.predict(X), before)
    assert np.array_equal(model.fit(X, y).predict(X), after)


def dumps(model):
    return pickle.dumps(model)


def test_parameters_changed_after_fit_wait_for_the_next_one(X, y):
    model = quick().fit(X, y)
    before = model.predict(X)
    changed = {"standardize": False, "dtype": "float32", "hidden_size": 3, "bidirectional": True}
    model.set_params(**changed)
    assert np.array_equal(model.predict(X), before)
    model.predict_step(X[:, 0])


def test_trace_ends_in_what_the_output_layer_reads(ragged):
    ragged = [3 + 2 * x for x in ragged]
    model = quick().fit(ragged, [x.sum() for x in ragged])
    trace = model.trace(ragged)
    last = trace.h[0, np.arange(260), [len(x) - 1 for x in ragged]]
    W, b = model._network.dense.get_weights(model._network._head)
    expected = (last @ W + b) * model._y_scale + model._y_mean
    np.testing.assert_allclose(model.predict(ragged), expected[:, 0], rtol=1e-10)
    assert not trace.c[0, 0, len(ragged[0]) :].any()


def test_grid_search_and_cross_validation(X, y):
    both = np.stack([y, X[:, -1, 0]], axis=1)  # more than one unit can tell
    search = GridSearchCV(quick(max_iter=20), {"hidden_size": [1, 6]}, cv=2).fit(X, both)
    assert search.best_params_ == {"hidden_size": 6}
    assert search.score(X, both) > 0.5
    assert cross_val_score(quick(max_iter=20), X, y, cv=2).min() > 0.5


def test_pipeline(X):
    X = X[:, :, 0]
    model = make_pipeline(StandardScaler(), regressor()).fit(X[TRAIN], X[TRAIN].sum(axis=1))
    assert model.score(X[TEST], X[TEST].sum(axis=1)) > 0.95


def test_solvers_are_those_of_the_documentation():
    assert base.SOLVERS == SOLVERS
    assert tuple(base.REGRESSION_LOSSES) == LOSSES
