"""onnxruntime's side of a task: its LSTM operator with our weights."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from ours import THREADS


class Onnx:
    """onnxruntime's LSTM operator, which is time-major, between two transpositions."""

    def __init__(self, task):
        model = onnx_model(task.lstm, ragged=task.lengths is not None, batch_first=True)
        self.session = onnx_session(model, THREADS)
        self.feed = {"X": task.X}
        if task.lengths is not None:
            self.feed["lengths"] = task.lengths.astype(np.int32)

    def infer(self):
        """Return the outputs, (B, T, n_directions, H)."""
        return self.session.run(None, self.feed)[0]


def onnx_session(model, threads):
    """Return a session for a model, on so many threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def onnx_model(lstm, ragged=False, stateful=False, batch_first=False):
    """Return an ONNX model of our layers.

    Parameters
    ----------
    lstm : LSTM
    ragged : bool
        There is an input `lengths`.
    stateful : bool
        There are inputs h0, c0, h1, c1, ..., two for each layer.
    batch_first : bool
        X and Y are transposed in the graph, as in what PyTorch exports of a batch-first LSTM.

    Returns
    -------
    ModelProto
        Inputs X (T, B, D) and those; outputs Y (T, n_directions, B, H), and the last h and c of
        each layer. With `batch_first`, X (B, T, D) and Y (B, T, n_directions, H).
    """
    directions = 2 if lstm.bidirectional else 1
    value, F = helper.make_tensor_value_info, TensorProto.FLOAT
    sizes = ["B", "T"] if batch_first else ["T", "B"]
    inputs = [value("X", F, [*sizes, lstm.input_size])]
    inputs += [value("lengths", TensorProto.INT32, ["B"])] if ragged else []
    shape = ["B", "T", directions] if batch_first else ["T", directions, "B"]
    outputs = [value("Y", F, [*shape, lstm.hidden_size])]
    nodes, constants, below, above = [], [], "X", "Y"
    if batch_first:
        nodes.append(helper.make_node("Transpose", ["X"], ["X_steps"], perm=[1, 0, 2]))
        below, above = "X_steps", "Y_steps"
    for k in range(lstm.n_layers):
        state = [value(f"{s}{k}", F, [directions, "B", lstm.hidden_size]) for s in "hc"]
        inputs += state if stateful else []
        outputs += [value(f"new_{s}{k}", F, [directions, "B", lstm.hidden_size]) for s in "hc"]
        weights = lstm.weights[directions * k : directions * (k + 1)]
        constants += _onnx_weights(weights, k)
        last = k == lstm.n_layers - 1
        nodes.append(_onnx_node(lstm, k, below, above if last else f"Y{k}", ragged, stateful))
        if not last:  # only one direction is stacked in this benchmark
            below = f"X{k + 1}"
            constants.append(numpy_helper.from_array(np.array([1], np.int64), f"axes{k}"))
            nodes.append(helper.make_node("Squeeze", [f"Y{k}", f"axes{k}"], [below]))
    if batch_first:
        nodes.append(helper.make_node("Transpose", [above], ["Y"], perm=[2, 0, 1, 3]))
    graph = helper.make_graph(nodes, "lstm", inputs, outputs, constants)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=onnx.IR_VERSION_2024_3_25
    )


def _onnx_node(lstm, k, below, above, ragged, stateful):
    """Return the node of layer k."""
    lengths = "lengths" if ragged else ""
    state = [f"h{k}", f"c{k}"] if stateful else ["", ""]
    return helper.make_node(
        "LSTM", [below, f"W{k}", f"R{k}", f"B{k}", lengths, *state],
        [above, f"new_h{k}", f"new_c{k}"], hidden_size=lstm.hidden_size,
        direction="bidirectional" if lstm.bidirectional else "forward",
    )  # fmt: skip


def _onnx_weights(weights, k):
    """Return the constants of a layer from the weights of its directions."""

    def reordered(matrix):  # i f g o -> i o f g, a row for each gate's unit
        i, f, g, o = np.split(matrix.T, 4)
        return np.concatenate([i, o, f, g])

    arrays = {
        f"W{k}": [reordered(w.Wx) for w in weights],
        f"R{k}": [reordered(w.Wh) for w in weights],
        f"B{k}": [np.concatenate([reordered(w.b), np.zeros_like(w.b)]) for w in weights],
    }
    return [numpy_helper.from_array(np.stack(parts), name) for name, parts in arrays.items()]
