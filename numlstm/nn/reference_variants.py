"""The variants of the LSTM in plain NumPy: the definition that their kernels are tested against.

Slow and short, as `numlstm.nn.reference`, whose pieces it uses. Nothing is checked. Shapes: N
samples, T time steps, D features, H units, R features of the output (H without a projection).
``w`` holds the weights of one layer in one direction by the names of `LSTMVariantWeights`; what a
variant does not use is None. Sources of the formulas: `numlstm.nn.variant`.
"""

from typing import NamedTuple

import numpy as np

from numlstm.nn.reference import reading_order, sigmoid

EPS = 1e-5  # of the variance in a layer normalisation


class Options(NamedTuple):
    """What is no array: limits, infinite where nothing is clipped."""

    cell_clip: float = np.inf
    proj_clip: float = np.inf


class Masks(NamedTuple):
    """Masks of one layer in one direction; arrays that broadcast to these shapes, or numbers."""

    keep: np.ndarray = 1.0  # (N, R), multiplies what the gates see of h
    zone_c: np.ndarray = 0.0  # (N, T, H), 1 where c stays, or the expectation
    zone_h: np.ndarray = 0.0  # (N, T, R)


class Step(NamedTuple):
    """What a time step leaves behind for the way back."""

    x: np.ndarray
    h: np.ndarray
    c: np.ndarray
    gates: tuple
    raw_cell: np.ndarray
    raw_m: np.ndarray
    y: np.ndarray
    masks: Masks
    alive: np.ndarray


def normalise(x):
    """Return x with mean 0 and variance 1 in every row, and the factor 1 / deviation."""
    scale = 1 / np.sqrt(x.var(axis=1, keepdims=True) + EPS)
    return (x - x.mean(axis=1, keepdims=True)) * scale, scale


def normalise_backward(dy, x):
    """Return the gradient of x from that of ``normalise(x)``."""
    y, scale = normalise(x)
    mean = dy.mean(axis=1, keepdims=True)
    return scale * (dy - mean - y * (dy * y).mean(axis=1, keepdims=True))


def sums(x, h, w):
    """Return what the gates see of x and h: (N, G * H)."""
    if w.gain_x is None:
        return x @ w.Wx + h @ w.Wh + w.b
    return w.gain_x * normalise(x @ w.Wx)[0] + w.gain_h * normalise(h @ w.Wh)[0] + w.b


def variant_step(x, h, c, w, options, masks):
    """Advance one time step.

    Parameters
    ----------
    x, h, c : arrays (N, D), (N, R), (N, H)
    w : weights
    options : Options
    masks : Masks, of this step: keep (N, R), zone_c (N, H), zone_h (N, R)

    Returns
    -------
    h_next, c_next : arrays (N, R), (N, H)
    gates : tuple (i, f, g, o)
    raw_cell, raw_m, y : arrays (N, H), (N, R), (N, H)
        New cell state and output before they are clipped, and the output before the projection.
    """
    H = c.shape[1]
    coupled = w.b.size == 3 * H
    *s_i, s_f, s_g, s_o = np.split(sums(x, masks.keep * h, w), w.b.size // H, axis=1)
    *p_i, p_f, p_o = np.zeros((3, H)) if w.peepholes is None else w.peepholes
    f = sigmoid(s_f + p_f * c)
    i = 1 - f if coupled else sigmoid(s_i[0] + p_i[0] * c)
    g = np.tanh(s_g)
    raw_cell = f * c + i * g
    cell = np.clip(raw_cell, -options.cell_clip, options.cell_clip)
    o = sigmoid(s_o + p_o * cell)
    seen = cell if w.gain_c is None else w.gain_c * normalise(cell)[0] + w.shift_c
    y = o * np.tanh(seen)
    raw_m = y if w.Wp is None else y @ w.Wp
    m = np.clip(raw_m, -options.proj_clip, options.proj_clip)
    c_next = masks.zone_c * c + (1 - masks.zone_c) * cell
    h_next = masks.zone_h * h + (1 - masks.zone_h) * m
    return h_next, c_next, (i, f, g, o), raw_cell, raw_m, y


def output_backward(dh, step, w, options):
    """Take the gradient back from h_next to the gate o and the clipped cell state.

    Returns da_o and d_cell, each (N, H), and gradients of weights by name.
    """
    grads, o = {}, step.gates[3]
    cell = np.clip(step.raw_cell, -options.cell_clip, options.cell_clip)
    dm = (1 - step.masks.zone_h) * dh * (np.abs(step.raw_m) <= options.proj_clip)
    dy = dm
    if w.Wp is not None:
        dy, grads["Wp"] = dm @ w.Wp.T, step.y.T @ dm
    seen = cell if w.gain_c is None else w.gain_c * normalise(cell)[0] + w.shift_c
    da_o = dy * np.tanh(seen) * o * (1 - o)
    d_cell = d_seen = dy * o * (1 - np.tanh(seen) ** 2)
    if w.gain_c is not None:
        grads["gain_c"] = (d_seen * normalise(cell)[0]).sum(axis=0)
        grads["shift_c"] = d_seen.sum(axis=0)
        d_cell = normalise_backward(d_seen * w.gain_c, cell)
    return da_o, d_cell, grads


def gates_backward(da_o, d_cell, dc, step, w, options):
    """Take the gradient back from the clipped cell state to c and the sums of the gates.

    Returns da (N, G * H), dc_prev (N, H) and the gradient of the peepholes.
    """
    i, f, g, _ = step.gates
    coupled = w.b.size == 3 * i.shape[1]
    cell = np.clip(step.raw_cell, -options.cell_clip, options.cell_clip)
    *p_i, p_f, p_o = np.zeros((3, i.shape[1])) if w.peepholes is None else w.peepholes
    d_cell = d_cell + p_o * da_o + (1 - step.masks.zone_c) * dc
    d_cell = d_cell * (np.abs(step.raw_cell) <= options.cell_clip)
    da_g = d_cell * i * (1 - g**2)
    if coupled:
        da_i, da_f = [], d_cell * (step.c - g) * f * (1 - f)
    else:
        da_i, da_f = [d_cell * g * i * (1 - i)], d_cell * step.c * f * (1 - f)
    dc_prev = step.masks.zone_c * dc + d_cell * f + p_f * da_f
    dc_prev = dc_prev + (0 if coupled else p_i[0] * da_i[0])
    seen = [*((da, step.c) for da in da_i), (da_f, step.c), (da_o, cell)]
    d_peepholes = np.stack([(da * c).sum(axis=0) for da, c in seen])
    return np.concatenate([*da_i, da_f, da_g, da_o], axis=1), dc_prev, d_peepholes


def sums_backward(da, step, w):
    """Take the gradient back from the sums of the gates.

    Returns dx (N, D), the gradient of h as the gates see it (N, R), and gradients of weights.
    """
    h, du, dv = step.masks.keep * step.h, da, da
    grads = {"b": da.sum(axis=0)}
    if w.gain_x is not None:
        u, v = step.x @ w.Wx, h @ w.Wh
        grads["gain_x"] = (da * normalise(u)[0]).sum(axis=0)
        grads["gain_h"] = (da * normalise(v)[0]).sum(axis=0)
        du, dv = normalise_backward(da * w.gain_x, u), normalise_backward(da * w.gain_h, v)
    grads |= {"Wx": step.x.T @ du, "Wh": h.T @ dv}
    return du @ w.Wx.T, dv @ w.Wh.T, grads


def variant_step_backward(dh, dc, step, w, options):
    """Take the gradient back through one time step.

    Returns dx, dh_prev, dc_prev and a dict of gradients of weights.
    """
    da_o, d_cell, grads = output_backward(dh, step, w, options)
    da, dc_prev, d_peepholes = gates_backward(da_o, d_cell, dc, step, w, options)
    dx, d_seen, more = sums_backward(da, step, w)
    if w.peepholes is not None:
        more["peepholes"] = d_peepholes
    return dx, step.masks.zone_h * dh + step.masks.keep * d_seen, dc_prev, grads | more


def variant_forward(X, w, h0, c0, options, masks, lengths=None, reverse=False):
    """Run one layer in one direction; past a row's length: zero output, state copied through.

    Parameters
    ----------
    X : array (N, T, D)
    w : weights
    h0, c0 : arrays (N, R), (N, H)
    options : Options
    masks : Masks
    lengths : ints (N,), optional
    reverse : bool

    Returns
    -------
    outputs, h, c : arrays (N, T, R), (N, R), (N, H)
    tape : what `variant_backward` needs
    """
    N, T, _ = X.shape
    lengths = np.full(N, T) if lengths is None else np.asarray(lengths)
    rows, order = np.arange(N)[:, None], reading_order(lengths, T, reverse)
    zone_c = np.broadcast_to(masks.zone_c, (N, T, c0.shape[1]))[rows, order]
    zone_h = np.broadcast_to(masks.zone_h, (N, T, h0.shape[1]))[rows, order]
    X, h, c, outputs, steps = X[rows, order], h0, c0, [], []
    for t in range(T):
        alive = (t < lengths)[:, None]
        x, now = np.where(alive, X[:, t], 0), Masks(masks.keep, zone_c[:, t], zone_h[:, t])
        h_next, c_next, *rest = variant_step(x, h, c, w, options, now)
        steps.append(Step(x, h, c, *rest, now, alive))
        outputs.append(np.where(alive, h_next, 0))
        h, c = np.where(alive, h_next, h), np.where(alive, c_next, c)
    return np.stack(outputs, axis=1)[rows, order], h, c, (steps, w, options, order)


def variant_backward(d_outputs, dh, dc, tape):
    """Backpropagate through time over one layer in one direction.

    Returns dX (N, T, D), dh0, dc0, and a dict of gradients of weights.
    """
    steps, w, options, order = tape
    rows = np.arange(len(d_outputs))[:, None]
    d_outputs, dX, total = d_outputs[rows, order], [], {}
    for t in reversed(range(len(steps))):
        alive = steps[t].alive
        dh_t = np.where(alive, dh + d_outputs[:, t], 0)
        dc_t = np.where(alive, dc, 0)
        dx, dh_prev, dc_prev, grads = variant_step_backward(dh_t, dc_t, steps[t], w, options)
        dX.append(dx)
        dh, dc = np.where(alive, dh_prev, dh), np.where(alive, dc_prev, dc)
        total = {name: total.get(name, 0) + d for name, d in grads.items()}
    return np.stack(dX[::-1], axis=1)[rows, order], dh, dc, total
