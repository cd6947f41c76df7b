"""`from_onnx`: the LSTM operators of an ONNX model as an `LSTM`."""

import os

import numpy as np

from numlstm.interop._files import refusing
from numlstm.interop.onnx_file import OnnxFile
from numlstm.interop.onnx_stack import find_stack
from numlstm.interop.onnx_values import UnknownValue, Values
from numlstm.interop.onnx_weights import our_weights
from numlstm.nn.lstm import LSTM
from numlstm.nn.variant import LSTMVariant


def from_onnx(path, dtype=None):
    """Make an LSTM of the LSTM operators of an ONNX model.

    Parameters
    ----------
    path : path
        A model written by `to_onnx`, by PyTorch's exporters, by tf2onnx, or by anything else that
        uses ONNX's LSTM operator. Tensors in a file beside it are found. What else the model does,
        before the layers and after them, is left alone.
    dtype : {"float32", "float64"}, optional
        That of the weights by default; half precision becomes float32.

    Returns
    -------
    lstm : LSTM
        With as many layers as there are operators on top of each other. Operators that share their
        weights are one layer, applied several times.

    Raises
    ------
    ImportError
        Without the package onnx, of the extra `interop`.
    OSError
        If there is no such file, or it cannot be read.
    ValueError
        For a file that is damaged or something else; for what a `numlstm.LSTM` cannot represent:
        clipping (of the inputs of activations, not of the cell), other activations, the reverse
        direction alone, an initial state of the model's own, layers of which some couple their
        gates and some not, or LSTMs that do not form one stack of layers.

    Notes
    -----
    Peepholes and coupled gates (``input_forget``) make a variant. ONNX does not say which of the
    gates is kept then; it is the input gate, as in onnxruntime.
    """
    with refusing(path):
        file = OnnxFile(os.fspath(path))
        layers = [_layer(file, node) for node in find_stack(file)]
        _check_geometry(layers)
        bidirectional, coupled, _ = layers[0]
        weights = [w for _, _, group in layers for w in group]
        peepholes = any(w.peepholes.any() for w in weights)
        if not peepholes:
            weights = [w[:3] for w in weights]
        variant = LSTMVariant(peepholes=peepholes, coupled_gates=coupled)
        return LSTM.from_weights(weights, bidirectional=bidirectional, dtype=dtype, variant=variant)


def _layer(file, node):
    """Return whether a node is bidirectional, whether coupled, and its weights by direction."""
    attributes = file.attributes(node)
    directions = 2 if attributes.get("direction", "forward") == "bidirectional" else 1
    _check_attributes(node, attributes, directions)
    values, inputs = Values(file), [*node.input, *[""] * 8][:8]
    _, W, R, B, lengths, h, c, P = inputs
    _check_start(file, node, (h, c), lengths)
    W, R = _constant(values, node, "W", W), _constant(values, node, "R", R)
    if W.ndim != 3 or R.ndim != 3:
        raise ValueError(f"{_name(node)}: W and R must have three axes, got {W.shape}, {R.shape}")
    H = R.shape[2]
    B = _constant(values, node, "B", B) if B else np.zeros((directions, 8 * H), W.dtype)
    P = _constant(values, node, "P", P) if P else np.zeros((directions, 3 * H), W.dtype)
    shapes = (4 * H, W.shape[2]), (4 * H, H), (8 * H,), (3 * H,)
    for name, array, shape in zip("WRBP", (W, R, B, P), shapes, strict=True):
        shape = (directions, *shape)
        if array.shape != shape or array.dtype.kind != "f":
            raise ValueError(
                f"{_name(node)}: {name} must be an array of floats of shape {shape}, got "
                f"{array.dtype} {array.shape}"
            )
    if attributes.get("hidden_size", H) != H:
        raise ValueError(f"{_name(node)}: hidden_size is {attributes['hidden_size']}, R has {H}")
    coupled = bool(attributes.get("input_forget"))
    arrays = zip(W, R, B, P, strict=True)
    return directions == 2, coupled, [our_weights(*each, coupled) for each in arrays]


def _name(node):
    return f"the LSTM {node.name or node.output[0]!r}"


def _constant(values, node, kind, name):
    """Return a weight, which must follow from the constants of the file."""
    try:
        return values[name]
    except UnknownValue as error:
        raise ValueError(f"{_name(node)} has no fixed {kind}: {error}") from None


def _check_attributes(node, attributes, directions):
    """Raise a ValueError for an operator that computes something else than our layers."""
    name = _name(node)
    if "clip" in attributes:
        raise ValueError(
            f"{name} clips the inputs of its activations (clip={attributes['clip']:g}), which a "
            "numlstm.LSTM does not: its cell_clip limits the cell state"
        )
    if attributes.get("direction", "forward") not in ("forward", "bidirectional"):
        raise ValueError(
            f"{name} reads in the direction {attributes['direction']!r} only; a numlstm.LSTM reads "
            "forward, or both ways"
        )
    activations = [str(a).lower() for a in attributes.get("activations", [])]
    if activations not in ([], ["sigmoid", "tanh", "tanh"] * directions):
        raise ValueError(f"{name} has the activations {activations}, not sigmoid, tanh, tanh")


def _check_start(file, node, states, lengths):
    """Raise a ValueError for a state or lengths that are part of the model and would get lost."""
    for name in filter(None, states):
        if reason := _own_state(file, name):
            raise ValueError(f"{_name(node)} starts from {reason}, which would get lost")
    if lengths and file.is_fixed(lengths) and len(np.unique(file.tensor(lengths))) > 1:
        raise ValueError(f"{_name(node)} has fixed lengths, which would get lost")


def _own_state(file, name):
    """Return what in a model sets an initial state, or None if it is zero or set from outside."""
    names, seen = [name], set()
    while names:
        name = names.pop()
        if not name or name in seen:
            continue
        seen.add(name)
        array = file.tensor(name)
        node = file.producers.get(name, (None, 0))[0]
        if node is not None and node.op_type == "ConstantOfShape":
            value = file.attributes(node).get("value")
            array = np.zeros(1) if value is None else file.array(value)
        if array is not None:
            if array.dtype.kind == "f" and np.any(array):
                return "a state of its own"
        elif node is not None:
            if node.op_type == "LSTM":
                return "the state of another LSTM"
            if node.op_type != "Shape":
                names += node.input
    return None


def _check_geometry(layers):
    """Raise a ValueError unless the layers can be those of one LSTM."""
    bidirectional, coupled, (first, *_) = layers[0]
    units = len(first.Wh)
    width = units * (1 + bidirectional)
    for k, (both, couples, group) in enumerate(layers):
        inputs, H = group[0].Wx.shape[0], group[0].Wh.shape[0]
        if (both, H) != (bidirectional, units):
            raise ValueError(
                f"layer {k} has {H} units in {1 + both} directions and layer 0 has {units} in "
                f"{1 + bidirectional}; those of a numlstm.LSTM are all alike"
            )
        if couples != coupled:
            raise ValueError(
                f"layer {k} couples its gates and layer 0 does not, or the other way round: "
                "those of a numlstm.LSTM are all alike"
            )
        if k and inputs != width:
            raise ValueError(f"layer {k} reads {inputs} features, the one below makes {width}")
