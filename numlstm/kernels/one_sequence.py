"""One layer over a batch of one row: every weight is read at every step, and used once.

So the time is that of bringing the weights to the core. Workers own panels, that is units, and meet
after every step: each keeps its share of the weights in its own cache. The inputs are multiplied
before the steps, for many steps at once, so that the steps read the recurrent weights alone. Sums
keep the order of `numlstm.kernels.lstm`, and the results their bits.

Arrays are those of `lstm`, with B = 1. In inference the gates are a ring of S < T steps.
"""

from numlstm.kernels._flat import flattened
from numlstm.kernels._jit import helper, kernel
from numlstm.kernels.bptt import input_gradients
from numlstm.kernels.cell import cell_backward, cell_forward
from numlstm.kernels.products import ONE, ZERO, Rows, panel_rows, row_times_gates, row_times_panels
from numlstm.kernels.simd import (
    flush_denormals,
    lanes,
    never_inline,
    restore_denormals,
)
from numlstm.kernels.team import join, meet, own_share, will_read, will_write
from numlstm.kernels.vectors import add_vectors, copy_vectors


@helper
def input_products(x, lookup, panels, gates, low, steps, first, stop):
    """Gates = b + x Wx of panels first .. stop at times low .. low + steps, from slot 0 on."""
    _, S, _, W = gates.shape
    wide, D = W // 2, panels.n_inputs
    size, bias, flat = (D + panels.n_units) * wide, flattened(panels.bias), flattened(gates)
    for p in range(first, stop):
        if lookup.tokens.size:
            table = flattened(lookup.table)
            for k in range(steps):
                row = lookup.tokens[low + k] * lookup.table.shape[1] + p * W
                copy_vectors(table, row, flat, (p * S + k) * W, W)
        else:
            for k in range(2):
                panel_rows(
                    bias, p * W + k * wide, ZERO, x.data, x.start + low * x.step, x.step, ZERO, D,
                    ONE, flattened(panels.weights), (2 * p + k) * size, flat,
                    p * S * W + k * wide, W, steps,
                )  # fmt: skip


@helper
def length_of(active):
    """Return the number of time steps of the only sequence."""
    T = active.shape[0] - 1
    while active[T - 1] == 0:
        T -= 1
    return T


@kernel
def lstm_forward_row_chunk(
    x, lookup, panels, first, active, reverse, tape, last, outputs, team, worker, n_workers
):
    """Run all time steps of one sequence, this worker's units.

    Parameters
    ----------
    x, lookup, panels, first, active, reverse, tape, last, outputs
        As of `lstm_forward_chunk`.
    team : array of int64
        Of `new_team`.
    worker, n_workers : int
    """
    never_inline()
    n_workers = join(team, worker, n_workers)
    if n_workers == 0:
        return
    worker = worker if n_workers > 1 else 0
    denormals = flush_denormals()
    gates, c, h, _ = tape
    P, S, _, W = gates.shape
    T, Hp, VL = length_of(active), h.shape[2], lanes(gates)
    D, H, wide = panels.n_inputs, panels.n_units, W // 2
    size = (D + H) * wide
    begin, end = own_share((P + 1) // 2, worker, n_workers)
    begin, end = 2 * begin, min(P, 2 * end)
    u, count = begin * VL, (end - begin) * VL
    wanted = max(0, min(H - u, count)) if outputs.data.size else 0
    h_flat, c_flat, flat = flattened(h), flattened(c), flattened(gates)
    weights = flattened(panels.weights)
    start = (T - 1 + reverse if reverse else 0) % h.shape[0]
    copy_vectors(flattened(first.h), u, h_flat, start * Hp + u, count)
    start = (T - 1 + reverse if reverse else 0) % c.shape[0]
    copy_vectors(flattened(first.c), u, c_flat, start * Hp + u, count)
    meet(team, worker, n_workers)
    h_next = c_next = 0
    for done in range(0, T, S):
        steps = min(S, T - done)
        low = T - done - steps if reverse else done
        input_products(x, lookup, panels, gates, low, steps, begin, end)
        for s in range(steps):
            t = low + (steps - 1 - s if reverse else s)
            h_prev, h_next = (
                (t + reverse) % h.shape[0] * Hp, (t + 1 - reverse) % h.shape[0] * Hp
            )  # fmt: skip
            c_prev, c_next = (
                (t + reverse) % c.shape[0] * Hp, (t + 1 - reverse) % c.shape[0] * Hp
            )  # fmt: skip
            pairs = (end - begin + 1) // 2
            will_write(h_flat, h_next + u, h_next + u + count, team, worker, n_workers)
            for j in range(pairs):
                # There and back: the weights used last are still in the cache.
                p = begin + 2 * (pairs - 1 - j if s % 2 else j)
                g, n = (p * S + t - low) * W, min(2, end - p)
                row_times_gates(
                    flat, g, S * W, h_flat, h_prev, H, weights, 2 * p * size + D * wide, size,
                    flat, g, S * W, n,
                )  # fmt: skip
                at = p * VL
                cell_forward(flat, g, S * W, c_flat, c_prev + at, c_next + at,
                             h_flat, h_next + at, VL, n)  # fmt: skip
            at = outputs.start + t * outputs.step + u
            meet(team, worker, n_workers)
            will_read(h_flat, h_next, h_next + Hp, n_workers)
            copy_vectors(h_flat, h_next + u, outputs.data, at, wanted)
    copy_vectors(h_flat, h_next + u, flattened(last.h), u, count)
    copy_vectors(c_flat, c_next + u, flattened(last.c), u, count)
    restore_denormals(denormals)


@kernel
def lstm_backward_row_chunk(
    panels, transposed, d_outputs, active, reverse, tape, carry, dX, team, worker, n_workers
):
    """Run back through all time steps of one sequence, this worker's units.

    Parameters
    ----------
    panels, transposed, d_outputs, active, reverse, tape, carry, dX
        As of `lstm_backward_chunk`.
    team : array of int64
        Of `new_team`.
    worker, n_workers : int
    """
    never_inline()
    n_workers = join(team, worker, n_workers)
    if n_workers == 0:
        return
    worker = worker if n_workers > 1 else 0
    denormals = flush_denormals()
    gates, c = tape.gates, tape.c
    P, T, _, W = gates.shape
    Hp, VL, wide = c.shape[2], lanes(gates), W // 2
    dh, dc, zeros = carry.h, carry.c, transposed.zeros
    begin, end = own_share(transposed.Wh.shape[0], worker, n_workers)
    u, dh_flat, flat = 2 * begin * VL, flattened(dh), flattened(gates)
    Wh, c_flat, dc_flat = flattened(transposed.Wh), flattened(c), flattened(dc)
    wanted = max(0, min(panels.n_units, 2 * end * VL) - u) if d_outputs.data.size else 0
    n_steps = length_of(active)
    for s in range(n_steps):
        t = s if reverse else n_steps - 1 - s
        prev, this = (t + reverse) * Hp, (t + 1 - reverse) * Hp
        at = d_outputs.start + t * d_outputs.step + u
        add_vectors(d_outputs.data, at, dh_flat, u, wanted)
        for p in range(2 * begin, min(P, 2 * end)):
            k = p * VL
            cell_backward(flat, (p * T + t) * W, c_flat, prev + k, this + k, dh_flat, k, dc_flat, k)
        meet(team, worker, n_workers)
        for p in range(P):
            will_read(flat, (p * T + t) * W, (p * T + t + 1) * W, n_workers)
        t_next = max(0, min(n_steps - 1, t + 1 if reverse else t - 1))
        for p in range(2 * begin, min(P, 2 * end)):
            g = (p * T + t_next) * W
            will_write(flat, g, g + W, team, worker, n_workers)
        groups = (end - begin + 3) // 4
        for j in range(groups):
            q = begin + 4 * (groups - 1 - j if s % 2 else j)
            row_times_panels(
                zeros, ZERO, ZERO, flat, t * W, T * W, W, P, Wh, q * P * W * wide,
                dh_flat, q * wide, min(4, end - q),
            )  # fmt: skip
    if dX.data.size:
        steps = gates.reshape(P, 1, T, W)
        target = Rows(dX.data, dX.start, 0, dX.step)
        low, stop = own_share(n_steps, worker, n_workers)
        input_gradients(panels, transposed.Wx, steps, ZERO, target, reverse, zeros, low, stop, None)
    restore_denormals(denormals)
