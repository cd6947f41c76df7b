"""The way back through one LSTM layer: backpropagation through time.

Shapes and the order of rows are those of `numlstm.kernels.lstm`.
"""

from typing import NamedTuple

import numpy as np

from numlstm.kernels._flat import flattened
from numlstm.kernels._jit import helper, kernel
from numlstm.kernels.cell import cell_backward
from numlstm.kernels.lstm import TAPE_AHEAD, first_row
from numlstm.kernels.products import (
    ZERO,
    far_rows_times_panels,
    rows_times_panels,
)
from numlstm.kernels.simd import (
    flush_denormals,
    fma,
    lanes,
    load,
    never_inline,
    reduce_add,
    request,
    restore_denormals,
    splat,
)
from numlstm.kernels.vectors import add_vectors


class Transposed(NamedTuple):
    """Weights of one layer and direction for the way back, in panels of 2 * VL columns.

    Attributes
    ----------
    Wh : array, (Q, P * W, 2 * VL)
        The transposed recurrent weights, H columns.
    Wx : array, (Q', P * W, 2 * VL)
        The transposed input weights, D columns; Q' is 0 where dX is not wanted, or D small.
    zeros : array, (4 * VL,)
        Where sums begin.
    """

    Wh: np.ndarray
    Wx: np.ndarray
    zeros: np.ndarray


@helper
def dot_inputs(panels, gates, g, g_panel, dX, at, add):
    """Write dX of one row, D elements, as dot products with the untransposed weights.

    For a few inputs, where a panel of the transposed weights would be mostly padding.
    """
    VL, D = lanes(gates), panels.n_inputs
    half, size = 2 * VL, (D + panels.n_units) * 2 * VL
    for d in range(D):
        s0, s1 = splat(gates, 0.0), splat(gates, 0.0)
        s2, s3 = splat(gates, 0.0), splat(gates, 0.0)
        for p in range(gates.shape[0]):
            k, w = g + p * g_panel, 2 * p * size + d * half
            s0 = fma(load(gates, k), load(panels.weights, w), s0)
            s1 = fma(load(gates, k + VL), load(panels.weights, w + VL), s1)
            s2 = fma(load(gates, k + half), load(panels.weights, w + size), s2)
            s3 = fma(load(gates, k + half + VL), load(panels.weights, w + size + VL), s3)
        total = reduce_add((s0 + s1) + (s2 + s3))
        dX[at + d] = dX[at + d] + total if add else total


@helper
def input_gradients(panels, Wx, gates, t, dX, add, zeros, first, stop, far):
    """Write dX of rows first .. stop at time t from the gradients of the pre-activations.

    `zeros` holds two panels' width of them.
    """
    P, T, B, W = gates.shape
    Q, _, wide = Wx.shape
    start = dX.start + t * dX.step
    at, g, rows = start + first * dX.row, (t * B + first) * W, stop - first
    init, i, i_row, i_panel = (dX.data, at, dX.row, wide) if add else (zeros, 0, 0, 0)
    if far is None:
        rows_times_panels(init, i, i_row, i_panel, flattened(gates), g, W, T * B * W, W, P,
                          flattened(Wx), ZERO, Q, dX.data, at, dX.row, rows)  # fmt: skip
    else:
        far_rows_times_panels(init, i, i_row, i_panel, flattened(gates), g, W, T * B * W, W, P,
                              flattened(Wx), ZERO, Q, dX.data, at, dX.row, rows)  # fmt: skip
    if Q == 0:
        for r in range(rows):
            dot_inputs(panels, gates, g + r * W, T * B * W, dX.data, at + r * dX.row, add)


@helper
def request_cell(gates, g, c, at):
    """Request the gates and the cell state of a vector of units; places outside are harmless."""
    VL = lanes(gates)
    for k in range(g, g + 4 * VL, VL):
        request(gates, k)
    request(c, at)


@kernel
def lstm_backward_chunk(
    panels, transposed, d_outputs, active, reverse, tape, carry, dX, far, worker, n_workers
):
    """Run back through all time steps of this worker's rows; `tape.gates` become gradients.

    Parameters
    ----------
    panels : Panels
    transposed : Transposed
    d_outputs : Rows
        Gradients of the outputs; an empty array: zero.
    active, reverse
        As in the forward pass.
    tape : Tape
        What the forward pass kept.
    carry : Carry
        dh (B, Hq) and dc (B, Hp): of the final state on entry, of the initial state on return.
    dX : Rows
        Written, or with `reverse` added to; an empty array: not wanted.
    far : bool or None
        Not None: the weights come from far, see `far_rows_times_panels`.
    worker, n_workers : int
    """
    never_inline()
    denormals = flush_denormals()
    gates, c = tape.gates, tape.c
    P, _, B, W = gates.shape
    T, Hp, VL = active.shape[0] - 1, c.shape[2], lanes(gates)
    dh, dc = carry.h, carry.c
    Q = transposed.Wh.shape[0]
    Hq = dh.shape[1]
    low, high = first_row(active, worker, n_workers), first_row(active, worker + 1, n_workers)
    dh_flat, dc_flat, c_flat, flat = flattened(dh), flattened(dc), flattened(c), flattened(gates)
    zeros, Wh = transposed.zeros, flattened(transposed.Wh)
    for s in range(T):
        t = s if reverse else T - 1 - s
        size, stop, step = B * Hp, min(active[t], high), 2 * reverse - 1
        prev, this = (t + reverse) * size, (t + 1 - reverse) * size
        if d_outputs.data.size:
            at = d_outputs.start + t * d_outputs.step
            for r in range(low, stop):
                row = at + r * d_outputs.row
                add_vectors(d_outputs.data, row, dh_flat, r * Hq, panels.n_units)
        for p in range(P):
            for r in range(low, stop):
                g, at = ((p * T + t) * B + r) * W, r * Hp + p * VL
                dh_at = r * Hq + p * VL
                cell_backward(flat, g, c_flat, prev + at, this + at, dh_flat, dh_at, dc_flat, at)
                if TAPE_AHEAD:
                    request_cell(flat, g + step * B * W, c_flat, prev + step * size + at)
        if far is None:
            rows_times_panels(
                zeros, ZERO, ZERO, ZERO, flat, (t * B + low) * W, W, T * B * W, W, P,
                Wh, ZERO, Q, dh_flat, low * Hq, Hq, stop - low,
            )  # fmt: skip
        else:
            far_rows_times_panels(
                zeros, ZERO, ZERO, ZERO, flat, (t * B + low) * W, W, T * B * W, W, P,
                Wh, ZERO, Q, dh_flat, low * Hq, Hq, stop - low,
            )  # fmt: skip
        if dX.data.size:
            input_gradients(panels, transposed.Wx, gates, t, dX, reverse, zeros, low, stop, far)
    restore_denormals(denormals)
