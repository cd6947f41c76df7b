"""Dates and durations, whatever they come in, are no numbers: refused, or labels of classes."""

import datetime

import numpy as np
import pandas as pd
import pytest

from numlstm import LSTMClassifier, LSTMForecaster, LSTMRegressor

N = 6
DAYS = [datetime.date(2020, 1, 1 + k) for k in range(N)]
STAMPS = pd.date_range("2020", periods=N)
QUICK = {"hidden_size": 2, "max_iter": 1, "n_threads": 1, "random_state": 0}
X, y = np.random.default_rng(0).normal(size=(N, 3, 2)), np.arange(N) % 2


def in_polars(make):
    return lambda: make(pytest.importorskip("polars"))


def in_arrow(make):
    return lambda: make(pytest.importorskip("pyarrow"))


COLUMNS = {  # of times, and nothing else
    "NumPy": lambda: STAMPS.to_numpy(),
    "NumPy, durations": lambda: np.arange(N).astype("m8[s]"),
    "list of NumPy's": lambda: list(STAMPS.to_numpy()),
    "list of Python's": lambda: DAYS,
    "pandas": lambda: pd.Series(STAMPS),
    "pandas, time zone": lambda: pd.Series(STAMPS.tz_localize("UTC")),
    "pandas, durations": lambda: pd.Series(pd.to_timedelta(np.arange(N), unit="D")),
    "pandas, periods": lambda: pd.Series(pd.period_range("2020", periods=N)),
    "pandas, categories": lambda: pd.Series(pd.Categorical(STAMPS)),
    "polars": in_polars(lambda pl: pl.Series(DAYS)),
    "polars, with time": in_polars(lambda pl: pl.Series(STAMPS.to_pydatetime().tolist())),
    "polars, durations": in_polars(lambda pl: pl.Series([datetime.timedelta(1)] * N)),
    "Arrow": in_arrow(lambda pa: pa.array(DAYS)),
    "Arrow, in chunks": in_arrow(lambda pa: pa.chunked_array([DAYS[:2], DAYS[2:]])),
    "Arrow, with time": in_arrow(lambda pa: pa.array(STAMPS)),
    "Arrow, durations": in_arrow(lambda pa: pa.array(range(N), pa.duration("s"))),
}
TABLES = {
    "NumPy": lambda: STAMPS.to_numpy()[:, None],
    "nested lists of NumPy's": lambda: [[day] for day in STAMPS.to_numpy()],
    "pandas": lambda: pd.DataFrame({"a": STAMPS}),
    "pandas, beside numbers": lambda: pd.DataFrame({"a": STAMPS, "b": 1.5}),
    "pandas, periods": lambda: pd.DataFrame({"a": pd.period_range("2020", periods=N)}),
    "pandas, categories": lambda: pd.DataFrame({"a": pd.Categorical(STAMPS)}),
    "polars": in_polars(lambda pl: pl.DataFrame({"a": DAYS})),
    "polars, beside numbers": in_polars(lambda pl: pl.DataFrame({"a": DAYS, "b": [1.5] * N})),
    "Arrow": in_arrow(lambda pa: pa.table({"a": DAYS})),
    "Arrow, beside numbers": in_arrow(lambda pa: pa.table({"a": DAYS, "b": [1.5] * N})),
}


def refuses(name, fit):
    with pytest.raises(
        (TypeError, ValueError), match=rf"^{name}(\[0\])? must be an array of numbers"
    ):
        fit()


@pytest.mark.parametrize("form", TABLES)
def test_a_table_of_times_is_not_X(form):
    table = TABLES[form]()
    refuses("X", lambda: LSTMRegressor(**QUICK).fit(table, y))
    refuses("X", lambda: LSTMClassifier(**QUICK).fit(table, y))
    refuses("X", lambda: LSTMForecaster(2, **QUICK).fit(np.arange(N), table))
    refuses("X", lambda: LSTMRegressor(**QUICK).fit(X[:, :1, 0], y).predict(table))


@pytest.mark.parametrize("form", TABLES)
def test_a_table_of_times_is_not_y(form):
    table = TABLES[form]()
    refuses("y", lambda: LSTMRegressor(**QUICK).fit(X, table))
    refuses("y", lambda: LSTMForecaster(2, **QUICK).fit(table))


@pytest.mark.parametrize("form", COLUMNS)
def test_a_column_of_times_is_no_target_series_weight_or_sequence(form):
    column = COLUMNS[form]()
    refuses("y", lambda: LSTMRegressor(**QUICK).fit(X, column))
    refuses("y", lambda: LSTMForecaster(2, **QUICK).fit(column))
    refuses("sample_weight", lambda: LSTMRegressor(**QUICK).fit(X, y, sample_weight=column))
    refuses("X", lambda: LSTMRegressor(**QUICK).fit([column] * N, y))
    refuses("y", lambda: LSTMRegressor(**QUICK).fit(np.ones((2, N, 1)), [column] * 2))
    refuses("y", lambda: LSTMForecaster(2, **QUICK).fit([column] * N))


@pytest.mark.parametrize(
    "form", ["NumPy", "NumPy, durations", "pandas", "polars", "Arrow", "Arrow, in chunks"]
)
def test_dates_may_be_labels_and_stay_what_they_are(form):
    days = COLUMNS[form]()
    model = LSTMClassifier(4, solver="lbfgs", max_iter=200, random_state=0).fit(X, days)
    np.testing.assert_array_equal(model.classes_, np.asarray(days))
    assert model.predict(X).dtype == np.asarray(days).dtype
    np.testing.assert_array_equal(model.predict(X), np.asarray(days))


def test_numbers_of_polars_and_arrow_are_numbers(rng):
    pl, pa = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    values = {"a": rng.normal(size=N), "b": rng.integers(9, size=N)}
    frame = pd.DataFrame(values)
    expected = LSTMRegressor(**QUICK).fit(frame, frame).predict(frame)
    for table in (pl.DataFrame(values), pa.table(values)):
        found = LSTMRegressor(**QUICK).fit(table, table).predict(table)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("form", ["pandas, beside numbers", "Arrow, beside numbers"])
def test_a_table_of_dates_and_numbers_is_no_labels(form):
    with pytest.raises(ValueError, match="y must hold labels of one kind"):
        LSTMClassifier(**QUICK).fit(np.ones((N, 2, 1)), TABLES[form]())
