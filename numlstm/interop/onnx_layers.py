"""LSTM layers as ONNX nodes, with lengths and states that whoever runs the graph may leave out.

The layers of ONNX read time first; `numlstm.interop.onnx_weights` has their weights.
"""

from typing import NamedTuple

import numpy as np

from numlstm.interop.onnx_graph import N, T
from numlstm.interop.onnx_weights import onnx_arrays


class Layers(NamedTuple):
    """What is known of LSTM layers, in numbers and as names of constants."""

    constants: list  # (W, R, B) of each layer, and P with peepholes
    hidden_size: int
    n_directions: int
    coupled: bool

    @property
    def width(self):
        """Features of the outputs."""
        return self.hidden_size * self.n_directions


class Results(NamedTuple):
    """Names of what layers return."""

    outputs: str  # (N, T, width)
    last: str  # (N, width), the last hidden states of the top layer
    h: str  # (n_layers * n_directions, N, H)
    c: str


def add_layers(graph, lstm, dtype):
    """Store the weights of an LSTM in a graph."""
    directions, weights = 2 if lstm.bidirectional else 1, lstm.weights
    constants = [
        [
            graph.constant(narrow(array, np.dtype(dtype)))
            for array in onnx_arrays(weights[k : k + directions])
        ]
        for k in range(0, len(weights), directions)
    ]
    coupled = lstm.variant is not None and lstm.variant.coupled_gates
    return Layers(constants, lstm.hidden_size, directions, coupled)


def narrow(array, dtype):
    """Return an array in the dtype of the graph.

    Raises
    ------
    ValueError
        If a number is beyond its range.
    """
    with np.errstate(over="ignore"):  # infinity is found below
        out = array.astype(dtype)
    if not np.isfinite(out).all():
        raise ValueError(f"the weights must fit into {dtype}, got {np.abs(array).max()}")
    return out


def add_lengths(graph, X):
    """Add the input `sequence_lens`; return the lengths of the rows of X (N, T, ...), (N,)."""
    given = graph.input(
        "sequence_lens", np.int32, [N],
        "Time steps of each row. By default, and where it is negative, all of them.",
        default=np.array([-1], np.int32),
    )  # fmt: skip
    n_timesteps = graph.cast(graph.node("Shape", X, start=1, end=2), np.int32)
    negative = graph.node("Less", given, np.array(0, np.int32))
    lengths = graph.node("Where", negative, n_timesteps, given)
    return graph.node("Expand", lengths, n_samples(graph, X))


def n_samples(graph, X):
    """Return the length of the first axis, (1,)."""
    return graph.node("Shape", X, start=0, end=1)


def add_state(graph, layers, X, dtype):
    """Add the inputs `initial_h` and `initial_c`; return each in a list with a part per layer."""
    n, H = len(layers.constants), layers.hidden_size
    runs = n * layers.n_directions
    shape = graph.node("Concat", np.array([runs]), n_samples(graph, X), np.array([H]), axis=0)
    states = []
    for name, kind in (("initial_h", "Hidden"), ("initial_c", "Cell")):
        given = graph.input(
            name, dtype, [runs, N, H],
            f"{kind} state before the first step, of each layer and direction. Zero by default.",
            default=np.zeros((runs, 1, H), dtype),
        )  # fmt: skip
        whole = graph.node("Expand", given, shape)
        sizes = np.full(n, layers.n_directions)
        parts = graph.node("Split", whole, sizes, n_outputs=n, axis=0) if n > 1 else whole
        states.append(parts if n > 1 else [parts])
    return states


def run_layers(graph, layers, X, lengths, state=None):
    """Add the LSTM nodes for X (N, T, D) and return their `Results`."""
    H, bidirectional = layers.hidden_size, layers.n_directions == 2
    x, last_h, last_c = graph.node("Transpose", X, perm=[1, 0, 2]), [], []
    attributes = {"hidden_size": H, "direction": "bidirectional" if bidirectional else "forward"}
    if layers.coupled:
        attributes["input_forget"] = 1
    for k, (W, R, B, *P) in enumerate(layers.constants):
        initial = [part[k] for part in state] if state else ["", ""][: 2 * len(P)]
        Y, h, c = graph.node("LSTM", x, W, R, B, lengths, *initial, *P, n_outputs=3, **attributes)
        x = join_directions(graph, Y, [0, 2, 1, 3], [0, 0, layers.width])
        last_h.append(h)
        last_c.append(c)
    return Results(
        graph.node("Transpose", x, perm=[1, 0, 2]),
        join_directions(graph, last_h[-1], [1, 0, 2], [0, layers.width]),
        graph.node("Concat", *last_h, axis=0),
        graph.node("Concat", *last_c, axis=0),
    )


def join_directions(graph, value, perm, shape):
    """Return a value with its axis of directions moved before that of the units, and into it."""
    moved = graph.node("Transpose", value, perm=perm)
    return graph.node("Reshape", moved, np.array(shape))


def add_final_state(graph, layers, results, dtype):
    """Add the outputs `final_h` and `final_c`."""
    shape = [len(layers.constants) * layers.n_directions, N, layers.hidden_size]
    about = "state of each row after its last step."
    graph.output(results.h, "final_h", dtype, shape, f"Hidden {about}")
    graph.output(results.c, "final_c", dtype, shape, f"Cell {about}")


def export_lstm(graph, lstm, dtype):
    """Add inputs, nodes and outputs of an LSTM."""
    X = graph.input("X", dtype, [N, T, lstm.input_size], "Sequences, padded at their ends.")
    lengths, layers = add_lengths(graph, X), add_layers(graph, lstm, dtype)
    results = run_layers(graph, layers, X, lengths, add_state(graph, layers, X, dtype))
    graph.output(
        results.outputs, "outputs", dtype, [N, T, layers.width],
        "Hidden states of the last layer; zero past the end of a row.",
    )  # fmt: skip
    add_final_state(graph, layers, results, dtype)
