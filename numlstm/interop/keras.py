"""Keras: LSTM layers and Bidirectional ones. Gates, layout and forget bias are as ours."""

import numpy as np

from numlstm.interop._files import is_path, refusing
from numlstm.interop._variants import refuse_variant
from numlstm.interop.keras_file import read_keras
from numlstm.nn.lstm import LSTM
from numlstm.nn.weights import LSTMWeights


def from_keras(layers, dtype=None, bidirectional=False):
    """Make an LSTM of the weights of Keras LSTM layers with their default activations.

    Parameters
    ----------
    layers : sequence of (kernel, recurrent_kernel, bias), flat sequence of arrays, or path
        Arrays (D, 4H), (H, 4H), (4H,), the lowest layer first. Flat is what ``get_weights()``
        returns, of one layer or of a model that has no other weights. Without a bias
        (``use_bias=False``) it is zero.

        Or a file that Keras 3 wrote, ``.keras`` or ``.weights.h5``. Its other layers are left
        alone. Only the former says how the layers are joined, and with which activations; of the
        latter the LSTM layers are taken in their order, as a stack with default activations.
    dtype : {"float32", "float64"}, optional
        That of the weights by default.
    bidirectional : bool
        Whether the layers were wrapped in ``Bidirectional``, whose ``get_weights()`` has the
        forward direction before the reverse one, as here. A file says so itself.

    Returns
    -------
    lstm : LSTM

    Raises
    ------
    ValueError
        If a shape is wrong, or a direction is missing. For a file that is damaged or something
        else, and for layers that are no stack of LSTMs, not with default activations, or with
        dropout of their own, on inputs or states.
    ImportError, OSError
        For a file: without the package h5py, of the extra `interop`; if it cannot be read.
    """
    if is_path(layers):
        groups, bidirectional = read_keras(layers)
        with refusing(layers):
            return from_keras(groups, dtype, bidirectional)
    groups = [_group(index, group) for index, group in enumerate(_grouped(list(layers)))]
    directions = 2 if bidirectional else 1
    if not groups or len(groups) % directions:
        raise ValueError(
            f"expected (kernel, recurrent_kernel, bias) {directions} times per layer, "
            f"got it {len(groups)} times"
        )
    _check_shapes(groups, directions)
    return LSTM.from_weights(groups, bidirectional=bidirectional, dtype=dtype)


def to_keras(lstm):
    """Return the weights of an LSTM as Keras layers store them.

    Parameters
    ----------
    lstm : LSTM

    Returns
    -------
    layers : list of (kernel, recurrent_kernel, bias)
        New arrays (D, 4H), (H, 4H), (4H,), one triple per layer and direction. ``set_weights``
        of an ``LSTM`` layer takes a triple, that of a ``Bidirectional`` one two, joined.

    Raises
    ------
    ValueError
        If the LSTM has a variant, which layers of Keras have not.
    """
    refuse_variant(lstm, "to_keras")
    return [tuple(np.array(array) for array in layer) for layer in lstm.weights]


def _grouped(layers):
    """Return groups of arrays; in a flat list each is two matrices and the bias, if it has one."""
    if not layers or not hasattr(layers[0], "ndim"):
        return layers
    groups = [[]]
    for array in layers:
        if np.ndim(array) != 1 and len(groups[-1]) >= 2:
            groups.append([])
        groups[-1].append(array)
    return groups


def _group(index, group):
    """Return a group as weights whose shapes can be compared."""
    if not 2 <= len(group) <= 3:
        raise ValueError(
            f"weights {index}: expected (kernel, recurrent_kernel, bias), got {len(group)} items"
        )
    kernel, recurrent, *bias = (np.asarray(array) for array in group)
    if kernel.ndim != 2 or recurrent.ndim != 2:
        raise ValueError(
            f"weights {index}: kernel and recurrent_kernel must have two axes, "
            f"got shapes {kernel.shape} and {recurrent.shape}"
        )
    return LSTMWeights(kernel, recurrent, bias[0] if bias else np.zeros(kernel.shape[1]))


def _check_shapes(groups, directions):
    """Raise ValueError unless all shapes follow from those of the first layer."""
    inputs, units = groups[0].Wx.shape[0], groups[0].Wh.shape[0]
    for index, group in enumerate(groups):
        width = inputs if index < directions else units * directions
        shapes = ((width, 4 * units), (units, 4 * units), (4 * units,))
        names = ("kernel", "recurrent_kernel", "bias")
        for name, array, shape in zip(names, group, shapes, strict=True):
            if array.shape != shape:
                raise ValueError(
                    f"weights {index}: {name} must have shape {shape} in an LSTM of {units} "
                    f"units, got {array.shape}"
                )
