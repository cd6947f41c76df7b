"""One LSTM layer in one direction: forward pass, backpropagation through time, weight gradients.

Rows are sorted by length, longest first, so that the rows still running at time t are the first
``active[t]``; ``active`` has T + 1 entries, the last 0. A direction that reads backwards starts
each row at its own last step. Workers own blocks of rows: rows never meet within a pass, so there
is no barrier in the loop over time, and any number of workers gives the same bits.

array             shape                     why
weights           (P, 2, D + H, 2 * VL)     half panels (i, f | g, o), read in order of use
bias              (P, W)                    the start of the accumulators
gates             (P, S, B, W)              the gates of VL units side by side; a panel over all
                                            steps is one (S * B, W) matrix for the weight gradients
c, h              (S + 1, B, Hp)            a place for the initial state: no ``if t == 0``
dh                (B, Hq), dc (B, Hp)       Hq: H rounded up to 2 * VL, the width of a panel

S is T when the pass is kept for the backward one: P * T * B * W + 2 * (T + 1) * B * Hp floats.
In inference the arrays over time are rings of 1 step for gates and c and of 2 for h.
"""

from typing import NamedTuple

import numpy as np

from numlstm.kernels._jit import helper, kernel
from numlstm.kernels.activations import sigmoid_parts, tanh, tanh_parts
from numlstm.kernels.products import (
    RUN,
    next_run,
    outer_product,
    pack_columns,
    packed_size,
    panel_rows,
)
from numlstm.kernels.simd import (
    TILE_ROWS,
    lanes,
    load,
    make_tile_blocks,
    make_tile_pair,
    never_inline,
    store,
)

pair_full = make_tile_pair(TILE_ROWS, 1)
pair_4 = make_tile_pair(4, 1)
pair_2x2 = make_tile_pair(2, 2)
pair_1x2 = make_tile_pair(1, 2)
tile_1x2 = make_tile_blocks(1, 2)


class Panels(NamedTuple):
    """Packed weights of one layer and direction, or their gradients: see the module's table."""

    weights: np.ndarray
    bias: np.ndarray
    n_inputs: int
    n_units: int


class Tape(NamedTuple):
    """What a forward pass writes at every step: gates, cell states, hidden states."""

    gates: np.ndarray
    c: np.ndarray
    h: np.ndarray


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
def block_rows(B, n_workers):
    """Return how many rows a worker takes at a time."""
    return min(TILE_ROWS, -(-B // n_workers))


@helper
def preactivations(
    x, at, D, h, prev, H, weights, w, init, i, i_row, gates, g, n, block, worker, n_workers
):
    """Set gates = init + x @ Wx + h @ Wh: pre-activations of one panel, this worker's rows.

    The panel's weights, start and rows lie at w, i and g. `init` is a bias (i_row 0) or the gates
    themselves (i_row W), which then hold the rows that tokens look up.
    """
    never_inline()
    half = 2 * lanes(gates)
    W, Hp, size = 2 * half, h.shape[2], (D + H) * half
    data, row = x.data, x.row
    for k in range(2):
        wk, ik, gk = w + k * size, i + k * half, g + k * half
        for r in range(worker * block, n, n_workers * block):
            rows, ir, xr, hr = min(block, n - r), ik + r * i_row, at + r * row, prev + r * Hp
            gr = gk + r * W
            if rows == TILE_ROWS:
                pair_full(
                    init, ir, i_row, data, xr, row, D, h, hr, Hp, H, weights, wk, 0, gates, gr, W
                )
            elif rows >= 4:
                pair_4(
                    init, ir, i_row, data, xr, row, D, h, hr, Hp, H, weights, wk, 0, gates, gr, W
                )
    for first in range(worker * block, n, n_workers * block):
        rows = min(block, n - first)
        left = 0 if rows == TILE_ROWS else rows % 4
        r = first + rows - left
        ir, xr, hr, gr = i + r * i_row, at + r * row, prev + r * Hp, g + r * W
        if left >= 2:
            pair_2x2(
                init, ir, i_row, data, xr, row, D, h, hr, Hp, H, weights, w, size, gates, gr, W
            )
            ir, xr, hr, gr, left = ir + 2 * i_row, xr + 2 * row, hr + 2 * Hp, gr + 2 * W, left - 2
        if left == 1:
            pair_1x2(
                init, ir, i_row, data, xr, row, D, h, hr, Hp, H, weights, w, size, gates, gr, W
            )


@helper
def look_up(lookup, t, B, p, gates, g, n, block, worker, n_workers):
    """Copy the table's row of each token, its part of one panel, to the gates of this step."""
    VL = lanes(gates)
    wide = lookup.table.shape[1]
    W = 4 * VL
    for first in range(worker * block, n, n_workers * block):
        for r in range(first, min(first + block, n)):
            row = lookup.tokens[t * B + r] * wide + p * W
            for k in range(0, W, VL):
                store(gates, g + r * W + k, load(lookup.table, row + k))


@helper
def cell_forward(gates, g, c, c_prev, c_next, h, h_next):
    """One vector of units: gates from pre-activations in place, then the new cell and output.

    eq: lstm-gates, lstm-cell, lstm-hidden. The four gates share one division.
    """
    VL = lanes(gates)
    i_up, i_down = sigmoid_parts(load(gates, g))
    f_up, f_down = sigmoid_parts(load(gates, g + VL))
    g_up, g_down = tanh_parts(load(gates, g + 2 * VL))
    o_up, o_down = sigmoid_parts(load(gates, g + 3 * VL))
    if_down, go_down = i_down * f_down, g_down * o_down
    all_down = 1.0 / (if_down * go_down)
    if_share, go_share = all_down * go_down, all_down * if_down
    i, f = i_up * f_down * if_share, f_up * i_down * if_share
    a, o = g_up * o_down * go_share, o_up * g_down * go_share
    store(gates, g, i)
    store(gates, g + VL, f)
    store(gates, g + 2 * VL, a)
    store(gates, g + 3 * VL, o)
    c_new = f * load(c, c_prev) + i * a
    store(c, c_next, c_new)
    store(h, h_next, o * tanh(c_new))


@helper
def copy_rows(source, s, target, d, width, first, stop, block, worker, n_workers):
    """Copy this worker's rows among [first, stop), `width` elements each."""
    for r in range(first, stop):
        if r // block % n_workers == worker:
            for j in range(width):
                target[d + r * width + j] = source[s + r * width + j]


@helper
def write_outputs(h, at, H, outputs, t, n, block, worker, n_workers):
    """Copy the hidden state of this worker's rows to the outputs of time t."""
    Hp = h.shape[2]
    flat, out = h.reshape(-1), outputs.data
    for first in range(worker * block, n, n_workers * block):
        for r in range(first, min(first + block, n)):
            a, b = outputs.start + t * outputs.step + r * outputs.row, at + r * Hp
            for j in range(H):
                out[a + j] = flat[b + j]


@kernel
def lstm_forward_chunk(
    x, lookup, panels, first, active, reverse, tape, last, outputs, worker, n_workers
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
    worker, n_workers : int
    """
    never_inline()
    gates, c, h = tape
    B, Hp, T = h.shape[1], h.shape[2], active.shape[0] - 1
    W, VL = gates.shape[3], lanes(gates)
    D, H = panels.n_inputs, panels.n_units
    block = block_rows(B, n_workers)
    for s in range(T):
        t = T - 1 - s if reverse else s
        n, size = active[t], B * Hp
        h_prev, h_next = (t + reverse) % h.shape[0] * size, (t + 1 - reverse) % h.shape[0] * size
        c_prev, c_next = (t + reverse) % c.shape[0] * size, (t + 1 - reverse) % c.shape[0] * size
        begin = active[t + 1] if reverse else (0 if t == 0 else n)
        h_flat, c_flat = h.reshape(-1), c.reshape(-1)
        copy_rows(first.h.reshape(-1), 0, h_flat, h_prev, Hp, begin, n, block, worker, n_workers)
        copy_rows(first.c.reshape(-1), 0, c_flat, c_prev, Hp, begin, n, block, worker, n_workers)
        for p in range(gates.shape[0]):
            g = (p * gates.shape[1] + t % gates.shape[1]) * B * W
            w, i, i_row, init = p * (D + H) * W, p * W, 0, panels.bias.reshape(-1)
            if lookup.tokens.size:
                look_up(lookup, t, B, p, gates, g, n, block, worker, n_workers)
                i, i_row, init = g, W, gates.reshape(-1)
            preactivations(
                x, x.start + t * x.step, D, h, h_prev, H, panels.weights, w, init, i, i_row,
                gates, g, n, block, worker, n_workers,
            )  # fmt: skip
            for r0 in range(worker * block, n, n_workers * block):
                for r in range(r0, min(r0 + block, n)):
                    at = r * Hp + p * VL
                    cell_forward(gates, g + r * W, c, c_prev + at, c_next + at, h, h_next + at)
        end = (0 if t == 0 else n) if reverse else active[t + 1]
        copy_rows(h_flat, h_next, last.h.reshape(-1), 0, Hp, end, n, block, worker, n_workers)
        copy_rows(c_flat, c_next, last.c.reshape(-1), 0, Hp, end, n, block, worker, n_workers)
        if outputs.data.size:
            write_outputs(h, h_next, H, outputs, t, n, block, worker, n_workers)


@helper
def cell_backward(gates, g, c, c_prev, c_next, dh, dh_at, dc, dc_at):
    """One vector of units: gates to gradients of the pre-activations in place; carry dc back.

    eq: bptt-output, bptt-cell, bptt-gates.
    """
    VL = lanes(gates)
    i, f = load(gates, g), load(gates, g + VL)
    a, o = load(gates, g + 2 * VL), load(gates, g + 3 * VL)
    e, t = load(dh, dh_at), tanh(load(c, c_next))
    d = load(dc, dc_at) + e * o * (1.0 - t * t)
    store(gates, g, d * a * i * (1.0 - i))
    store(gates, g + VL, d * load(c, c_prev) * f * (1.0 - f))
    store(gates, g + 2 * VL, d * i * (1.0 - a * a))
    store(gates, g + 3 * VL, e * t * o * (1.0 - o))
    store(dc, dc_at, d * f)


@helper
def add_output_gradients(d_outputs, t, H, dh, r):
    """dh[r] += the gradient of the output of time t."""
    data, width = d_outputs.data, dh.shape[1]
    flat, a = dh.reshape(-1), d_outputs.start + t * d_outputs.step + r * d_outputs.row
    for j in range(H):
        flat[r * width + j] += data[a + j]


@kernel
def lstm_backward_chunk(
    panels_T, n_units, d_outputs, active, reverse, tape, carry, worker, n_workers
):
    """Run back through all time steps of this worker's rows; `tape.gates` become gradients.

    Parameters
    ----------
    panels_T : array, (Q, P * W, 2 * VL)
        The recurrent weights transposed, in panels of 2 * VL of the H columns.
    n_units : int
        H.
    d_outputs : Rows
        Gradients of the outputs; an empty array: zero.
    active, reverse
        As in the forward pass.
    tape : Tape
        What the forward pass kept.
    carry : Carry
        dh (B, Hq) and dc (B, Hp): of the final state on entry, of the initial state on return.
    worker, n_workers : int
    """
    never_inline()
    gates, c = tape.gates, tape.c
    P, _, B, W = gates.shape
    T, Hp, VL = active.shape[0] - 1, c.shape[2], lanes(gates)
    dh, dc = carry.h, carry.c
    Q, _, wide = panels_T.shape
    Hq, block = dh.shape[1], block_rows(B, n_workers)
    zeros = np.zeros(wide, dh.dtype)
    for s in range(T):
        t = s if reverse else T - 1 - s
        n, size = active[t], B * Hp
        prev, this = (t + reverse) * size, (t + 1 - reverse) * size
        for r0 in range(worker * block, n, n_workers * block):
            for r in range(r0, min(r0 + block, n)):
                if d_outputs.data.size:
                    add_output_gradients(d_outputs, t, n_units, dh, r)
                for p in range(P):
                    g, at = ((p * T + t) * B + r) * W, r * Hp + p * VL
                    cell_backward(gates, g, c, prev + at, this + at, dh, r * Hq + p * VL, dc, at)
        for q in range(Q):
            for r in range(worker * block, n, n_workers * block):
                panel_rows(
                    zeros, 0, 0, gates, (t * B + r) * W, W, T * B * W, W, P,
                    panels_T, q * P * W * wide, dh, r * Hq + q * wide, Hq, min(block, n - r),
                )  # fmt: skip


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
    P, T, B, W = d_gates.shape
    D, H = grads.n_inputs, grads.n_units
    wide, x_size = W // 2, packed_size(D)
    packed = np.empty(x_size + packed_size(H), d_gates.dtype)
    t = 0
    while t < T:
        stop = next_run(active, t)
        rows = active[t] * (stop - t)
        for m in range(0, rows, RUN):
            n, g = min(RUN, rows - m), t * B * W + m * W
            pack_columns(x.data, x.start + t * x.step + m * x.row, x.row, n, D, packed, 0)
            pack_columns(h.data, h.start + t * h.step + m * h.row, h.row, n, H, packed, x_size)
            for u in range(worker, 2 * P, n_workers):
                b, c = g + u // 2 * T * B * W + u % 2 * wide, u * (D + H) * wide
                outer_product(packed, 0, D, d_gates, b, W, n, grads.weights, c)
                c += D * wide
                outer_product(packed, x_size, H, d_gates, b, W, n, grads.weights, c)
        t = stop
    ones = np.ones(1, d_gates.dtype)
    for p in range(worker, P, n_workers):
        for t in range(T):
            g = (p * T + t) * B * W
            tile_1x2(
                grads.bias, p * W, 0, ones, 0, 0, 0, 0, d_gates, g, W, active[t], 1,
                grads.bias, p * W, 0,
            )  # fmt: skip
