"""The pointwise part of one time step, a vector of units of one row at a time."""

from numlstm.kernels._jit import helper
from numlstm.kernels.activations import sigmoid, tanh, tanh_parts
from numlstm.kernels.simd import fma, lanes, load, never_inline, store


@helper
def next_state(i, f, a, c):
    """Return f c + i a, in an order that leaves the compiler no choice: eq: lstm-cell."""
    return fma(i, a, f * c)


@helper
def next_output(o, c):
    """Return o tanh(c), in an order that leaves the compiler no choice: eq: lstm-hidden."""
    numerator, denominator = tanh_parts(c)
    return o * numerator / denominator


@helper
def cell_forward(gates, g, g_step, c, c_prev, c_next, h, h_next, step, count):
    """Gates from pre-activations in place, then new cell states and outputs, for `count` vectors.

    Vectors are `step` elements apart, those of gates `g_step`. eq: lstm-gates, lstm-cell,
    lstm-hidden. Four divisions beat one shared by the four gates, which lengthens the chain of
    dependent operations: 10.0 against 13.1 ns a vector (Zen 5). For the same reason outputs, which
    need the new cell states, come in a loop of their own: 15.1 against 18.8 ns (Zen 3).
    """
    never_inline()
    VL = lanes(gates)
    for k in range(count):
        at, cell = g + k * g_step, k * step
        i, f = sigmoid(load(gates, at)), sigmoid(load(gates, at + VL))
        a, o = tanh(load(gates, at + 2 * VL)), sigmoid(load(gates, at + 3 * VL))
        store(gates, at, i)
        store(gates, at + VL, f)
        store(gates, at + 2 * VL, a)
        store(gates, at + 3 * VL, o)
        store(c, c_next + cell, next_state(i, f, a, load(c, c_prev + cell)))
    for k in range(count):
        o, cell = load(gates, g + k * g_step + 3 * VL), load(c, c_next + k * step)
        store(h, h_next + k * step, next_output(o, cell))


@helper
def cell_backward(gates, g, c, c_prev, c_next, dh, dh_at, dc, dc_at):
    """Gates to gradients of the pre-activations in place; carry dc back.

    eq: bptt-output, bptt-cell, bptt-gates.
    """
    VL = lanes(gates)
    i, f = load(gates, g), load(gates, g + VL)
    a, o = load(gates, g + 2 * VL), load(gates, g + 3 * VL)
    e, t = load(dh, dh_at), tanh(load(c, c_next))
    d = load(dc, dc_at) + e * o * (1.0 - t * t)
    store(gates, g, d * a * i * (1.0 - i))
    store(gates, g + VL, d * load(c, c_prev) * f * (1.0 - f))
    store(gates, g + 2 * VL, d * i * (1.0 - a * a))
    store(gates, g + 3 * VL, e * t * o * (1.0 - o))
    store(dc, dc_at, d * f)
