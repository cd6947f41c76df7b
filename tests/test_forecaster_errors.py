"""Bad input to `LSTMForecaster`: each a clear error, and what was fitted before stays."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from numlstm import LSTMForecaster
from numlstm.training import step

N = 40
y = np.sin(np.arange(N) / 3)
X = np.cos(np.arange(N * 2.0)).reshape(N, 2)


def forecaster(**options):
    usual = {"window": 5, "horizon": 3, "hidden_size": 4, "max_iter": 2, "random_state": 0}
    return LSTMForecaster(**usual | options)


def with_value(value, at, shape=(N,)):
    array = np.resize(y, shape).astype(float)
    array[at] = value
    return array


def check_unharmed(model, fit, match, error=ValueError, future=None):
    """The fit must fail and leave the model as it was, fitted or not."""
    expected, before, fresh = model.predict(9, future), vars(model).copy(), clone(model)
    for estimator in (model, fresh):
        with pytest.raises(error, match=match):
            fit(estimator)
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is value for name, value in before.items())
    assert np.array_equal(model.predict(9, future), expected)
    assert vars(fresh).keys() == model.get_params().keys()


@pytest.fixture(scope="module")
def fitted():
    return forecaster().fit(y)


@pytest.fixture(scope="module")
def with_X():
    return forecaster().fit(y, X)


BAD_Y = {
    "infinity": (with_value(np.inf, 7), r"y must be finite or missing.* infinity at index \(7,\)"),
    "minus infinity": (with_value(-np.inf, (3, 1), (N, 2)), r"infinity at index \(3, 1\)"),
    "missing only": (np.full(N, np.nan), "y must hold values, got missing ones only"),
    "too many missing": (with_value(np.nan, slice(7, None, 8)), "a run of window .* = 8 values"),
    "short": (y[:7], "at least window .* horizon = 8 values, got 7"),
    "empty": ([], r"y must have shape .* none of them 0, got \(0,\)"),
    "no series": (np.ones((N, 0)), r"none of them 0, got \(40, 0\)"),
    "three dimensions": (np.ones((N, 1, 1)), r"y must have shape \(n,\) or .* got \(40, 1, 1\)"),
    "a number": (3.0, r"y must have shape \(n,\) or \(n, n_series\).*got \(\)"),
    "strings": (["a"] * N, "y must be an array of numbers: .*'a'"),
    "uneven": ([[1.0], [1.0, 2.0]] * 9, "y must be an array of numbers: .*inhomogeneous"),
    "complex": (y + 1j, "y must be real, got complex numbers"),
    "complex in a list": ([1j] * N, "y must be real, got complex numbers"),
    "a complex number": (1j, "y must be real, got complex numbers"),
    "dates": (pd.date_range("2020", periods=N), "y must be an array of numbers, got dates"),
    "masked": (np.ma.masked_greater(y, 0.5), r"y must have no masked values, got \d+"),
    "None": (None, "y must have shape|y must be an array of numbers"),
    "a column of text": (pd.DataFrame({"a": y, "b": "x"}), "y must be an array of numbers: .*'x'"),
}


@pytest.mark.parametrize("case", BAD_Y)
def test_bad_y(fitted, case):
    series, match = BAD_Y[case]
    check_unharmed(fitted, lambda m: m.fit(series), match)


days = pd.date_range("2001", periods=N)
BAD_INDICES = {
    "irregular dates": (days.delete(3).append(days[-1:] + pd.Timedelta(days=5)), "asfreq"),
    "a date twice": (days[:-1].append(days[-2:-1]), "dates or periods of one frequency"),
    "irregular numbers": (pd.Index(np.arange(N) ** 2), "numbers of one step"),
    "small irregular numbers": (pd.Index(1e-12 * np.arange(N) ** 2), "numbers of one step"),
    "the same number": (pd.Index(np.ones(N)), "one step|in the order of time"),
    "text": (pd.Index([f"day {k}" for k in range(N)]), "an index that can be carried on"),
    "dates backwards": (days[::-1], "in the order of time, oldest first"),
    "numbers backwards": (pd.RangeIndex(N, 0, -1), "in the order of time, oldest first"),
    "periods backwards": (days.to_period()[::-1], "in the order of time|that can be carried on"),
    "periods with a gap": (days.to_period().delete(3).append(days[-1:].to_period() + 3), "carried"),
    "two levels": (pd.MultiIndex.from_product([[1, 2], range(20)]), "that can be carried on"),
}


@pytest.mark.parametrize("case", BAD_INDICES)
@pytest.mark.parametrize("kind", [pd.Series, pd.DataFrame])
def test_bad_index(fitted, case, kind):
    index, match = BAD_INDICES[case]
    check_unharmed(fitted, lambda m: m.fit(kind(y, index=index)), f"y must .*{match}")


BAD_X = {
    "rows": (X[:-1], "X must have 40 rows, as many as y, got 39"),
    "one dimension": (X[:, 0], r"X must have 2 dimensions, got 1 \(shape \(40,\)\)"),
    "three dimensions": (X[:, :, None], "X must have 2 dimensions, got 3"),
    "missing": (with_value(np.nan, (4, 1), (N, 2)), r"X must be finite.* NaN at index \(4, 1\)"),
    "infinity": (with_value(np.inf, (4, 1), (N, 2)), r"X must be finite.* infinity at index"),
    "strings": (np.full((N, 2), "a"), "X must be an array of numbers.*'a'"),
    "masked": (np.ma.masked_greater(X, 0), r"X must have no masked values, got \d+"),
    "no column": (X[:, :0], r"X must have at least one feature, got 0"),
}


@pytest.mark.parametrize("case", BAD_X)
def test_bad_exogenous_X(with_X, case):
    inputs, match = BAD_X[case]
    check_unharmed(with_X, lambda m: m.fit(y, inputs), match, future=X[:9])


@pytest.mark.parametrize(
    ("future", "match"),
    [
        (None, "X must be given to predict .* fit had one"),
        (X[:2], "X must have 3 rows, as many as steps to forecast, got 2"),
        (X[:4], "X must have 3 rows, as many as steps to forecast, got 4"),
        (X[:3, :1], "X has 1 features, but LSTMForecaster is expecting 2"),
        (X[:3, 0], "X must have 2 dimensions, got 1"),
        (np.full((3, 2), np.nan), r"X must be finite.* NaN at index \(0, 0\)"),
    ],
)
def test_bad_future_of_X(with_X, future, match):
    with pytest.raises(ValueError, match=match):
        with_X.predict(X=future)
    with pytest.raises(ValueError, match=match):
        with_X.score(y[:3], future)


def test_names_of_exogenous_columns():
    table = pd.DataFrame(X, columns=["price", "day"])
    model = forecaster(max_iter=0).fit(y, table)
    assert list(model.feature_names_in_) == ["price", "day"]
    assert np.array_equal(
        model.predict(X=table[:3]), forecaster(max_iter=0).fit(y, X).predict(X=X[:3])
    )
    with pytest.raises(ValueError, match="Feature names must be in the same order"):
        model.predict(X=table[["day", "price"]][:3])
    for args in ((y, X), (y,)):
        assert not hasattr(model.fit(y, table).fit(*args), "feature_names_in_")


def test_exogenous_rows_of_other_days():
    days = pd.date_range("2001", periods=N)
    series = pd.Series(y, days)
    with pytest.raises(ValueError, match="X must have the index of y, .* got 2001-01-02"):
        forecaster().fit(series, pd.DataFrame(X, days + pd.Timedelta(days=1)))
    forecaster(max_iter=0).fit(series, pd.DataFrame(X, days))


def test_a_trace_needs_a_horizon_too(fitted):
    with pytest.raises(TypeError, match="horizon must be an integer"):
        clone(fitted).fit(y).set_params(horizon=None).trace()


def test_a_future_of_X_that_fit_knew_nothing_of(fitted):
    with pytest.raises(ValueError, match="X must be given to predict .* fit had none"):
        fitted.predict(X=X[:3])


@pytest.mark.parametrize(
    ("horizon", "error"), [(0, ValueError), (-1, ValueError), (2.5, TypeError), (True, TypeError)]
)
def test_bad_horizon_of_predict(fitted, horizon, error):
    with pytest.raises(error, match=f"horizon must be an integer of at least 1, got {horizon}"):
        fitted.predict(horizon)


@pytest.mark.parametrize(
    ("actual", "match"),
    [
        (with_value(np.nan, 1, (4,)), r"y must be finite.* NaN at index \(1,\)"),
        (np.ones((4, 1)), "y must have 1 dimensions, got 2"),
    ],
)
def test_bad_y_of_score(fitted, actual, match):
    with pytest.raises(ValueError, match=match):
        fitted.score(actual)


def test_the_last_window_must_be_there():
    model = forecaster().fit(with_value(np.nan, [-2, -4]))
    with pytest.raises(ValueError, match="last window = 5 values .* but 2 are missing"):
        model.predict()


BAD_PARAMETERS = [
    ("window", 0, ValueError, "an integer of at least 1"),
    ("window", 2.0, TypeError, "an integer of at least 1"),
    ("horizon", 10**30, ValueError, "at most 2147483647"),
    ("horizon", 0, ValueError, "an integer of at least 1"),
    ("horizon", None, TypeError, "an integer of at least 1"),
    ("strategy", "sideways", ValueError, "one of 'direct', 'recursive'"),
    ("solver", "newton", ValueError, "one of 'adam', 'sgd', 'lbfgs'"),
    ("loss", "quartic", ValueError, "one of 'squared_error', 'absolute_error', 'huber'"),
    ("hidden_size", 0, ValueError, "an integer of at least 1"),
    ("dtype", "int8", ValueError, "'float32' or 'float64'"),
    ("random_state", "seed", ValueError, "None, an integer from 0 to 2**32 - 1 or a RandomState"),
]


@pytest.mark.parametrize(("name", "value", "error", "wanted"), BAD_PARAMETERS)
def test_bad_parameters(name, value, error, wanted):
    model = forecaster().fit(y).set_params(**{name: value})
    match = f"^{name} must be {re.escape(wanted)}.*, got {re.escape(repr(value))}$"
    check_unharmed(model, lambda m: m.fit(y), match, error)


def test_early_stopping_with_one_window():
    model = forecaster().fit(y).set_params(early_stopping=True)
    match = "early_stopping must leave a window to learn, .* out 1 of 1"
    check_unharmed(model, lambda m: m.fit(y[:8]), match)


def test_warm_start_with_another_geometry():
    model = forecaster(warm_start=True).fit(y)
    expected = model.predict()
    for change in ({"horizon": 2}, {"hidden_size": 3}, {"dtype": "float64"}):
        with pytest.raises(ValueError, match="warm_start needs the geometry of the previous fit"):
            model.set_params(**change).fit(y)
        model.set_params(horizon=3, hidden_size=4, dtype="float32")
        assert np.array_equal(model.predict(), expected)


def test_an_error_while_training_leaves_the_last_fit(monkeypatch):
    def fail(*args):
        raise MemoryError("no memory")

    model = forecaster(warm_start=True).fit(y)
    monkeypatch.setattr(step, "accumulate", fail)
    check_unharmed(model, lambda m: m.fit(9 * y + 5), "no memory", MemoryError)


def test_nothing_works_before_fit():
    with pytest.raises(NotFittedError, match="LSTMForecaster"):
        forecaster().predict()
    with pytest.raises(NotFittedError, match="LSTMForecaster"):
        forecaster().score(y[:3])
