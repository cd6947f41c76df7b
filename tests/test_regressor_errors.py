"""Bad input to `LSTMRegressor`: each a clear error, and what was fitted before stays."""

import itertools
import re

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone

from numlstm import LSTMRegressor
from numlstm.training import step

N, T, D = 6, 5, 2


def regressor(**options):
    return LSTMRegressor(**{"hidden_size": 4, "max_iter": 2, "random_state": 0} | options)


def good(shape=(N, T, D)):
    return np.random.default_rng(0).normal(size=shape)


def spoilt(value, shape=(N, T, D), at=(2, 3, 1)):
    X = good(shape)
    X[at[: len(shape)]] = value
    return X


def ragged(n=N, widths=(D,)):
    """Sequences of 1, 2, 3, ... steps."""
    return [np.ones((k + 1, widths[k % len(widths)])) for k in range(n)]


y = good((N,))
steps = good((N, T, 1))


def check_unharmed(model, fit, match, error=ValueError):
    """The fit must fail and leave the model as it was, fitted or not."""
    X, fresh = good(), clone(model)
    expected, before = model.predict(X), vars(model).copy()
    for estimator in (model, fresh):
        with pytest.raises(error, match=match):
            fit(estimator)
    assert np.array_equal(model.predict(X), expected)
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is value for name, value in before.items())
    assert vars(fresh).keys() == model.get_params().keys()


@pytest.fixture(scope="module")
def fitted():
    return regressor().fit(good(), y)


# Of any X, whether to fit or to predict.
BAD_X = {
    "NaN": (spoilt(np.nan), r"X must be finite, but 1 of its 60 .* NaN at index \(2, 3, 1\)"),
    "infinity": (spoilt(-np.inf), r"X must be finite.* infinity at index \(2, 3, 1\)"),
    "beyond float32": (spoilt(1e300), r"X must be finite.* infinity at index \(2, 3, 1\)"),
    "NaN in a list": (
        [good((3, D)), spoilt(np.nan, (4, D), (2, 1))],
        r"X\[1\] must be finite.* NaN at index \(2, 1\)",
    ),
    "one dimension": (good((N,)), "Expected 2D array, got 1D array instead"),
    "four dimensions": (good((N, T, D, 1)), r"n_features\) or \(.*got \(6, 5, 2, 1\)"),
    "a number": (3.0, "Expected 2D array, got scalar array instead"),
    "a matrix in a list": ([np.ones((1, 2, 3))], r"X\[0\] must have shape.*got \(1, 2, 3\)"),
    "widths": (ragged(widths=(2, 2, 3)), r"X\[2\] must have 2 features, got 3"),
    "an empty list": ([], "Expected 2D array, got 1D array instead"),
    "no sample": (good((0, T, D)), r"none of them 0, got \(0, 5, 2\)"),
    "no step": (good((N, 0, D)), r"none of them 0, got \(6, 0, 2\)"),
    "no feature": (good((N, T, 0)), r"none of them 0, got \(6, 5, 0\)"),
    "an empty sequence": ([*ragged(5), np.ones((0, D))], r"X\[5\].* none of them 0, got \(0, 2\)"),
    "strings": (np.full((N, T, D), "a"), "X must be an array of numbers.*'a'"),
    "strings in a list": ([np.full((3, D), "a")], r"X\[0\] must be an array of numbers.*'a'"),
    "complex": (good() + 1j, "X must be real, got complex"),
    "complex in a list": (list(good() + 1j), r"X\[0\] must be real, got complex"),
    "dates": (np.zeros((N, T, D), "M8[D]"), r"X must be an array of numbers, got dates"),
    "durations in a list": (
        [np.zeros((3, D), "m8[s]")] * N,
        r"X\[0\] must be .* or durations",
    ),
    "masked": (np.ma.masked_greater(good(), 0), r"X must have no masked values, got \d+"),
    "sparse": (sparse.csr_matrix(np.eye(N)), "Sparse data was passed for X, but dense"),
    "None": (None, "Expected 2D array, got scalar array instead"),
}


@pytest.mark.parametrize("case", BAD_X)
def test_bad_X(fitted, case):
    X, match = BAD_X[case]
    error = TypeError if case == "sparse" else ValueError
    check_unharmed(fitted, lambda m: m.fit(X, y), match, error)
    with pytest.raises(error, match=match):
        fitted.predict(X)
    with pytest.raises(error, match=match):
        fitted.score(X, y)


BAD_2D = {
    "NaN": (spoilt(np.nan, (N, T)), "Input X contains NaN"),
    "infinity": (spoilt(np.inf, (N, T)), "Input X contains infinity"),
    "no sample": (good((0, T)), "0 sample.*minimum of 1 is required"),
    "no step": (good((N, 0)), r"0 feature.*minimum of 1 is required"),
    "strings": ([["a", "b"]] * N, "could not convert string to float: 'a'"),
    "dates": (pd.DataFrame({"t": pd.to_datetime(["2020"] * N)}), "numbers, got dates"),
    "masked": (np.ma.masked_greater(good((N, T)), 0), r"X must have no masked values, got \d+"),
    "complex": (good((N, T)) + 1j, "Complex data not supported"),
}


@pytest.mark.parametrize("case", BAD_2D)
def test_bad_two_dimensional_X(fitted, case):
    X, match = BAD_2D[case]
    check_unharmed(fitted, lambda m: m.fit(X, y), match)
    with pytest.raises(ValueError, match=match):
        regressor().fit(good((N, T)), y).predict(X)


@pytest.mark.parametrize(
    ("X", "match"),
    [
        (good((N, T, 3)), "X has 3 features, but LSTMRegressor is expecting 2"),
        ([np.ones((4, 1))], "X has 1 features, but LSTMRegressor is expecting 2"),
        (good((N, T)), r"must have 2 features, got a 2-D X of shape \(6, 5\).*one feature"),
    ],
)
def test_other_features_than_in_fit(fitted, X, match):
    for method in (fitted.predict, fitted.trace):
        with pytest.raises(ValueError, match=match):
            method(X)


def test_other_features_than_in_a_two_dimensional_fit():
    model = regressor().fit(good((N, T)), y)
    with pytest.raises(ValueError, match="X has 2 features, but LSTMRegressor is expecting 1 "):
        model.predict(good())
    with pytest.raises(ValueError, match="X has 4 features, but LSTMRegressor is expecting 5 "):
        model.predict(good((N, T - 1)))
    frame = pd.DataFrame(good((N, T)), columns=list("abcde"))
    model.fit(frame, y)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame.rename(columns={"a": "z"}))
    assert not hasattr(model.fit(good(), y), "feature_names_in_")


BAD_Y = {
    "None": (None, "requires y to be passed, but the target y is None"),
    "NaN": (spoilt(np.nan, (N,)), r"y must be finite.* NaN at index \(2,\)"),
    "infinity": (spoilt(np.inf, (N, 4)), r"y must be finite.* infinity at index \(2, 3\)"),
    "NaN per step": (spoilt(np.nan, (N, T, 2)), r"y must be finite.* NaN at index \(2, 3, 1\)"),
    "too short": (y[:-1], r"inconsistent numbers of samples: \[6, 5\]"),
    "too long": (np.r_[y, y], r"inconsistent numbers of samples: \[6, 12\]"),
    "empty": ([], r"inconsistent numbers of samples: \[6, 0\]"),
    "strings": (list("abcdef"), "y must be an array of numbers.*'a'"),
    "no output": (np.ones((N, 0)), r"y must have shape.*none of them 0, got \(6, 0\)"),
    "four dimensions": (np.ones((N, T, 1, 1)), r"y must have shape.*got \(6, 5, 1, 1\)"),
    "steps": (steps[:, :-1], "y must have one target.*sequence 0 has 5 steps, but 4 targets"),
    "a short one": ([*steps[:5], steps[5][:3]], "sequence 5 has 5 steps, but 3 targets"),
    "widths": ([*steps[:5], np.ones((T, 2))], r"y\[5\] must have 1 features, got 2"),
    "an empty one": ([*steps[:5], np.ones((0, 1))], r"y\[5\] must have shape.*got \(0, 1\)"),
    "complex": (y + 1j, "y must be real, got complex numbers"),
}


@pytest.mark.parametrize("case", BAD_Y)
def test_bad_y(fitted, case):
    target, match = BAD_Y[case]
    check_unharmed(fitted, lambda m: m.fit(good(), target), match)


def test_targets_per_step_of_ragged_sequences(fitted):
    targets = [np.ones(k + 1) for k in range(N)]
    targets[3] = np.ones(9)
    match = "sequence 3 has 4 steps, but 9 targets"
    check_unharmed(fitted, lambda m: m.fit(ragged(), targets), match)


def test_a_number_for_y(fitted):
    check_unharmed(fitted, lambda m: m.fit(good(), 3.0), "Expected sequence.*float", TypeError)


BAD_WEIGHTS = {
    "tiny": (np.full(N, 1e-320), "sample_weight must be 0 or at least 1e-300"),
    "huge": (np.full(N, 1e308), r"sum of at most 1e\+300, got 1e\+308 and inf"),
    "another length": (np.ones(N - 1), r"sample_weight.shape == \(5,\), expected \(6,\)"),
    "negative": (-np.ones(N), "Negative values in data passed to `sample_weight`"),
    "NaN": (np.full(N, np.nan), "sample_weight contains NaN"),
    "zero": (np.zeros(N), "ample.weights? must"),
}


@pytest.mark.parametrize("case", BAD_WEIGHTS)
def test_bad_sample_weight(fitted, case):
    weights, match = BAD_WEIGHTS[case]
    check_unharmed(fitted, lambda m: m.fit(good(), y, weights), match)


BAD_PARAMETERS = [
    ("hidden_size", 0, ValueError, "an integer of at least 1"),
    ("hidden_size", 2.5, TypeError, "an integer of at least 1"),
    ("hidden_size", 10**30, ValueError, "at most 1000000"),
    ("n_layers", 0, ValueError, "an integer of at least 1"),
    ("n_layers", 10**9, ValueError, "at most 1000"),
    ("bidirectional", 1, TypeError, "True or False"),
    ("dropout", 1.0, ValueError, "a number in [0, 1)"),
    ("dropout", -0.1, ValueError, "a number in [0, 1)"),
    ("forget_bias", np.inf, ValueError, "a number in"),
    ("forget_bias", 1e300, ValueError, "a number in [-1e+30, 1e+30]"),
    ("alpha", 10**400, ValueError, "a number in [0, inf)"),
    ("loss", "quartic", ValueError, "one of 'squared_error', 'absolute_error', 'huber'"),
    ("quantile", 0.0, ValueError, "a number in (0, 1)"),
    ("quantile", "median", TypeError, "a number in (0, 1)"),
    ("solver", "newton", ValueError, "one of 'adam', 'sgd', 'lbfgs'"),
    ("solver", None, ValueError, "one of 'adam', 'sgd', 'lbfgs'"),
    ("learning_rate_init", 0.0, ValueError, "a number in (0, inf)"),
    ("learning_rate_init", np.nan, ValueError, "a number in (0, inf)"),
    ("alpha", -1.0, ValueError, "a number in [0, inf)"),
    ("batch_size", 0, ValueError, "an integer of at least 1"),
    ("max_iter", -1, ValueError, "an integer of at least 0"),
    ("max_iter", "many", TypeError, "an integer of at least 0"),
    ("clip_norm", 0, ValueError, "a number in (0, inf)"),
    ("shuffle", "yes", TypeError, "True or False"),
    ("early_stopping", 1, TypeError, "True or False"),
    ("validation_fraction", 0.0, ValueError, "a number in (0, 1)"),
    ("validation_fraction", 1.0, ValueError, "a number in (0, 1)"),
    ("n_iter_no_change", 0, ValueError, "an integer of at least 1"),
    ("tol", -1e-3, ValueError, "a number in [0, inf)"),
    ("standardize", None, TypeError, "True or False"),
    ("warm_start", "no", TypeError, "True or False"),
    ("random_state", "seed", ValueError, "None, an integer from 0 to 2**32 - 1 or a RandomState"),
    ("random_state", -1, ValueError, "None, an integer from 0 to 2**32 - 1 or a RandomState"),
    ("n_threads", 0, ValueError, "an integer of at least 1"),
    ("dtype", "float16", ValueError, "'float32' or 'float64'"),
    ("dtype", "spam", ValueError, "'float32' or 'float64'"),
    ("dtype", None, ValueError, "'float32' or 'float64'"),
    ("variant", "peepholes", TypeError, "an LSTMVariant or None"),
    ("verbose", -1, ValueError, "an integer of at least 0"),
    ("verbose", "loud", TypeError, "an integer of at least 0"),
]


@pytest.mark.parametrize(("name", "value", "error", "wanted"), BAD_PARAMETERS)
def test_bad_parameters(name, value, error, wanted):
    model = regressor().fit(good(), y).set_params(**{name: value})
    match = f"^{name} must be {re.escape(wanted)}.*, got {re.escape(repr(value))}$"
    check_unharmed(model, lambda m: m.fit(good(), y), match, error)


def test_every_parameter_is_checked():
    assert {name for name, *_ in BAD_PARAMETERS} == set(LSTMRegressor().get_params())


def test_dropout_with_lbfgs():
    model = regressor().fit(good(), y).set_params(solver="lbfgs", dropout=0.5)
    check_unharmed(model, lambda m: m.fit(good(), y), "dropout needs solver 'adam' or 'sgd'")


@pytest.mark.parametrize(
    ("y", "weights", "match"),
    [
        (steps[:4], None, r"inconsistent numbers of samples: \[6, 4\]"),
        (steps[:, :3], None, "y must have one target .* sequence 0 has 5 steps, but 3 targets"),
        (steps[:, :, 0], None, "y must have 3 dimensions, as in fit, got 2"),
        (np.full_like(steps, np.nan), None, "y must be finite"),
        (steps, np.ones(3), r"sample_weight.shape == \(3,\), expected \(6,\)"),
        (steps, np.full(N, np.nan), "sample_weight contains NaN"),
    ],
)
def test_bad_steps_to_score(y, weights, match):
    model = regressor(max_iter=0).fit(good(), steps)
    with pytest.raises(ValueError, match=match):
        model.score(good(), y, sample_weight=weights)


def test_early_stopping_with_one_sample():
    model = regressor().fit(good(), y).set_params(early_stopping=True)
    match = "early_stopping must leave a sample to learn, .* out 1 of 1"
    check_unharmed(model, lambda m: m.fit(good((1, T, D)), y[:1]), match)


def test_warm_start_with_another_geometry():
    model = regressor(warm_start=True).fit(good(), y)
    expected = model.predict(good())
    for X, target in ((good((N, T, 3)), y), (good(), good((N, 2))), (good(), steps)):
        with pytest.raises(ValueError, match="warm_start needs the geometry of the previous fit"):
            model.fit(X, target)
        assert np.array_equal(model.predict(good()), expected)


def test_an_error_while_training_leaves_the_last_fit(monkeypatch):
    calls = itertools.count()

    def fail(*args):
        if next(calls) >= 4:
            raise MemoryError("no memory")
        return 0.0

    model = regressor(warm_start=True, batch_size=2).fit(good(), y)
    monkeypatch.setattr(step, "accumulate", fail)
    check_unharmed(model, lambda m: m.fit(9 * good() + 5, y), "no memory", MemoryError)


@pytest.mark.parametrize(
    ("x", "match"),
    [
        (good((N, 3)), r"x must have shape \(n_samples, 2\), got \(6, 3\)"),
        (good((D,)), r"x must have 2 dimensions, got 1 \(shape \(2,\)\)"),
        (spoilt(np.nan, (N, D), (1, 1)), r"x must be finite.* NaN at index \(1, 1\)"),
    ],
)
def test_bad_steps(fitted, x, match):
    with pytest.raises(ValueError, match=match):
        fitted.predict_step(x)


def test_steps_need_one_direction_and_a_state_that_fits(fitted):
    with pytest.raises(ValueError, match="not defined for bidirectional=True"):
        regressor(bidirectional=True).fit(good(), y).predict_step(good((N, D)))
    _, state = fitted.predict_step(good((N, D)))
    with pytest.raises(ValueError, match=r"state.*\(1, 3, 4\), got \(1, 6, 4\)"):
        fitted.predict_step(good((3, D)), state)
