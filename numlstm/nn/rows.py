"""Batches of sequences as the kernels see them: rows sorted by length, and where they lie."""

import functools
from typing import NamedTuple

import numpy as np

from numlstm.kernels._threads import launch
from numlstm.kernels.layout import gather_rows_chunk
from numlstm.kernels.lstm import Lookup
from numlstm.kernels.products import Rows
from numlstm.nn.weights import MOVE_COST


class Batch(NamedTuple):
    """One batch: inputs, and how many rows are still running at each time step.

    Attributes
    ----------
    x : Rows
    active : array of int64, (T + 1,)
    lookup : Lookup or None
        Tokens whose table rows are the first layer's input, in place of x.
    """

    x: Rows
    active: np.ndarray
    lookup: Lookup | None = None

    @property
    def shape(self):
        """(T, B)."""
        return len(self.active) - 1, int(self.active[0])


@functools.lru_cache(maxsize=32)
def _every_row(n_samples, n_timesteps):
    """Return what `sort_by_length` does without lengths; nobody writes to it."""
    return np.arange(n_samples), full_length(n_samples, n_timesteps)


@functools.lru_cache(maxsize=32)
def full_length(n_rows, n_timesteps):
    """Return the `active` vector of a batch of rows of one length; nobody writes to it."""
    active = np.full(n_timesteps + 1, n_rows, np.int64)
    active[-1] = 0
    return active


def time_major(array, start=0):
    """Return a (T, B, width) array as `Rows`."""
    T, B, width = array.shape
    return Rows(array.reshape(-1), start, B * width, width)


def sort_by_length(lengths, n_samples, n_timesteps):
    """Return the order of the rows, longest first, and how many are active at each step."""
    if lengths is None:
        return _every_row(n_samples, n_timesteps)
    order = np.argsort(-lengths, kind="stable")
    ended = np.bincount(lengths, minlength=n_timesteps + 1)
    return order, n_samples - np.cumsum(ended)


def batch_first(array, width):
    """Return an (N, T, width) array as `Rows`."""
    T = array.shape[1]
    return Rows(array.reshape(-1), 0, width, T * width)


class Selection(NamedTuple):
    """Some sequences, longest first: the rows of a batch.

    Attributes
    ----------
    rows : array of int, (B,)
        Which of the sequences.
    starts : array of int64, (B,)
        Where they begin.
    active : array of int64, (T + 1,)
        As of `Batch`.
    """

    rows: np.ndarray
    starts: np.ndarray
    active: np.ndarray


def select(sequences, rows):
    """Return the `Selection` of some rows of `Sequences`; those of one length keep their order."""
    lengths = sequences.lengths[rows]
    T = int(lengths.max())
    if lengths.min() == T:
        active = full_length(len(rows), T)
    else:
        order, active = sort_by_length(lengths, len(rows), T)
        rows = rows[order]
    return Selection(rows, sequences.starts[rows], active)


def load_batch(values, selection, workspace, name="batch"):
    """Copy selected sequences of `values` (n_rows, n_features) into a time-major batch."""
    _, starts, active = selection
    x = workspace.take(name, len(active) - 1, len(starts), values.shape[1])
    gather(values, starts, active, x)
    return Batch(time_major(x), active)


def gather(values, starts, active, out):
    """Copy rows of `values` (n, D) from `starts` on to the active rows of `out` (T, B, D)."""
    launch(gather_rows_chunk, values, starts, active, out, work=MOVE_COST * out.size)
