"""`partial_fit`, and what is validated on: the loss curve goes on, and nothing else changes."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, d2_pinball_score, r2_score

from numlstm import LSTMClassifier, LSTMRegressor
from numlstm.training import optimizer, step


def make(kind=LSTMRegressor, **options):
    usual = {"hidden_size": 5, "max_iter": 4, "n_threads": 1, "random_state": 0, "dtype": "float64"}
    return kind(**usual | options)


@pytest.fixture
def X(rng):
    return rng.normal(3, 2, size=(60, 5, 2))


@pytest.fixture
def y(X):
    return X.sum(axis=(1, 2))


def flat(model):
    return model._network.parameters


# partial_fit ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [LSTMRegressor, LSTMClassifier])
@pytest.mark.parametrize("options", [{}, {"solver": "sgd"}, {"n_layers": 2, "dropout": 0.4}])
def test_four_calls_are_a_fit_of_four_epochs(X, y, kind, options):
    y = y > 30 if kind is LSTMClassifier else y
    whole, model = make(kind, **options).fit(X, y), make(kind, **options)
    for k in range(1, 5):
        assert model.partial_fit(X, y) is model
        assert (model.n_iter_, model.t_) == (k, 2 * k)
    assert np.array_equal(flat(model), flat(whole))
    assert model.loss_curve_ == whole.loss_curve_
    assert model.best_loss_ == whole.best_loss_


def test_the_first_call_sets_the_scale(X, y):
    model = make().partial_fit(X[:20], y[:20])
    scale = model._x_mean.copy(), model._y_scale.copy()
    model.partial_fit(9 * X[20:] - 4, y[20:])
    assert np.array_equal(scale[0], model._x_mean)
    assert np.array_equal(scale[1], model._y_scale)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_goes_on_like_the_original(X, y, again):
    model = make(n_layers=2, bidirectional=True).partial_fit(X, y)
    twin = again(model)
    for one in (model, twin):
        one.partial_fit(X, y)
    assert np.array_equal(flat(model), flat(twin))


def test_fit_forgets_the_moments(X, y):
    model = make().partial_fit(X, y).fit(X, y)
    assert np.array_equal(flat(model), flat(make().fit(X, y)))
    assert model.n_iter_ == 4
    after_fit = make().fit(X, y).partial_fit(X, y)
    assert np.array_equal(flat(model.partial_fit(X, y)), flat(after_fit))
    assert after_fit.n_iter_ == 5


def test_another_solver_starts_with_fresh_moments(X, y):
    model = make().partial_fit(X, y).set_params(solver="sgd").partial_fit(X, y)
    assert model._optimizer.v is None and model._optimizer.t == 2


def test_another_clip_norm_holds_from_the_next_call_on(X, y):
    model = make(solver="sgd", clip_norm=None).partial_fit(X, y)
    moments = model._optimizer.m.copy()
    model.set_params(clip_norm=1e-9).partial_fit(X, y)  # in two steps without a force of their own
    np.testing.assert_allclose(model._optimizer.m, optimizer.MOMENTUM**2 * moments, atol=1e-10)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("moment", ["gradient", "weights"])
def test_a_call_that_diverges_spoils_no_later_one(X, y, monkeypatch, solver, moment):
    model = make(solver=solver, clip_norm=None, learning_rate_init=1e-3).partial_fit(X, y)
    weights = flat(model).copy()
    with monkeypatch.context() as patch, pytest.warns(RuntimeWarning, match="infinite or NaN"):
        if moment == "gradient":
            real = step.accumulate

            def accumulate(network, *args):
                loss = real(network, *args)
                network.gradient.fill(np.inf)
                return loss

            patch.setattr(step, "accumulate", accumulate)
        else:
            patch.setattr(model, "learning_rate_init", 1e300)
        model.partial_fit(X, y)
    assert np.array_equal(flat(model), weights)
    assert (model.n_iter_, model.t_) == (1, 2)
    for _ in range(9):
        model.partial_fit(X, y)
    assert len(model.loss_curve_) == 10 and model.loss_ < model.loss_curve_[0]


def test_a_call_that_fails_changes_nothing(X, y, monkeypatch):
    model = make().partial_fit(X, y)
    before, moments = flat(model).copy(), model._optimizer.m.copy()
    calls = iter([0.0])
    monkeypatch.setattr(step, "accumulate", lambda *args: next(calls))
    with pytest.raises(StopIteration):
        model.partial_fit(X, y)
    monkeypatch.undo()
    assert np.array_equal(flat(model), before)
    assert np.array_equal(model._optimizer.m, moments)
    expected = make().partial_fit(X, y).partial_fit(X, y)
    assert np.array_equal(flat(model.partial_fit(X, y)), flat(expected))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda X, y: (X[:, :, :1], y), "X has 1 features, but LSTMRegressor is expecting 2"),
        (lambda X, y: (X, np.stack([y, y], axis=1)), "y must have 1 dimensions, as before, got 2"),
        (lambda X, y: (X, y[:-1]), "inconsistent numbers of samples"),
    ],
)
def test_later_data_must_be_of_the_same_form(X, y, change, match):
    model = make().partial_fit(X, y)
    with pytest.raises(ValueError, match=match):
        model.partial_fit(*change(X, y))
    two = make().partial_fit(X, np.stack([y, y], axis=1))
    with pytest.raises(ValueError, match="y must have 2 outputs, got 3"):
        two.partial_fit(X, np.stack([y, y, y], axis=1))


@pytest.mark.parametrize("change", [{"hidden_size": 6}, {"n_layers": 2}, {"dtype": "float32"}])
def test_another_network_cannot_go_on(X, y, change):
    model = make(LSTMRegressor).partial_fit(X, y).set_params(**change)
    with pytest.raises(ValueError, match="partial_fit needs the geometry of the previous fit"):
        model.partial_fit(X, y)


@pytest.mark.parametrize(
    ("classes", "match"),
    [
        (["a", "b", None], "classes must hold labels, but at index 2 one is missing"),
        (["a", 1], "classes must hold labels of one kind, got int, str"),
        ([0, 1, np.nan], "Input classes contains NaN"),
        ([["a", "b"]], r"classes must have shape \(n_classes,\), not 0, got \(1, 2\)"),
        ([], r"classes must have shape \(n_classes,\), not 0, got \(0,\)"),
    ],
)
def test_bad_classes(X, classes, match):
    model = make(LSTMClassifier)
    with pytest.raises(ValueError, match=match):
        model.partial_fit(X, ["a", "b"] * (len(X) // 2), classes=classes)
    assert not hasattr(model, "classes_")


def test_where_there_is_no_partial_fit(X, y):
    assert not hasattr(make(solver="lbfgs"), "partial_fit")
    with pytest.raises(ValueError, match="early_stopping must be False"):
        make(early_stopping=True).partial_fit(X, y)


def test_classes_that_come_later(X):
    y = np.array(["a", "b", "c"])[np.arange(60) % 3]
    few = y != "c"
    model = make(LSTMClassifier).partial_fit(X[few], y[few], classes=["c", "b", "a"])
    assert list(model.classes_) == ["a", "b", "c"]
    for _ in range(3):
        model.partial_fit(X, y)
    assert model.predict_proba(X).shape == (60, 3)
    with pytest.raises(ValueError, match="classes must be those of the first call"):
        model.partial_fit(X, y, classes=["a", "b"])
    assert not hasattr(model, "_expected")


def test_classes_that_nobody_spoke_of(X):
    y = np.array(["a", "b", "c"])[np.arange(60) % 3]
    few = y != "c"
    model = make(LSTMClassifier).partial_fit(X[few], y[few])
    with pytest.raises(ValueError, match=r"labels of classes_ = \['a' 'b'\], got 'c'"):
        model.partial_fit(X, y)
    fresh = make(LSTMClassifier)
    with pytest.raises(ValueError, match=r"labels of classes_ = \['a' 'b'\], got 'c'"):
        fresh.partial_fit(X, y, classes=["a", "b"])
    assert vars(fresh).keys() == fresh.get_params().keys()
    with pytest.raises(ValueError, match="'balanced' needs all labels at once"):
        make(LSTMClassifier, class_weight="balanced").partial_fit(X, y)


# A validation set -----------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_validation_set_is_scored_and_decides_nothing_alone(X, y, solver):
    plain = make(solver=solver).fit(X[:40], y[:40])
    model = make(solver=solver).fit(X[:40], y[:40], X_val=X[40:], y_val=y[40:])
    assert np.array_equal(flat(model), flat(plain))
    assert len(model.validation_scores_) == model.n_iter_
    assert model.validation_scores_[-1] == pytest.approx(model.score(X[40:], y[40:]), rel=1e-9)
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert model.best_loss_ == plain.best_loss_
    assert plain.validation_scores_ is None


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_validation_score_that_falls_does_not_end_a_fit(X, y, solver):
    options = {"solver": solver, "max_iter": 8, "n_iter_no_change": 1, "learning_rate_init": 0.01}
    model = make(**options).fit(X[:40], y[:40], X_val=X[40:], y_val=-y[40:])
    assert np.argmax(model.validation_scores_) < 8 - 3  # the patience would have ended before
    assert model.n_iter_ == 8


@pytest.mark.parametrize("kind", [LSTMRegressor, LSTMClassifier])
def test_with_early_stopping_it_takes_the_place_of_a_part(X, y, kind):
    y = np.where(y > 30, "up", "down") if kind is LSTMClassifier else y
    options = {"early_stopping": True, "max_iter": 300, "learning_rate_init": 0.03}
    options |= {"n_iter_no_change": 4}
    held = {"X_val": X[40:], "y_val": y[40:]}
    model = make(kind, **options).fit(X[:40], y[:40], **held)
    assert model.n_iter_ < 300
    best = model.score(X[40:], y[40:])
    assert best == pytest.approx(model.best_validation_score_, rel=1e-9)
    epochs = 1 + int(np.argmax(model.validation_scores_))
    alone = make(kind, max_iter=epochs, learning_rate_init=0.03).fit(X[:40], y[:40])
    np.testing.assert_allclose(flat(alone), flat(model))  # all 40 samples were learnt


def pinball(y, predicted, sample_weight):
    return d2_pinball_score(y, predicted, sample_weight=sample_weight, alpha=0.8)


@pytest.mark.parametrize(
    ("kind", "options", "score"),
    [
        (LSTMRegressor, {}, r2_score),
        (LSTMRegressor, {"loss": "quantile", "quantile": 0.8}, pinball),
        (LSTMClassifier, {}, accuracy_score),
    ],
)
def test_a_validation_set_has_weights(X, y, kind, options, score):
    y = y if kind is LSTMRegressor else y > 12
    weights = np.arange(20.0)
    held = {"X_val": X[40:], "y_val": y[40:], "sample_weight_val": weights}
    model = make(kind, **options).fit(X[:40], y[:40], **held)
    expected = score(y[40:], model.predict(X[40:]), sample_weight=weights)
    assert model.validation_scores_[-1] == pytest.approx(expected)


def test_ragged_validation_sets(X):
    X = [x[: 1 + k % 5] for k, x in enumerate(X)]
    y = [x.sum(axis=1) for x in X]
    model = make().fit(X[:40], y[:40], X_val=X[40:], y_val=y[40:])
    assert model.validation_scores_[-1] == pytest.approx(model.score(X[40:], y[40:]))


@pytest.mark.parametrize(
    ("held", "match"),
    [
        ({"X_val": 1}, "X_val and y_val must be given together, but y_val is None"),
        ({"y_val": 1}, "X_val and y_val must be given together, but X_val is None"),
        ({"sample_weight_val": 1}, "X_val and y_val must be given together"),
        ({"X_val": np.ones((4, 5, 3)), "y_val": np.ones(4)}, "validation set.*X has 3 features"),
        (
            {"X_val": np.ones((4, 5, 2)), "y_val": np.ones(3)},
            "validation set.*inconsistent numbers",
        ),
        (
            {"X_val": np.ones((4, 5, 2)), "y_val": np.ones((4, 2))},
            "validation set.*y must have 1 d",
        ),
        (
            {"X_val": np.full((4, 5, 2), np.nan), "y_val": np.ones(4)},
            "validation set.*X must be fin",
        ),
    ],
)
def test_bad_validation_sets(X, y, held, match):
    model = make()
    with pytest.raises(ValueError, match=match):
        model.fit(X, y, **held)
    assert vars(model).keys() == model.get_params().keys()
