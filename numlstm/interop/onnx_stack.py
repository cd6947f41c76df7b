"""Which LSTM operators of an ONNX graph are layers on top of each other.

Between two layers of a stack stands only what brings the outputs (T, directions, N, H) of the one
into the form (T, N, directions * H) that the other reads. Exporters write that in many ways, so it
is tried on an array of distinct numbers.
"""

import math

import numpy as np

from numlstm.interop.onnx_values import MOVERS, Values

PROBE = (3, 2)  # steps and rows
MAX_PROBE = 2**26  # numbers, of 4 bytes


def find_stack(file):
    """Return the LSTM nodes of a file from the lowest layer to the highest.

    Raises
    ------
    ValueError
        If there are none, or if they do not form one stack.
    """
    nodes = [
        node for node in file.nodes if node.op_type == "LSTM" and node.domain in ("", "ai.onnx")
    ]
    if not nodes:
        found = sorted({node.op_type for node in file.nodes}) or ["none at all"]
        # So tf2onnx writes layers of Keras with a mask, recurrent dropout or other activations.
        loop = "; what a Loop computes is not looked into" if "Loop" in found else ""
        raise ValueError(f"it has no LSTM operator; its operators are: {', '.join(found)}{loop}")
    for node in nodes:
        if len(node.input) < 3 or not node.output or not all(node.input[:3]):
            raise ValueError(f"the LSTM {node.name!r} lacks inputs or outputs that it must have")
    below = {node.output[0]: _below(file, node) for node in nodes}
    tops = {node.output[0]: node for node in nodes}
    for lower, _ in below.values():
        if lower is not None:
            tops.pop(lower.output[0], None)
    stacks = {}
    for node in tops.values():  # the same weights twice are the same layers, applied twice
        stack = _down_from(node, below)
        stacks.setdefault(tuple((*layer.input[1:4], *layer.input[7:8]) for layer in stack), stack)
    if len(stacks) != 1:
        reasons = sorted({reason for _, reason in below.values() if reason})
        raise ValueError(
            f"its {len(nodes)} LSTMs do not form one stack of layers"
            + "".join(f"; {reason}" for reason in reasons[:5])
        )
    return next(iter(stacks.values()))


def _down_from(node, below):
    """Return the layers of a stack, the lowest first."""
    stack = []
    while node is not None:
        stack.append(node)
        if len(stack) > len(below):
            raise ValueError("its LSTMs run in a circle")
        node, _ = below[node.output[0]]
    return stack[::-1]


def _below(file, node):
    """Return the LSTM whose outputs a node reads, or None, and why it is not on top of any."""
    others, lower = set(), {}
    names, seen = [node.input[0]], set()
    while names:
        name = names.pop()
        if name in seen:
            continue
        seen.add(name)
        source, k = file.producers.get(name, (None, 0))
        if source is None:
            others.add("an input of the model")
        elif source.op_type == "LSTM":
            lower[source.output[k]] = (source, k)
        elif source.op_type in MOVERS:
            names += source.input if source.op_type == "Concat" else source.input[:1]
        elif source.op_type == "ReverseSequence":  # go_backwards of Keras, through tf2onnx
            raise ValueError(
                f"the LSTM of {node.output[0]!r} reads its input backwards (ReverseSequence); a "
                "numlstm.LSTM reads forward, or both ways"
            )
        else:
            others.add(f"what {source.op_type} makes")
    if not lower:
        return None, f"{node.output[0]!r} reads {', '.join(sorted(others))}"
    source, k = next(iter(lower.values()))
    if others or len(lower) > 1 or k:
        what = sorted(others) + [f"{name!r} of an LSTM" for name in sorted(lower)]
        return None, f"{node.output[0]!r} reads {' and '.join(what)}"
    if not _joins_directions(file, source, node):
        return None, f"{node.output[0]!r} reads {source.output[0]!r} rearranged"
    return source, None


def _joins_directions(file, lower, upper):
    """Return whether what stands between two LSTMs joins the directions and does nothing else."""
    n_directions, _, H = Values(file)[lower.input[2]].shape
    time_first = not file.attributes(lower).get("layout")
    try:
        found, outputs = _moved(file, lower, upper, (*PROBE, n_directions, H), time_first)
    except ValueError:  # perhaps it takes no other number of steps and rows than those of the model
        shape = file.shape(lower.output[0])
        if shape is None:
            raise
        T, N = (shape[0], shape[2]) if time_first else shape[1::-1]
        if T * N * n_directions * H > MAX_PROBE:
            raise
        found, outputs = _moved(file, lower, upper, (T, N, n_directions, H), time_first)
    expected = outputs.reshape(*outputs.shape[:2], n_directions * H)
    if file.attributes(upper).get("layout"):
        expected = expected.transpose(1, 0, 2)
    return np.array_equal(found, expected)


def _moved(file, lower, upper, shape, time_first):
    """Return an array of distinct numbers as an LSTM reads it, and (T, N, directions, H)."""
    outputs = np.arange(math.prod(shape), dtype=np.int32).reshape(shape)
    made = outputs.transpose(0, 2, 1, 3) if time_first else outputs.transpose(1, 0, 2, 3)
    return Values(file, {lower.output[0]: made})[upper.input[0]], outputs
