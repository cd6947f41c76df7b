"""Vector registers for Numba: a vector type, and the register-tile product.

Numba leaves vectorization to LLVM, which is not enough for a matrix product (43-64 against 101-109
GFLOP/s on one Zen 4 core) and not certain for a cell update. So a vector is a type of its own here:
``load`` reads one register, ``+ - * /`` work lane by lane, ``store`` writes it back. With
``NUMBA_DISABLE_JIT=1`` the same kernels run on NumPy slices, for debugging and line coverage.

Positions and strides count elements of C-contiguous arrays of any number of dimensions.
"""

import platform

from numba import config

from numlstm.kernels._jit import VECTOR_BYTES

# The accumulators of a tile of TILE_ROWS x 2 vectors, two vectors of weights and one scalar must
# fit the registers: 32 with AVX-512 and NEON, 16 with AVX2 and SSE.
TILE_ROWS = 8 if VECTOR_BYTES == 64 or platform.machine() in ("aarch64", "arm64") else 6

if config.DISABLE_JIT:
    from numlstm.kernels._simd_python import (
        clip,
        exponent_from_low_bits,
        flush_denormals,
        fma,
        is_double,
        lanes,
        load,
        make_copy,
        make_far_blocks,
        make_far_pair,
        make_quarter,
        make_tile_blocks,
        make_tile_pair,
        make_tile_row,
        maximum,
        never_inline,
        reduce_add,
        reduce_max,
        request,
        request_write,
        restore_denormals,
        splat,
        sqrt,
        store,
    )
else:
    from numlstm.kernels._requests_llvm import request, request_write
    from numlstm.kernels._simd_llvm import (
        clip,
        exponent_from_low_bits,
        flush_denormals,
        fma,
        is_double,
        lanes,
        load,
        make_copy,
        make_quarter,
        maximum,
        never_inline,
        reduce_add,
        reduce_max,
        restore_denormals,
        splat,
        sqrt,
        store,
    )
    from numlstm.kernels._tiles_llvm import (
        make_far_blocks,
        make_far_pair,
        make_tile_blocks,
        make_tile_pair,
        make_tile_row,
    )

__all__ = [
    "TILE_ROWS",
    "VECTOR_BYTES",
    "clip",
    "exponent_from_low_bits",
    "flush_denormals",
    "fma",
    "is_double",
    "lanes",
    "load",
    "make_copy",
    "make_far_blocks",
    "make_far_pair",
    "make_quarter",
    "make_tile_blocks",
    "make_tile_pair",
    "make_tile_row",
    "maximum",
    "never_inline",
    "reduce_add",
    "reduce_max",
    "request",
    "request_write",
    "restore_denormals",
    "splat",
    "sqrt",
    "store",
]
