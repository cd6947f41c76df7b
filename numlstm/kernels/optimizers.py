"""Steps of the optimisers over one flat vector of parameters, and the norm that clips gradients.

The vectors are padded to whole registers, as `numlstm.nn.weights.PanelLayout` makes them.
"""

import math

import numpy as np

from numlstm.kernels._jit import helper, kernel
from numlstm.kernels.simd import fma, lanes, load, never_inline, reduce_add, splat, sqrt, store

BLOCK = 1024  # elements whose squares are summed in the vectors' own precision


@kernel
def global_norm(gradient):
    """Return the Euclidean norm: blocks summed in lanes, their sums in float64. eq: global-norm."""
    VL, total = lanes(gradient), 0.0
    for start in range(0, gradient.shape[0], BLOCK):
        s0, s1 = splat(gradient, 0.0), splat(gradient, 0.0)
        stop = min(start + BLOCK, gradient.shape[0])
        for k in range(start, stop - VL, 2 * VL):
            a, b = load(gradient, k), load(gradient, k + VL)
            s0, s1 = fma(a, a, s0), fma(b, b, s1)
        if (stop - start) // VL % 2:
            a = load(gradient, stop - VL)
            s0 = fma(a, a, s0)
        total += float(reduce_add(s0 + s1))
    if total < np.inf:
        return math.sqrt(total)
    total = 0.0  # float32 overflows at elements that are large, but finite
    for k in range(gradient.shape[0]):
        total += np.float64(gradient[k]) ** 2  # float() of a float32 is one, to Numba
    return math.sqrt(total)


@helper
def own_range(n, VL, worker, n_workers):
    """Return a worker's share of n elements, in whole vectors."""
    return n // VL * worker // n_workers * VL, n // VL * (worker + 1) // n_workers * VL


@kernel
def adam_step_chunk(p, g, m, v, scale, rate, decay, eps, t, worker, n_workers):
    """Update a worker's share of p and its moments. eq: adam-moments, adam-bias, adam-update.

    Kingma & Ba (2015), Algorithm 1. `scale` multiplies the gradient (clipping); `decay` holds beta1
    and beta2; `t` counts from 1.
    """
    never_inline()
    VL = lanes(p)
    b1, b2 = decay
    m_fix, v_fix = 1 / (1 - b1**t), 1 / (1 - b2**t)
    first, stop = own_range(p.shape[0], VL, worker, n_workers)
    for k in range(first, stop, VL):
        d = load(g, k) * scale
        m_new = load(m, k) * b1 + d * (1 - b1)
        v_new = load(v, k) * b2 + d * d * (1 - b2)
        store(m, k, m_new)
        store(v, k, v_new)
        store(p, k, load(p, k) - m_new * m_fix * rate / (sqrt(v_new * v_fix) + eps))


@kernel
def momentum_step_chunk(p, g, m, scale, rate, momentum, worker, n_workers):
    """Update a worker's share of p by gradient descent with momentum (Polyak 1964)."""
    never_inline()
    VL = lanes(p)
    first, stop = own_range(p.shape[0], VL, worker, n_workers)
    for k in range(first, stop, VL):
        m_new = load(m, k) * momentum - load(g, k) * scale * rate
        store(m, k, m_new)
        store(p, k, load(p, k) + m_new)
