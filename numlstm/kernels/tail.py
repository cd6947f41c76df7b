"""The last units of a layer, where they would leave their panel almost empty.

With 50 units and 16 lanes the fourth panel is for two of them, and costs as much as another. Where
a quarter of the lanes is enough for them, all four gates fit into one vector: a quarter of the
products, and three activations instead of five. The sums keep their order and so their bits.
"""

from numlstm.kernels._jit import helper
from numlstm.kernels.activations import sigmoid, tanh
from numlstm.kernels.cell import next_output, next_state
from numlstm.kernels.products import SHORT_ROWS, ZERO, rows_left_over, short_tiles
from numlstm.kernels.simd import (
    TILE_ROWS,
    lanes,
    load,
    make_quarter,
    make_tile_pair,
    never_inline,
    store,
)

tail_full, tail_short, tail_4, tail_2, tail_1 = (
    make_tile_pair(rows, 1) for rows in (TILE_ROWS, SHORT_ROWS, 4, 2, 1)
)
quarter_0, quarter_1, quarter_2, quarter_3 = (make_quarter(k) for k in range(4))


@helper
def pack_tail(parameters, w, b, K, units, tail, at):
    """Copy a panel's first `units` units to (K + 1, VL): weights, then bias, by gates.

    The panel's weights (2, K, 2 * VL) lie at w, its bias (4 * VL) at b; lanes that are left over
    are not written.
    """
    never_inline()
    VL = lanes(tail)
    for gate in range(4):
        half, place = gate // 2 * K * 2 * VL, gate * (VL // 4)
        for u in range(units):
            source = w + half + gate % 2 * VL + u
            for k in range(K):
                tail[at + k * VL + place + u] = parameters[source + k * 2 * VL]
            tail[at + K * VL + place + u] = parameters[b + gate * VL + u]


@helper
def tail_preactivations(x, at, D, h, prev, H, tail, w, gates, rows):
    """Gates = b + x @ Wx + h @ Wh of the tail: a vector a row, from element 0 on."""
    never_inline()
    VL, Hp, r = lanes(gates), h.shape[2], ZERO
    i, data, row = w + (D + H) * VL, x.data, x.row
    short_stop = SHORT_ROWS * short_tiles(rows)
    left = rows_left_over(rows)
    while rows - r >= 4:
        xr, hr, gr = at + r * row, prev + r * Hp, r * VL
        if r < short_stop:
            tail_short(tail, i, ZERO, data, xr, row, D, h, hr, Hp, H, tail, w, 0, gates, gr, VL)
            r += SHORT_ROWS
        elif rows - r >= TILE_ROWS:
            tail_full(tail, i, ZERO, data, xr, row, D, h, hr, Hp, H, tail, w, 0, gates, gr, VL)
            r += TILE_ROWS
        else:
            tail_4(tail, i, ZERO, data, xr, row, D, h, hr, Hp, H, tail, w, 0, gates, gr, VL)
            r += 4
    xr, hr, gr = at + r * row, prev + r * Hp, r * VL
    if left >= 2:
        tail_2(tail, i, ZERO, data, xr, row, D, h, hr, Hp, H, tail, w, 0, gates, gr, VL)
        xr, hr, gr, left = xr + 2 * row, hr + 2 * Hp, gr + 2 * VL, left - 2
    if left == 1:
        tail_1(tail, i, ZERO, data, xr, row, D, h, hr, Hp, H, tail, w, 0, gates, gr, VL)


@helper
def tail_cell(gates, c, cell, h, after, step, rows):
    """Cell states and outputs from the tail's pre-activations; as `cell_forward` computes them."""
    never_inline()
    VL = lanes(gates)
    for r in range(rows):
        z = load(gates, r * VL)
        s, t, at = sigmoid(z), tanh(z), cell + r * step
        i, f, a, o = quarter_0(s), quarter_1(s), quarter_2(t), quarter_3(s)
        state = next_state(i, f, a, load(c, at))
        store(c, at, state)
        store(h, after + r * step, next_output(o, state))
