"""Dropout whose mask is a function of a seed and a position: nothing is stored for the way back."""

import numpy as np

from numlstm.kernels._jit import helper, kernel


@helper
def hash_bits(seed, index):
    """Return 64 well-mixed bits: the output function of SplitMix64 (Steele, Lea & Flood 2014)."""
    z = seed + np.uint64(index) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@kernel
def dropout_chunk(seed, threshold, scale, rows, width, worker, n_workers):
    """Zero the elements of rows (n, >= width) whose hash is below the threshold, scale the others.

    The element in row r, column j is number r * width + j, whatever the padding of a row.
    """
    zero, keep = rows.dtype.type(0), rows.dtype.type(scale)
    for r in range(worker, rows.shape[0], n_workers):
        for j in range(width):
            dropped = hash_bits(seed, r * width + j) < threshold
            rows[r, j] *= zero if dropped else keep
