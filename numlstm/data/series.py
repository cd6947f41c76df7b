"""Time series from NumPy or pandas, and their way back with the index carried on."""

import csv
import math
import warnings

import numpy as np

from numlstm.data.validation import as_array, check_meant, kinds_of


class ArrayIndex:
    """The index of a plain array: there is none to carry on."""

    def carry_on(self, forecast):
        """Return the forecast as it is."""
        return forecast

    def describe(self):
        """Return what `index_from` needs: nothing."""
        return None


class PandasIndex:
    """The end of a pandas object's index, and what makes the same kind of object from a forecast.

    Raises
    ------
    ValueError
        If the index has no regular step.
    """

    def __init__(self, name, y):
        import pandas as pd

        index = y.index
        self.labels = y.columns if y.ndim == 2 else y.name
        self.index_name = index.name
        self.last = index[-1]
        if isinstance(index, (pd.DatetimeIndex, pd.PeriodIndex)):
            self.step = index.freq
            if self.step is None and len(index) > 2:
                # As an offset; pd.infer_freq returns a string, and warns that it will not.
                self.step = _inferred_frequency(pd, index)
            regular = self.step is not None
            if isinstance(index, pd.PeriodIndex):  # it has a frequency even where periods lack
                regular = bool((np.abs(np.diff(index.asi8)) == self.step.n).all())
        else:
            steps = np.diff(np.asarray(index)) if pd.api.types.is_numeric_dtype(index) else []
            rounding = 4 * np.finfo(np.float64).eps * np.abs(index).max() if len(steps) else 0
            regular = len(steps) > 0 and steps[0] != 0
            regular = regular and np.allclose(steps, steps[0], atol=rounding)
            self.step = steps[0] if regular else None
        if not regular:
            raise ValueError(
                f"{name} must have an index that can be carried on: dates or periods of one "
                f"frequency (see DataFrame.asfreq), or numbers of one step, got {index!r}"
            )
        if not index.is_monotonic_increasing:
            raise ValueError(f"{name} must be in the order of time, oldest first")

    def carry_on(self, forecast):
        """Return the forecast as a Series or DataFrame that follows the original."""
        import pandas as pd

        n = len(forecast)
        if isinstance(self.last, pd.Timestamp):
            unit = self.last.unit
            index = pd.date_range(self.last, periods=n + 1, freq=self.step, unit=unit)[1:]
        elif isinstance(self.last, pd.Period):
            index = pd.period_range(self.last, periods=n + 1, freq=self.step)[1:]
        else:
            index = pd.Index(self.last + self.step * np.arange(1, n + 1))
        index.name = self.index_name
        if forecast.ndim == 2:
            return pd.DataFrame(forecast, index=index, columns=self.labels)
        return pd.Series(forecast, index=index, name=self.labels)

    def describe(self):
        """Return the end of the index as JSON can hold it. Names become strings."""
        names = self.labels if isinstance(self.labels, str | None) else list(map(str, self.labels))
        out = {"names": names, "index_name": self.index_name and str(self.index_name)}
        if hasattr(self.step, "freqstr"):
            period = type(self.last).__name__ == "Period"
            out |= {"kind": type(self.last).__name__, "last": str(self.last)}
            out["step"] = self.last.freqstr if period else self.step.freqstr
            if not period:
                out |= {"zone": str(self.last.tz or ""), "unit": self.last.unit}
            self._check_description(out)
            return out
        return out | {
            "kind": "number",
            "step": np.asarray(self.step).item(),
            "last": np.asarray(self.last).item(),
        }

    def _check_description(self, description):
        """Raise a ValueError for a frequency or time zone that has no name to go by."""
        try:
            again = index_from(description)
        except (ValueError, KeyError, TypeError):
            again = None
        if again is None or (again.last, again.step) != (self.last, self.step):
            raise ValueError(
                f"an index of frequency {self.step!r} and time zone {description.get('zone')!r} "
                "cannot be saved: a file holds names such as 'MS' and 'Europe/Berlin' only"
            )


def index_from(description):
    """Return the index that `describe` described.

    Raises
    ------
    ImportError
        Where the model was fitted on pandas and there is none here.
    ValueError, KeyError
    """
    if description is None:
        return ArrayIndex()
    import pandas as pd

    index = PandasIndex.__new__(PandasIndex)
    index.labels, index.index_name = description["names"], description["index_name"]
    kind, last, step = (description[key] for key in ("kind", "last", "step"))
    wanted = int | float if kind == "number" else str
    if not isinstance(last, wanted) or not isinstance(step, wanted):
        raise TypeError(f"an index of kind {kind!r} with {last!r} and {step!r} makes no sense")
    if kind == "Timestamp":
        with warnings.catch_warnings():  # pandas 2 warns of names that pandas 3 does not know
            warnings.simplefilter("error", FutureWarning)
            try:
                index.last, index.step = pd.Timestamp(last), pd.tseries.frequencies.to_offset(step)
            except FutureWarning as error:
                raise ValueError(f"{step!r} is no frequency of dates: {error}") from None
        index.last = index.last.as_unit(description["unit"])
        if description["zone"]:
            index.last = index.last.tz_convert(description["zone"])
    elif kind == "Period":
        index.last = pd.Period(last, step)
        index.step = index.last.freq
    elif kind == "number":
        index.last, index.step = np.asarray(last)[()], np.asarray(step)[()]
    else:
        raise ValueError(f"an index of kind {kind!r} is not known")
    return index


def _inferred_frequency(pd, index):
    try:
        return pd.DatetimeIndex(index, freq="infer").freq
    except ValueError:
        return None


def _is_pandas(values):
    """Return whether something is of pandas, without importing it: only a caller who has can."""
    return type(values).__module__.partition(".")[0] == "pandas"


def check_same_index(y, X):
    """Raise a ValueError if y and X are of pandas, and their rows do not belong together."""
    if _is_pandas(y) and _is_pandas(X) and not y.index.equals(X.index):
        raise ValueError(
            f"X must have the index of y, {y.index[0]} to {y.index[-1]}, got {X.index[0]} to "
            f"{X.index[-1]}; an array goes by position"
        )


def as_series(name, y):
    """Return a series as float64 (n, n_series), missing values as NaN, and its index.

    Raises
    ------
    TypeError, ValueError
        For other than one or two dimensions, an empty series, infinity, an irregular index.
    """
    check_meant(name, y)
    plain = y if _is_pandas(y) else as_array(name, y)  # a list has no dtype to look at
    check_meant(name, plain)
    if "c" in kinds_of(plain):
        raise ValueError(f"{name} must be real, got complex numbers")
    # One memory layout, whatever came: it decides the order of sums, so the last bits.
    values = as_array(name, plain, np.float64, order="C")
    if values.ndim not in (1, 2) or not values.size:
        raise ValueError(
            f"{name} must have shape (n,) or (n, n_series), none of them 0, got {values.shape}"
        )
    if np.isinf(values).any():
        where = tuple(int(k) for k in np.argwhere(np.isinf(values))[0])
        raise ValueError(f"{name} must be finite or missing (NaN), got infinity at index {where}")
    index = PandasIndex(name, y) if _is_pandas(y) else ArrayIndex()
    return values.reshape(len(values), -1), index


def usual_spread(past, otherwise):
    """Return the root mean square of the windows' standard deviations, (n_series,).

    Parameters
    ----------
    past : array, (n_windows, window, n_series)
    otherwise : array, (n_series,)
        What to return for series that are constant in every window.
    """
    size = np.abs(past).max(axis=(0, 1))
    size[size == 0] = 1
    spread = np.sqrt((past / size).var(axis=1).mean(axis=0)) * size  # so no square overflows
    rounding = 10 * np.finfo(past.dtype).eps * np.abs(past).mean(axis=(0, 1))
    return np.where(spread > rounding, spread, otherwise)


def window_scales(past, floor, wanted):
    """Return mean and spread of each window, (n_windows, 1, n_series).

    Parameters
    ----------
    past : array, (n_windows, window, n_series)
    floor : array, (n_series,)
        Smallest spread to divide by.
    wanted : bool
        False gives 0 and 1.
    """
    if not wanted:
        return np.zeros((len(past), 1, past.shape[2])), np.ones((len(past), 1, past.shape[2]))
    size = np.abs(past).max(axis=1, keepdims=True)
    size[size == 0] = 1
    past = past / size
    return past.mean(axis=1, keepdims=True) * size, np.maximum(
        past.std(axis=1, keepdims=True) * size, floor
    )


def _is_number(field):
    try:
        return math.isfinite(float(field))
    except ValueError:
        return False


def read_column(path, column):
    """Return a column of a CSV file.

    Parameters
    ----------
    path : path
        A file with a header.
    column : str or None
        Its name; None: the last one.

    Returns
    -------
    column : str
    values : list of float
        NaN where a field is empty.

    Raises
    ------
    OSError, ValueError
    """
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        try:
            rows = [(reader.line_num, row) for row in reader]
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{path} is not a CSV file: {error}") from None
    while rows and not rows[-1][1]:  # blank lines at the end
        rows.pop()
    if len(rows) < 2:
        raise ValueError(f"{path} must hold a header and at least one row, got {len(rows)} lines")
    header = rows[0][1]
    if all(map(_is_number, header)):
        raise ValueError(f"{path} must begin with a header, got numbers: {', '.join(header[:5])}")
    column = header[-1] if column is None else column
    odd = [mark for mark in ";\t" if mark in header[0]] if len(header) == 1 else []
    if odd:
        raise ValueError(f"{path} must have commas between its fields, got {odd[0]!r}")
    if column not in header:
        raise ValueError(f"{path} has no column {column!r}; its columns are {', '.join(header)}")
    k, values = header.index(column), []
    for line, row in rows[1:]:
        if any(row[len(header) :]):  # such as a comma for the point of a number
            raise ValueError(
                f"{path}, line {line} must have as many fields as the header, {len(header)}, "
                f"got {len(row)}"
            )
        field = row[k].strip() if k < len(row) else ""
        if field and not _is_number(field):
            raise ValueError(f"{path}, line {line}: {column} must be a number, got {field!r}")
        values.append(float(field or "nan"))
    return column, values
