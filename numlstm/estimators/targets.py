"""Targets of a regression: one for each sequence, several, or one for each time step."""

import numpy as np

from numlstm.data.sequences import as_ragged, is_ragged
from numlstm.data.validation import as_floats, check_meant


def read_targets(y, lengths):
    """Return targets (n, K), or `Sequences` of them, one for each step; and y's dimensions.

    Parameters
    ----------
    y : array or list of arrays
    lengths : array of int, (n_samples,)
        Time steps of each sequence of X.

    Raises
    ------
    ValueError
        For other dimensions, values that are not finite numbers, other lengths than those of X.
    """
    check_meant("y", y)
    dtype = np.dtype("float64")
    if is_ragged(y) and is_ragged(y[0]) is False and np.ndim(y[0]) > 0:
        targets = as_ragged("y", y, dtype)
    elif np.ndim(y) == 3:
        targets = as_ragged("y", list(as_floats("y", y, dtype, 3)), dtype)
    else:
        if np.ndim(y) > 3 or 0 in np.shape(y):
            raise ValueError(
                "y must have shape (n_samples,), (n_samples, n_outputs) or (n_samples, "
                f"n_timesteps, n_outputs), none of them 0, got {np.shape(y)}"
            )
        array = as_floats("y", y, dtype, np.ndim(y))
        return array.reshape(len(array), -1), array.ndim
    if not np.array_equal(targets.lengths, lengths):
        k = int(np.flatnonzero(targets.lengths != lengths)[0])
        raise ValueError(
            f"y must have one target for each time step of X: sequence {k} has "
            f"{lengths[k]} steps, but {targets.lengths[k]} targets"
        )
    return targets, 3
