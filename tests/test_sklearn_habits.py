"""Habits of scikit-learn beyond its suite: routing, names of features, HTML, lists of sequences."""

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from numlstm import CharLSTM, LSTMClassifier, LSTMForecaster, LSTMRegressor

KINDS = [LSTMRegressor, LSTMClassifier]


def make(kind, **options):
    usual = {"hidden_size": 4, "max_iter": 3, "n_threads": 1, "random_state": 0, "solver": "lbfgs"}
    return kind(**usual | options)


@pytest.fixture
def ragged(rng):
    """Sequences of 1 to 9 steps."""
    return [rng.normal(size=(n, 2)) for n in rng.integers(1, 10, 90)]


def targets(kind, X, per_step=False):
    sums = [x.sum(axis=1).cumsum() for x in X]
    if kind is LSTMClassifier:
        sums = [np.where(s > 0, "up", "down") for s in sums]
    return sums if per_step else np.array([s[-1] for s in sums])


# Parameters -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*KINDS, LSTMForecaster, CharLSTM])
def test_parameters_are_stored_as_they_come(kind):
    model = kind()
    odd = {name: object() for name in model.get_params()}
    model.set_params(**odd)
    assert model.get_params() == odd
    assert all(getattr(model, name) is value for name, value in odd.items())
    fresh = kind(**odd)
    assert fresh.get_params() == odd
    assert clone(kind(hidden_size=7)).hidden_size == 7
    with pytest.raises(ValueError, match="Invalid parameter 'units'"):
        model.set_params(units=3)


@pytest.mark.parametrize("kind", [*KINDS, LSTMForecaster, CharLSTM])
def test_html_shows_the_parameters(kind):
    html = kind(hidden_size=77)._repr_html_()
    assert kind.__name__ in html
    assert "77" in html
    assert "Not fitted" in html
    assert repr(kind(hidden_size=77)) == f"{kind.__name__}(hidden_size=77)"


def test_html_says_that_it_is_fitted(ragged):
    model = make(LSTMRegressor).fit(ragged, targets(LSTMRegressor, ragged))
    html = model._repr_html_()
    assert "Fitted" in html and "Not fitted" not in html


# Names of features ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_names_of_features(kind, rng):
    X = pd.DataFrame(rng.normal(size=(30, 4)), columns=["lag 3", "lag 2", "lag 1", "lag 0"])
    y = targets(kind, X.to_numpy()[:, :, None])
    model = make(kind).fit(X, y)
    assert list(model.feature_names_in_) == list(X.columns)
    assert model.n_features_in_ == 4
    with pytest.raises(ValueError, match="feature names"):
        model.predict(X[X.columns[::-1]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(X.to_numpy())
    with pytest.raises(ValueError, match="validation set.*feature names"):
        model.fit(X, y, X_val=X[X.columns[::-1]], y_val=y)
    assert not hasattr(model.fit(X.to_numpy(), y), "feature_names_in_")


@pytest.mark.parametrize("kind", KINDS)
def test_names_of_features_of_parts(kind, rng):
    X = pd.DataFrame(rng.normal(size=(30, 3)), columns=["a", "b", "c"])
    y = targets(kind, X.to_numpy()[:, :, None])
    model = make(kind, solver="adam").partial_fit(X, y).partial_fit(X, y)
    assert list(model.feature_names_in_) == ["a", "b", "c"]
    with pytest.raises(ValueError, match="feature names"):
        model.partial_fit(X[["c", "b", "a"]], y)


# Routing of metadata --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_routed(kind, ragged):
    y = targets(kind, ragged)
    weights = np.random.default_rng(1).integers(0, 3, len(y))
    with config_context(enable_metadata_routing=True):
        model = make(kind).set_fit_request(sample_weight=True)
        model.set_score_request(sample_weight=True)
        folds = StratifiedKFold(3) if kind is LSTMClassifier else 3
        found = cross_validate(
            model, ragged, y, cv=folds, params={"sample_weight": weights}, return_indices=True
        )
        for k, score in enumerate(found["test_score"]):
            train, test = found["indices"]["train"][k], found["indices"]["test"][k]
            one = clone(model).fit([ragged[j] for j in train], y[train], weights[train])
            assert one.score([ragged[j] for j in test], y[test], weights[test]) == score
        with pytest.raises(ValueError, match="sample_weight.*not explicitly set as requested"):
            cross_val_score(make(kind), ragged, y, cv=3, params={"sample_weight": weights})


def test_a_validation_set_is_routed_through_a_pipeline(ragged):
    y = targets(LSTMRegressor, ragged)
    held = {"X_val": ragged[60:], "y_val": y[60:]}
    with config_context(enable_metadata_routing=True):
        model = make(LSTMRegressor).set_fit_request(X_val=True, y_val=True)
        pipe = make_pipeline(FunctionTransformer(), model).fit(ragged[:60], y[:60], **held)
        partial = make(LSTMRegressor, solver="adam").set_partial_fit_request(sample_weight=True)
        assert partial.get_metadata_routing().partial_fit.requests == {"sample_weight": True}
    direct = make(LSTMRegressor).fit(ragged[:60], y[:60], **held)
    assert pipe[-1].validation_scores_ == direct.validation_scores_


# Lists of sequences ---------------------------------------------------------------------------


def double(X):
    return [2 * x for x in X]


@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_lists_of_sequences_go_everywhere(kind, per_step, ragged):
    y = targets(kind, ragged, per_step)
    # Folds of labels per step cannot be stratified: say that they are not to be.
    cv = [(np.arange(45), np.arange(45, 90)), (np.arange(45, 90), np.arange(45))]
    scores = cross_val_score(make(kind, max_iter=20), ragged, y, cv=cv)
    halves = [([ragged[k] for k in half], [y[k] for k in half]) for half in cv[0]]
    by_hand = [
        make(kind, max_iter=20).fit(*halves[0]).score(*halves[1]),
        make(kind, max_iter=20).fit(*halves[1]).score(*halves[0]),
    ]
    assert scores.tolist() == by_hand
    pipe = make_pipeline(FunctionTransformer(double), make(kind))
    grid = {f"{kind.__name__.lower()}__max_iter": [1, 20]}
    search = GridSearchCV(pipe, grid, cv=cv, error_score="raise").fit(ragged, y)
    assert search.best_params_ == {f"{kind.__name__.lower()}__max_iter": 20}
    expected = make(kind, max_iter=20).fit(double(ragged), y)
    for a, b in zip(search.predict(ragged), expected.predict(double(ragged)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_series_of_arrays_are_lists(kind, per_step, ragged):
    y = targets(kind, ragged, per_step)
    expected = make(kind).fit(ragged, y)
    column, labels = pd.Series(ragged, index=range(7, 97)), pd.Series(list(y))
    model = make(kind).fit(column, labels)
    for a, b in zip(model.predict(column), expected.predict(ragged), strict=True):
        np.testing.assert_array_equal(a, b)
    assert model.score(column, labels) == expected.score(ragged, y)


def test_cross_val_predict_of_lists(ragged):
    y = targets(LSTMRegressor, ragged)
    out = cross_val_predict(make(LSTMRegressor), ragged, y, cv=3)
    first = make(LSTMRegressor).fit(ragged[30:], y[30:]).predict(ragged[:30])
    np.testing.assert_array_equal(out[:30], first)
