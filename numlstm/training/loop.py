"""Minibatch training: shuffled epochs of clipped Adam or momentum steps.

book/07_training.md does the same in NumPy, with the same losses digit for digit.
"""

import warnings
from typing import NamedTuple

import numpy as np

from numlstm.training.optimizer import Optimizer
from numlstm.training.problem import part_of
from numlstm.training.step import Step


class Settings(NamedTuple):
    """How to train; the names are those of the estimators' parameters."""

    loss: str
    solver: str
    learning_rate_init: float
    alpha: float
    batch_size: int
    max_iter: int
    clip_norm: float
    shuffle: bool
    tol: float
    n_iter_no_change: int
    verbose: int


def progress_bar(settings, unit="epoch"):
    """Return a tqdm bar over the epochs; silent unless `verbose`."""
    from tqdm import tqdm

    return tqdm(total=settings.max_iter, unit=unit, disable=not settings.verbose, leave=True)


POOL = 16  # batches whose sequences are sorted by length together


def batches(problem, settings, rng):
    """Return the rows of every batch of an epoch.

    Shuffled sequences of different lengths go into batches of similar ones, as many as there are in
    a pool of random ones, and the batches into random order.
    """
    order, lengths = problem.order, problem.sequences.lengths
    n, size = len(order), settings.batch_size
    if not settings.shuffle:
        return np.split(order, range(size, n, size))
    order = order[rng.permutation(n)]
    if lengths.min() == lengths.max() or n <= size:
        return np.split(order, range(size, n, size))
    out = []
    for pool in np.split(order, range(POOL * size, n, POOL * size)):
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        out += np.split(pool, range(size, len(pool), size))
    return [out[k] for k in rng.permutation(len(out))]


def train(network, problem, settings, rng, history, validation_score=None, optimizer=None):
    """Train until `max_iter` epochs have passed or nothing improves.

    Parameters
    ----------
    network : SequenceNetwork
        Its parameters are updated.
    problem : Problem
    settings : Settings
    rng : RandomState
    history : History
        Recorded into.
    validation_score : callable, optional
        Called after every epoch; higher is better. Without it, the training loss decides.
    optimizer : Optimizer, optional
        Of an earlier training to go on with; a fresh one by default.

    Returns
    -------
    str
        "converged", "max_iter", "interrupted" or "diverged".
    """
    if optimizer is None:
        optimizer = Optimizer(settings.solver, network.parameters, settings.clip_norm)
    step = Step(network, problem, settings, optimizer)
    with progress_bar(settings) as bar:
        try:
            for _ in range(settings.max_iter):
                loss = _epoch(network, problem, settings, rng, step)
                if loss is None or not np.isfinite(network.parameters).all():
                    return "diverged"
                score = validation_score() if validation_score else None
                if score == -np.inf:  # predictions overflow
                    return "diverged"
                history.record(network.parameters, loss, score)
                history.n_steps = optimizer.t
                bar.set_postfix_str(describe(loss, score), refresh=False)
                bar.update()
                if history.out_of_patience:
                    return "converged"
        except KeyboardInterrupt:
            return "interrupted"
    return "max_iter"


def _epoch(network, problem, settings, rng, step):
    """Return the mean loss over an epoch, or None where a loss or a gradient was not finite."""
    total, weight = 0.0, 0.0
    for part in [part_of(problem, rows) for rows in batches(problem, settings, rng)]:
        seed = rng.randint(2**31 - 1) if network.is_random else 0
        loss = step(part, seed)
        if loss is None:
            return None
        total, weight = total + loss, weight + part.total_weight
    return total / weight


def describe(loss, score):
    """Return the text at the end of the progress bar."""
    text = f"loss {loss:.4g}"
    return text if score is None else f"{text}, validation score {score:.4g}"


def report(outcome, history, stacklevel=4):
    """Warn where a fit ended early for a reason that its user should know."""
    epoch = len(history.loss_curve) + 1
    if outcome == "interrupted":
        warnings.warn(
            f"interrupted in epoch {epoch}: the weights reached so far are kept",
            RuntimeWarning,
            stacklevel=stacklevel,
        )
    elif outcome == "diverged":
        warnings.warn(
            f"the loss or its gradient became infinite or NaN in epoch {epoch}: the best weights "
            "before that are kept; a smaller learning_rate_init or clip_norm helps",
            RuntimeWarning,
            stacklevel=stacklevel,
        )
