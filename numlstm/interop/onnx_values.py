"""Values of an ONNX graph that follow from its constants alone, or from one array put in.

Only operators that move numbers about are followed, so that what they do to the layout of an array
can be told by what they do to an array of distinct numbers.
"""

import math

import numpy as np

ROOM = (
    16  # times the numbers put in: what a file may make of them, lest a small one fill the memory
)


class UnknownValue(ValueError):
    """A value that depends on more than what is known."""


def _axes(attributes, inputs, ndim):
    """Return the axes of Squeeze or Unsqueeze: an attribute before opset 13, then an input."""
    axes = inputs[1] if len(inputs) > 1 else attributes.get("axes")
    return None if axes is None else tuple(int(axis) % ndim for axis in np.asarray(axes).flat)


def _squeeze(attributes, data, *axes):
    return np.squeeze(data, _axes(attributes, (data, *axes), data.ndim))


def _unsqueeze(attributes, data, *axes):
    count = np.size(axes[0] if axes else attributes["axes"])
    return np.expand_dims(data, _axes(attributes, (data, *axes), data.ndim + count))


def _reshape(attributes, data, shape):
    shape = [int(n) for n in shape]
    if not attributes.get("allowzero"):
        shape = [data.shape[k] if n == 0 else n for k, n in enumerate(shape)]
    return data.reshape(shape)


def _slice(attributes, data, *inputs):
    keys = ("starts", "ends", "axes", "steps")
    given = dict(zip(keys, inputs, strict=False)) if inputs else attributes
    starts, ends = given["starts"], given["ends"]
    axes = given.get("axes")
    axes = range(len(starts)) if axes is None else axes
    steps = given.get("steps")
    steps = [1] * len(starts) if steps is None else steps
    index = [slice(None)] * data.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        # ONNX writes "down to the first, and that as well" as a very negative end.
        end = None if step < 0 and end < -data.shape[axis] else int(end)
        index[axis] = slice(int(start), end, int(step))
    return data[tuple(index)]


def _split(attributes, data, sizes=None):
    axis = attributes.get("axis", 0)
    sizes = attributes.get("split") if sizes is None else sizes
    if sizes is None:
        return np.split(data, attributes["n_outputs"], axis)
    return np.split(data, np.cumsum(sizes)[:-1], axis)


def _shape(attributes, data):
    shape = np.array(data.shape, np.int64)
    return shape[attributes.get("start", 0) : attributes.get("end")]


MOVERS = {
    "Identity": lambda attributes, data: data,
    "Dropout": lambda attributes, data, *options: data,  # outside training
    "Cast": lambda attributes, data: data,
    "Transpose": lambda attributes, data: np.transpose(data, attributes.get("perm")),
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Slice": _slice,
    "Split": _split,
    "Concat": lambda attributes, *parts: np.concatenate(parts, attributes["axis"]),
}
OTHERS = {
    "Shape": _shape,
    "Gather": lambda attributes, data, k: np.take(data, k, attributes.get("axis", 0)),
}


class Values:
    """Values of a graph by name.

    Parameters
    ----------
    file : OnnxFile
    known : dict of str to array
        Values to start from, beside the constants.
    """

    def __init__(self, file, known=()):
        self._file, self._values = file, dict(known)
        self._room = ROOM * sum(array.size for array in self._values.values())

    def __getitem__(self, name):
        """Return a value, or raise `UnknownValue`, or a ValueError that names the node at fault."""
        if name not in self._values:
            array = self._file.tensor(name)
            if array is None:
                self._compute(name)
            else:
                self._values[name] = array
                self._room += ROOM * array.size
        return self._values[name]

    def _compute(self, name):
        node = self._file.producers.get(name, (None, 0))[0]
        operator = None if node is None else {**MOVERS, **OTHERS}.get(node.op_type)
        if operator is None:
            made_by = "an input" if node is None else f"made by {node.op_type}"
            raise UnknownValue(f"{name!r} is {made_by}")
        inputs = [self[key] if key else None for key in node.input]
        self._take(node, inputs)
        try:
            result = operator(self._file.attributes(node), *inputs)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise ValueError(f"the {node.op_type} that makes {name!r} is amiss: {error}") from None
        results = result if isinstance(result, list) else [result]
        self._values |= dict(zip(node.output, results, strict=False))
        if name not in self._values:
            raise ValueError(f"the {node.op_type} that should make {name!r} does not")

    def _take(self, node, inputs):
        """Count the numbers that a node will make at most."""
        sizes = [np.size(array) for array in inputs]
        self._room -= math.prod(sizes) if node.op_type == "Gather" else sum(sizes)
        if self._room < 0:
            raise ValueError(f"the {node.op_type} that makes {node.output[0]!r} makes too much")
