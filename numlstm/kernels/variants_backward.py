"""The way back through one variant LSTM layer. Shapes are those of `numlstm.kernels.variants`.

Gradients take the place of what the forward pass left: `gates` become those of the sums of the
gates, `sum_x` and `sum_h` those of the two products, `m` that of the projection's product. Weight
gradients are products over all rows, after the loop; gradients of vectors are summed over time row
by row, so that every worker keeps to its rows.
"""

from typing import NamedTuple

import numpy as np

from numlstm.kernels._flat import flattened
from numlstm.kernels._jit import helper, kernel
from numlstm.kernels.activations import tanh
from numlstm.kernels.lstm import first_row
from numlstm.kernels.simd import lanes, load, never_inline, store
from numlstm.kernels.variants import moments, plain_product, product
from numlstm.kernels.vectors import add_vectors


class VariantTransposed(NamedTuple):
    """Transposed weights in panels, for the way back: (ceil(K / (2 * VL)), columns, 2 * VL)."""

    Wx: np.ndarray
    Wh: np.ndarray
    Wp: np.ndarray


class VariantSums(NamedTuple):
    """Gradients of the vectors of `VariantPanels`, row by row: (B, ...)."""

    bias: np.ndarray
    peepholes: np.ndarray
    gain_x: np.ndarray
    gain_h: np.ndarray
    gain_c: np.ndarray
    shift_c: np.ndarray


class VariantScratch(NamedTuple):
    """Room for one time step: gradients of y and of the cell (B, Hq), and of h (B, Rq)."""

    dy: np.ndarray
    d_cell: np.ndarray
    dh: np.ndarray


@helper
def output_backward(panels, zone, dh, dm, t, r):
    """Split dh of one row into what zoneout kept, left in dh, and the gradient of m, in dm."""
    B, Rq = dh.shape
    grad, m, at, limit = flattened(dh), flattened(dm), (t * B + r) * Rq, panels.proj_clip
    masks, z = flattened(zone), (t % zone.shape[0] * zone.shape[1] + r % zone.shape[1]) * Rq
    for j in range(Rq):
        d = grad[r * Rq + j]
        kept = d * masks[z + j] if zone.size else d * 0
        m[at + j] = d * 0 if abs(m[at + j]) > limit else d - kept
        grad[r * Rq + j] = kept


@helper
def cell_output_backward(panels, gates, o_at, cell, at, dy, y_at, d_cell, d_at, Hq):
    """Turn o of one row into its gradient, and write that of what tanh sees of the cell."""
    never_inline()
    VL, gain, shift = lanes(gates), panels.gain_c, panels.shift_c
    mean, scale = 0.0, 1.0
    if gain.size:
        mean, scale = moments(cell, at, 1, Hq, panels.n_units)
    for j in range(0, Hq, VL):
        seen = load(cell, at + j)
        if gain.size:
            seen = load(gain, j) * ((seen - mean) * scale) + load(shift, j)
        d, o, e = load(dy, y_at + j), load(gates, o_at + j), tanh(seen)
        store(gates, o_at + j, d * e * o * (1.0 - o))
        store(d_cell, d_at + j, d * o * (1.0 - e * e))


@helper
def normalise_backward(values, at, gain, d, d_at, out, to, d_gain, row, Hq, H):
    """Write the gradient of a row of `values` from that of gain * normalised, and add d_gain."""
    never_inline()
    n = gain.shape[0] // Hq
    mean, scale = moments(values, at, n, Hq, H)
    total, along = 0.0, 0.0
    for k in range(n):
        for j in range(k * Hq, k * Hq + H):
            y, dy = (values[at + j] - mean) * scale, d[d_at + j] * gain[j]
            total += dy
            along += dy * y
            d_gain[row + j] += d[d_at + j] * y
    total, along = total / (n * H), along / (n * H)
    for k in range(n):
        for j in range(k * Hq, k * Hq + H):
            y = (values[at + j] - mean) * scale
            out[to + j] = scale * (d[d_at + j] * gain[j] - total - along * y)
        for j in range(k * Hq + H, (k + 1) * Hq):
            out[to + j] = 0.0


@helper
def cell_backward(panels, gates, g, c, prev, cell, at, zone, z, d_cell, dc, d_at, Hq):
    """Turn i, f, g of one row into gradients of their sums, and take dc back to c_{t-1}."""
    never_inline()
    n, peep, limit = panels.bias.shape[0] // Hq, panels.peepholes, panels.cell_clip
    f_at, o_at = g + (n - 3) * Hq, g + (n - 1) * Hq
    for j in range(Hq):
        before, f, a = c[prev + j], gates[f_at + j], gates[f_at + Hq + j]
        kept = dc[d_at + j] * zone[z + j] if zone.size else dc[d_at + j] * 0
        d = d_cell[d_at + j] + (dc[d_at + j] - kept)
        if peep.size:
            d += peep[(n - 2) * Hq + j] * gates[o_at + j]
        d = d * 0 if abs(cell[at + j]) >= limit else d  # it was clipped
        i = 1 - f if n == 3 else gates[g + j]
        df = d * (before - a if n == 3 else before) * f * (1 - f)
        kept += d * f
        if peep.size:
            kept += peep[(n - 3) * Hq + j] * df
        if n == 4:
            di = d * a * i * (1 - i)
            gates[g + j] = di
            if peep.size:
                kept += peep[j] * di
        gates[f_at + j] = df
        gates[f_at + Hq + j] = d * i * (1 - a * a)
        dc[d_at + j] = kept


@helper
def add_sums(panels, gates, g, c, prev, cell, at, sums, r, Hq):
    """Add one row's gradients of bias and peepholes."""
    wide = panels.bias.shape[0]
    n = wide // Hq
    add_vectors(gates, g, flattened(sums.bias), r * wide, wide)
    if panels.peepholes.size:
        out = flattened(sums.peepholes)
        for k in range(n - 2):
            row = (r * (n - 1) + k) * Hq
            for j in range(Hq):
                out[row + j] += gates[g + k * Hq + j] * c[prev + j]
        row = (r * (n - 1) + n - 2) * Hq
        for j in range(Hq):
            out[row + j] += gates[g + (n - 1) * Hq + j] * cell[at + j]


@helper
def row_backward(panels, masks, tape, dy, y_at, t, reverse, r, scratch, dc, sums):
    """Take one row back from the gradient of y to that of its sums and of c_{t-1}."""
    never_inline()
    B, wide, Hq, H = tape.gates.shape[1], tape.gates.shape[2], tape.c.shape[2], panels.n_units
    gates, cell, c = flattened(tape.gates), flattened(tape.cell), flattened(tape.c)
    d_cell, zone, dc = flattened(scratch.d_cell), masks.zone_c, flattened(dc)
    g, at, prev, d_at = (t * B + r) * wide, (t * B + r) * Hq, ((t + reverse) * B + r) * Hq, r * Hq
    cell_output_backward(panels, gates, g + wide - Hq, cell, at, dy, y_at, d_cell, d_at, Hq)
    if panels.gain_c.size:
        add_vectors(d_cell, d_at, flattened(sums.shift_c), d_at, Hq)
        normalise_backward(cell, at, panels.gain_c, d_cell, d_at, d_cell, d_at,
                           flattened(sums.gain_c), d_at, Hq, H)  # fmt: skip
    z = (t % zone.shape[0] * zone.shape[1] + r % zone.shape[1]) * Hq
    cell_backward(panels, gates, g, c, prev, cell, at, flattened(zone), z, d_cell, dc, d_at, Hq)
    add_sums(panels, gates, g, c, prev, cell, at, sums, r, Hq)
    if panels.gain_x.size:
        u, v = flattened(tape.sum_x), flattened(tape.sum_h)
        normalise_backward(u, g, panels.gain_x, gates, g, u, g, flattened(sums.gain_x), r * wide,
                           Hq, H)  # fmt: skip
        normalise_backward(v, g, panels.gain_h, gates, g, v, g, flattened(sums.gain_h), r * wide,
                           Hq, H)  # fmt: skip


@helper
def state_backward(transposed, masks, zeros, d_sums, g, wide, dh, scratch, r0, rows):
    """Add the gradient of h_{t-1} that comes through the gates, past the mask of dropout."""
    Rq = dh.shape[1]
    grad, back = flattened(dh), flattened(scratch.dh)
    plain_product(zeros, d_sums, g, wide, transposed.Wh, back, r0 * Rq, Rq, rows)
    if masks.keep.size:
        keep = flattened(masks.keep)
        for j in range(r0 * Rq, (r0 + rows) * Rq):
            back[j] *= keep[j]
    add_vectors(back, r0 * Rq, grad, r0 * Rq, rows * Rq)


@helper
def input_backward(transposed, zeros, d_sums, g, wide, dX, t, r0, rows, add):
    """Write the gradient of some rows' inputs, or with `add` add to it."""
    at = dX.start + t * dX.step + r0 * dX.row
    if add:
        product(dX.data, at, dX.row, d_sums, g, wide, transposed.Wx, dX.data, at, dX.row, rows)
    else:
        plain_product(zeros, d_sums, g, wide, transposed.Wx, dX.data, at, dX.row, rows)


@kernel
def variant_backward_chunk(
    panels, transposed, masks, d_outputs, active, reverse, tape, carry, sums, scratch, dX,
    worker, n_workers,
):  # fmt: skip
    """Run back through all time steps of this worker's rows.

    Parameters
    ----------
    panels : VariantPanels
    transposed : VariantTransposed
    masks : VariantMasks
    d_outputs : Rows
        Gradients of the outputs; an empty array: zero.
    active, reverse
        As in the forward pass.
    tape : VariantTape
        What the forward pass kept; gradients on return.
    carry : Carry
        dh (B, Rq) and dc (B, Hq): of the final state on entry, of the initial state on return.
    sums : VariantSums
        Added to.
    scratch : VariantScratch
    dX : Rows
        Written, or with `reverse` added to; an empty array: not wanted.
    worker, n_workers : int
    """
    never_inline()
    B, wide, Hq, Rq = tape.gates.shape[1], tape.gates.shape[2], tape.c.shape[2], tape.h.shape[2]
    T, dh = active.shape[0] - 1, flattened(carry.h)
    low, high = first_row(active, worker, n_workers), first_row(active, worker + 1, n_workers)
    gates, m, projects = flattened(tape.gates), flattened(tape.m), panels.Wp.size > 0
    normed, zeros = panels.gain_x.size > 0, tape.zeros
    dy = flattened(scratch.dy) if projects else m
    dU, dV = (flattened(tape.sum_x), flattened(tape.sum_h)) if normed else (gates, gates)
    for s in range(T):
        t = s if reverse else T - 1 - s
        rows = min(active[t], high) - low
        if rows <= 0:
            continue
        g, at = (t * B + low) * wide, (t * B + low) * Rq
        for r in range(low, low + rows):
            if d_outputs.data.size:
                row = d_outputs.start + t * d_outputs.step + r * d_outputs.row
                add_vectors(d_outputs.data, row, dh, r * Rq, panels.n_features)
            output_backward(panels, masks.zone_h, carry.h, tape.m, t, r)
        if projects:
            plain_product(zeros, m, at, Rq, transposed.Wp, dy, low * Hq, Hq, rows)
        for r in range(low, low + rows):
            y_at = r * Hq if projects else (t * B + r) * Hq
            row_backward(panels, masks, tape, dy, y_at, t, reverse, r, scratch, carry.c, sums)
        state_backward(transposed, masks, zeros, dV, g, wide, carry.h, scratch, low, rows)
        if dX.data.size:
            input_backward(transposed, zeros, dU, g, wide, dX, t, low, rows, reverse)
