"""A few rows through all layers in one call: for streams, step by step, and for short sequences.

On one thread, since a step of a small model is microseconds, and a call from Python or a meeting of
threads costs as much; but `run_row_chunk` shares one row of large layers.
"""

from numlstm.kernels._flat import flattened
from numlstm.kernels._jit import helper, kernel
from numlstm.kernels.cell import cell_forward
from numlstm.kernels.checks import is_finite
from numlstm.kernels.preactivations import preactivations
from numlstm.kernels.products import ONE, ZERO, Rows, row_times_gates
from numlstm.kernels.simd import flush_denormals, lanes, never_inline, restore_denormals
from numlstm.kernels.tail import pack_tail, tail_cell, tail_preactivations
from numlstm.kernels.team import join, learn, make_known, meet, own_share, will_read, will_write
from numlstm.kernels.vectors import copy_vectors

WORTH_PACKING = 8  # steps, before the last units of a layer get weights of their own


@helper
def step_layer(parameters, place, H, x, at, row, h, prev, after, c, c_at, gates, tail, tail_at):
    """Advance one layer: h[prev] and c[c_at] to h[after] and c[c_at].

    `place` holds where weights and bias begin in `parameters`, and the number of inputs D. Inputs
    of row r lie at ``x[at + r * row]``; h (.., B, Hp). The last units' weights are at `tail_at` of
    `tail`, or in their panel where that is negative.
    """
    if h.shape[2] == 1:
        P = h.shape[3] // lanes(gates)
        step_row(parameters, place, H, x, at, h, prev, after, c, c_at, gates, ZERO, ZERO, P)
        return
    w0, b0, D = place
    B, Hp = h.shape[2], h.shape[3]
    W, VL = gates.shape[3], lanes(gates)
    steps, rows = h.reshape(-1, B, Hp), Rows(x, 0, 0, row)
    room, cells, hidden = flattened(gates), flattened(c), flattened(h)
    P = Hp // VL if tail_at < 0 else H // VL
    for p in range(P):
        preactivations(
            rows, at, D, steps, prev, H, H, parameters, w0 + p * (D + H) * W, parameters,
            b0 + p * W, ZERO, gates, ZERO, -ONE, ZERO, B,
        )  # fmt: skip
        cell = c_at + p * VL
        cell_forward(room, ZERO, W, cells, cell, cell, hidden, after + p * VL, Hp, B)
    if tail_at >= 0:
        tail_preactivations(rows, at, D, steps, prev, H, tail, tail_at, room, B)
        tail_cell(room, cells, c_at + P * VL, hidden, after + P * VL, Hp, B)


@helper
def step_row(parameters, place, H, x, at, h, prev, after, c, c_at, gates, g, first, stop):
    """Advance panels first .. stop of one layer for one row.

    Two at once, whose gates are kept in `gates` from g on.
    """
    w0, b0, D = place
    W, VL = gates.shape[3], lanes(gates)
    size = (D + H) * W // 2
    room, cells, hidden = flattened(gates), flattened(c), flattened(h)
    for p in range(first, stop, 2):
        n, w = min(2, stop - p), w0 + 2 * p * size
        row_times_gates(parameters, b0 + p * W, W, x, at, D, parameters, w, size, room, g, W, n)
        w += D * W // 2
        row_times_gates(room, g, W, hidden, prev, H, parameters, w, size, room, g, W, n)
        cell = c_at + p * VL
        cell_forward(room, g, W, cells, cell, cell, hidden, after + p * VL, VL, n)


@helper
def load_states(states, target, stride, width):
    """Copy (n_layers, B, H) to rows of flat `target`, `width` apart, and layers `stride` apart."""
    n_layers, B, H = states.shape
    source = flattened(states)
    for layer in range(n_layers):
        for r in range(B):
            copy_vectors(source, (layer * B + r) * H, target, layer * stride + r * width, H)


@helper
def save_states(source, s, stride, width, states):
    """Copy what `load_states` has loaded back to (n_layers, B, H), from position s on."""
    n_layers, B, H = states.shape
    target = flattened(states)
    for layer in range(n_layers):
        for r in range(B):
            copy_vectors(source, s + layer * stride + r * width, target, (layer * B + r) * H, H)


@kernel
def run_steps(parameters, layers, x, state_h, state_c, h, c, gates, tails, outputs, new_h, new_c):
    """Run all layers over all steps; return False, and write no result, for input not finite.

    Parameters
    ----------
    parameters : array, (n,)
        Packed weights of all layers.
    layers : array of int64, (n_layers, 3)
        Where weights and bias of each layer begin, and its number of inputs.
    x : array, (B, T, D)
    state_h, state_c : array, (n_layers, B, H)
        State before the first step.
    h, c, gates : array, (n_layers, 2, B, Hp), (n_layers, B, Hp), (>= 2, 1, B, W)
        Room to work. The padding of h and c is zero and stays so.
    tails : array, (n_layers, (D + H + 1) * VL) or (n_layers, 0)
        Room for the weights of the last units, with the largest D; zeros where nothing is written.
    outputs : array, (B, T, H)
        Written: the outputs of the last layer.
    new_h, new_c : array, (n_layers, B, H)
        Written: the state after the last step.
    """
    never_inline()
    x_flat, h_flat, c_flat, out = flattened(x), flattened(h), flattened(c), flattened(outputs)
    if not is_finite(x_flat):
        return False
    if not (is_finite(flattened(state_h)) and is_finite(flattened(state_c))):
        return False
    denormals = flush_denormals()
    T, D = x.shape[1], x.shape[2]
    n_layers, B, H = state_h.shape
    Hp = h.shape[3]
    size = B * Hp
    load_states(state_h, h_flat, 2 * size, Hp)
    load_states(state_c, c_flat, size, Hp)
    packed, VL, n_tail = tails.size > 0 and T >= WORTH_PACKING, lanes(gates), tails.shape[1]
    tail = flattened(tails)
    for layer in range(n_layers if packed else 0):
        (w0, b0, inputs), p = layers[layer], H // VL
        pack_tail(parameters, w0 + p * (inputs + H) * 4 * VL, b0 + p * 4 * VL, inputs + H, H % VL,
                  tail, layer * n_tail)  # fmt: skip
    for t in range(T):
        data, at, row = x_flat, t * D, T * D
        for layer in range(n_layers):
            prev, after = (2 * layer + t % 2) * size, (2 * layer + 1 - t % 2) * size
            step_layer(
                parameters, layers[layer], H, data, at, row, h, prev, after, c, layer * size, gates,
                tail, layer * n_tail if packed else -ONE,
            )  # fmt: skip
            data, at, row = h_flat, after, Hp
        for r in range(B):
            copy_vectors(h_flat, at + r * Hp, out, (r * T + t) * H, H)
    save_states(h_flat, T % 2 * size, 2 * size, Hp, new_h)
    save_states(c_flat, 0, size, Hp, new_c)
    restore_denormals(denormals)
    return True


@kernel
def run_row_chunk(
    parameters, layers, x, state_h, state_c, h, c, gates, outputs, new_h, new_c, done, team, worker,
    n_workers,
):  # fmt: skip
    """Do what `run_steps` does for one row, this worker's units: for layers of many weights.

    Every weight is read at every step, and used once: two cores read twice as fast. Workers own
    panels, as in `one_sequence`, and meet after each layer.

    Parameters
    ----------
    parameters, layers, x, state_h, state_c, h, c, outputs, new_h, new_c
        As of `run_steps`, with B = 1.
    gates : array, (>= 2 * n_workers, 1, 1, W)
        Room to work.
    done : array of int64, (1,)
        Set to 1; not written, as all others, for input not finite.
    team : array of int64
        Of `new_team`.
    worker, n_workers : int
    """
    never_inline()
    n_workers = join(team, worker, n_workers)
    if n_workers == 0:
        return
    worker = worker if n_workers > 1 else 0
    x_flat, h_flat, c_flat, out = flattened(x), flattened(h), flattened(c), flattened(outputs)
    before_h, before_c = flattened(state_h), flattened(state_c)
    # One decides for all: what another thread of Python's is writing may look different to each,
    # and who goes home would be waited for.
    finite = False
    if worker == 0:
        finite = is_finite(x_flat) and is_finite(before_h) and is_finite(before_c)
    if n_workers > 1:
        if worker == 0:
            make_known(team, 0, 1 if finite else 0)
        else:
            finite = learn(team, 0) == 1
    if not finite:
        return
    denormals = flush_denormals()
    (_, T, D), (n_layers, _, H) = x.shape, state_h.shape
    VL, W, Hp = lanes(gates), gates.shape[3], h.shape[3]
    P, g = Hp // VL, 2 * worker * W
    begin, end = own_share((P + 1) // 2, worker, n_workers)
    begin, end = 2 * begin, min(P, 2 * end)
    u, count = begin * VL, min(H, end * VL) - begin * VL
    for layer in range(n_layers):
        copy_vectors(before_h, layer * H + u, h_flat, 2 * layer * Hp + u, count)
        copy_vectors(before_c, layer * H + u, c_flat, layer * Hp + u, count)
    meet(team, worker, n_workers)
    for t in range(T):
        data, at = x_flat, t * D
        for layer in range(n_layers):
            prev, after = (2 * layer + t % 2) * Hp, (2 * layer + 1 - t % 2) * Hp
            will_write(h_flat, after + u, after + u + count, team, worker, n_workers)
            step_row(parameters, layers[layer], H, data, at, h, prev, after, c, layer * Hp, gates,
                     g, begin, end)  # fmt: skip
            meet(team, worker, n_workers)
            will_read(h_flat, after, after + Hp, n_workers)
            data, at = h_flat, after
        copy_vectors(h_flat, at + u, out, t * H + u, count)
    for layer in range(n_layers):
        last = (2 * layer + T % 2) * Hp
        copy_vectors(h_flat, last + u, flattened(new_h), layer * H + u, count)
        copy_vectors(c_flat, layer * Hp + u, flattened(new_c), layer * H + u, count)
    if worker == 0:
        done[0] = 1
    restore_denormals(denormals)
