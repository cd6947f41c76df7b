"""Steps of the optimisers over one flat vector of parameters, and the norm that clips gradients.

The vectors are padded to whole registers, as `numlstm.nn.weights.PanelLayout` makes them.
"""

import math

import numpy as np

from numlstm.kernels._jit import helper, kernel
from numlstm.kernels.simd import fma, lanes, load, never_inline, reduce_add, splat, sqrt, store

# What a step's kernels tell each other, as places in an array of N_NUMBERS float64: the learning
# rate, the largest norm of a gradient or infinity, how many steps were done, and the last norm.
RATE, CLIP, STEPS, NORM, N_NUMBERS = 0, 1, 2, 3, 4

BLOCK = 1024  # elements whose squares are summed in the vectors' own precision


@helper
def norm_of(gradient):
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


@kernel
def global_norm(gradient, loss, numbers, worker, n_workers):
    """Begin a step: write the gradient's norm to `numbers`, and count the step if it is finite.

    Where the loss (1,) is not finite, it takes the place of the norm. One worker does all.
    """
    norm = norm_of(gradient) if abs(loss[0]) < np.inf else abs(loss[0])
    numbers[NORM] = norm
    if norm < np.inf:
        numbers[STEPS] += 1


@helper
def clipping(numbers):
    """Return what a gradient is multiplied by, so that it is no longer than allowed."""
    return numbers[CLIP] / numbers[NORM] if numbers[NORM] > numbers[CLIP] else 1.0


@helper
def own_range(n, VL, worker, n_workers):
    """Return a worker's share of n elements, in whole vectors."""
    return n // VL * worker // n_workers * VL, n // VL * (worker + 1) // n_workers * VL


@kernel
def adam_step_chunk(p, g, m, v, numbers, decay, eps, worker, n_workers):
    """Update a worker's share of p and its moments. eq: adam-moments, adam-bias, adam-update.

    Kingma & Ba (2015), Algorithm 1. `numbers` as `global_norm` left them; where the norm is not
    finite, nothing changes. `decay` holds beta1 and beta2.
    """
    never_inline()
    if not numbers[NORM] < np.inf:
        return
    VL, scale, rate, t = lanes(p), clipping(numbers), numbers[RATE], int(numbers[STEPS])
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
def momentum_step_chunk(p, g, m, numbers, momentum, worker, n_workers):
    """Update a worker's share of p by gradient descent with momentum (Polyak 1964).

    `numbers` as `global_norm` left them; where the norm is not finite, nothing changes.
    """
    never_inline()
    if not numbers[NORM] < np.inf:
        return
    VL, scale, rate = lanes(p), clipping(numbers), numbers[RATE]
    first, stop = own_range(p.shape[0], VL, worker, n_workers)
    for k in range(first, stop, VL):
        m_new = load(m, k) * momentum - load(g, k) * scale * rate
        store(m, k, m_new)
        store(p, k, load(p, k) + m_new)
