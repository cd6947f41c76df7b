"""`sample_weight`: where a step sees all samples, twice the weight is a second copy, to the bit."""

import numpy as np
import pytest

from numlstm import LSTMClassifier, LSTMRegressor

WEIGHTS = np.array([0, 1, 2, 3, 1, 1, 4, 0, 1, 2, 1, 5])
N, T = len(WEIGHTS), 6


@pytest.fixture
def X(rng):
    return rng.normal(2, 3, size=(N, T, 2))


def make(kind, **options):
    usual = {"hidden_size": 5, "max_iter": 3, "n_threads": 1, "random_state": 0}
    return kind(**usual | {"learning_rate_init": 1e-2} | options)


def targets(kind, X, per_step):
    sums = [x.cumsum(axis=0)[:, :1] if per_step else x.sum() for x in X]
    if kind is LSTMClassifier:
        sums = [np.where(np.asarray(s) > 10, "up", "down") for s in sums]
        sums = [s[:, 0] for s in sums] if per_step else [str(s) for s in sums]
    return sums


def assert_same(a, b, X):
    np.testing.assert_array_equal(a._network.parameters, b._network.parameters)
    assert a.loss_curve_ == b.loss_curve_
    for p, q in zip(a.predict(X), b.predict(X), strict=True):
        np.testing.assert_array_equal(p, q)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", [LSTMRegressor, LSTMClassifier])
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("form", ["one target", "per step", "ragged"])
def test_weights_are_repetitions(X, kind, solver, form, dtype):
    if form == "ragged":
        X = [x[: 1 + k % T] for k, x in enumerate(X)]
    y = targets(kind, X, form != "one target")
    again = np.repeat(np.arange(N), WEIGHTS)
    options = {"solver": solver, "dtype": dtype, "alpha": 0.1}
    weighted = make(kind, **options).fit(list(X), y, sample_weight=WEIGHTS)
    repeated = make(kind, **options).fit([X[k] for k in again], [y[k] for k in again])
    assert_same(weighted, repeated, list(X))


@pytest.mark.parametrize("per_step", [False, True])
def test_balanced_classes_count_weights(X, per_step):
    y = np.arange(N) % 3
    y = (y[:, None] + np.arange(T) // 4) % 3 if per_step else y
    options = {"class_weight": "balanced", "solver": "lbfgs"}
    weighted = make(LSTMClassifier, **options).fit(X, y, sample_weight=WEIGHTS)
    repeated = make(LSTMClassifier, **options).fit(
        X.repeat(WEIGHTS, axis=0), y.repeat(WEIGHTS, axis=0)
    )
    assert_same(weighted, repeated, X)
    plain = make(LSTMClassifier, solver="lbfgs").fit(X, y, sample_weight=WEIGHTS)
    assert weighted.loss_curve_ != plain.loss_curve_


@pytest.mark.parametrize("kind", [LSTMRegressor, LSTMClassifier])
@pytest.mark.parametrize("batch_size", [4, 32])
@pytest.mark.parametrize("per_step", [False, True])
def test_shares_of_weights_count_and_not_their_sum(X, kind, batch_size, per_step):
    y = targets(kind, X, per_step)
    options = {"solver": "sgd", "batch_size": batch_size}
    first, second = (make(kind, **options).fit(X, y, sample_weight=k * WEIGHTS) for k in (1, 8))
    assert_same(first, second, X)


def test_copies_stay_on_one_side_of_the_split(X):
    y = X.sum(axis=(1, 2))
    options = {"early_stopping": True, "validation_fraction": 0.25, "batch_size": 3 * N}
    once = make(LSTMRegressor, **options).fit(X, y)
    thrice = make(LSTMRegressor, **options).fit(np.repeat(X, 3, axis=0), np.repeat(y, 3))
    np.testing.assert_allclose(thrice.predict(X), once.predict(X), rtol=1e-5)
    np.testing.assert_allclose(thrice.validation_scores_, once.validation_scores_, rtol=1e-5)


def test_the_order_within_a_batch_changes_no_bit(X):
    y, order = X.sum(axis=(1, 2)), np.random.default_rng(1).permutation(N)
    first, second = (make(LSTMRegressor).fit(*data) for data in ((X, y), (X[order], y[order])))
    np.testing.assert_array_equal(first._network.parameters, second._network.parameters)


def test_a_sample_is_a_copy_only_with_the_same_target(X):
    X = np.repeat(X[:2], 2, axis=0)
    y = np.array([1.0, 3.0, -1.0, -5.0])
    model = make(LSTMRegressor, solver="lbfgs", max_iter=100, dtype="float64").fit(X, y)
    np.testing.assert_allclose(model.predict(X), [2, 2, -3, -3], atol=1e-2)


def test_a_weight_says_how_much_a_sample_counts(X):
    X = np.repeat(X[:2], 2, axis=0)
    y = np.array([1.0, 3.0, -1.0, -5.0])
    model = make(LSTMRegressor, solver="lbfgs", max_iter=100, dtype="float64")
    model.fit(X, y, sample_weight=[3, 1, 0.5, 1.5])
    np.testing.assert_allclose(model.predict(X), [1.5, 1.5, -4, -4], atol=1e-2)


def test_a_copy_is_a_sample_of_its_own_among_batches(X):
    y = X.sum(axis=(1, 2))
    X, y = np.concatenate([X, X]), np.concatenate([y, y])
    for shuffle in (False, True):
        model = make(LSTMRegressor, shuffle=shuffle, batch_size=5, max_iter=1).fit(X, y)
        assert model.t_ == 5  # 24 samples, not 12


@pytest.mark.parametrize("batch_size", [4, 32])
def test_the_scale_weighs_samples(X, batch_size):
    y = X.sum(axis=(1, 2))
    model = make(LSTMRegressor, batch_size=batch_size).fit(X, y, sample_weight=WEIGHTS)
    mean = np.average(X.mean(axis=1), axis=0, weights=WEIGHTS)
    np.testing.assert_allclose(model._x_mean, mean, rtol=1e-6)
    spread = np.sqrt(np.average((y - np.average(y, weights=WEIGHTS)) ** 2, weights=WEIGHTS))
    np.testing.assert_allclose(model._y_scale, spread, rtol=1e-6)
