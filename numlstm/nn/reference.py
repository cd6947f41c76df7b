"""The LSTM in plain NumPy, gate by gate: the definition that the kernels are tested against.

Slow, short, and faithful to the dtype it is given. Nothing is checked and only NumPy is imported.
Every line that is an equation of the book ends in the label of that equation: book/02_cell.md
derives the way forward, book/03_backward.md and book/04_through_time.md the way back, and
book/07_training.md losses, clipping and Adam.

Shapes: N samples, T time steps, D features, H hidden units, K classes. Gates in the order
i (input), f (forget), g (candidate), o (output); the forget bias is part of b.
``Wx`` (D, 4H), ``Wh`` (H, 4H), ``b`` (4H,). The gradient of ``name`` is called ``dname``.
"""

from typing import NamedTuple

import numpy as np


class Step(NamedTuple):
    """What one time step leaves behind: x (N, D), h and c before it (N, H), gates, alive (N, 1)."""

    x: np.ndarray
    h: np.ndarray
    c: np.ndarray
    gates: tuple
    alive: np.ndarray


class Tape(NamedTuple):
    """What `lstm_backward` needs of `lstm_forward`: steps in reading order, weights, row order."""

    steps: list
    Wx: np.ndarray
    Wh: np.ndarray
    order: np.ndarray


def sigmoid(x):
    """Return 1 / (1 + exp(-x)), without overflow and exact far into both tails."""
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))  # eq: sigmoid


def lstm_step(x, h, c, Wx, Wh, b):
    """Advance one time step.

    Parameters
    ----------
    x : array (N, D)
    h, c : arrays (N, H), the state before the step
    Wx, Wh, b : arrays (D, 4H), (H, 4H), (4H,)

    Returns
    -------
    h_next, c_next : arrays (N, H), the state after the step
    gates : tuple (i, f, g, o) of arrays (N, H)
    """
    a = x @ Wx + h @ Wh + b  # eq: lstm-preactivation
    a_i, a_f, a_g, a_o = np.split(a, 4, axis=1)
    i, f, g, o = sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)  # eq: lstm-gates
    c_next = f * c + i * g  # eq: lstm-cell
    h_next = o * np.tanh(c_next)  # eq: lstm-hidden
    return h_next, c_next, (i, f, g, o)


def lstm_step_backward(dh, dc, x, h, c, gates, Wx, Wh):
    """Take the gradient back through one time step.

    Parameters
    ----------
    dh, dc : arrays (N, H), gradients of the state after the step
    x, h, c : arrays (N, D), (N, H), (N, H), as `lstm_step` was given them
    gates : tuple (i, f, g, o), as `lstm_step` returned it
    Wx, Wh : arrays (D, 4H), (H, 4H)

    Returns
    -------
    dx, dh_prev, dc_prev : arrays (N, D), (N, H), (N, H)
    dWx, dWh, db : arrays (D, 4H), (H, 4H), (4H,)
    """
    i, f, g, o = gates
    tanh_c = np.tanh(f * c + i * g)
    dc = dc + dh * o * (1 - tanh_c**2)  # eq: bptt-cell
    da_i = dc * g * i * (1 - i)  # eq: bptt-gates
    da_f = dc * c * f * (1 - f)  # eq: bptt-gates
    da_g = dc * i * (1 - g**2)  # eq: bptt-gates
    da_o = dh * tanh_c * o * (1 - o)  # eq: bptt-output
    da = np.concatenate([da_i, da_f, da_g, da_o], axis=1)
    dx, dh_prev = da @ Wx.T, da @ Wh.T  # eq: bptt-input
    dc_prev = dc * f  # eq: bptt-carry
    dWx, dWh, db = x.T @ da, h.T @ da, da.sum(axis=0)  # eq: bptt-weights
    return dx, dh_prev, dc_prev, dWx, dWh, db


def reading_order(lengths, T, reverse):
    """Return time indices (N, T): 0..T-1, or each row turned round inside its own length.

    The order is its own inverse.
    """
    t = np.arange(T)
    last = np.asarray(lengths)[:, None] - 1
    return np.where(reverse & (t <= last), last - t, t)  # eq: lstm-reverse


def lstm_forward(X, Wx, Wh, b, h0, c0, lengths=None, reverse=False):
    """Run one layer in one direction; past a row's length: zero output, state copied through.

    Parameters
    ----------
    X : array (N, T, D)
    Wx, Wh, b : arrays (D, 4H), (H, 4H), (4H,)
    h0, c0 : arrays (N, H)
    lengths : ints (N,), optional
    reverse : bool, read each row from its own last step to its first

    Returns
    -------
    outputs : array (N, T, H), at the time of the input they belong to
    h, c : arrays (N, H)
    tape : Tape
    """
    N, T, _ = X.shape
    lengths = np.full(N, T) if lengths is None else np.asarray(lengths)
    rows, order = np.arange(N)[:, None], reading_order(lengths, T, reverse)
    X, h, c, outputs, steps = X[rows, order], h0, c0, [], []
    for t in range(T):
        alive = (t < lengths)[:, None]
        x = np.where(alive, X[:, t], 0)
        h_next, c_next, gates = lstm_step(x, h, c, Wx, Wh, b)
        steps.append(Step(x, h, c, gates, alive))
        outputs.append(np.where(alive, h_next, 0))  # eq: lstm-lengths
        h, c = np.where(alive, h_next, h), np.where(alive, c_next, c)  # eq: lstm-lengths
    return np.stack(outputs, axis=1)[rows, order], h, c, Tape(steps, Wx, Wh, order)


def lstm_backward(d_outputs, dh, dc, tape):
    """Backpropagate through time over one layer in one direction.

    Parameters
    ----------
    d_outputs : array (N, T, H)
    dh, dc : arrays (N, H), gradients of the final state
    tape : Tape

    Returns
    -------
    dX, dh0, dc0 : arrays (N, T, D), (N, H), (N, H)
    dWx, dWh, db : arrays (D, 4H), (H, 4H), (4H,)
    """
    rows = np.arange(len(d_outputs))[:, None]
    d_outputs = d_outputs[rows, tape.order]
    dX, d_weights = [], [0, 0, 0]
    for t in reversed(range(len(tape.steps))):
        x, h, c, gates, alive = tape.steps[t]
        dh_t = np.where(alive, dh + d_outputs[:, t], 0)  # eq: bptt-hidden
        dc_t = np.where(alive, dc, 0)  # eq: bptt-lengths
        back = lstm_step_backward(dh_t, dc_t, x, h, c, gates, tape.Wx, tape.Wh)
        dx, dh_prev, dc_prev, *d_weights_t = back
        dX.append(dx)
        dh, dc = np.where(alive, dh_prev, dh), np.where(alive, dc_prev, dc)  # eq: bptt-lengths
        d_weights = [d + d_t for d, d_t in zip(d_weights, d_weights_t, strict=True)]  # eq: bptt-sum
    return np.stack(dX[::-1], axis=1)[rows, tape.order], dh, dc, *d_weights


def stack_forward(X, weights, h0, c0, *, n_layers, bidirectional, lengths=None, masks=None):
    """Run several layers, each in one or two directions.

    Parameters
    ----------
    X : array (N, T, D)
    weights : sequence of (Wx, Wh, b)
        Layer 0 forward, layer 0 reverse, layer 1 forward, ...; L = n_layers * directions of them.
    h0, c0 : arrays (L, N, H)
    n_layers : int
    bidirectional : bool
    lengths : ints (N,), optional
    masks : sequence of n_layers - 1 arrays, optional
        Dropout: ``masks[k]``, already scaled, multiplies the outputs of layer k.

    Returns
    -------
    outputs : array (N, T, H * directions)
    h, c : arrays (L, N, H)
    tape : tuple, what `stack_backward` needs
    """
    directions, runs = 2 if bidirectional else 1, []
    for layer in range(n_layers):
        layer_runs = [
            lstm_forward(X, *weights[k], h0[k], c0[k], lengths, reverse=k % directions == 1)
            for k in range(layer * directions, (layer + 1) * directions)
        ]
        X = np.concatenate([run[0] for run in layer_runs], axis=2)  # eq: stack-directions
        if masks is not None and layer < n_layers - 1:
            X = X * masks[layer]  # eq: dropout
        runs += layer_runs
    _, h, c, tapes = zip(*runs, strict=True)
    return X, np.stack(h), np.stack(c), (tapes, n_layers, masks)


def stack_backward(d_outputs, dh, dc, tape):
    """Backpropagate over all layers and directions.

    Parameters
    ----------
    d_outputs : array (N, T, H * directions)
    dh, dc : arrays (L, N, H), gradients of the final states
    tape : tuple, as `stack_forward` returned it

    Returns
    -------
    dX, dh0, dc0 : arrays (N, T, D), (L, N, H), (L, N, H)
    d_weights : list of (dWx, dWh, db), in the order of the weights
    """
    tapes, n_layers, masks = tape
    directions = len(tapes) // n_layers
    dh0, dc0, d_weights = np.zeros_like(dh), np.zeros_like(dc), [None] * len(tapes)
    for layer in reversed(range(n_layers)):
        if masks is not None and layer < n_layers - 1:
            d_outputs = d_outputs * masks[layer]  # eq: dropout
        dX = 0
        for k, dy in enumerate(np.split(d_outputs, directions, axis=2), start=layer * directions):
            dX_k, dh0[k], dc0[k], *d_weights[k] = lstm_backward(dy, dh[k], dc[k], tapes[k])
            dX = dX + dX_k  # eq: stack-directions
        d_outputs = dX
    return d_outputs, dh0, dc0, [tuple(d) for d in d_weights]


def softmax_cross_entropy(logits, labels):
    """Return the mean of -log softmax(logits)[label] in nats, and its gradient.

    Parameters
    ----------
    logits : array (N, K)
    labels : ints (N,), each in 0..K-1

    Returns
    -------
    loss : float
    d_logits : array (N, K)
    """
    one_hot = np.eye(logits.shape[1], dtype=logits.dtype)[labels]
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))  # eq: log-softmax
    loss = -(one_hot * log_p).sum() / len(labels)  # eq: cross-entropy
    return loss, (np.exp(log_p) - one_hot) / len(labels)  # eq: cross-entropy-gradient


def squared_error(predictions, targets):
    """Return the mean of the squared differences over all elements, and its gradient.

    The figure of `sklearn.metrics.mean_squared_error`: no factor 1/2, unlike MLPRegressor's loss.

    Parameters
    ----------
    predictions, targets : arrays of one shape

    Returns
    -------
    loss : float
    d_predictions : array of that shape
    """
    difference = predictions - targets
    return (difference**2).mean(), 2 * difference / difference.size  # eq: squared-error


def adam_step(p, dp, m, v, t, *, learning_rate=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    """Take one step of Adam (Kingma and Ba 2015, algorithm 1) on one array.

    Parameters
    ----------
    p, dp : arrays of one shape, the parameter and its gradient
    m, v : arrays of that shape, the running moments; zero before step 1
    t : int
        The number of the step, the first is 1.
    learning_rate, beta1, beta2, eps : float

    Returns
    -------
    p, m, v : new arrays of that shape
    """
    m = beta1 * m + (1 - beta1) * dp  # eq: adam-moments
    v = beta2 * v + (1 - beta2) * dp**2  # eq: adam-moments
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)  # eq: adam-bias
    return p - learning_rate * m_hat / (np.sqrt(v_hat) + eps), m, v  # eq: adam-update


def clip_by_global_norm(gradients, max_norm):
    """Shrink all gradients by one factor, so that their joint 2-norm is at most ``max_norm``.

    Parameters
    ----------
    gradients : sequence of arrays
    max_norm : float

    Returns
    -------
    clipped : list of arrays
    norm : float, before clipping
    """
    norm = np.sqrt(sum((g**2).sum() for g in gradients))  # eq: global-norm
    scale = max_norm / max(norm, max_norm)  # eq: global-norm
    return [g * scale for g in gradients], norm
