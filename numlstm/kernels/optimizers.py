"""Steps of the optimisers over one flat vector of parameters, and the norm that clips gradients."""

import math

from numlstm.kernels._jit import kernel

BLOCK = 1024  # the norm is a sum of block sums, in one order


@kernel
def global_norm(gradient):
    """Return the Euclidean norm, summed in float64. eq: global-norm."""
    total = 0.0
    for start in range(0, gradient.shape[0], BLOCK):
        part = 0.0
        for k in range(start, min(start + BLOCK, gradient.shape[0])):
            g = float(gradient[k])
            part += g * g
        total += part
    return math.sqrt(total)


@kernel
def adam_step(p, g, m, v, scale, rate, beta1, beta2, eps, t, first, stop):
    """Update p[first:stop] and its moments. eq: adam-moments, adam-bias, adam-update.

    Kingma & Ba (2015), Algorithm 1. `scale` multiplies the gradient (clipping); `t` counts from 1.
    """
    one = p.dtype.type(1)
    scale, rate, eps = p.dtype.type(scale), p.dtype.type(rate), p.dtype.type(eps)
    b1, b2 = p.dtype.type(beta1), p.dtype.type(beta2)
    m_fix = p.dtype.type(1 / (1 - beta1**t))
    v_fix = p.dtype.type(1 / (1 - beta2**t))
    for k in range(first, stop):
        d = g[k] * scale
        m[k] = b1 * m[k] + (one - b1) * d
        v[k] = b2 * v[k] + (one - b2) * d * d
        p[k] -= rate * (m[k] * m_fix) / (math.sqrt(v[k] * v_fix) + eps)


@kernel
def momentum_step(p, g, m, scale, rate, momentum, first, stop):
    """Update p[first:stop] by gradient descent with momentum (Polyak 1964)."""
    scale, rate = p.dtype.type(scale), p.dtype.type(rate)
    momentum = p.dtype.type(momentum)
    for k in range(first, stop):
        m[k] = momentum * m[k] - rate * (g[k] * scale)
        p[k] += m[k]
