"""Softmax cross-entropy with its gradient, fused: the logits are overwritten, nothing is copied."""

import math

import numpy as np

from numlstm.kernels._flat import flattened
from numlstm.kernels._jit import helper, kernel
from numlstm.kernels.activations import exp
from numlstm.kernels.simd import (
    lanes,
    load,
    maximum,
    never_inline,
    reduce_add,
    reduce_max,
    splat,
    store,
)

LOWEST = -1e30  # logit of the padding: its exponential adds nothing


@helper
def exponentials(data, at, V, width):
    """Overwrite a row of V logits by exp(logit - max); return the max and the sum.

    Padding up to `width` is set to LOWEST first, and its exponentials to about 0.
    """
    VL = lanes(data)
    for k in range(V, width):
        data[at + k] = LOWEST
    top = splat(data, LOWEST)
    for k in range(0, width, VL):
        top = maximum(top, load(data, at + k))
    peak = reduce_max(top)
    total = splat(data, 0.0)
    for k in range(0, width, VL):
        e = exp(load(data, at + k) - peak)
        store(data, at + k, e)
        total = total + e
    return peak, reduce_add(total)


@helper
def divide_logits(data, at, V, width, divisor):
    """Overwrite a row of V logits by (logit - max) / divisor.

    The largest becomes 0, and stays it: 0 times 1 / temperature must be no NaN.
    """
    for k in range(V, width):
        data[at + k] = LOWEST
    VL, top = lanes(data), splat(data, LOWEST)
    for k in range(0, width, VL):
        top = maximum(top, load(data, at + k))
    peak = reduce_max(top)
    for k in range(0, width, VL):
        store(data, at + k, (load(data, at + k) - peak) / divisor)


@kernel
def softmax_cross_entropy_chunk(logits, targets, V, width, scale, losses, worker, n_workers):
    """Overwrite logits by the gradient of their cross-entropy; write the loss of every row.

    eq: log-softmax, cross-entropy, cross-entropy-gradient.

    Parameters
    ----------
    logits : array, (N, width)
        V columns count, the others are padding; on return the gradient times `scale`, 0 there.
    targets : array of int32, (N,)
    V, width : int
    scale : float
    losses : array of float64, (N,)
        In nats. Written.
    worker, n_workers : int
    """
    never_inline()
    VL, N = lanes(logits), targets.shape[0]
    data, scale = flattened(logits), logits.dtype.type(scale)
    for n in range(worker, N, n_workers):
        at = n * width
        logit = data[at + targets[n]]
        peak, total = exponentials(data, at, V, width)
        losses[n] = math.log(total) + peak - logit
        factor = scale / total
        for k in range(0, width, VL):
            store(data, at + k, load(data, at + k) * factor)
        data[at + targets[n]] -= scale
        for k in range(V, width):
            data[at + k] = 0.0


@kernel
def negative_log_likelihoods_chunk(logits, targets, V, width, losses, worker, n_workers):
    """Write the cross-entropy of every row, in nats; logits (N, width) are used up."""
    never_inline()
    data = flattened(logits)
    for n in range(worker, targets.shape[0], n_workers):
        logit = data[n * width + targets[n]]
        peak, total = exponentials(data, n * width, V, width)
        losses[n] = math.log(total) + peak - logit


@kernel
def sum_by_token_chunk(tokens, d_gates, d_table, worker, n_workers):
    """Add the gradients of the pre-activations to the rows of the table that were looked up.

    tokens (T * B,), d_gates (P, T, B, W), d_table (V, P * W). Workers own panels; each sums in the
    order (t, row).
    """
    never_inline()
    P, T, B, W = d_gates.shape
    VL, wide = lanes(d_gates), P * W
    for p in range(worker, P, n_workers):
        for n in range(T * B):
            source = (p * T * B + n) * W
            target = np.int64(tokens[n]) * wide + p * W
            for k in range(0, W, VL):
                added = load(d_table, target + k) + load(d_gates, source + k)
                store(d_table, target + k, added)
