"""Measures of forecasts that scikit-learn does not have; in use in book/08_series.md."""

import numpy as np

__all__ = ["last_value_forecast", "mean_absolute_scaled_error", "seasonal_naive_forecast"]


def mean_absolute_scaled_error(y_true, y_pred, *, y_train, period=1):
    """Return the mean absolute error in units of the seasonal-naive error on the training series.

    Parameters
    ----------
    y_true, y_pred : array, (n,)
        The future and its forecast.
    y_train : array, (n_train,)
        The series before it. Missing values (NaN) are left out.
    period : int
        Seasonal period, in steps; 1 compares with the last value.

    Returns
    -------
    float
        Below 1: better than the seasonal-naive forecast was, one step ahead, on the training
        series (Hyndman & Koehler 2006).

    Raises
    ------
    ValueError
        If the training series is not longer than a period, or repeats itself exactly; if forecast
        and future have different shapes.
    """
    y_true, y_pred = np.asarray(y_true, np.float64), np.asarray(y_pred, np.float64)
    y_train = np.asarray(y_train, np.float64)
    if y_true.shape != y_pred.shape:
        raise ValueError(
            f"y_pred must have the shape of y_true, {y_true.shape}, got {y_pred.shape}"
        )
    if not 1 <= period < len(y_train):
        raise ValueError(
            f"period must be at least 1 and less than the {len(y_train)} values of y_train, got "
            f"{period}"
        )
    steps = np.abs(y_train[period:] - y_train[:-period])
    scale = steps[~np.isnan(steps)].sum() / max(1, np.count_nonzero(~np.isnan(steps)))
    if not scale > 0:
        raise ValueError("y_train must differ from period to period for its error to be a scale")
    return float(np.nanmean(np.abs(y_true - y_pred)) / scale)


def seasonal_naive_forecast(y_train, horizon, period):
    """Return the last season of a series, repeated over the steps ahead.

    Parameters
    ----------
    y_train : array, (n_train,)
    horizon : int
        Steps to forecast.
    period : int
        Steps of a season.

    Returns
    -------
    array of float64, (horizon,)

    Raises
    ------
    ValueError
        If the series is shorter than a season.
    """
    y_train = np.asarray(y_train, np.float64)
    if not 1 <= period <= len(y_train):
        raise ValueError(
            f"period must be from 1 to the {len(y_train)} values of y_train, got {period}"
        )
    return np.resize(y_train[-period:], horizon)


def last_value_forecast(y_train, horizon):
    """Return the last value of a series, repeated over the steps ahead.

    Parameters
    ----------
    y_train : array, (n_train,)
    horizon : int
        Steps to forecast.

    Returns
    -------
    array of float64, (horizon,)
    """
    return np.full(horizon, np.asarray(y_train, np.float64)[-1])
