"""What is to be learnt: sequences, their targets and weights; and the loss over a batch of them."""

from typing import NamedTuple

import numpy as np

from numlstm.data.sequences import Sequences
from numlstm.kernels.layout import gather_rows
from numlstm.nn.rows import load_batch

PASS_ROWS = 512  # sequences per pass where the whole data set is needed


class Problem(NamedTuple):
    """Sequences to learn from.

    Attributes
    ----------
    sequences : Sequences
    targets : array, (n_samples, n_outputs), or Sequences
        One target for each sequence, or one for each time step.
    weights : array, (n_samples,)
        Of each sequence; in a loss per step, of each of its steps.
    """

    sequences: Sequences
    targets: object
    weights: np.ndarray

    def subset(self, rows):
        """Return the problem of some of the sequences."""
        return Problem(self.sequences[rows], self.targets[rows], self.weights[rows])

    def total_weight(self, rows):
        """Return the weight of all targets of some sequences."""
        weights = self.weights[rows]
        if isinstance(self.targets, Sequences):
            weights = weights * self.sequences.lengths[rows]
        return float(weights.sum())


def accumulate(network, problem, rows, scale, loss, seed=0):
    """Return the weighted sum of losses of some sequences; add its gradient times `scale`.

    Parameters
    ----------
    network : SequenceNetwork
    problem : Problem
    rows : array of int
    scale : float
    loss : str
    seed : int
        Of the dropout.
    """
    batch, rows = load_batch(problem.sequences, rows, network.workspace)
    weights = problem.weights[rows]
    if isinstance(problem.targets, Sequences):
        T, B = batch.shape
        K = problem.targets.values.shape[1]
        targets = network.workspace.take("targets", T, B, K)
        gather_rows(problem.targets.values, problem.targets.starts[rows], batch.active, targets)
        targets, weights = targets.reshape(T * B, K), np.tile(weights, T)
    else:
        targets = problem.targets[rows]
    return network.loss_and_gradient(batch, targets, weights, scale, loss, seed)


def add_penalty(network, alpha):
    """Add the gradient of the L2 penalty and return the penalty: alpha / 2 times all weights^2."""
    if not alpha:
        return 0.0
    penalty = 0.0
    for weights, gradient in network.weight_arrays():
        gradient += network.dtype.type(alpha) * weights
        penalty += 0.5 * alpha * float(np.vdot(weights, weights))
    return penalty


def passes(n_samples, lengths):
    """Yield the rows of each pass over everything, sequences of similar length together."""
    order = np.argsort(lengths, kind="stable")
    for start in range(0, n_samples, PASS_ROWS):
        yield order[start : start + PASS_ROWS]


def predict(network, sequences, workspace):
    """Return the outputs for sequences.

    Parameters
    ----------
    network : SequenceNetwork
    sequences : Sequences
    workspace : Workspace

    Returns
    -------
    array, (n_samples, n_outputs), or (n_rows, n_outputs) per step
        Per step: the steps of all sequences, one sequence after the other.
    """
    n, K = len(sequences.lengths), network.dense.n_outputs
    ends = np.cumsum(sequences.lengths)
    out = np.empty((int(ends[-1]) if network.per_step else n, K), network.dtype)
    for rows in passes(n, sequences.lengths):
        batch, rows = load_batch(sequences, rows, workspace)
        y = network.predict(batch, workspace)
        if not network.per_step:
            out[rows] = y[0]
            continue
        for r, row in enumerate(rows):
            length = sequences.lengths[row]
            out[ends[row] - length : ends[row]] = y[:length, r]
    return out
