"""What is to be learnt: sequences, their targets and weights; and the loss over a batch of them."""

from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from numlstm.data.sequences import Sequences
from numlstm.kernels._threads import then
from numlstm.nn.memory import Workspace
from numlstm.nn.rows import Selection, gather, load_batch, select

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
    given : array of int, optional
        The rows in the order in which the samples were given; theirs is another after `distinct`.
    """

    sequences: Sequences
    targets: object
    weights: np.ndarray
    given: np.ndarray | None = None

    @property
    def order(self):
        """The rows in the order in which the samples were given."""
        return np.arange(len(self.weights)) if self.given is None else self.given

    def subset(self, rows):
        """Return the problem of some of the sequences, given in this order."""
        kept = np.sort(rows)
        given = np.searchsorted(kept, rows)
        return Problem(self.sequences[kept], self.targets[kept], self.weights[kept], given)

    def distinct(self):
        """Return the problem with copies of a sample merged into one that has their weights.

        They lie in the order of a hash of sequence and target, and that is the order of the sums
        over a batch. So whether a sample is there twice or weighs twice as much makes no difference
        to what is learnt, and neither does the order within a batch, not even in the last bit.
        """
        keys = []
        for k, (start, length) in enumerate(zip(*self.sequences[1:], strict=True)):
            key = blake2b(self.sequences.values[start : start + length].tobytes(), digest_size=16)
            if self.per_step:
                start = self.targets.starts[k]
                key.update(self.targets.values[start : start + length].tobytes())
            else:
                key.update(self.targets[k].tobytes())
            keys.append(key.digest())
        keys = np.frombuffer(b"".join(keys), "V16")
        _, first, copies = np.unique(keys, return_index=True, return_inverse=True)
        weights = np.bincount(copies, self.weights)
        return Problem(self.sequences[first], self.targets[first], weights, np.argsort(first))

    @property
    def per_step(self):
        """Whether there is a target for each time step."""
        return isinstance(self.targets, Sequences)


class Part(NamedTuple):
    """Some samples of a problem: what a step sees.

    Attributes
    ----------
    selection : Selection
    weights : array, (B,)
        Of each sequence.
    total_weight : float
        Of all targets.
    targets : array, (B, n_outputs), or array of int64, (B,)
        Where there is one for each time step, the row where those of a sequence begin.
    """

    selection: Selection
    weights: np.ndarray
    total_weight: float
    targets: np.ndarray


def part_of(problem, rows):
    """Return some rows of a problem as the `Part` that a step sees.

    Those of an epoch are made before its first step: beside a pass, which empties the caches, this
    takes six times as long.
    """
    selection = select(problem.sequences, np.sort(rows))
    rows = selection.rows
    weights = problem.weights[rows]
    if problem.per_step:
        total = weights @ problem.sequences.lengths[rows]
        return Part(selection, weights, float(total), problem.targets.starts[rows])
    return Part(selection, weights, float(weights.sum()), problem.targets[rows])


def accumulate(network, problem, part, scale, loss, seed=0):
    """Return the weighted sum of losses of some samples; add its gradient times `scale`.

    Nothing but `launch` and `then` does the work, so that it can be repeated without the rest.

    Parameters
    ----------
    network : SequenceNetwork
    problem : Problem
    part : Part
    scale : float
    loss : str
    seed : int
        Of the dropout.
    """
    batch = load_batch(problem.sequences.values, part.selection, network.workspace)
    targets, weights = part.targets, part.weights
    if problem.per_step:
        (T, B), values = batch.shape, problem.targets.values
        of_steps, tiled = network.workspace.take("targets", T, B, values.shape[1]), np.empty((T, B))
        gather(values, targets, batch.active, of_steps)
        then(np.copyto, tiled, weights)
        targets, weights = of_steps.reshape(T * B, -1), tiled.reshape(-1)
    return network.loss_and_gradient(batch, targets, weights, scale, loss, seed)


def add_penalty(network, alpha):
    """Add the gradient of the L2 penalty and return the penalty: alpha / 2 times all weights^2."""
    if not alpha:
        return 0.0
    penalty = 0.0
    with np.errstate(over="ignore", invalid="ignore"):  # infinity ends the training as diverged
        for weights, gradient in network.weight_arrays():
            gradient += network.dtype.type(alpha) * weights
            # Not np.vdot: the threads of BLAS would take the cores from those of the kernels.
            penalty += 0.5 * alpha * float(np.square(weights).sum(dtype=np.float64))
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
        selection = select(sequences, rows)
        rows = selection.rows
        y = network.predict(load_batch(sequences.values, selection, workspace), workspace)
        if not network.per_step:
            out[rows] = y[0]
            continue
        for r, row in enumerate(rows):
            length = sequences.lengths[row]
            out[ends[row] - length : ends[row]] = y[:length, r]
    return out


def input_gradients(network, sequences, upstream):
    """Return the gradient of a function of the outputs at each sequence's end, for every input.

    Parameters
    ----------
    network : SequenceNetwork
    sequences : Sequences
    upstream : callable
        Takes outputs (n, n_outputs) and returns the function's gradient with respect to them.

    Returns
    -------
    array, (n_rows, n_features)
        The steps of all sequences, one sequence after the other.
    """
    lengths = sequences.lengths
    ends = np.cumsum(lengths)
    out = np.empty((int(ends[-1]), sequences.values.shape[1]), network.dtype)
    for rows in passes(len(lengths), lengths):
        workspace = Workspace(network.dtype)
        selection = select(sequences, rows)
        rows = selection.rows
        batch = load_batch(sequences.values, selection, workspace)
        dX = network.input_gradients(batch, lengths[rows], upstream, workspace)
        for r, row in enumerate(rows):
            out[ends[row] - lengths[row] : ends[row]] = dX[: lengths[row], r]
    return out
