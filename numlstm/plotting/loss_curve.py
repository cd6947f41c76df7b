"""`LossCurveDisplay`: how training went."""

import numpy as np

from numlstm.plotting.figures import BASELINE, FORECAST, axes_or_new, whole_numbers


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
        self.ax_ = axes_or_new(ax, figsize=(6, 3.5))
        self.figure_ = self.ax_.figure
        epochs = np.arange(1, len(self.loss_curve) + 1)
        marks = "ox" if len(epochs) == 1 else (None, None)  # a line of one point is invisible
        (self.line_,) = self.ax_.plot(
            epochs, self.loss_curve, color=FORECAST, marker=marks[0], label="training loss"
        )
        if 0 < 10 * min(self.loss_curve) < max(self.loss_curve):
            self.ax_.set_yscale("log")
        self.ax_.set(xlabel="epoch", ylabel="loss")
        whole_numbers(self.ax_.xaxis)
        lines = [self.line_]
        if self.validation_scores:
            right = self.ax_.twinx()
            lines += right.plot(
                epochs[: len(self.validation_scores)], self.validation_scores,
                color=BASELINE, marker=marks[1], label="validation score",
            )  # fmt: skip
            right.set_ylabel("score")
        if len(epochs) > 1:
            self.ax_.set_xlim(1 - len(epochs) / 30, len(epochs) * 31 / 30)  # no epoch 0
        # Two curves may go anywhere; above them there is room.
        self.ax_.legend(
            handles=lines, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2
        )
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
