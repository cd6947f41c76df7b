"""Dropout between layers: its mask is a function of a seed, so that the way back needs no copy."""

import numpy as np

from numlstm.kernels._threads import launch
from numlstm.kernels.dropout import dropout_chunk


def drop(rows, width, layer, dropout):
    """Drop elements of the outputs of a layer, or of their gradients, in place.

    Parameters
    ----------
    rows : array, (..., >= width)
        What lies beyond `width` is padding.
    width : int
    layer : int
        Below the gap; every gap has masks of its own.
    dropout : (float, int)
        Rate and seed.
    """
    rate, seed = dropout
    if rate > 0:
        rows = rows.reshape(-1, rows.shape[-1])
        seed = np.uint64((seed + layer * 0x632BE59BD9B4E019) % 2**64)
        threshold = np.uint64(int(rate * 2**64))
        launch(dropout_chunk, seed, threshold, 1 / (1 - rate), rows, width, work=8 * rows.size)
