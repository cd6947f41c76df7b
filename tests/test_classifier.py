"""`LSTMClassifier`: what it learns, the forms of X and y it takes, and its errors."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score

from numlstm import LSTMClassifier

TRAIN, TEST = slice(None, 200), slice(200, None)


def classifier(**options):
    usual = {"hidden_size": 8, "solver": "lbfgs", "max_iter": 60, "n_threads": 1, "random_state": 0}
    return LSTMClassifier(**usual | options)


def quick(**options):
    return classifier(**{"hidden_size": 4, "max_iter": 4, "dtype": "float64"} | options)


@pytest.fixture
def X(rng):
    return rng.normal(size=(260, 8, 2))


@pytest.fixture
def ragged(rng):
    return [rng.normal(size=(n, 2)) for n in rng.integers(1, 10, 260)]


def updown(values):
    return np.where(np.asarray(values) > 0, "up", "down")


def test_learns_two_classes(X):
    y = updown(X.sum(axis=(1, 2)))
    model = classifier().fit(X[TRAIN], y[TRAIN])
    assert list(model.classes_) == ["down", "up"]
    assert model.predict(X[TEST]).dtype == y.dtype
    assert model.score(X[TEST], y[TEST]) > 0.9
    right = model.predict(X[TEST]) == y[TEST]
    assert model.score(X[TEST], y[TEST]) == right.mean()
    weights = np.arange(60)
    weighted = accuracy_score(y[TEST], model.predict(X[TEST]), sample_weight=weights)
    assert model.score(X[TEST], y[TEST], sample_weight=weights) == weighted


@pytest.mark.parametrize("labels", [[7, -3, 100], ["b", "a", "c"], [2.0, 0.0, 5.0]])
def test_learns_three_classes(X, labels):
    y = np.array(labels)[np.digitize(X[:, :, 0].sum(axis=1), [-2, 2])]
    model = classifier().fit(X[TRAIN], y[TRAIN])
    assert list(model.classes_) == sorted(labels)
    assert model.n_outputs_ == 3
    assert model.score(X[TEST], y[TEST]) > 0.75


def test_another_fit_may_have_other_classes(X):
    y = np.arange(260)
    model = quick().fit(X, y % 3)
    for labels in (updown(y % 2), y % 5):
        expected = quick().fit(X, labels)
        np.testing.assert_array_equal(model.fit(X, labels).classes_, expected.classes_)
        np.testing.assert_array_equal(model.predict_proba(X), expected.predict_proba(X))
    with pytest.raises(ValueError, match="warm_start needs the geometry of the previous fit"):
        model.set_params(warm_start=True).fit(X, y % 3)


@pytest.mark.parametrize("labels", [(False, True), (0, 1)])
def test_labels_keep_their_kind(X, labels):
    y = np.array(labels)[(X[:, -1, 0] > 0).astype(int)]
    assert classifier(max_iter=2).fit(X, y).predict(X).dtype == y.dtype
    as_list = classifier(max_iter=2).fit(X, y.tolist())
    assert np.array_equal(as_list.predict(X), classifier(max_iter=2).fit(X, y).predict(X))


def test_learns_one_label_per_step(X):
    y = updown(X.sum(axis=2).cumsum(axis=1))
    model = classifier().fit(X[TRAIN], y[TRAIN])
    assert model.predict(X[TEST]).shape == (60, 8)
    assert model.predict_proba(X[TEST]).shape == (60, 8, 2)
    assert model.decision_function(X[TEST]).shape == (60, 8)
    assert model.score(X[TEST], y[TEST]) > 0.9
    half = model.score(X[200:230], y[200:230])
    weights = np.r_[np.ones(30), np.zeros(30)]
    assert model.score(X[TEST], y[TEST], sample_weight=weights) == pytest.approx(half)


def test_ragged_sequences(ragged):
    y = updown([x.sum() for x in ragged])
    model = classifier().fit(ragged[TRAIN], y[TRAIN])
    assert model.score(ragged[TEST], y[TEST]) > 0.9
    alone = [model.predict_proba([x])[0] for x in ragged[:20]]
    np.testing.assert_allclose(model.predict_proba(ragged)[:20], alone, rtol=1e-4, atol=1e-6)


def test_one_label_per_step_of_ragged_sequences(ragged):
    y = [updown(x.sum(axis=1).cumsum()) for x in ragged]
    model = classifier().fit(ragged[TRAIN], y[TRAIN])
    for method in (model.predict, model.predict_proba, model.decision_function):
        assert [len(p) for p in method(ragged[TEST])] == [len(x) for x in ragged[TEST]]
    assert model.score(ragged[TEST], y[TEST]) > 0.9


@pytest.mark.parametrize("n_classes", [2, 4])
def test_probabilities_agree_with_each_other_and_with_labels(X, n_classes):
    y = np.arange(260) % n_classes
    model = quick().fit(X, y)
    p = model.predict_proba(X)
    assert p.shape == (260, n_classes)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_allclose(model.predict_log_proba(X), np.log(p))
    assert np.array_equal(model.classes_[p.argmax(axis=1)], model.predict(X))
    scores = model.decision_function(X)
    if n_classes == 2:
        np.testing.assert_allclose(expit(scores), p[:, 1])
    else:
        assert np.array_equal(scores.argmax(axis=1), p.argmax(axis=1))
        ratios = np.log(p[:, :1] / p)
        np.testing.assert_allclose(scores[:, :1] - scores, ratios, rtol=1e-9, atol=1e-12)
    assert 0 <= roc_auc_score(y, p if n_classes > 2 else p[:, 1], multi_class="ovr") <= 1


def test_extreme_logits_have_finite_logarithms(X):
    model = quick().fit(X, np.arange(260) % 2)
    model._network.parameters *= 1e4
    assert np.isfinite(model.predict_log_proba(X)).all()


NINE_AND_THREE = np.repeat(["few", "many"], [3, 9])


@pytest.mark.parametrize(
    ("class_weight", "share"),
    [(None, 3 / 12), ("balanced", 1 / 2), ({"few": 9}, 27 / 36), ({"few": 1, "many": 3}, 3 / 30)],
)
@pytest.mark.parametrize("per_step", [False, True])
def test_class_weights_shift_the_shares(class_weight, share, per_step):
    """Where nothing can be told from X, the best probabilities are the weighted shares."""
    model = quick(class_weight=class_weight, max_iter=200)
    if per_step:
        model.fit(np.ones((4, 3, 1)), NINE_AND_THREE.reshape(4, 3))
        p = model.predict_proba(np.ones((4, 3, 1)))[:, :, 0].mean()
        assert p == pytest.approx(share, abs=0.02)
    else:
        model.fit(np.ones((12, 3, 1)), NINE_AND_THREE)
        np.testing.assert_allclose(model.predict_proba(np.ones((1, 3, 1)))[0, 0], share, atol=2e-3)


def test_one_class(X):
    model = quick().fit(X, np.full(260, "only"))
    assert set(model.predict(X)) == {"only"}
    np.testing.assert_array_equal(model.predict_proba(X), np.ones((260, 1)))


@pytest.mark.parametrize("n", [5, 20])  # few rows go a shorter way
@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("n_layers", [1, 2])
def test_predict_step_equals_predict_on_growing_prefixes(X, per_step, n_layers, n):
    X = 3 * X[:n] + 1
    y = updown(X.sum(axis=2).cumsum(axis=1) - 4)
    model = quick(n_layers=n_layers, max_iter=20).fit(X, y if per_step else y[:, -1])
    state, seen = None, set()
    for t in range(X.shape[1]):
        labels, state = model.predict_step(X[:, t], state)
        prefix = model.predict(X[:, : t + 1])
        assert np.array_equal(labels, prefix[:, t] if per_step else prefix)
        seen |= set(labels)
    assert seen == {"up", "down"}


def test_early_stopping_restores_the_best_weights(X):
    y = updown(X.sum(axis=(1, 2)))
    model = quick(early_stopping=True, n_iter_no_change=3, max_iter=200, tol=0.0).fit(X, y)
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert len(model.validation_scores_) == model.n_iter_
    assert model.best_loss_ is None


def test_grid_search_and_cross_validation(X, ragged):
    y = updown(X[:, :, 0].sum(axis=1))
    search = GridSearchCV(quick(), {"max_iter": [1, 20]}, cv=2, scoring="roc_auc").fit(X, y)
    assert search.best_params_ == {"max_iter": 20}
    y = updown([x.sum() for x in ragged])
    assert cross_val_score(quick(max_iter=20), ragged, y, cv=2).min() > 0.7


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]
)
def test_copies_and_pickles_predict_alike(X, duplicate):
    model = quick(class_weight="balanced").fit(X, updown(X[:, 0, 0] - 1))
    twin = duplicate(model)
    assert np.array_equal(twin.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize(
    "method", ["predict", "predict_proba", "decision_function", "predict_step", "trace"]
)
def test_nothing_works_before_fit(X, method):
    with pytest.raises(NotFittedError, match="LSTMClassifier"):
        getattr(LSTMClassifier(), method)(X)


# Errors ---------------------------------------------------------------------------------------

N = 6
GOOD = np.random.default_rng(0).normal(size=(N, 3, 2))
BAD_Y = {
    "nothing": (None, "requires y to be passed, but the target y is None"),
    "continuous": (np.linspace(0, 1, N), "Unknown label type: continuous"),
    "NaN": (np.array([0, 1, np.nan, 1, 0, 1]), "Input y contains NaN"),
    "infinity": (np.array([0, 1, np.inf, 1, 0, 1]), "Input y contains infinity"),
    "None": (["a", None] * 3, "y must hold labels, but at index 1 one is missing: None"),
    "NaN among strings": (["a", np.nan] * 3, "at index 1 one is missing: nan"),
    "NA": (pd.array(["a", pd.NA] * 3, "string"), "at index 1 one is missing: <NA>"),
    "mixed": (["a", 1] * 3, "y must hold labels of one kind, got int, str"),
    "mixed steps": ([["a"] * 3, [1] * 3] * 3, "y must hold labels of one kind, got int, str"),
    "masked": (np.ma.masked_equal([0, 1] * 3, 1), "y must have no masked values, got 3"),
    "too short": (np.zeros(5), r"inconsistent numbers of samples: \[6, 5\]"),
    "three dimensions": (np.zeros((N, 3, 2)), r"y must have shape.*got \(6, 3, 2\)"),
    "steps": (np.zeros((N, 4), int), "y must have one label.*sequence 0 has 3 steps, but 4 labels"),
}


@pytest.mark.parametrize("case", BAD_Y)
def test_bad_y(case):
    y, match = BAD_Y[case]
    model = quick().fit(GOOD, [0, 1, 2] * 2)
    before = vars(model).copy()
    with pytest.raises(ValueError, match=match):
        model.fit(GOOD, y)
    assert vars(model) == before


def test_a_column_is_taken_for_labels_with_a_warning():
    with pytest.warns(DataConversionWarning, match="column-vector y"):
        model = quick().fit(GOOD, np.array([[0], [1]] * 3))
    assert model.predict(GOOD).shape == (N,)


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("loss", "squared_error", "loss must be one of 'log_loss', got 'squared_error'"),
        ("class_weight", "equal", "class_weight must be a dict of .*, got 'equal'"),
        ("class_weight", [1, 2], r"class_weight must be a dict of .*, got \[1, 2\]"),
        (
            "class_weight",
            {0: -1.0},
            "class_weight must be a dict of labels and numbers of at least",
        ),
        ("class_weight", {0: np.nan}, "class_weight must be a dict of labels and numbers of at"),
        ("class_weight", {0: np.complex64(1)}, "class_weight must be a dict of labels and numbers"),
        ("class_weight", {0: "x"}, "class_weight must be a dict of labels and numbers of at least"),
        ("class_weight", {5: 1.0}, "class_weight must be a dict of labels .*: 5 is none"),
    ],
)
def test_bad_parameters(name, value, match):
    with pytest.raises(ValueError, match=match):
        quick(**{name: value}).fit(GOOD, [0, 1, 0, 1, 0, 1])
