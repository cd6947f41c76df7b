"""Pre-activations of one panel of units: the products of inputs and hidden states in one tile."""

from numlstm.kernels._jit import helper
from numlstm.kernels.products import CUT_ROWS, ONE, SHORT_ROWS, ZERO, rows_left_over, short_tiles
from numlstm.kernels.simd import (
    TILE_ROWS,
    VECTOR_BYTES,
    lanes,
    make_far_pair,
    make_tile_pair,
    never_inline,
    request_write,
)

pair_full = make_tile_pair(TILE_ROWS, 2)
pair_short = make_tile_pair(SHORT_ROWS, 2)
pair_4 = make_tile_pair(4, 2)
pair_2x2 = make_tile_pair(2, 4)
pair_1x2 = make_tile_pair(1, 4)
far_full, far_short, far_4 = (make_far_pair(rows) for rows in (TILE_ROWS, SHORT_ROWS, 4))


@helper
def request_rows(gates, g, count):
    """Request the lines of `count` rows of half a panel, to be written."""
    VL = lanes(gates)
    for k in range(g, g + count * 4 * VL, 4 * VL):
        request_write(gates, k)
        request_write(gates, k + VL)


@helper
def preactivations(
    x, at, D, h, prev, H, used, weights, w, init, i, i_row, gates, g, following, first, stop
):
    """Set gates = init + x @ Wx + h @ Wh: pre-activations of one panel, rows first .. stop.

    The panel's weights, start and rows lie at w, i and g. `init` is a bias (i_row 0) or the gates
    themselves (i_row W), which then hold the rows that tokens look up. `used` is H, or 0 where the
    hidden states are zero and add nothing. Each tile requests as many rows of the next panel, which
    lies at `following`, unless that is negative.
    """
    never_inline()
    half = 2 * lanes(gates)
    W, Hp, size = 2 * half, h.shape[2], (D + H) * half
    data, row = x.data, x.row
    rows = max(ZERO, stop - first)
    short_stop = first + SHORT_ROWS * short_tiles(rows)
    for k in range(2):
        wk, ik, gk, r = w + k * size, i + k * half, g + k * half, first
        while stop - r >= 4:
            ir, xr, hr, gr = ik + r * i_row, at + r * row, prev + r * Hp, gk + r * W
            if following >= 0:
                request_rows(gates, following + k * half + r * W, min(TILE_ROWS, stop - r))
            if r < short_stop:
                pair_short(init, ir, i_row, data, xr, row, D, h, hr, Hp, used, weights, wk, 0,
                           gates, gr, W)  # fmt: skip
                r += SHORT_ROWS
            elif stop - r >= TILE_ROWS:
                pair_full(init, ir, i_row, data, xr, row, D, h, hr, Hp, used, weights, wk, 0,
                          gates, gr, W)  # fmt: skip
                r += TILE_ROWS
            else:
                pair_4(init, ir, i_row, data, xr, row, D, h, hr, Hp, used, weights, wk, 0,
                       gates, gr, W)  # fmt: skip
                r += 4
    left = rows_left_over(rows)
    r = stop - left
    ir, xr, hr, gr = i + r * i_row, at + r * row, prev + r * Hp, g + r * W
    if left >= 2:
        pair_2x2(init, ir, i_row, data, xr, row, D, h, hr, Hp, used, weights, w, size,
                 gates, gr, W)  # fmt: skip
        ir, xr, hr, gr, left = ir + 2 * i_row, xr + 2 * row, hr + 2 * Hp, gr + 2 * W, left - 2
    if left == 1:
        pair_1x2(init, ir, i_row, data, xr, row, D, h, hr, Hp, used, weights, w, size,
                 gates, gr, W)  # fmt: skip


@helper
def far_preactivations(
    x, at, D, h, prev, H, used, weights, w, init, i, i_row, gates, g, first, stop
):
    """Do what `preactivations` does, with weights that come from far.

    They arrive only while the first rows of a panel are computed, and the others wait: so the tiles
    request the next half panel, each its share. 512 units, 50 rows: a pass takes 12 to 30 % less
    time (Zen 3). In a function of its own: beside these tiles the others lose 4 to 6 %.
    """
    never_inline()
    if stop - first < CUT_ROWS:
        preactivations(x, at, D, h, prev, H, used, weights, w, init, i, i_row, gates, g, -ONE,
                       first, stop)  # fmt: skip
        return
    half = 2 * lanes(gates)
    W, Hp, size = 2 * half, h.shape[2], (D + H) * half
    data, row, rows = x.data, x.row, stop - first
    short_stop = first + SHORT_ROWS * short_tiles(rows)
    share = 2 * VECTOR_BYTES // rows + 1  # bytes for each row and step of the sum
    for k in range(2):
        wk, ik, gk, r = w + k * size, i + k * half, g + k * half, first
        following = wk + size if wk + size < weights.size else ZERO
        while r < stop:
            ir, xr, hr, gr = ik + r * i_row, at + r * row, prev + r * Hp, gk + r * W
            f = following + (r - first) * size // rows
            if r < short_stop:
                far_short(init, ir, i_row, data, xr, row, D, h, hr, Hp, used, weights, wk, f,
                          SHORT_ROWS * share, gates, gr, W)  # fmt: skip
                r += SHORT_ROWS
            elif stop - r >= TILE_ROWS:
                far_full(init, ir, i_row, data, xr, row, D, h, hr, Hp, used, weights, wk, f,
                         TILE_ROWS * share, gates, gr, W)  # fmt: skip
                r += TILE_ROWS
            else:
                far_4(init, ir, i_row, data, xr, row, D, h, hr, Hp, used, weights, wk, f,
                      4 * share, gates, gr, W)  # fmt: skip
                r += 4
