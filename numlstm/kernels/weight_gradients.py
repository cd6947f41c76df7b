"""Gradients of weights: sums of outer products over all rows and steps of a batch.

The columns of the left matrix are packed, the right one is read two vectors at a time, and each
panel of the result belongs to one worker, which sums it in the order (t, row): any number of
workers gives the same bits.
"""

from numlstm.kernels._jit import helper, kernel
from numlstm.kernels.checks import is_zero
from numlstm.kernels.products import (
    SHORT_ROWS,
    ZERO,
    next_run,
    short_tiles,
    tile_1,
    tile_2,
    tile_4,
    tile_full,
    tile_short,
)
from numlstm.kernels.simd import (
    TILE_ROWS,
    flush_denormals,
    lanes,
    load,
    make_copy,
    never_inline,
    request,
    restore_denormals,
    splat,
    store,
)
from numlstm.kernels.vectors import copy_vectors

copy_tile_row, copy_short_row = make_copy(TILE_ROWS), make_copy(SHORT_ROWS)

RUN = 512  # rows of a sum per pass: RUN x 2 vectors stay in the nearest caches


@helper
def pack_columns(A, a, row, n, count, packed, first, at, n_short):
    """Copy A[n, count] to columns first .. first + count of tiles (tiles, RUN, TILE_ROWS).

    They become rows at .. at + n of each tile; the first `n_short` tiles have SHORT_ROWS columns. A
    column of a wide matrix touches a new page at every row; a packed tile is read in order.
    """
    column, stop = first, first + count
    while column < stop:
        short = column < n_short * SHORT_ROWS
        width, k = (SHORT_ROWS, column) if short else (TILE_ROWS, column + n_short)
        tile, place = k // width, k % width
        source, target = a + column - first, (tile * RUN + at) * TILE_ROWS + place
        if place > 0 or stop - column < width:
            for m in range(n):
                packed[target + m * TILE_ROWS] = A[source + m * row]
            column += 1
            continue
        for m in range(n):
            if short:
                copy_short_row(A, source + m * row, packed, target + m * TILE_ROWS)
            else:
                copy_tile_row(A, source + m * row, packed, target + m * TILE_ROWS)
        column += width


@helper
def outer_product(packed, count, B, b, b_k, n, following, C, c):
    """C[count, 2 * VL] += A[n, count].T @ B[n, 2 * VL] with A's columns packed in tiles at 0.

    B's next panel, at `following`, is requested meanwhile, each tile its share: else the first tile
    waits for memory.
    """
    never_inline()
    wide, K, at = 2 * lanes(C), TILE_ROWS, ZERO
    share, m = n * TILE_ROWS // max(1, count) + 1, ZERO
    n_short = short_tiles(count)
    while n_short > 0 or count >= TILE_ROWS:
        for _ in range(min(share, n - m)):
            request(B, following + m * b_k)
            m += 1
        if n_short > 0:
            tile_short(C, c, wide, packed, at, 1, K, 0, B, b, b_k, n, 1, C, c, wide)
            c, count, n_short = c + SHORT_ROWS * wide, count - SHORT_ROWS, n_short - 1
        else:
            tile_full(C, c, wide, packed, at, 1, K, 0, B, b, b_k, n, 1, C, c, wide)
            c, count = c + TILE_ROWS * wide, count - TILE_ROWS
        at += RUN * TILE_ROWS
    if count >= 4:
        tile_4(C, c, wide, packed, at, 1, K, 0, B, b, b_k, n, 1, C, c, wide)
        at, c, count = at + 4, c + 4 * wide, count - 4
    if count >= 2:
        tile_2(C, c, wide, packed, at, 1, K, 0, B, b, b_k, n, 1, C, c, wide)
        at, c, count = at + 2, c + 2 * wide, count - 2
    if count == 1:
        tile_1(C, c, wide, packed, at, 1, K, 0, B, b, b_k, n, 1, C, c, wide)


def packed_size(count):
    """Return the elements that `pack_columns` needs for `count` columns, or more."""
    return (-(-count // TILE_ROWS) + 1) * TILE_ROWS * RUN


@helper
def add_row_sums(B, b, row, n, sums, at):
    """sums[at:] += B[n, 2 * VL] summed over rows: in four parts, in one order."""
    VL = lanes(sums)
    for half in range(0, 2 * VL, VL):
        s0, s1 = load(sums, at + half), splat(sums, 0.0)
        s2, s3 = splat(sums, 0.0), splat(sums, 0.0)
        left = n % 4
        for m in range(0, n - left, 4):
            place = b + half + m * row
            s0, s1 = s0 + load(B, place), s1 + load(B, place + row)
            s2, s3 = s2 + load(B, place + 2 * row), s3 + load(B, place + 3 * row)
        for m in range(n - left, n):
            s0 = s0 + load(B, b + half + m * row)
        store(sums, at + half, (s0 + s1) + (s2 + s3))


@helper
def pack_run(x, h, active, d, D, H, t, row, end, packed, places, counts):
    """Pack the columns of x and h of the next RUN rows before time `end`, from row `row` of t on.

    Rows follow in the order (t, row). Where rows have ended there are gaps between steps: `places`
    and `counts` get where each piece of d without a gap begins, and its rows. Returns the number of
    pieces, the rows of all, and the t and row to go on from.
    """
    n_short = short_tiles(D + H)
    n = pieces = ZERO
    while n < RUN and t < end and active[t] > 0:
        stop = min(end, next_run(active, t))
        size = active[t] * (stop - t)
        rows = min(RUN - n, size - row)
        a, b = x.start + t * x.step + row * x.row, h.start + t * h.step + row * h.row
        pack_columns(x.data, a, x.row, rows, D, packed, ZERO, n, n_short)
        pack_columns(h.data, b, h.row, rows, H, packed, D, n, n_short)
        places[pieces], counts[pieces] = d.start + t * d.step + row * d.row, rows
        n, pieces, row = n + rows, pieces + 1, row + rows
        if row == size:
            t, row = stop, 0
    return pieces, n, t, row


@helper
def join_pieces(d, panel, places, counts, pieces, columns):
    """Copy two vectors of each row of all pieces to a matrix without gaps."""
    never_inline()
    at, wide = ZERO, 2 * lanes(columns)
    for k in range(pieces):
        for m in range(counts[k]):
            copy_vectors(d.data, panel + places[k] + m * d.row, columns, at, wide)
            at += wide


@kernel
def weight_gradients_chunk(
    x, D, h, H, active, d, side, apart, weights, sums, columns, packed, pieces, worker, n_workers
):
    """Add [x, h].T @ d and the sums of d over all active rows: this worker's share of the panels.

    eq: bptt-weights.

    Parameters
    ----------
    x, h : Rows
        D and H columns, time-major and without gaps; of the LSTM the inputs and the previous hidden
        states, of a dense layer the inputs alone (H = 0).
    D, H : int
    active : array of int64, (T + 1,)
    d : Rows
        Gradients of what the weights make, in panels of two vectors.
    side, apart : int
        So many panels lie side by side in a row; the next ones begin `apart` elements later.
    weights : array, (Q * (D + H) * 2 * VL,)
        Panels, added to.
    sums : array, (Q * 2 * VL,) or (0,)
        Added to.
    columns, packed : array, (>= n_workers, RUN * 2 * VL), (>= n_workers, packed_size(D + H))
    pieces : array of int64, (>= n_workers, 2, RUN)
        To work in.
    worker, n_workers : int
    """
    never_inline()
    columns, packed, pieces = columns[worker], packed[worker], pieces[worker]
    denormals = flush_denormals()
    K, wide, places, counts = D + H, 2 * lanes(weights), pieces[0], pieces[1]
    T, t, row = active.shape[0] - 1, ZERO, ZERO
    n_panels = weights.size // (K * wide)
    # Hidden states of zeros, before the first step of most sequences, add nothing.
    fresh = H > 0 and is_zero(h.data, h.start, active[0] * h.row)
    while t < T and active[t] > 0:
        used, end = (ZERO, 1) if fresh and t == 0 else (H, T)
        n_pieces, n, t, row = pack_run(
            x, h, active, d, D, used, t, row, end, packed, places, counts
        )  # fmt: skip
        for q in range(n_panels * worker // n_workers, n_panels * (worker + 1) // n_workers):
            panel = q // side * apart + q % side * wide
            right, b, b_k = d.data, panel + places[0], d.row
            if n_pieces > 1:
                right, b, b_k = columns, ZERO, wide
                join_pieces(d, panel, places, counts, n_pieces, columns)
            following = b + wide if (q + 1) % side else b + apart - (side - 1) * wide
            following = following if q + 1 < n_panels else b
            outer_product(packed, D + used, right, b, b_k, n, following, weights, q * K * wide)
            if sums.size:
                add_row_sums(right, b, b_k, n, sums, q * wide)
    restore_denormals(denormals)
