"""`ForecastDisplay`: a series, its forecast, and what came."""

import numpy as np

from numlstm.plotting.figures import BASELINE, FORECAST, HISTORY, TRUTH, axes_or_new


class ForecastDisplay:
    """A series, what came after it, and forecasts of that.

    Parameters
    ----------
    history : array or pandas Series, (n,)
    forecast : array or pandas Series, (horizon,)
    truth : array or pandas Series, (horizon,), optional
    baselines : dict of str to array, optional
        Other forecasts by name.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    def __init__(self, *, history, forecast, truth=None, baselines=None):
        self.history, self.forecast = history, forecast
        self.truth, self.baselines = truth, baselines or {}

    def plot(self, ax=None):
        """Draw the series.

        Parameters
        ----------
        ax : matplotlib Axes, optional

        Returns
        -------
        ForecastDisplay
        """
        self.ax_ = axes_or_new(ax, figsize=(9, 4))
        self.figure_ = self.ax_.figure
        n, h = len(self.history), len(self.forecast)
        past, future = _positions(self.history, self.forecast, n, h)
        self.ax_.plot(past, np.asarray(self.history), color=HISTORY, lw=1.2, label="history")
        if self.truth is not None:
            self.ax_.plot(future, np.asarray(self.truth), color=TRUTH, lw=1.6, label="truth")
        for k, (name, values) in enumerate(self.baselines.items()):
            style = ("--", ":", "-.")[k % 3]
            self.ax_.plot(future, np.asarray(values), style, color=BASELINE, lw=1.2, label=name)
        self.ax_.plot(future, np.asarray(self.forecast), color=FORECAST, lw=1.8, label="LSTM")
        self.ax_.axvline(past[-1], color=HISTORY, lw=0.8, ls=":")
        self.ax_.legend(frameon=False, loc="best")
        name = getattr(self.history, "name", None)
        if name is not None:
            self.ax_.set_ylabel(str(name))
        name = getattr(past, "name", None)
        if name is not None:
            self.ax_.set_xlabel(str(name))
        if getattr(past, "dtype", np.dtype(int)).kind == "M":
            _short_dates(self.ax_.xaxis)
        return self

    @classmethod
    def from_estimator(
        cls, estimator, y, *, horizon=None, X=None, truth=None, baselines=None, last=None, ax=None
    ):
        """Draw the forecast of a fitted `LSTMForecaster` of one series.

        Parameters
        ----------
        estimator : LSTMForecaster
            Fitted on y.
        y : array or pandas Series, (n,)
        horizon : int, optional
        X : array, (horizon, n_features), optional
        truth : array or pandas Series, (horizon,), optional
        baselines : dict of str to array, optional
        last : int, optional
            Show only so many values of y.
        ax : matplotlib Axes, optional

        Returns
        -------
        ForecastDisplay

        Raises
        ------
        NotFittedError, ValueError
        """
        if np.ndim(y) != 1:
            raise ValueError(f"y must be one series, (n,), got shape {np.shape(y)}")
        if last is not None and last < 1:
            raise ValueError(f"last must be at least 1, got {last}")
        forecast = estimator.predict(horizon, X)
        # In [] of a pandas Series a number may be a label.
        history = y if last is None else getattr(y, "iloc", y)[-last:]
        return cls(history=history, forecast=forecast, truth=truth, baselines=baselines).plot(ax)


def _short_dates(axis):
    """Say on an axis what changes from tick to tick, and the rest once."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator()
    axis.set_major_locator(locator)
    axis.set_major_formatter(ConciseDateFormatter(locator))


def _positions(history, forecast, n, h):
    """Return the x values of history and forecast: their index where they have one."""
    if not hasattr(history, "index") or not hasattr(forecast, "index"):
        return np.arange(n), np.arange(n, n + h)
    past, future = history.index, forecast.index
    if hasattr(past, "to_timestamp"):  # matplotlib cannot place periods
        past, future = past.to_timestamp(), future.to_timestamp()
    return past, future
