"""What a fit records, and when it is time to stop."""

import numpy as np


class History:
    """Losses and scores by epoch, the best parameters, and the patience that is left.

    Parameters
    ----------
    tol : float
        An epoch counts as an improvement if it beats the best one by more than this.
    n_iter_no_change : int
        Epochs without improvement before stopping.
    by_score : bool
        Where there is a score, it decides which epoch is the best, otherwise the loss.
    """

    def __init__(self, tol, n_iter_no_change, by_score=True):
        self.tol, self.n_iter_no_change, self.by_score = tol, n_iter_no_change, by_score
        self.loss_curve, self.validation_scores = [], []
        self.best_loss, self.best_score = np.inf, -np.inf
        self.best_parameters = None
        self.without_improvement = 0
        self.n_steps = 0

    def record(self, parameters, loss, score=None):
        """Note one epoch; keep a copy of the parameters if they are the best so far."""
        self.loss_curve.append(float(loss))
        if score is not None:
            self.validation_scores.append(float(score))
        if score is not None and self.by_score:
            better, clearly = score > self.best_score, score > self.best_score + self.tol
        else:
            better, clearly = loss < self.best_loss, loss < self.best_loss - self.tol
        if score is not None:
            self.best_score = max(self.best_score, float(score))
        self.best_loss = min(self.best_loss, float(loss))
        if better:
            self.best_parameters = parameters.copy()
        self.without_improvement = 0 if clearly else self.without_improvement + 1

    @property
    def out_of_patience(self):
        """Whether there was no improvement for more than `n_iter_no_change` epochs."""
        return self.without_improvement > self.n_iter_no_change
