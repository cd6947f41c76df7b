"""States of users, (layers x directions, samples, H), to and from the kernels' padded rows."""

import numpy as np

from numlstm.data.validation import as_floats, check_shape
from numlstm.nn.weights import LSTMState


def load_state(carries, state, name, order, n_units):
    """Write a state into zeroed carries, rows in the given order; None leaves the zeros.

    Raises
    ------
    TypeError, ValueError
        If the state is not a pair (h, c) of finite arrays of the right shape.
    """
    if state is None:
        return carries
    if not isinstance(state, (tuple, list)) or len(state) != 2:
        raise TypeError(f"{name} must be an LSTMState (h, c), got {state!r}")
    shape = (len(carries), len(order), n_units)
    for part, values in zip(("h", "c"), state, strict=True):
        array = as_floats(f"{name}.{part}", values, carries[0].c.dtype, 3)
        check_shape(f"{name}.{part}", array, shape)
        for k, carry in enumerate(carries):
            getattr(carry, part)[:, :n_units] = array[k, order]
    return carries


def read_state(carries, order, n_units):
    """Return carries as a state of the user's row order."""
    shape = (len(carries), len(order), n_units)
    state = LSTMState(np.empty(shape, carries[0].c.dtype), np.empty(shape, carries[0].c.dtype))
    for k, carry in enumerate(carries):
        state.h[k, order] = carry.h[:, :n_units]
        state.c[k, order] = carry.c[:, :n_units]
    return state
