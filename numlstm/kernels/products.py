"""Matrix products on packed panels: rows times panels.

A panel is a contiguous (K, 2 * VL) block of a matrix: two vectors wide, the columns of one register
tile. How rows are cut into tiles and shared among threads never changes a sum: each output element
is accumulated by one thread in the order of k.
"""

from typing import NamedTuple

import numpy as np

from numlstm.kernels._flat import flattened
from numlstm.kernels._jit import helper, kernel
from numlstm.kernels.simd import (
    TILE_ROWS,
    VECTOR_BYTES,
    lanes,
    make_far_blocks,
    make_tile_blocks,
    make_tile_row,
    never_inline,
)

SHORT_ROWS = TILE_ROWS - 1  # of a second size of tile; see `short_tiles`
CUT_ROWS = 18  # so many rows and more can always be cut without a rest

tile_full = make_tile_blocks(TILE_ROWS, 1)
tile_short = make_tile_blocks(SHORT_ROWS, 1)
tile_4 = make_tile_blocks(4, 1)
tile_2 = make_tile_blocks(2, 1)
tile_1 = make_tile_blocks(1, 1)
tile_2x2, tile_1x2 = make_tile_blocks(2, 2), make_tile_blocks(1, 2)
far_full, far_short, far_4 = (make_far_blocks(rows) for rows in (TILE_ROWS, SHORT_ROWS, 4))
row_4, row_2, row_1 = make_tile_row(4), make_tile_row(2), make_tile_row(1)

SUPER_ROWS = 8 * TILE_ROWS  # rows that stay in L2 while every panel of the weights passes by
# Literals as arguments would make Numba compile a helper once more; so would arrays of another
# number of dimensions, which is why products take flat ones.
ZERO, ONE = np.int64(0), np.int64(1)


class Rows(NamedTuple):
    """Sequences in memory: element j of row r at time t is ``data[start + t*step + r*row + j]``."""

    data: np.ndarray
    start: int
    step: int
    row: int


@helper
def short_tiles(rows):
    """Return how many tiles of SHORT_ROWS rows to cut, so that full ones leave 0, 4 or 2 over.

    Or 0 where there are too few rows for that. 32 rows in tiles of 6 leave two, which take almost
    as long as a tile; 4 * 5 + 2 * 6 leave none: 93 against 87 % of the peak (AVX2). Seven leave
    one, which takes as long as two; 5 + 2 do not.
    """
    for left in (0, 4, 2):
        short = (TILE_ROWS + left - rows) % TILE_ROWS
        if short * SHORT_ROWS + left <= rows:
            return short
    return ZERO


@helper
def rows_left_over(rows):
    """Return how many rows neither full and short tiles nor one of four take: 0 to 3."""
    return (rows - SHORT_ROWS * short_tiles(rows)) % TILE_ROWS % 4


@helper
def panel_rows(init, i, i_row, A, a, a_row, a_block, K, n_blocks, B, b, C, c, c_row, rows):
    """C[rows] = init + sum over blocks of A[rows] @ B, for one panel B of two vectors width."""
    never_inline()
    wide = 2 * lanes(C)
    for _ in range(short_tiles(rows)):
        tile_short(init, i, i_row, A, a, a_row, 1, a_block, B, b, wide, K, n_blocks, C, c, c_row)
        i, a, c = i + SHORT_ROWS * i_row, a + SHORT_ROWS * a_row, c + SHORT_ROWS * c_row
        rows -= SHORT_ROWS
    while rows >= TILE_ROWS:
        tile_full(init, i, i_row, A, a, a_row, 1, a_block, B, b, wide, K, n_blocks, C, c, c_row)
        i, a, c = i + TILE_ROWS * i_row, a + TILE_ROWS * a_row, c + TILE_ROWS * c_row
        rows -= TILE_ROWS
    if rows >= 4:
        tile_4(init, i, i_row, A, a, a_row, 1, a_block, B, b, wide, K, n_blocks, C, c, c_row)
        i, a, c, rows = i + 4 * i_row, a + 4 * a_row, c + 4 * c_row, rows - 4
    if rows >= 2:
        tile_2(init, i, i_row, A, a, a_row, 1, a_block, B, b, wide, K, n_blocks, C, c, c_row)
        i, a, c, rows = i + 2 * i_row, a + 2 * a_row, c + 2 * c_row, rows - 2
    if rows == 1:
        tile_1(init, i, i_row, A, a, a_row, 1, a_block, B, b, wide, K, n_blocks, C, c, c_row)


@helper
def rows_times_panels(
    init, i, i_row, i_panel, A, a, a_row, a_block, K, n_blocks, B, b, Q, C, c, c_row, rows
):
    """C[rows] = init + sum over blocks of A[rows] @ B, for Q panels of B, which follow each other.

    `i_panel` is the stride of panels in init, or 0 for one start for all, which then holds two. The
    last one to three rows take two panels at once: too few sums for one to hide their latency.
    """
    never_inline()
    wide, rows = 2 * lanes(C), max(0, rows)
    size, left = n_blocks * K * wide, rows_left_over(rows)
    for q in range(Q):
        panel_rows(init, i + q * i_panel, i_row, A, a, a_row, a_block, K, n_blocks,
                   B, b + q * size, C, c + q * wide, c_row, rows - left)  # fmt: skip
    i, a, c = i + (rows - left) * i_row, a + (rows - left) * a_row, c + (rows - left) * c_row
    for q in range(0, Q if left else 0, 2):
        iq, bq, cq = i + q * i_panel, b + q * size, c + q * wide
        if Q - q == 1:
            panel_rows(init, iq, i_row, A, a, a_row, a_block, K, n_blocks, B, bq, C, cq, c_row,
                       left)  # fmt: skip
            continue
        if left >= 2:
            tile_2x2(init, iq, i_row, A, a, a_row, 1, a_block, B, bq, wide, K, n_blocks,
                     C, cq, c_row)  # fmt: skip
        if left % 2:
            k = left - 1
            tile_1x2(init, iq + k * i_row, i_row, A, a + k * a_row, a_row, 1, a_block, B, bq, wide,
                     K, n_blocks, C, cq + k * c_row, c_row)  # fmt: skip


@helper
def far_rows_times_panels(
    init, i, i_row, i_panel, A, a, a_row, a_block, K, n_blocks, B, b, Q, C, c, c_row, rows
):
    """Do what `rows_times_panels` does, with a B that comes from far.

    It arrives only while the first rows of a panel are computed, and the others wait: so the tiles
    request the next panel, each its share. The way back through 512 units, 50 rows, takes 7 to 20 %
    less time (Zen 3).
    """
    never_inline()
    if rows < CUT_ROWS:
        rows_times_panels(init, i, i_row, i_panel, A, a, a_row, a_block, K, n_blocks, B, b, Q, C, c,
                          c_row, rows)  # fmt: skip
        return
    wide = 2 * lanes(C)
    size, short_stop = n_blocks * K * wide, SHORT_ROWS * short_tiles(rows)
    share = 2 * VECTOR_BYTES // rows + 1  # bytes for each row and step of the sum
    for q in range(Q):
        iq, bq, cq = i + q * i_panel, b + q * size, c + q * wide
        following, r = b + (q + 1) % Q * size, 0
        while r < rows:
            ir, ar, cr = iq + r * i_row, a + r * a_row, cq + r * c_row
            f = following + r * size // rows
            if r < short_stop:
                far_short(init, ir, i_row, A, ar, a_row, 1, a_block, B, bq, wide, K, n_blocks,
                          f, SHORT_ROWS * share, C, cr, c_row)  # fmt: skip
                r += SHORT_ROWS
            elif rows - r >= TILE_ROWS:
                far_full(init, ir, i_row, A, ar, a_row, 1, a_block, B, bq, wide, K, n_blocks,
                         f, TILE_ROWS * share, C, cr, c_row)  # fmt: skip
                r += TILE_ROWS
            else:
                far_4(init, ir, i_row, A, ar, a_row, 1, a_block, B, bq, wide, K, n_blocks,
                      f, 4 * share, C, cr, c_row)  # fmt: skip
                r += 4


@helper
def row_times_panels(init, i, i_panel, A, a, a_block, K, n_blocks, B, b, C, c, count):
    """C = init + sum over blocks of one row of A @ B, for `count` panels of B and C.

    Panels follow each other; `i_panel` is their stride in init, or 0 for one start for all, which
    then holds two panels.
    """
    wide = 2 * lanes(C)
    block, q = n_blocks * K * wide, 0
    while count - q >= 4:
        row_4(init, i, 2 * i_panel, A, a, a_block, K, n_blocks, B, b, block, C, c, 2 * wide)
        i, b, c, q = i + 4 * i_panel, b + 4 * block, c + 4 * wide, q + 4
    if count - q >= 2:
        row_2(init, i, 2 * i_panel, A, a, a_block, K, n_blocks, B, b, block, C, c, 2 * wide)
        i, b, c, q = i + 2 * i_panel, b + 2 * block, c + 2 * wide, q + 2
    if count - q == 1:
        row_1(init, i, 2 * i_panel, A, a, a_block, K, n_blocks, B, b, block, C, c, 2 * wide)


@helper
def row_times_gates(init, i, i_panel, a, at, K, B, b, b_half, gates, g, g_panel, count):
    """Gates = init + one row of `a` @ B: the gates of one or two panels of units."""
    if count == 2:
        row_4(init, i, i_panel, a, at, 0, K, 1, B, b, b_half, gates, g, g_panel)
    else:
        row_2(init, i, i_panel, a, at, 0, K, 1, B, b, b_half, gates, g, g_panel)


@helper
def next_run(active, t):
    """Return the time step after the longest run from t in which every row is still active."""
    full, stop = active[0], t + 1
    while active[t] == full and active[stop] == full:
        stop += 1
    return stop


@kernel
def rows_times_panels_chunk(A, a_block, K, panels, init, active, C, worker, n_workers):
    """C = init + A @ panels over all active rows, this worker's share of the rows.

    Parameters
    ----------
    A : Rows
        Its rows are cut in blocks of K elements, `a_block` apart in memory.
    a_block, K : int
    panels : array, (Q, n_blocks * K, 2 * VL)
    init, C : Rows
        Q * 2 * VL elements a row; `init` is a bias (step and row 0) or C itself. C is written.
    active : array of int64, (T + 1,)
    worker, n_workers : int
    """
    never_inline()
    Q, depth, wide = panels.shape
    T, t, unit = active.shape[0] - 1, ZERO, 0
    while t < T:
        stop = next_run(active, t)
        n = active[t] * (stop - t)
        for r in range(0, n, SUPER_ROWS):
            unit += 1
            if unit % n_workers != worker:
                continue
            rows = min(SUPER_ROWS, n - r)
            a, c = A.start + t * A.step + r * A.row, C.start + t * C.step + r * C.row
            i = init.start + t * init.step + r * init.row
            rows_times_panels(
                init.data, i, init.row, wide, A.data, a, A.row, a_block, K, depth // K,
                flattened(panels), ZERO, Q, C.data, c, C.row, rows,
            )  # fmt: skip
        t = stop
