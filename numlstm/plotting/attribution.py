"""`AttributionDisplay`: which time steps an output depends on."""

import numpy as np

from numlstm.plotting.figures import FORECAST, whole_numbers


class AttributionDisplay:
    """How much each time step of a sequence moves an output: the norm of d output / d x_t.

    Parameters
    ----------
    gradients : array, (n_timesteps, n_features)
        Change of the output for one unit of each input.
    X : array, (n_timesteps, n_features)
        The sequence.
    scale : array, (n_features,), optional
        The usual spread of each feature. The gradients are multiplied by it, so that features of
        different units can be compared; 1 by default.

    Attributes
    ----------
    axes_ : array of matplotlib Axes
    figure_ : matplotlib Figure
    attribution_ : array, (n_timesteps,)
        What is drawn.
    """

    MAX_LABELS = 6  # features named in a legend

    def __init__(self, *, gradients, X, scale=None):
        self.gradients, self.X, self.scale = gradients, X, scale

    def plot(self, *, names=None):
        """Draw the sequence, and below it how much each of its steps matters.

        Parameters
        ----------
        names : list of str, optional
            Of the features.

        Returns
        -------
        AttributionDisplay
        """
        import matplotlib.pyplot as plt

        gradients, X = np.asarray(self.gradients), np.asarray(self.X)
        scale = np.ones(X.shape[1]) if self.scale is None else np.asarray(self.scale)
        self.attribution_ = np.linalg.norm(gradients * scale, axis=1)
        self.figure_, self.axes_ = plt.subplots(
            2, 1, figsize=(8, 4.5), sharex=True, layout="constrained"
        )
        above, below = self.axes_
        steps = np.arange(len(X))
        marker = "o" if len(X) == 1 else None  # a line of one point is invisible
        for k, column in enumerate((X / scale).T):
            label = f"feature {k}" if names is None else str(names[k])
            above.plot(steps, column, lw=1.2, marker=marker, label=label)
        if 1 < X.shape[1] <= self.MAX_LABELS:
            above.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
        above.set_ylabel("input" if self.scale is None else "input, in deviations")
        below.bar(steps, self.attribution_, width=0.8, color=FORECAST)
        below.set(xlabel="time step", ylabel="attribution")
        below.set_xlim(-0.6, len(X) - 0.4)
        whole_numbers(below.xaxis)
        return self

    @classmethod
    def from_estimator(cls, estimator, X, *, sample=0, output=0):
        """Draw what a fitted `LSTMRegressor` or `LSTMClassifier` looks at in a sequence.

        Parameters
        ----------
        estimator : LSTMRegressor or LSTMClassifier
        X : array or list of arrays
            As for `predict`.
        sample : int
            Which sequence.
        output : int
            Which output; of a classifier, the number of a class.

        Returns
        -------
        AttributionDisplay

        Raises
        ------
        NotFittedError, TypeError, ValueError
        """
        gradients = estimator.input_gradients(X, output=output)
        if not 0 <= sample < len(gradients):
            raise ValueError(f"sample must be from 0 to {len(gradients) - 1}, got {sample}")
        row = getattr(X, "iloc", X)[sample]
        gradients = np.asarray(gradients[sample])
        values = np.asarray(row, np.float64).reshape(len(gradients), -1)
        gradients = gradients.reshape(values.shape)
        return cls(gradients=gradients, X=values, scale=estimator._x_scale).plot()
