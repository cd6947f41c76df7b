"""Runs of elements copied or added a vector at a time; LLVM's own loops over few are slow."""

from numlstm.kernels._jit import helper
from numlstm.kernels.simd import lanes, load, store


@helper
def copy_vectors(source, s, target, d, count):
    """Copy `count` elements."""
    VL = lanes(target)
    left = count % VL
    for k in range(0, count - left, VL):
        store(target, d + k, load(source, s + k))
    for k in range(count - left, count):
        target[d + k] = source[s + k]


@helper
def add_vectors(source, s, target, d, count):
    """Add `count` elements to those of the target."""
    VL = lanes(target)
    left = count % VL
    for k in range(0, count - left, VL):
        store(target, d + k, load(target, d + k) + load(source, s + k))
    for k in range(count - left, count):
        target[d + k] += source[s + k]
