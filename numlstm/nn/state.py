"""States of users, (layers x directions, samples, H), to and from the kernels' padded rows."""

import numpy as np

from numlstm.data.validation import check_shape
from numlstm.kernels._threads import then
from numlstm.kernels.lstm import Carry
from numlstm.nn.arguments import as_finite
from numlstm.nn.memory import aligned_zeros
from numlstm.nn.weights import LSTMState


def carries_of(h, c):
    """Return arrays (layers x directions, rows, width) as carries that share their memory."""
    return [Carry(*pair) for pair in zip(h, c, strict=True)]


def kept_carries(stack, workspace, name, n_rows, widths=None):
    """Return carries, one per layer and direction, that were zeros when they were new."""
    return _kept(stack, workspace, name, n_rows, widths or stack.padded_widths)[0]


def zeroed_carries(stack, workspace, name, n_rows, widths=None):
    """Return carries of zeros, one per layer and direction."""
    carries, h, c = _kept(stack, workspace, name, n_rows, widths or stack.padded_widths)
    then(h.fill, 0)
    then(c.fill, 0)
    return carries


def _kept(stack, workspace, name, n_rows, widths):
    def zeros():
        shape = stack.n_layers * stack.n_directions, n_rows
        h, c = (aligned_zeros((*shape, width), stack.dtype) for width in widths)
        return carries_of(h, c), h, c

    return workspace.once(name, (n_rows, widths), zeros)


def no_state(stack, workspace, n_rows):
    """Return the carries of a pass that begins with zeros; they are not to be written to."""
    return kept_carries(stack, workspace, "no state", n_rows)


def load_state(carries, state, name, order, widths):
    """Write a state into zeroed carries, rows in the given order; None leaves the zeros.

    `widths` are the features of h and of c.

    Raises
    ------
    TypeError, ValueError
        If the state is not a pair (h, c) of finite arrays of the right shape.
    """
    if state is None:
        return carries
    if not isinstance(state, (tuple, list)) or len(state) != 2:
        raise TypeError(f"{name} must be an LSTMState (h, c), got {state!r}")
    for part, values, width in zip(("h", "c"), state, widths, strict=True):
        array = as_finite(f"{name}.{part}", values, carries[0].c.dtype, 3)
        check_shape(f"{name}.{part}", array, (len(carries), len(order), width))
        for k, carry in enumerate(carries):
            getattr(carry, part)[:, :width] = array[k, order]
    return carries


def read_state(carries, order, widths):
    """Return carries as a state of the user's row order; `widths` as for `load_state`."""
    shape, dtype = (len(carries), len(order)), carries[0].c.dtype
    state = LSTMState(*(np.empty((*shape, width), dtype) for width in widths))
    for k, carry in enumerate(carries):
        state.h[k, order] = carry.h[:, : widths[0]]
        state.c[k, order] = carry.c[:, : widths[1]]
    return state
