"""The way back through one LSTM layer: backpropagation through time, and the weight gradients.

Shapes and the order of rows are those of `numlstm.kernels.lstm`.
"""

from typing import NamedTuple

import numpy as np

from numlstm.kernels._jit import helper, kernel
from numlstm.kernels.cell import cell_backward
from numlstm.kernels.lstm import first_row
from numlstm.kernels.products import (
    RUN,
    add_row_sums,
    next_run,
    outer_product,
    pack_columns,
    packed_size,
    panel_rows,
)
from numlstm.kernels.simd import (
    flush_denormals,
    fma,
    lanes,
    load,
    never_inline,
    reduce_add,
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
    """

    Wh: np.ndarray
    Wx: np.ndarray


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
def input_gradients(panels, Wx, gates, t, dX, add, first, stop):
    """Write dX of rows first .. stop at time t from the gradients of the pre-activations."""
    P, T, B, W = gates.shape
    Q, _, wide = Wx.shape
    zeros = np.zeros(wide, Wx.dtype)
    start = dX.start + t * dX.step
    at, g, rows = start + first * dX.row, (t * B + first) * W, stop - first
    for q in range(Q):
        c = at + q * wide
        if add:
            panel_rows(dX.data, c, dX.row, gates, g, W, T * B * W, W, P,
                       Wx, q * P * W * wide, dX.data, c, dX.row, rows)  # fmt: skip
        else:
            panel_rows(zeros, 0, 0, gates, g, W, T * B * W, W, P,
                       Wx, q * P * W * wide, dX.data, c, dX.row, rows)  # fmt: skip
    if Q == 0:
        for r in range(rows):
            dot_inputs(panels, gates, g + r * W, T * B * W, dX.data, at + r * dX.row, add)


@kernel
def lstm_backward_chunk(
    panels, transposed, d_outputs, active, reverse, tape, carry, dX, worker, n_workers
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
    worker, n_workers : int
    """
    never_inline()
    denormals = flush_denormals()
    gates, c = tape.gates, tape.c
    P, _, B, W = gates.shape
    T, Hp, VL = active.shape[0] - 1, c.shape[2], lanes(gates)
    dh, dc = carry.h, carry.c
    Q, _, wide = transposed.Wh.shape
    Hq = dh.shape[1]
    low, high = first_row(active, worker, n_workers), first_row(active, worker + 1, n_workers)
    dh_flat, zeros = dh.reshape(-1), np.zeros(wide, dh.dtype)
    for s in range(T):
        t = s if reverse else T - 1 - s
        size, stop = B * Hp, min(active[t], high)
        prev, this = (t + reverse) * size, (t + 1 - reverse) * size
        if d_outputs.data.size:
            at = d_outputs.start + t * d_outputs.step
            for r in range(low, stop):
                row = at + r * d_outputs.row
                add_vectors(d_outputs.data, row, dh_flat, r * Hq, panels.n_units)
        for p in range(P):
            for r in range(low, stop):
                g, at = ((p * T + t) * B + r) * W, r * Hp + p * VL
                cell_backward(gates, g, c, prev + at, this + at, dh, r * Hq + p * VL, dc, at)
        for q in range(Q):
            panel_rows(
                zeros, 0, 0, gates, (t * B + low) * W, W, T * B * W, W, P, transposed.Wh,
                q * P * W * wide, dh, low * Hq + q * wide, Hq, stop - low,
            )  # fmt: skip
        if dX.data.size:
            input_gradients(panels, transposed.Wx, gates, t, dX, reverse, low, stop)
    restore_denormals(denormals)


@kernel
def lstm_weight_gradients_chunk(x, h, active, d_gates, grads, worker, n_workers):
    """Add this worker's share of dWx, dWh and db to `grads`. eq: bptt-weights.

    Parameters
    ----------
    x, h : Rows
        Inputs and previous hidden states, time-major and without gaps.
    active : array of int64, (T + 1,)
    d_gates : array, (P, T, B, W)
        Gradients of the pre-activations.
    grads : Panels
        Added to; each tile is owned by one worker, which sums it in the order (t, row).
    worker, n_workers : int
    """
    never_inline()
    denormals = flush_denormals()
    P, T, B, W = d_gates.shape
    D, H = grads.n_inputs, grads.n_units
    wide, bias = W // 2, grads.bias.reshape(-1)
    packed = np.empty(packed_size(D + H), d_gates.dtype)
    t = 0
    while t < T:
        stop = next_run(active, t)
        rows = active[t] * (stop - t)
        for m in range(0, rows, RUN):
            n, g = min(RUN, rows - m), (t * B + m) * W
            pack_columns(x.data, x.start + t * x.step + m * x.row, x.row, n, D, packed, 0)
            pack_columns(h.data, h.start + t * h.step + m * h.row, h.row, n, H, packed, D)
            for u in range(worker, 2 * P, n_workers):
                b = g + u // 2 * T * B * W + u % 2 * wide
                outer_product(packed, D + H, d_gates, b, W, n, grads.weights, u * (D + H) * wide)
                add_row_sums(d_gates, b, W, n, bias, u * wide)
        t = stop
    restore_denormals(denormals)
