"""Truncated backpropagation through time over one long text.

The text is cut into `batch_size` contiguous streams, read side by side in chunks of `seq_length`
characters. The state is carried from chunk to chunk, the gradient is not (Williams & Peng 1990;
Sutskever 2013). What that loses is measured in book/04_through_time.md.
"""

import math
import sys
from typing import NamedTuple

import numpy as np

from numlstm.kernels._ahead import compile_ahead
from numlstm.nn.memory import Workspace
from numlstm.training.problem import add_penalty


class TextSettings(NamedTuple):
    """How to train on text; the names are those of the estimator's parameters."""

    solver: str
    learning_rate: str
    learning_rate_init: float
    alpha: float
    batch_size: int
    seq_length: int
    max_iter: int
    clip_norm: float
    tol: float
    n_iter_no_change: int


class Streams:
    """A text as streams read side by side.

    Parameters
    ----------
    tokens : array of int, (n,)
    batch_size, seq_length : int
        Fewer streams where the text is too short for so many chunks.
    """

    def __init__(self, tokens, batch_size, seq_length):
        n = len(tokens) - 1
        self.tokens, self.seq_length = tokens, min(seq_length, n)
        self.n_streams = max(1, min(batch_size, n // self.seq_length))
        self.length = n // self.n_streams
        self.n_chunks = -(-self.length // self.seq_length)

    def chunk(self, k):
        """Return tokens and targets of chunk k, each (T, n_streams) of int32."""
        first = k * self.seq_length
        stop = min(first + self.seq_length, self.length)
        rows = self.tokens[: self.n_streams * self.length].reshape(self.n_streams, self.length)
        after = self.tokens[1 : self.n_streams * self.length + 1].reshape(rows.shape)
        return (
            np.ascontiguousarray(rows[:, first:stop].T, np.int32),
            np.ascontiguousarray(after[:, first:stop].T, np.int32),
        )


def learning_rate(settings, step, n_steps):
    """Return the learning rate of a step, from 0, of n_steps in all.

    "cosine" falls to a hundredth over the whole training (Loshchilov & Hutter 2017); "step" halves
    at 1/2, 3/4 and 7/8 of it. Later steps keep the last rate.
    """
    start, done = settings.learning_rate_init, step / max(1, n_steps)
    if settings.learning_rate == "cosine":
        return start * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))
    if settings.learning_rate == "step":
        return start * 0.5 ** sum(done >= at for at in (0.5, 0.75, 0.875))
    return start


class TextTrainer:
    """Everything that changes while a network learns a text; can be stopped between any two steps.

    Parameters
    ----------
    network : CharNetwork
    optimizer : Optimizer
        Of the network's parameters.
    streams : Streams
    settings : TextSettings
    rng : RandomState
        Of the dropout.
    history : History
    epoch : int
        Epochs done before, with whatever text.
    """

    def __init__(self, network, optimizer, streams, settings, rng, history, epoch=0):
        self.network, self.optimizer, self.streams = network, optimizer, streams
        self.settings, self.rng, self.history = settings, rng, history
        self.before = self.epoch = epoch  # epochs done
        self.position = 0  # chunks of this epoch done
        self.total, self.count = 0.0, 0  # summed loss and characters of this epoch
        self.start = network.parameters.copy()
        self.whole = True  # false within a change that must not be saved half-done
        stack, workspace = network.stack, Workspace(network.dtype)
        self.state = stack.states(workspace, "a", streams.n_streams)
        self._spare = stack.states(workspace, "b", streams.n_streams)

    @property
    def rate(self):
        """Learning rate of the next step; whole epochs count, whatever text they read."""
        n = self.streams.n_chunks
        return learning_rate(
            self.settings, self.epoch * n + self.position, self.settings.max_iter * n
        )

    def step(self):
        """Learn one chunk. Returns its characters, or 0 if its gradient was not finite."""
        tokens, targets = self.streams.chunk(self.position)
        if self.optimizer.t == 0:
            compile_ahead(self._launch_all, tokens, targets)
        before, self.whole = self.rng.get_state(), False
        try:
            seed = self.rng.randint(2**31 - 1) if self.network.dropout else 0
            loss = self.network.loss_and_gradient(tokens, targets, self.state, self._spare, seed)
            add_penalty(self.network, self.settings.alpha)
        except KeyboardInterrupt:  # nothing has changed but the generator
            self.rng.set_state(before)
            self.whole = True
            raise
        total = self.total + loss * tokens.size
        if not math.isfinite(total) or not self.optimizer.step(self.network.gradient, self.rate):
            return 0
        self.state, self._spare = self._spare, self.state
        self.total, self.count = total, self.count + tokens.size
        self.position, self.whole = self.position + 1, True
        return tokens.size

    def _launch_all(self, tokens, targets):
        """Launch what `step` does, and what writes: who trains such a network wants to read it."""
        network, uniforms = self.network, np.zeros((1, 1000))  # enough for several threads
        network.loss_and_gradient(tokens, targets, self.state, self._spare)
        self.optimizer.step(network.gradient, self.rate)
        network.write(network.model(), network.scratch(1), 0, (1.0, 0, 1.0), uniforms)

    @property
    def epoch_done(self):
        """Whether all chunks of this epoch are learnt."""
        return self.position >= self.streams.n_chunks

    def end_epoch(self, score):
        """Record the epoch, and go back to the start of the streams with a zero state."""
        self.whole = False
        self.history.record(self.network.parameters, self.total / self.count, score)
        self.epoch, self.position, self.total, self.count = self.epoch + 1, 0, 0.0, 0
        for carry in self.state:
            carry.h.fill(0)
            carry.c.fill(0)
        self.whole = True


def mean_loss(network, tokens, batch_size, seq_length, workspace):
    """Return the mean cross-entropy of a text in nats, read in streams as in training."""
    streams = Streams(tokens, batch_size, seq_length)
    first = network.stack.states(workspace, "v0", streams.n_streams)
    last = network.stack.states(workspace, "v1", streams.n_streams)
    total = 0.0
    for k in range(streams.n_chunks):
        total += network.loss(*streams.chunk(k), first, last, workspace)
        first, last = last, first
    return total / (streams.n_streams * streams.length)


def run(trainer, last_epoch, held, stop_early, verbose, sample, save):
    """Train to the end, to Ctrl-C or to a gradient that is not finite; return which.

    Parameters
    ----------
    trainer : TextTrainer
    last_epoch : int
        Epochs that are then done.
    held : array of int or None
        Tokens to score after each epoch.
    stop_early : bool
        Stop when the score has not risen for long.
    verbose : int
        1 shows a progress bar, 2 also what `sample` returns after each epoch.
    sample : callable
    save : (callable, int) or None
        Called after every so many steps, after every epoch, and after Ctrl-C.

    Returns
    -------
    str
        "converged", "max_iter", "interrupted" or "diverged".

    Raises
    ------
    KeyboardInterrupt
        Before the first step: nothing is learnt that could be kept.
    """
    settings, workspace = trainer.settings, Workspace(trainer.network.dtype)
    write, every = save or ((lambda: None), 0)
    with _progress_bar(trainer, last_epoch, verbose) as bar:
        try:
            while trainer.epoch < last_epoch:
                # Asked here, a training that is resumed after its last epoch stops as well.
                if stop_early and trainer.history.out_of_patience:
                    return "converged"
                if not trainer.epoch_done:
                    n = trainer.step()
                    if n == 0:
                        return "diverged"
                    bar.set_description_str(describe(trainer), refresh=False)
                    bar.update(n)
                    if every and trainer.optimizer.t % every == 0:
                        write()
                    continue
                if not np.isfinite(trainer.network.parameters).all():
                    return "diverged"
                score = None
                if held is not None:
                    score = -mean_loss(
                        trainer.network, held, settings.batch_size, settings.seq_length, workspace
                    )
                    if not math.isfinite(score):  # predictions overflow
                        return "diverged"
                trainer.end_epoch(score)
                bar.set_description_str(describe(trainer))
                if verbose >= 2:
                    bar.write(f"--- epoch {trainer.epoch}\n{sample()}\n", file=sys.stderr)
                write()
        except KeyboardInterrupt:
            if trainer.optimizer.t == 0:
                raise
            if trainer.whole:  # else the last file stays the one to go on from
                write()
            return "interrupted"
    return "max_iter"


def _progress_bar(trainer, last_epoch, verbose):
    """Return a bar over all characters; where there is little room it shows losses, not speed."""
    from tqdm import tqdm

    per_epoch, before = trainer.streams.n_streams * trainer.streams.length, trainer.before
    return tqdm(
        total=(last_epoch - before) * per_epoch,
        initial=(trainer.epoch - before) * per_epoch + trainer.count,
        desc=describe(trainer), unit="char", unit_scale=True, disable=not verbose,
        dynamic_ncols=True,
        bar_format="{percentage:3.0f}%|{bar}| {desc} [{elapsed}<{remaining}, {rate_fmt}]",
    )  # fmt: skip


def describe(trainer):
    """Return the loss of an epoch so far, in bits per character, and the last validation's."""
    history, text = trainer.history, f"epoch {trainer.epoch + 1}"
    if trainer.count:
        text += f": {trainer.total / trainer.count / math.log(2):.3f} bits"
    elif history.loss_curve:
        text = f"epoch {trainer.epoch}: {history.loss_curve[-1] / math.log(2):.3f} bits"
    if history.validation_scores:
        text += f", validation {-history.validation_scores[-1] / math.log(2):.3f}"
    return text
