"""One LSTM layer in one direction: the arrays of its passes, and the forward pass over a batch.

Rows are sorted by length, longest first, so that the rows still running at time t are the first
``active[t]``; ``active`` has T + 1 entries, the last 0. A direction that reads backwards starts
each row at its own last step. Workers own rows: rows never meet within a pass, so there is no
barrier in the loop over time, and any number of workers gives the same bits. `bptt` holds the way
back, `one_sequence` both ways for a batch of one row.

array             shape                     why
weights           (P, 2, D + H, 2 * VL)     half panels (i, f | g, o), read in order of use
bias              (P, W)                    the start of the accumulators
gates             (P, S, B, W)              the gates of VL units side by side; a panel over all
                                            steps is one (S * B, W) matrix for the weight gradients
c, h              (S + 1, B, Hp)            a place for the initial state: no ``if t == 0``
dh                (B, Hq), dc (B, Hp)       Hq: H rounded up to 2 * VL, the width of a panel

S is T when the pass is kept for the backward one: P * T * B * W + 2 * (T + 1) * B * Hp floats.
In inference the arrays over time are rings: of 1 step for gates and c and of 2 for h. There the
gates are those of one panel, and workers' rows lie `gap` rows apart: what a core fetches ahead
beyond its last row would else be what the next one is writing.
"""

from typing import NamedTuple

import numpy as np

from numlstm.kernels._flat import flattened
from numlstm.kernels._jit import helper, kernel
from numlstm.kernels.cell import cell_forward
from numlstm.kernels.checks import is_zero
from numlstm.kernels.preactivations import far_preactivations, preactivations
from numlstm.kernels.products import CUT_ROWS, ONE, ZERO
from numlstm.kernels.simd import (
    VECTOR_BYTES,
    flush_denormals,
    lanes,
    never_inline,
    restore_denormals,
)
from numlstm.kernels.vectors import copy_vectors

# Whether passes request what they will read or write next of a tape. On Zen 4 that takes 3 to 7 %
# off a forward pass and 2 to 10 % off a backward one; on Zen 3 it brings nothing.
TAPE_AHEAD = VECTOR_BYTES == 64
STEP_COST = 3  # rows: of weights that are fetched, and of tiles that are not full (Zen 4)


class Panels(NamedTuple):
    """Packed weights of one layer and direction, or their gradients: see the module's table."""

    weights: np.ndarray
    bias: np.ndarray
    n_inputs: int
    n_units: int


class Tape(NamedTuple):
    """What a forward pass writes at every step: gates, cell states, hidden states.

    Attributes
    ----------
    gates, c, h : array
        See the module's table.
    gap : int
        Rows left free between those of two workers.
    """

    gates: np.ndarray
    c: np.ndarray
    h: np.ndarray
    gap: int


class Carry(NamedTuple):
    """A hidden and a cell state, or their gradients, one row per sequence."""

    h: np.ndarray
    c: np.ndarray


class Lookup(NamedTuple):
    """Input as rows of a table: what each token adds to the pre-activations, bias included.

    Attributes
    ----------
    tokens : array of int32, (T * B,)
        Empty where the input is not looked up.
    table : array, (V, P * W)
    """

    tokens: np.ndarray
    table: np.ndarray


@helper
def cost_of_rows(active, stop):
    """Return what the steps of rows 0 .. stop cost, in that of a row's step.

    A step costs STEP_COST more, however few its rows: the longest ones run many by themselves.
    """
    cost = 0.0
    for t in range(active.shape[0] - 1):
        if active[t] > 0:
            cost += min(active[t], stop) * (1.0 + STEP_COST / active[t])
    return cost


@helper
def first_row(active, worker, n_workers):
    """Return where a worker's rows begin: all have about as much to do.

    In one piece, since a line of memory that two cores touch is fetched from the other one over and
    over; an even number where they are few, since two single rows cost as much as one.
    """
    B, low, high = active[0], 0, active[0]
    wanted = cost_of_rows(active, B) * worker / n_workers * (1 - 1e-9)  # sums are rounded
    while low < high:
        row = (low + high) // 2
        if cost_of_rows(active, row) < wanted:
            low = row + 1
        else:
            high = row
    return min(B, low if B >= CUT_ROWS * n_workers else low + low % 2)


@helper
def look_up(lookup, t, B, p, gates, g, first, stop):
    """Copy the table's row of each token, its part of one panel, to the gates of this step."""
    wide, W = lookup.table.shape[1], 4 * lanes(gates)
    table, flat = flattened(lookup.table), flattened(gates)
    for r in range(first, stop):
        copy_vectors(table, lookup.tokens[t * B + r] * wide + p * W, flat, g + r * W, W)


@helper
def load_rows(source, target, d, first, stop):
    """Copy rows first .. stop of a (B, width) array to flat `target`."""
    width = source.shape[1]
    copy_vectors(
        flattened(source), first * width, target, d + first * width, max(0, stop - first) * width
    )


@helper
def save_rows(source, s, target, first, stop):
    """Copy rows first .. stop of flat `source` to a (B, width) array."""
    width = target.shape[1]
    copy_vectors(
        source, s + first * width, flattened(target), first * width, max(0, stop - first) * width
    )


@kernel
def lstm_forward_chunk(
    x, lookup, panels, first, active, reverse, tape, last, outputs, far, worker, n_workers
):
    """Run all time steps of this worker's rows.

    Parameters
    ----------
    x : Rows
        Inputs, D elements a row.
    lookup : Lookup
        Takes the place of the bias; D may then be 0.
    panels : Panels
    first : Carry
        Initial states, each (B, Hp).
    active : array of int64, (T + 1,)
    reverse : int
        1 to read each sequence from its end.
    tape, last, outputs : Tape, Carry, Rows
        Written. `outputs` with an empty array: not wanted.
    far : bool or None
        Not None: the weights come from far, see `far_preactivations`.
    worker, n_workers : int
    """
    never_inline()
    denormals = flush_denormals()
    gates, c, h, gap = tape
    B, Hp, T = active[0], h.shape[2], active.shape[0] - 1
    W, VL = gates.shape[3], lanes(gates)
    n_panels, n_steps, rows, _ = gates.shape
    size, aside = rows * Hp, worker * gap
    D, H = panels.n_inputs, panels.n_units
    low, high = first_row(active, worker, n_workers), first_row(active, worker + 1, n_workers)
    flat, h_flat, c_flat, out = flattened(gates), flattened(h), flattened(c), outputs.data
    weights, bias = flattened(panels.weights), flattened(panels.bias)
    for s in range(T):
        t = T - 1 - s if reverse else s
        n, stop, place = active[t], min(active[t], high), aside * Hp
        h_prev = (t + reverse) % h.shape[0] * size + place
        h_next = (t + 1 - reverse) % h.shape[0] * size + place
        c_prev = (t + reverse) % c.shape[0] * size + place
        c_next = (t + 1 - reverse) % c.shape[0] * size + place
        begin = active[t + 1] if reverse else (0 if t == 0 else n)
        load_rows(first.h, h_flat, h_prev, max(begin, low), stop)
        load_rows(first.c, c_flat, c_prev, max(begin, low), stop)
        # A state of zeros, as most sequences begin with, adds nothing.
        used = H if s > 0 or not is_zero(h_flat, h_prev + low * Hp, (stop - low) * Hp) else ZERO
        for p in range(Hp // VL):
            g = ((p % n_panels * n_steps + t % n_steps) * rows + aside) * W
            following = -ONE
            if TAPE_AHEAD and n_panels > 1:
                following = g + n_steps * rows * W
                if p + 1 == n_panels:
                    following = (t + 1 - 2 * reverse) * rows * W
            w, i, i_row, init = p * (D + H) * W, p * W, ZERO, bias
            if lookup.tokens.size:
                look_up(lookup, t, B, p, gates, g, low, stop)
                i, i_row, init = g, W, flat
            if far is None:
                preactivations(x, x.start + t * x.step, D, h, h_prev, H, used, weights, w,
                               init, i, i_row, gates, g, following, low, stop)  # fmt: skip
            else:
                far_preactivations(x, x.start + t * x.step, D, h, h_prev, H, used, weights, w,
                                   init, i, i_row, gates, g, low, stop)  # fmt: skip
            at = low * Hp + p * VL
            cell_forward(flat, g + low * W, W, c_flat, c_prev + at, c_next + at,
                         h_flat, h_next + at, Hp, stop - low)  # fmt: skip
        end = (0 if t == 0 else n) if reverse else active[t + 1]
        save_rows(h_flat, h_next, last.h, max(end, low), stop)
        save_rows(c_flat, c_next, last.c, max(end, low), stop)
        if out.size:
            at = outputs.start + t * outputs.step
            for r in range(low, stop):
                copy_vectors(h_flat, h_next + r * Hp, out, at + r * outputs.row, H)
    restore_denormals(denormals)
