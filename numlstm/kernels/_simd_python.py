"""The vector operations on NumPy slices, used when Numba's compiler is switched off."""

import numpy as np

from numlstm.kernels._jit import VECTOR_BYTES


def lanes(array):
    """Return how many elements of the array's dtype one vector holds."""
    return VECTOR_BYTES // array.itemsize


def is_double(value):
    """Return whether the array or vector holds float64."""
    return value.dtype == np.float64


def never_inline():
    """Do nothing: an instruction to the compiler."""


def flush_denormals():
    """Do nothing: denormal numbers are only slow."""
    return 0


def restore_denormals(before):
    """Do nothing, as `flush_denormals`."""


def load(array, position):
    """Return the vector at a position of a C-contiguous array."""
    return array.reshape(-1)[position : position + lanes(array)].copy()


def store(array, position, vector):
    """Write a vector to a position of a C-contiguous array."""
    array.reshape(-1)[position : position + lanes(array)] = vector


def make_copy(count):
    """Return a function that copies `count` elements at once."""

    def copy(source, s, target, d):
        target.reshape(-1)[d : d + count] = source.reshape(-1)[s : s + count]

    return copy


def make_quarter(number):
    """Return a function that returns a quarter of x, then zeros."""

    def quarter(x):
        size = len(x) // 4
        out = np.zeros_like(x)
        out[:size] = x[number * size : (number + 1) * size]
        return out

    return quarter


def splat(array, value):
    """Return a vector of the array's dtype with one value in every lane."""
    return np.full(lanes(array), value, array.dtype)


def fma(a, b, c):
    """Return a * b + c."""
    return a * b + c


def clip(x, low, high):
    """Return x limited to [low, high]; a NaN stays a NaN."""
    return np.clip(x, x.dtype.type(low), x.dtype.type(high))


def maximum(a, b):
    """Return the larger value, lane by lane."""
    return np.maximum(a, b)


def sqrt(x):
    """Return the square root, lane by lane."""
    return np.sqrt(x)


def reduce_add(x):
    """Return the sum of the lanes."""
    return x.sum()


def reduce_max(x):
    """Return the largest lane."""
    return x.max()


def exponent_from_low_bits(x):
    """Return the vector whose exponent bits are the lowest bits of x, and whose mantissa is 0."""
    kind, shift = (np.uint64, 52) if is_double(x) else (np.uint32, 23)
    return (x.view(kind) << kind(shift)).view(x.dtype)


def _add_product(C, c, c_row, rows, width, A, a, a_row, a_k, B, b, b_k, K):
    A, B, C = A.reshape(-1), B.reshape(-1), C.reshape(-1)
    for k in range(K):
        weights = B[b + k * b_k : b + k * b_k + width]
        for r in range(rows):
            C[c + r * c_row : c + r * c_row + width] += A[a + r * a_row + k * a_k] * weights


def _start(init, i, i_row, C, c, c_row, rows, width):
    source, target = init.reshape(-1), C.reshape(-1)
    for r in range(rows):
        target[c + r * c_row : c + r * c_row + width] = source[
            i + r * i_row : i + r * i_row + width
        ].copy()


def request(array, position):
    """Do nothing: memory is the machine's affair here."""


request_write = request


def make_tile_pair(rows, columns):
    """Return the pair product of `_tiles_llvm.make_tile_pair` as a plain function."""

    def tile_pair(init, i, i_row, X, x, x_row, D, S, s, s_row, H, B, b, b_half, C, c, c_row):
        width = min(columns, 2) * lanes(C)
        for half in range(max(1, columns // 2)):
            at, weights = c + half * width, b + half * b_half
            _start(init, i + half * width, i_row, C, at, c_row, rows, width)
            _add_product(C, at, c_row, rows, width, X, x, x_row, 1, B, weights, width, D)
            weights += D * width
            _add_product(C, at, c_row, rows, width, S, s, s_row, 1, B, weights, width, H)

    return tile_pair


def make_far_pair(rows):
    """Return the pair product of `_tiles_llvm.make_far_pair`, which here requests nothing."""
    pair = make_tile_pair(rows, 2)

    def far_pair(init, i, i_row, X, x, x_row, D, S, s, s_row, H, B, b, f, f_k, C, c, c_row):
        pair(init, i, i_row, X, x, x_row, D, S, s, s_row, H, B, b, 0, C, c, c_row)

    return far_pair


def make_tile_blocks(rows, halves):
    """Return the block product of `_tiles_llvm.make_tile_blocks` as a plain function."""

    def tile_blocks(init, i, i_row, A, a, a_row, a_k, a_block, B, b, b_k, K, n_blocks, C, c, c_row):
        width = 2 * lanes(C)
        for half in range(halves):
            at = c + half * width
            _start(init, i + half * width, i_row, C, at, c_row, rows, width)
            for n in range(n_blocks):
                weights = b + (half * n_blocks + n) * K * b_k
                _add_product(
                    C, at, c_row, rows, width, A, a + n * a_block, a_row, a_k, B, weights, b_k, K
                )

    return tile_blocks


def make_far_blocks(rows):
    """Return the block product of `_tiles_llvm.make_far_blocks`, which here requests nothing."""
    blocks = make_tile_blocks(rows, 1)

    def far_blocks(
        init, i, i_row, A, a, a_row, a_k, a_block, B, b, b_k, K, n_blocks, f, f_k, C, c, c_row
    ):
        blocks(init, i, i_row, A, a, a_row, a_k, a_block, B, b, b_k, K, n_blocks, C, c, c_row)

    return far_blocks


def make_tile_row(pairs):
    """Return the product of `_tiles_llvm.make_tile_row` as a plain function."""

    def tile_row(init, i, i_four, A, a, a_block, K, n_blocks, B, b, b_pair, C, c, c_four):
        width = 2 * lanes(C)
        for pair in range(pairs):
            at = c + pair // 2 * c_four + pair % 2 * width
            _start(init, i + pair // 2 * i_four + pair % 2 * width, 0, C, at, 0, 1, width)
            for n in range(n_blocks):
                weights = b + pair * b_pair + n * K * width
                _add_product(C, at, 0, 1, width, A, a + n * a_block, 0, 1, B, weights, width, K)

    return tile_row
