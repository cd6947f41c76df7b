"""One step of minibatch training, from the rows of a batch to new parameters."""

import math

from numlstm.kernels._ahead import compile_ahead
from numlstm.kernels._threads import then
from numlstm.nn.replay import Replay
from numlstm.training.problem import accumulate, add_penalty


class Step:
    """Does the steps of one training.

    Steps that are alike but for their rows run without their Python after the first of them.

    Parameters
    ----------
    network : SequenceNetwork
    problem : Problem
    settings : Settings
    optimizer : Optimizer
    """

    def __init__(self, network, problem, settings, optimizer):
        self.network, self.problem = network, problem
        self.settings, self.optimizer = settings, optimizer
        self._replay, self._penalty = Replay(), 0.0

    def __call__(self, part, seed=0):
        """Learn from some samples.

        Parameters
        ----------
        part : Part
        seed : int
            Of dropout and masks.

        Returns
        -------
        float or None
            The weighted sum of their losses, the penalty included; None where that or the gradient
            is not finite, and nothing was changed.
        """
        if self.optimizer.t == 0:
            compile_ahead(self._learn, part)
        selection, share = part.selection, part.total_weight
        T, B = len(selection.active) - 1, len(selection.rows)
        if self.network.only_launches and B > 1 and selection.active[T - 1] == B:

            def learn(starts, targets, weights):
                chosen = selection._replace(starts=starts)
                self._learn(part._replace(selection=chosen, targets=targets, weights=weights))

            self._replay(learn, (T, B, share), selection.starts, part.targets, part.weights)
        else:
            self._learn(part, seed)
        loss = float(self.network.sums[0]) + self._penalty * share
        return loss if math.isfinite(loss) and math.isfinite(self.optimizer.norm) else None

    def _learn(self, part, seed=0):
        """Do all of a step, by `launch` and `then` alone."""
        network, settings, share = self.network, self.settings, part.total_weight
        then(network.gradient.fill, 0)
        accumulate(network, self.problem, part, 1 / share, settings.loss, seed)
        if settings.alpha:
            then(self._penalise, settings.alpha / share)
        self.optimizer.step(network.gradient, settings.learning_rate_init, network.sums)

    def _penalise(self, alpha):
        self._penalty = add_penalty(self.network, alpha)
