"""Losses with their gradients. Rows past a sequence's end are not looked at.

Predictions and gradients are `Rows` of padded width; targets are (n, K) in the same order of rows,
weights (n,). Each kernel writes the weighted sum of the losses and its gradient times `scale`, zero
in the padding. One worker does all.
"""

import math

from numlstm.kernels._jit import helper, kernel
from numlstm.kernels.softmax import exponentials

SQUARED, ABSOLUTE, HUBER, QUANTILE = 0, 1, 2, 3


@helper
def point_loss(kind, quantile, e):
    """Return loss and derivative at an error e = prediction - target.

    eq: squared-error. Huber (1964) with delta 1; the quantile loss of Koenker & Bassett (1978).
    """
    if kind == QUANTILE:
        slope = 1 - quantile if e > 0 else (-quantile if e < 0 else 0.0)
        return slope * e, slope
    if kind == SQUARED:
        return e * e, 2 * e
    size = abs(e)
    if kind == HUBER and size <= 1:
        return 0.5 * e * e, e
    sign = math.copysign(1.0, e) if e != 0 else 0.0
    return (size - 0.5 if kind == HUBER else size), sign


@kernel
def regression_loss(
    kind, quantile, Y, targets, weights, active, width, scale, dY, sums, worker, n_workers
):
    """Write the weighted sum over rows of the mean loss of a row's outputs.

    Parameters
    ----------
    kind : int
        SQUARED, ABSOLUTE, HUBER or QUANTILE.
    quantile : float
        Of QUANTILE, in (0, 1).
    Y, dY : Rows
        Predictions, and what to overwrite with the gradient; `width` elements a row.
    targets : array, (T * B, K)
    weights : array, (T * B,)
    active : array of int64, (T + 1,)
    width : int
    scale : float
        Factor of the gradient: one over the sum of all weights.
    sums : array, (1,)
        The weighted sum.
    """
    B, K = active[0], targets.shape[1]
    total = 0.0
    for t in range(active.shape[0] - 1):
        for r in range(active[t]):
            n = t * B + r
            y, d = Y.start + t * Y.step + r * Y.row, dY.start + t * dY.step + r * dY.row
            loss = 0.0
            for k in range(K):
                value, slope = point_loss(kind, quantile, float(Y.data[y + k]) - targets[n, k])
                loss += value
                dY.data[d + k] = slope * (weights[n] * scale / K)
            for k in range(K, width):
                dY.data[d + k] = 0.0
            total += loss / K * weights[n]
    sums[0] = total


@kernel
def log_loss(class_weights, Y, targets, weights, active, width, scale, dY, sums, worker, n_workers):
    """Write the weighted sum over rows of the cross-entropy of a class, in nats.

    eq: log-softmax, cross-entropy, cross-entropy-gradient.

    Parameters
    ----------
    class_weights : array, (n_classes,)
        Multiply the weights of rows of a class.
    Y, dY : Rows
        Logits and, in the same place, their gradient; `width` elements a row.
    targets : array, (T * B, 1)
        Numbers of the classes.
    weights : array, (T * B,)
    active : array of int64, (T + 1,)
    width : int
    scale : float
        Factor of the gradient: one over the sum of all weights.
    sums : array, (1,)
        The weighted sum.
    """
    B, data, n_classes = active[0], dY.data, class_weights.shape[0]
    total = 0.0
    for t in range(active.shape[0] - 1):
        for r in range(active[t]):
            n = t * B + r
            at = dY.start + t * dY.step + r * dY.row
            number = int(targets[n, 0])
            label, weight = at + number, weights[n] * class_weights[number]
            logit = Y.data[label]
            peak, mass = exponentials(data, at, n_classes, width)
            total += weight * (math.log(mass) + peak - logit)
            factor = data.dtype.type(weight * scale)
            for k in range(n_classes):
                data[at + k] *= factor / mass
            data[label] -= factor
            for k in range(n_classes, width):
                data[at + k] = 0.0
    sums[0] = total
