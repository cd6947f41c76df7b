"""One variant LSTM layer in one direction: the arrays of its passes, and the forward pass.

The options and their formulas are in `numlstm.nn.variant`. Rows, `active` and workers are as in
`numlstm.kernels.lstm`: workers own rows, so any number of them gives the same bits. Nothing here is
compiled for an LSTM without a variant. Clear before fast: all gates of a row lie one after the
other, each over Hq units, and an option that is off has empty arrays.

Letters: D inputs, H units, R features of the output (H without a projection); Hq and Rq are H and
R rounded up to 2 * VL, the width of a panel; G gates, 4 or, where i and f are coupled, 3 (f, g, o).

array                 shape                    why
Wx, Wh, Wp            (Q, K, 2 * VL)           panels of the columns, K = D, R, H
bias, gain_x, gain_h  (G * Hq,)                as the gates of a row
peepholes             ((G - 1) * Hq,)          all gates but g
gates                 (S, B, G * Hq)           S is T if the pass is kept for the way back, else 1
sum_x, sum_h          (S, B, G * Hq)           products before layer normalisation
cell, y               (S, B, Hq)               new cell state, clipped; output before the projection
m                     (S, B, Rq)               output before proj_clip
c, h                  (S + 1, B, Hq or Rq)     as carried: after zoneout
seen                  (S, B, Rq)               h as dropout lets the gates see it
zeros                 (4 * VL,)                where sums begin

Padding is zero everywhere, and stays so.
"""

import math
from typing import NamedTuple

import numpy as np

from numlstm.kernels._flat import flattened
from numlstm.kernels._jit import helper, kernel
from numlstm.kernels.activations import sigmoid, tanh
from numlstm.kernels.lstm import first_row, load_rows, save_rows
from numlstm.kernels.products import ONE, ZERO, rows_times_panels
from numlstm.kernels.simd import clip, lanes, load, never_inline, store
from numlstm.kernels.vectors import copy_vectors

EPS = 1e-5  # of the variance in a layer normalisation


class VariantPanels(NamedTuple):
    """Packed weights of one layer and direction, or their gradients: see the module's table."""

    Wx: np.ndarray
    Wh: np.ndarray
    Wp: np.ndarray
    bias: np.ndarray
    peepholes: np.ndarray
    gain_x: np.ndarray
    gain_h: np.ndarray
    gain_c: np.ndarray
    shift_c: np.ndarray
    n_units: int
    n_features: int
    cell_clip: float
    proj_clip: float


class VariantTape(NamedTuple):
    """What a forward pass writes at every step: see the module's table."""

    gates: np.ndarray
    sum_x: np.ndarray
    sum_h: np.ndarray
    cell: np.ndarray
    y: np.ndarray
    m: np.ndarray
    c: np.ndarray
    h: np.ndarray
    seen: np.ndarray
    zeros: np.ndarray


class VariantMasks(NamedTuple):
    """Masks of one layer and direction; where an option is off their last axis is empty.

    Attributes
    ----------
    keep : array, (B, Rq)
        Of recurrent dropout, scaled.
    zone_c, zone_h : array, (T, B, Hq or Rq)
        1 where a unit keeps its value; (1, 1, ...) holds the expectation.
    """

    keep: np.ndarray
    zone_c: np.ndarray
    zone_h: np.ndarray


@helper
def plain_product(zeros, A, a, a_row, panels, C, c, c_row, rows):
    """C[rows] = A[rows] @ panels."""
    Q, K, _ = panels.shape
    rows_times_panels(zeros, ZERO, ZERO, ZERO, A, a, a_row, ZERO, K, ONE, flattened(panels), ZERO,
                      Q, C, c, c_row, rows)  # fmt: skip


@helper
def product(init, i, i_row, A, a, a_row, panels, C, c, c_row, rows):
    """C[rows] = init + A[rows] @ panels, of shape (Q, K, 2 * VL); all else are flat arrays."""
    Q, K, wide = panels.shape
    rows_times_panels(init, i, i_row, wide, A, a, a_row, ZERO, K, ONE, flattened(panels), ZERO, Q,
                      C, c, c_row, rows)  # fmt: skip


@helper
def moments(values, at, n_gates, Hq, H):
    """Return mean and 1 / deviation of one row: H values of every Hq, n_gates times."""
    never_inline()
    total, squares, n = 0.0, 0.0, n_gates * H
    for k in range(n_gates):
        for j in range(H):
            total += values[at + k * Hq + j]
    mean = total / n
    for k in range(n_gates):
        for j in range(H):
            squares += (values[at + k * Hq + j] - mean) ** 2
    return mean, 1.0 / math.sqrt(squares / n + EPS)


@helper
def add_normalised(values, at, gain, Hq, H, out, to):
    """Add gain * (values - mean) / deviation of one row of all gates to `out`."""
    never_inline()
    n_gates = gain.shape[0] // Hq
    mean, scale = moments(values, at, n_gates, Hq, H)
    for k in range(n_gates):
        for j in range(k * Hq, k * Hq + H):
            out[to + j] += gain[j] * ((values[at + j] - mean) * scale)


@helper
def sum_gates(x, panels, masks, tape, t, k, prev, r0, rows):
    """Set the gates of some rows at step t, place k on the tape, to what they are fed with."""
    never_inline()
    B, wide = tape.gates.shape[1], tape.gates.shape[2]
    Rq, gates, h = tape.h.shape[2], flattened(tape.gates), flattened(tape.h)
    at, x_at, h_at = (k * B + r0) * wide, x.start + t * x.step + r0 * x.row, (prev * B + r0) * Rq
    source, s = h, h_at
    if masks.keep.size:
        source, s = flattened(tape.seen), (k * B + r0) * Rq
        keep = flattened(masks.keep)
        for j in range(rows * Rq):
            source[s + j] = h[h_at + j] * keep[r0 * Rq + j]
    if panels.gain_x.size == 0:
        product(panels.bias, ZERO, ZERO, x.data, x_at, x.row, panels.Wx, gates, at, wide, rows)
        product(gates, at, wide, source, s, Rq, panels.Wh, gates, at, wide, rows)
        return
    u, v = flattened(tape.sum_x), flattened(tape.sum_h)
    plain_product(tape.zeros, x.data, x_at, x.row, panels.Wx, u, at, wide, rows)
    plain_product(tape.zeros, source, s, Rq, panels.Wh, v, at, wide, rows)
    H, Hq = panels.n_units, tape.cell.shape[2]
    for r in range(rows):
        row = at + r * wide
        copy_vectors(panels.bias, 0, gates, row, wide)
        add_normalised(u, row, panels.gain_x, Hq, H, gates, row)
        add_normalised(v, row, panels.gain_h, Hq, H, gates, row)


@helper
def update_cell(panels, gates, g, c, prev, cell, at, Hq):
    """Activate the gates of one row in place, and write its new cell state, clipped."""
    never_inline()
    VL, n = lanes(gates), panels.bias.shape[0] // Hq
    f_at, peep = g + (n - 3) * Hq, panels.peepholes
    for j in range(0, Hq, VL):
        before, f = load(c, prev + j), load(gates, f_at + j)
        if peep.size:
            f = f + load(peep, (n - 3) * Hq + j) * before
        f = sigmoid(f)
        if n == 3:
            i = 1.0 - f
        else:
            i = load(gates, g + j)
            if peep.size:
                i = i + load(peep, j) * before
            i = sigmoid(i)
            store(gates, g + j, i)
        a, o = tanh(load(gates, f_at + Hq + j)), load(gates, f_at + 2 * Hq + j)
        new = clip(f * before + i * a, -panels.cell_clip, panels.cell_clip)
        if peep.size:
            o = o + load(peep, (n - 2) * Hq + j) * new
        store(gates, f_at + j, f)
        store(gates, f_at + Hq + j, a)
        store(gates, f_at + 2 * Hq + j, sigmoid(o))
        store(cell, at + j, new)


@helper
def read_cell(panels, gates, o_at, cell, at, y, Hq):
    """Write the output of one row before its projection: o * tanh(cell), cell normalised."""
    never_inline()
    VL, gain, shift = lanes(gates), panels.gain_c, panels.shift_c
    mean, scale = 0.0, 1.0
    if gain.size:
        mean, scale = moments(cell, at, 1, Hq, panels.n_units)
    for j in range(0, Hq, VL):
        value = load(cell, at + j)
        if gain.size:
            value = load(gain, j) * ((value - mean) * scale) + load(shift, j)
        store(y, at + j, load(gates, o_at + j) * tanh(value))


@helper
def carry_on(new, at, limit, before, prev, zone, t, r, after, to, width):
    """Write the state that one row carries on: the new one, limited, or by zoneout the old."""
    never_inline()
    VL = lanes(after)
    z = (t % zone.shape[0] * zone.shape[1] + r % zone.shape[1]) * width
    for j in range(0, width, VL):
        value = clip(load(new, at + j), -limit, limit)
        if zone.size:
            mask = load(zone, z + j)
            value = mask * load(before, prev + j) + (1.0 - mask) * value
        store(after, to + j, value)


@helper
def variant_step(x, panels, masks, tape, t, reverse, r0, rows):
    """Advance some rows by one time step."""
    never_inline()
    B, wide, Hq, Rq = tape.gates.shape[1], tape.gates.shape[2], tape.c.shape[2], tape.h.shape[2]
    S = tape.c.shape[0]
    k, prev, this = t % tape.gates.shape[0], (t + reverse) % S, (t + 1 - reverse) % S
    gates, cell, c = flattened(tape.gates), flattened(tape.cell), flattened(tape.c)
    m, h = flattened(tape.m), flattened(tape.h)
    projects = panels.Wp.size > 0
    y = flattened(tape.y) if projects else m
    sum_gates(x, panels, masks, tape, t, k, prev, r0, rows)
    for r in range(r0, r0 + rows):
        g, at, old = (k * B + r) * wide, (k * B + r) * Hq, (prev * B + r) * Hq
        update_cell(panels, gates, g, c, old, cell, at, Hq)
        read_cell(panels, gates, g + wide - Hq, cell, at, y, Hq)
        carry_on(cell, at, math.inf, c, old, masks.zone_c, t, r, c, (this * B + r) * Hq, Hq)
    if projects:
        row = k * B + r0
        plain_product(tape.zeros, y, row * Hq, Hq, panels.Wp, m, row * Rq, Rq, rows)
    for r in range(r0, r0 + rows):
        carry_on(
            m, (k * B + r) * Rq, panels.proj_clip, h, (prev * B + r) * Rq, masks.zone_h, t, r,
            h, (this * B + r) * Rq, Rq,
        )  # fmt: skip


@kernel
def variant_forward_chunk(
    x, panels, masks, first, active, reverse, tape, last, outputs, worker, n_workers
):
    """Run all time steps of this worker's rows.

    Parameters
    ----------
    x : Rows
        Inputs, D elements a row.
    panels : VariantPanels
    masks : VariantMasks
    first : Carry
        Initial states, h (B, Rq) and c (B, Hq).
    active : array of int64, (T + 1,)
    reverse : int
        1 to read each sequence from its end.
    tape, last, outputs : VariantTape, Carry, Rows
        Written. `outputs` with an empty array: not wanted.
    worker, n_workers : int
    """
    never_inline()
    S, B, Rq = tape.h.shape
    T, Hq = active.shape[0] - 1, tape.c.shape[2]
    low, high = first_row(active, worker, n_workers), first_row(active, worker + 1, n_workers)
    c, h = flattened(tape.c), flattened(tape.h)
    for s in range(T):
        t = T - 1 - s if reverse else s
        n, prev, this = active[t], (t + reverse) % S, (t + 1 - reverse) % S
        stop = min(n, high)
        if stop <= low:
            continue
        begin = active[t + 1] if reverse else (0 if t == 0 else n)
        load_rows(first.h, h, prev * B * Rq, max(begin, low), stop)
        load_rows(first.c, c, prev * B * Hq, max(begin, low), stop)
        variant_step(x, panels, masks, tape, t, reverse, low, stop - low)
        if outputs.data.size:
            at = outputs.start + t * outputs.step
            for r in range(low, stop):
                copy_vectors(h, (this * B + r) * Rq, outputs.data, at + r * outputs.row,
                             panels.n_features)  # fmt: skip
        end = (0 if t == 0 else n) if reverse else active[t + 1]
        save_rows(h, this * B * Rq, last.h, max(end, low), stop)
        save_rows(c, this * B * Hq, last.c, max(end, low), stop)
