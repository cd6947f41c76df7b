"""`GateDisplay`: gates and states over time."""

import numpy as np

from numlstm.data.sequences import is_ragged, plain
from numlstm.plotting.figures import whole_numbers


class GateDisplay:
    """Heat maps of gates and states over time, for one sequence and one layer.

    Parameters
    ----------
    trace : LSTMTrace
    sample, layer : int
        Which sequence; which layer and direction, in the order of `LSTM.weights`.
    labels : str or list of str, optional
        Of the time steps; few enough are written below the maps.

    Attributes
    ----------
    axes_ : array of matplotlib Axes
    figure_ : matplotlib Figure
    """

    TITLES = {
        "i": "input gate i", "f": "forget gate f", "g": "candidate g",
        "o": "output gate o", "c": "cell state c", "h": "hidden state h",
    }  # fmt: skip

    MAX_LABELS = 60

    def __init__(self, *, trace, sample=0, layer=0, labels=None):
        self.trace, self.sample, self.layer, self.labels = trace, sample, layer, labels

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
            whole_numbers(ax.xaxis, ax.yaxis)
            self.figure_.colorbar(image, ax=ax, pad=0.01)
        steps = range(self.trace.h.shape[2])
        for ax in self.axes_[-1]:
            ax.set_xlabel("time step")
            if self.labels is not None and len(steps) <= self.MAX_LABELS:
                ax.set_xticks(steps, [_visible(label) for label in self.labels], fontsize=8)
        if self.labels is not None:
            for ax in self.axes_.flat:
                ax.tick_params(axis="x", length=0)
        for ax in self.axes_[:, 0]:
            ax.set_ylabel("unit")
        return self

    @classmethod
    def from_estimator(cls, estimator, X=None, *, sample=0, layer=0):
        """Draw what goes on in a fitted estimator, or in an `LSTM`, while it reads a sequence.

        Parameters
        ----------
        estimator : estimator or LSTM
            A fitted estimator with a `trace` method, or a layer.
        X : array, list of arrays or str
            As `trace` takes it; for a forecaster without X nothing, because it reads the last
            window of its series.
        sample, layer : int

        Returns
        -------
        GateDisplay
        """
        trace = estimator.trace(X)
        sizes = trace.h.shape
        for name, value, size in (("sample", sample, sizes[1]), ("layer", layer, sizes[0])):
            if not 0 <= value < size:
                raise ValueError(f"{name} must be from 0 to {size - 1}, got {value}")
        X = plain(X)
        if is_ragged(X):  # beyond the end of its sequence a trace is zero
            trace = type(trace)(*(values[:, :, : len(X[sample])] for values in trace))
        labels = X if isinstance(X, str) else None
        return cls(trace=trace, sample=sample, layer=layer, labels=labels).plot()


def _visible(label):
    """Return a label that can be seen and that matplotlib takes literally."""
    return {" ": "\u2423", "\n": "\u21b5", "\t": "\u21e5", "$": r"\$"}.get(label, label)
