"""Pictures of fitted estimators, in scikit-learn's display style: `from_estimator`, then `plot`."""

from pathlib import Path

import numpy as np

__all__ = ["ForecastDisplay", "GateDisplay", "LossCurveDisplay"]

HISTORY, TRUTH, FORECAST, BASELINE = "#7f7f7f", "#222222", "#d1495b", "#00798c"
PICTURES = (".png", ".pdf", ".svg", ".jpg", ".webp")


def check_picture(path):
    """Raise a ValueError, before any work, for the name of a file that cannot hold a picture."""
    if Path(path).suffix.lower() not in PICTURES:
        raise ValueError(f"{path} must end in one of {', '.join(PICTURES)} to be a picture")


def blank_figure(n_rows, size):
    """Return a figure to be saved, and its axes: no window, and pyplot does not know of it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(n_rows, 1)


def _axes(ax, **options):
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(layout="constrained", **options)[1]


def _whole_numbers(*axis):
    """Put ticks at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    for one in axis:
        one.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


class LossCurveDisplay:
    """Training loss, and validation score where there is one, by epoch.

    Parameters
    ----------
    loss_curve : list of float
    validation_scores : list of float, optional

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    line_ : matplotlib Line2D
    """

    def __init__(self, *, loss_curve, validation_scores=None):
        self.loss_curve = loss_curve
        self.validation_scores = validation_scores

    def plot(self, ax=None):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, optional

        Returns
        -------
        LossCurveDisplay
        """
        self.ax_ = _axes(ax, figsize=(6, 3.5))
        self.figure_ = self.ax_.figure
        epochs = np.arange(1, len(self.loss_curve) + 1)
        marks = "ox" if len(epochs) == 1 else (None, None)  # a line of one point is invisible
        (self.line_,) = self.ax_.plot(
            epochs, self.loss_curve, color=FORECAST, marker=marks[0], label="training loss"
        )
        if 0 < 10 * min(self.loss_curve) < max(self.loss_curve):
            self.ax_.set_yscale("log")
        self.ax_.set(xlabel="epoch", ylabel="loss")
        _whole_numbers(self.ax_.xaxis)
        lines = [self.line_]
        if self.validation_scores:
            right = self.ax_.twinx()
            lines += right.plot(
                epochs[: len(self.validation_scores)], self.validation_scores,
                color=BASELINE, marker=marks[1], label="validation score",
            )  # fmt: skip
            right.set_ylabel("score")
        # A loss falls, a score rises: between their ends there is room.
        place = "center right" if len(lines) > 1 else "upper right"
        self.ax_.legend(handles=lines, frameon=False, loc=place)
        return self

    @classmethod
    def from_estimator(cls, estimator, *, ax=None):
        """Draw the curves of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            Fitted.
        ax : matplotlib Axes, optional

        Returns
        -------
        LossCurveDisplay

        Raises
        ------
        NotFittedError, ValueError
        """
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(estimator)
        if not estimator.loss_curve_:
            raise ValueError("the estimator has no loss curve: it was fitted with max_iter=0")
        scores = getattr(estimator, "validation_scores_", None)
        return cls(loss_curve=estimator.loss_curve_, validation_scores=scores).plot(ax)


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
        self.ax_ = _axes(ax, figsize=(9, 4))
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


class GateDisplay:
    """Heat maps of gates and states over time, for one sequence and one layer.

    Parameters
    ----------
    trace : LSTMTrace
    sample, layer : int
        Which sequence; which layer and direction, in the order of `LSTM.weights`.

    Attributes
    ----------
    axes_ : array of matplotlib Axes
    figure_ : matplotlib Figure
    """

    TITLES = {
        "i": "input gate i", "f": "forget gate f", "g": "candidate g",
        "o": "output gate o", "c": "cell state c", "h": "hidden state h",
    }  # fmt: skip

    def __init__(self, *, trace, sample=0, layer=0):
        self.trace, self.sample, self.layer = trace, sample, layer

    def plot(self):
        """Draw the six maps, units downwards, time to the right.

        Returns
        -------
        GateDisplay
        """
        import matplotlib.pyplot as plt

        self.figure_, self.axes_ = plt.subplots(
            3, 2, figsize=(9, 6), sharex=True, sharey=True, layout="constrained"
        )
        for ax, name in zip(self.axes_.T.flat, ("i", "f", "o", "g", "c", "h"), strict=True):
            values = getattr(self.trace, name)[self.layer, self.sample].T
            if name in "ifo":
                options = {"vmin": 0, "vmax": 1, "cmap": "viridis"}
            else:
                limit = max(1.0, float(np.abs(values).max()))
                options = {"vmin": -limit, "vmax": limit, "cmap": "RdBu_r"}
            image = ax.imshow(values, aspect="auto", interpolation="nearest", **options)
            ax.set_title(self.TITLES[name], fontsize=10)
            _whole_numbers(ax.xaxis, ax.yaxis)
            self.figure_.colorbar(image, ax=ax, pad=0.01)
        for ax in self.axes_[-1]:
            ax.set_xlabel("time step")
        for ax in self.axes_[:, 0]:
            ax.set_ylabel("unit")
        return self

    @classmethod
    def from_estimator(cls, estimator, X, *, sample=0, layer=0):
        """Draw what goes on in a fitted estimator, or in an `LSTM`, while it reads a sequence.

        Parameters
        ----------
        estimator : estimator or LSTM
            A fitted estimator with a `trace` method, or a layer.
        X : array
            As for `predict`.
        sample, layer : int

        Returns
        -------
        GateDisplay
        """
        trace = estimator.trace(X)
        if isinstance(X, (list, tuple)):  # beyond the end of its sequence a trace is zero
            trace = type(trace)(*(values[:, :, : len(X[sample])] for values in trace))
        return cls(trace=trace, sample=sample, layer=layer).plot()
