"""Data sets: three measured series that ship with the package, and two made-up tasks.

The measured series are CSV files whose sources and licences ``datasets/README.md`` tells.
scikit-learn and pandas are imported only when a function needs them.
"""

import csv
import re
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path

import numpy as np

from numlstm.data.validation import as_random_state

_PACKAGE = Path(__file__).resolve().parents[1]
# First the place in an installed wheel, then the one beside an editable install.
_PLACES = (_PACKAGE / "_data", _PACKAGE.parent / "datasets")


@dataclass(frozen=True)
class _Series:
    """What the loader of a series must know and the CSV file does not say."""

    name: str
    period: int
    unit: str  # of the datetime64 index
    freq: str  # of the pandas index


_AIRLINE_PASSENGERS = _Series("airline_passengers", period=12, unit="D", freq="MS")
# A year's index value is its 1 January, in NumPy as in pandas; hence YS and not YE.
_SUNSPOTS = _Series("sunspots", period=11, unit="Y", freq="YS")
_CO2 = _Series("co2", period=52, unit="D", freq="W-SAT")


def load_airline_passengers(*, as_frame=False):
    """Load the monthly passengers of international airlines, 1949 to 1960.

    Parameters
    ----------
    as_frame : bool, default=False
        Return ``data`` as a pandas Series with an index of frequency ``MS``; needs pandas.

    Returns
    -------
    bunch : sklearn.utils.Bunch
        A dictionary whose keys are attributes too:

        data : ndarray of shape (144,), dtype float64, or pandas.Series
            Passengers of the month, in thousands. None is missing.
        index : ndarray of shape (144,), dtype datetime64[D]
            First day of the month, 1949-01-01 to 1960-12-01.
        period : int
            12, the seasonal period in time steps, as the mean absolute scaled error needs it.
        name, DESCR, filename : str
            ``"airline_passengers"``; description, source and licence; path of the CSV file.

    Notes
    -----
    Source: Series G of Box and Jenkins (1976), *Time Series Analysis: Forecasting and Control*.

    Examples
    --------
    >>> from numlstm.datasets import load_airline_passengers
    >>> airline = load_airline_passengers()
    >>> print(airline.index[0], airline.data[0])
    1949-01-01 112.0
    """
    return _load(_AIRLINE_PASSENGERS, as_frame)


def load_sunspots(*, as_frame=False):
    """Load the yearly mean sunspot number, version 1.0, 1700 to 2008.

    Parameters
    ----------
    as_frame : bool, default=False
        Return ``data`` as a pandas Series with an index of frequency ``YS``; needs pandas.

    Returns
    -------
    bunch : sklearn.utils.Bunch
        A dictionary whose keys are attributes too:

        data : ndarray of shape (309,), dtype float64, or pandas.Series
            Mean sunspot number of the year, a dimensionless index. None is missing.
        index : ndarray of shape (309,), dtype datetime64[Y]
            The year, 1700 to 2008; ``index.astype(int) + 1970`` gives integers.
        period : int
            11, the usual length of a solar cycle in years; single cycles last 9 to 14.
        name, DESCR, filename : str
            ``"sunspots"``; description, source and licence; path of the CSV file.

    Notes
    -----
    Source: NOAA, after WDC-SILSO, Royal Observatory of Belgium. Version 2.0 has other values.

    Examples
    --------
    >>> from numlstm.datasets import load_sunspots
    >>> sunspots = load_sunspots()
    >>> print(sunspots.index[-1], sunspots.data[-1])
    2008 2.9
    """
    return _load(_SUNSPOTS, as_frame)


def load_co2(*, as_frame=False):
    """Load the weekly carbon dioxide of the air at Mauna Loa, 1958 to 2001, with its holes.

    Parameters
    ----------
    as_frame : bool, default=False
        Return ``data`` as a pandas Series with an index of frequency ``W-SAT``; needs pandas.

    Returns
    -------
    bunch : sklearn.utils.Bunch
        A dictionary whose keys are attributes too:

        data : ndarray of shape (2284,), dtype float64, or pandas.Series
            Mean concentration of the week, in parts per million by volume. NaN in the 59 weeks
            without a measurement; the longest hole is 18 weeks.
        index : ndarray of shape (2284,), dtype datetime64[D]
            Saturday of the week, 1958-03-29 to 2001-12-29, with no week left out.
        period : int
            52, the weeks of a season; a year has 52.18.
        name, DESCR, filename : str
            ``"co2"``; description, source and licence; path of the CSV file.

    Notes
    -----
    Source: Keeling and Whorf (2004), Scripps CO2 Program, in *Trends*, CDIAC.

    Examples
    --------
    >>> from numlstm.datasets import load_co2
    >>> co2 = load_co2()
    >>> print(co2.index[0], co2.data[0])
    1958-03-29 316.1
    """
    return _load(_CO2, as_frame)


def make_sine(n_samples=12000, *, period=100, noise=0.0, random_state=None):
    """Make a sine wave, with normally distributed noise if asked for.

    Parameters
    ----------
    n_samples : int, default=12000
        Number of time steps, at least 1.
    period : float, default=100
        Length of a wave in time steps, above 0; it need not be a whole number.
    noise : float, default=0.0
        Standard deviation of the noise, at least 0, in units of the wave's amplitude.
    random_state : int, numpy.random.RandomState or None, default=None
        Where the noise comes from; an int makes it the same in every call.

    Returns
    -------
    y : ndarray of shape (n_samples,), dtype float64
        ``sin(2 * pi * n / period)`` plus noise for ``n`` = 0, 1, 2, ...

    Examples
    --------
    >>> from numlstm.datasets import make_sine
    >>> make_sine(5, period=4).round(6) + 0.0
    array([ 0.,  1.,  0., -1.,  0.])
    """
    n_samples = _check_count("n_samples", n_samples, 1)
    period = _check_real("period", period, zero=False)
    noise = _check_real("noise", noise, zero=True)
    rng = as_random_state(random_state)
    y = np.sin(2 * np.pi * np.arange(n_samples) / period)
    return y + rng.normal(scale=noise, size=n_samples) if noise else y


def make_adding_problem(n_samples=1000, n_timesteps=100, *, random_state=None):
    """Make the adding problem: find two marked numbers in a long sequence and add them.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of sequences, at least 1.
    n_timesteps : int, default=100
        Length of a sequence, at least 2.
    random_state : int, numpy.random.RandomState or None, default=None
        Where the numbers and the marks come from; an int makes them the same in every call.

    Returns
    -------
    X : ndarray of shape (n_samples, n_timesteps, 2), dtype float64
        Feature 0 holds numbers drawn uniformly from [0, 1). Feature 1 marks two of them with
        1.0, one in time steps [0, n_timesteps // 2) and one in the rest, and is 0.0 elsewhere.
    y : ndarray of shape (n_samples,), dtype float64
        Sum of the two marked numbers, in [0, 2).

    Notes
    -----
    Who always answers 1, the mean of ``y``, has a mean squared error of 1/6, the variance of
    the sum of two such numbers. A model has learned to look at the marks only if it does better.

    The task is experiment 4 of Hochreiter & Schmidhuber, *Long Short-Term Memory* (Neural
    Computation 9(8), 1997), who draw from [-1, 1], let lengths vary and scale the sum. The plain
    form made here, of fixed length with one mark in each half, is that of Arjovsky, Shah & Bengio,
    *Unitary Evolution Recurrent Neural Networks* (Proceedings of ICML, 2016).

    Examples
    --------
    >>> from numlstm.datasets import make_adding_problem
    >>> X, y = make_adding_problem(3, 10, random_state=0)
    >>> X.shape, y.shape
    ((3, 10, 2), (3,))
    """
    n_samples = _check_count("n_samples", n_samples, 1)
    n_timesteps = _check_count("n_timesteps", n_timesteps, 2)
    rng = as_random_state(random_state)
    half = n_timesteps // 2
    X = np.zeros((n_samples, n_timesteps, 2))
    X[:, :, 0] = rng.uniform(size=(n_samples, n_timesteps))
    rows = np.arange(n_samples)
    first = rng.randint(0, half, size=n_samples)
    second = rng.randint(half, n_timesteps, size=n_samples)
    X[rows, first, 1] = X[rows, second, 1] = 1.0
    return X, X[rows, first, 0] + X[rows, second, 0]


def _load(series, as_frame):
    from sklearn.utils import Bunch

    if not isinstance(as_frame, bool | np.bool_):
        raise ValueError(f"as_frame is {as_frame!r}; expected True or False")
    path = _find(f"{series.name}.csv")
    with path.open(newline="", encoding="utf-8") as file:
        (_, column), *rows = csv.reader(file)
    index = np.array([date for date, _ in rows], dtype=f"datetime64[{series.unit}]")
    data = np.array([float(value or "nan") for _, value in rows])
    return Bunch(
        data=_to_pandas(data, index, series.freq, column) if as_frame else data,
        index=index,
        name=series.name,
        period=series.period,
        DESCR=_describe(series.name),
        filename=str(path),
    )


def _find(filename):
    for place in _PLACES:
        if (place / filename).is_file():
            return place / filename
    places = " and ".join(str(place) for place in _PLACES)
    raise FileNotFoundError(f"{filename} is missing; looked in {places}. Reinstall numlstm.")


def _describe(name):
    """Cut the section of a data set out of the README beside it."""
    text = _find("README.md").read_text(encoding="utf-8")
    return re.search(rf"^## {name}\n.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)[0].strip()


def _to_pandas(data, index, freq, column):
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(
            "as_frame=True needs pandas, which is missing; install it: pip install pandas"
        ) from error
    return pd.Series(data, index=pd.DatetimeIndex(index, freq=freq), name=column)


def _check_count(name, value, least):
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} is {value!r}; expected an integer of at least {least}")
    return int(value)


def _check_real(name, value, *, zero):
    number = isinstance(value, Real) and not isinstance(value, bool) and 0 <= value < np.inf
    if not number or (value == 0 and not zero):
        limit = "of at least 0" if zero else "above 0"
        raise ValueError(f"{name} is {value!r}; expected a finite number {limit}")
    return float(value)
