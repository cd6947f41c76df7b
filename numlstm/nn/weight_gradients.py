"""Gradients of packed weights, of any layer: the one place that calls their kernel."""

import numpy as np

from numlstm.kernels._threads import launch, n_workers
from numlstm.kernels.weight_gradients import RUN, packed_size, weight_gradients_chunk


def add_weight_gradients(workspace, left, active, d, weights, sums, *, work, side=None, apart=0):
    """Add the products of inputs and gradients, summed over all rows and steps, to `weights`.

    Parameters
    ----------
    workspace : Workspace
    left : list of (Rows, int)
        One or two inputs and their columns; K in all.
    active : array of int64, (T + 1,)
    d : Rows
        Gradients of what the weights make.
    weights : array, (.., K, 2 * VL)
        Packed panels.
    sums : array
        The sums of d are added here: as many elements as `weights` has columns, or none.
    work : int
        Multiply-adds.
    side, apart : int
        How the panels lie in d: so many side by side (by default all), the next `apart` elements
        later.
    """
    (x, D), (h, H) = left if len(left) == 2 else (left[0], (left[0][0], 0))
    n, wide = n_workers(work), weights.shape[-1]
    side = weights.size // ((D + H) * wide) if side is None else side
    launch(
        weight_gradients_chunk, x, D, h, H, active, d, side, apart, weights.reshape(-1),
        sums.reshape(-1), workspace.take("columns", n, RUN * wide),
        workspace.take("packed", n, packed_size(D + H)), np.empty((n, 2, RUN), np.int64),
        work=work, at_most=n,
    )  # fmt: skip
