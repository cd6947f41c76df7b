"""LSTM operators of ONNX models come in exactly, whoever wrote them; all else is refused."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from onnx import TensorProto, helper, numpy_helper
from test_interop import assert_same_weights, random_lstm
from write_foreign_files import D, H, weights_of

from numlstm import CharLSTM, LSTMClassifier, LSTMForecaster, LSTMRegressor, LSTMWeights, interop

DATA = Path(__file__).parent / "data"
SMALL = {"hidden_size": 3, "max_iter": 1, "random_state": 0}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


# Our own models ------------------------------------------------------------------------------


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("n_layers", [1, 3])
def test_there_and_back(path, n_layers, bidirectional):
    lstm = random_lstm(n_layers, bidirectional)
    interop.to_onnx(lstm, path)
    assert_same_weights(interop.from_onnx(path), lstm)
    assert interop.from_onnx(path, dtype="float64").dtype == np.float64


def estimators():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(6, 4, 2)), rng.normal(size=(6, 4, 1))
    yield LSTMRegressor(n_layers=2, bidirectional=True, **SMALL).fit(X, y)
    yield LSTMClassifier(**SMALL).fit(X, np.arange(6) % 2)
    for strategy in ("direct", "recursive"):
        model = LSTMForecaster(4, 3, strategy=strategy, n_layers=2, **SMALL)
        yield model.fit(rng.normal(size=20), rng.normal(size=(20, 1)))
    yield CharLSTM(3, 2, embedding_size=2, max_iter=1, seq_length=4, batch_size=1).fit("ab" * 8)


def test_the_layers_of_estimators(path):
    for model in estimators():
        interop.to_onnx(model, path)
        assert_same_weights(interop.from_onnx(path), model.lstm_)


# PyTorch's -----------------------------------------------------------------------------------


def torch_weights(n_layers, bidirectional, bias=True):
    """Return the weights that tests/write_foreign_files.py gives a torch.nn.LSTM."""
    directions, out, k = 2 if bidirectional else 1, [], 0
    for run in range(n_layers * directions):
        inputs = D if run < directions else H * directions
        arrays = [weights_of((4 * H, inputs), k), weights_of((4 * H, H), k + 1)]
        b = weights_of((4 * H,), k + 2) + weights_of((4 * H,), k + 3) if bias else np.zeros(4 * H)
        out.append(LSTMWeights(arrays[0].T, arrays[1].T, b))
        k += 4 if bias else 2
    return out


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("torch_dynamo", (2, True)),
        ("torch_packed", (2, True)),
        ("torch_script", (3, False, False)),
    ],
)
def test_models_written_by_pytorch(name, arguments):
    lstm = interop.from_onnx(DATA / f"{name}.onnx")
    assert lstm.bidirectional == arguments[1]
    for ours, expected in zip(lstm.weights, torch_weights(*arguments), strict=True):
        for left, right in zip(ours, expected, strict=True):
            assert_array_equal(left, right)


# Graphs as other exporters write them --------------------------------------------------------


class Graph:
    """A graph by hand: nodes and tensors."""

    def __init__(self):
        self.nodes, self.tensors = [], {}

    def add(self, array):
        name = f"t{len(self.tensors)}"
        self.tensors[name] = numpy_helper.from_array(np.asarray(array), name)
        return name

    def node(self, operator, *inputs, n_outputs=1, **attributes):
        outputs = [f"{operator}{len(self.nodes)}_{k}" for k in range(n_outputs)]
        self.nodes.append(helper.make_node(operator, inputs, outputs, **attributes))
        return outputs[0] if n_outputs == 1 else outputs

    def lstm(self, x, *inputs, **attributes):
        return self.node("LSTM", x, *inputs, n_outputs=3, **attributes)[0]

    def layer(self, x, weights, *more, **attributes):
        """Add an LSTM with the weights of each direction, in ONNX's layout."""
        arrays = onnx_arrays(weights)
        if len(weights) == 2:
            attributes["direction"] = "bidirectional"
        names = [self.add(array) for array in arrays]
        return self.lstm(x, *names, *more, hidden_size=H, **attributes)

    def save(self, path, opset=11):
        value = helper.make_tensor_value_info("x", TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "g", [value], [], list(self.tensors.values()))
        opsets = [helper.make_opsetid("", opset)]
        path.write_bytes(helper.make_model(graph, opset_imports=opsets).SerializeToString())
        return path


def onnx_arrays(weights):
    """Return W, R, B for each direction; the bias is split into two that add up to it."""

    def order(array):
        i, f, g, o = np.split(array, 4)
        return np.concatenate([i, o, f, g])

    W = np.stack([order(w.Wx.T) for w in weights])
    R = np.stack([order(w.Wh.T) for w in weights])
    return W, R, np.stack([np.tile(order(w.b) / 2, 2) for w in weights])


def test_keras_through_tf2onnx_in_one_direction(path):
    """Batch first, Squeeze with the axes as an attribute, states of zeros, constant nodes."""
    lstm, graph = random_lstm(2), Graph()
    x = graph.node("Transpose", "x", perm=[1, 0, 2])
    for k, weights in enumerate(lstm.weights):
        shape = graph.node("Concat", graph.node("Shape", x), graph.add([1]), axis=0)
        zeros = graph.node("ConstantOfShape", shape)
        y = graph.layer(x, [weights], "", zeros, zeros)
        y = graph.node("Squeeze", y, axes=[1])
        if k == 0:  # back to batch first, as the next Keras layer wants it, and again
            y = graph.node("Identity", graph.node("Transpose", y, perm=[1, 0, 2]))
            x = graph.node("Transpose", graph.node("Cast", y, to=1), perm=[1, 0, 2])
    assert_same_weights(interop.from_onnx(graph.save(path)), lstm)


def test_keras_through_tf2onnx_in_both(path):
    """The directions taken apart and joined again, as `Bidirectional` does it."""
    lstm, graph, x = random_lstm(2, bidirectional=True), Graph(), "x"
    for weights in (lstm.weights[:2], lstm.weights[2:]):
        y = graph.layer(x, weights)
        ways = [graph.node("Slice", y, starts=[k], ends=[k + 1], axes=[1]) for k in (0, 1)]
        ways = [graph.node("Squeeze", way, axes=[1]) for way in ways]
        x = graph.node("Concat", *ways, axis=-1)
    assert_same_weights(interop.from_onnx(graph.save(path, opset=9)), lstm)


def test_split_and_inputs_instead_of_attributes(path):
    lstm, graph, x = random_lstm(2, bidirectional=True), Graph(), "x"
    for weights in (lstm.weights[:2], lstm.weights[2:]):
        y = graph.layer(x, weights)
        ways = graph.node("Split", y, graph.add([1, 1]), n_outputs=2, axis=1)
        ways = [graph.node("Squeeze", way, graph.add([1])) for way in ways]
        x = graph.node("Dropout", graph.node("Concat", *ways, axis=2))
    assert_same_weights(interop.from_onnx(graph.save(path, opset=13)), lstm)


def test_batch_first_operators(path):
    lstm, graph, x = random_lstm(3, bidirectional=True), Graph(), "x"
    for k in (0, 2, 4):
        y = graph.layer(x, lstm.weights[k : k + 2], layout=int(k < 4))
        x = graph.node("Reshape", y, graph.add([0, 0, 2 * H]))
        if k == 2:
            x = graph.node("Transpose", x, perm=[1, 0, 2])
    assert_same_weights(interop.from_onnx(graph.save(path)), lstm)


def test_a_shape_computed_from_the_outputs(path):
    lstm, graph = random_lstm(2), Graph()
    y = graph.layer("x", lstm.weights[:1])
    shape = graph.node("Shape", y)
    parts = [graph.node("Gather", shape, graph.add([k])) for k in (0, 2, 3)]
    graph.layer(graph.node("Reshape", y, graph.node("Concat", *parts, axis=0)), lstm.weights[1:])
    assert_same_weights(interop.from_onnx(graph.save(path)), lstm)


def test_weights_that_are_put_together_in_the_graph(path):
    lstm, graph = random_lstm(1), Graph()
    W, R, B = onnx_arrays(lstm.weights)
    W = graph.node("Unsqueeze", graph.node("Transpose", graph.add(W[0].T)), axes=[0])
    halves = [graph.add(half) for half in np.split(B, 2, axis=1)]
    R = graph.node("Constant", value=numpy_helper.from_array(R))
    graph.lstm("x", W, R, graph.node("Concat", *halves, axis=1), hidden_size=H)
    assert_same_weights(interop.from_onnx(graph.save(path)), lstm)


def test_constants_without_a_tensor(path):
    lstm, graph = random_lstm(1), Graph()
    W, R, B = onnx_arrays(lstm.weights)
    axes = graph.node("Constant", value_ints=[0])
    W = graph.node("Unsqueeze", graph.add(W[0]), axes)
    graph.lstm("x", W, graph.add(R), graph.add(B), hidden_size=H)
    assert_same_weights(interop.from_onnx(graph.save(path, opset=13)), lstm)
    graph = Graph()
    graph.lstm("x", graph.node("Constant", value_string=b"no"), graph.add(R), hidden_size=H)
    with pytest.raises(ValueError, match="the constant '.*' is not a plain tensor"):
        interop.from_onnx(graph.save(path, opset=13))


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_precisions_come_in_exactly(path, dtype):
    weights = [LSTMWeights(*(weights_of(s, 0) for s in ((D, 4 * H), (H, 4 * H), (4 * H,))))]
    graph = Graph()
    names = [graph.add(array.astype(dtype)) for array in onnx_arrays(weights)]
    graph.lstm("x", *names, hidden_size=H)
    lstm = interop.from_onnx(graph.save(path))
    assert lstm.dtype == (np.float64 if dtype is np.float64 else np.float32)
    for left, right in zip(lstm.weights[0], weights[0], strict=True):
        assert_array_equal(left, right)


def test_what_is_spelled_out_but_usual_is_accepted(path):
    lstm, graph = random_lstm(1), Graph()
    usual = {"activations": ["Sigmoid", "Tanh", "Tanh"], "input_forget": 0, "direction": "forward"}
    lengths = graph.add(np.array([4, 4], np.int32))
    peepholes = graph.add(np.zeros((1, 3 * H), "f"))
    graph.layer("x", lstm.weights, lengths, "", "", peepholes, **usual)
    assert_same_weights(interop.from_onnx(graph.save(path)), lstm)


# Refusals ------------------------------------------------------------------------------------

ONE, TWO = random_lstm(1).weights, random_lstm(2).weights
BOTH = random_lstm(2, bidirectional=True).weights
OTHER = random_lstm(1, seed=1).weights


def stack(between, upper=TWO[1:], lower=TWO[:1]):
    """Return a maker of two layers with something between them."""

    def make(graph):
        graph.layer(between(graph, graph.layer("x", lower)), upper)

    return make


def squeeze(graph, y):
    return graph.node("Squeeze", y, axes=[1])


REFUSED = {
    r"clips .* \(clip=3\)": lambda g: g.layer("x", ONE, clip=3.0),
    "activations .*'relu'": lambda g: g.layer("x", ONE, activations=["Sigmoid", "Relu", "Tanh"]),
    "direction 'reverse' only": lambda g: g.layer("x", ONE, direction="reverse"),
    "reads its input backwards .ReverseSequence.": lambda g: g.layer(
        g.node("Transpose", g.node("ReverseSequence", "x", "lengths"), perm=[1, 0, 2]), ONE
    ),
    "a state of its own": lambda g: g.layer("x", ONE, "", g.add(np.ones((1, 1, H), "f"))),
    "starts from a state of its own": lambda g: g.layer(
        "x", ONE, "", "", g.node("ConstantOfShape", "s", value=numpy_helper.from_array(np.ones(1)))
    ),
    "fixed lengths": lambda g: g.layer("x", ONE, g.add(np.array([2, 3], np.int32))),
    "no LSTM operator; its operators are: GRU, Relu": lambda g: g.node(
        "GRU", g.node("Relu", "x"), "w", "r"
    ),
    "no LSTM operator; .*: Add, Loop; what a Loop computes is not looked into": lambda g: g.node(
        "Loop", g.node("Add", "x", "x")
    ),
    "lacks inputs": lambda g: g.node("LSTM", "x", "W"),
    "no fixed W: 'x' is an input": lambda g: g.lstm("x", "x", g.add(np.zeros((1, 12, 3), "f"))),
    "no fixed R: .* made by MatMul": lambda g: g.lstm(
        "x", g.add(np.zeros((1, 12, 2), "f")), g.node("MatMul", "x", "x")
    ),
    r"R must be an array of floats of shape \(1, 16, 4\), got float32 \(1, 12, 4\)": lambda g: (
        g.lstm("x", g.add(np.zeros((1, 16, 2), "f")), g.add(np.zeros((1, 12, 4), "f")))
    ),
    r"W must be an array of floats .* got int64 \(1, 12, 2\)": lambda g: g.lstm(
        "x", g.add(np.zeros((1, 12, 2), int)), g.add(np.zeros((1, 12, 3), "f"))
    ),
    r"three axes, got \(12, 2\)": lambda g: g.lstm(
        "x", g.add(np.zeros((12, 2), "f")), g.add(np.zeros((12, 3), "f"))
    ),
    "hidden_size is 4, R has 3": lambda g: g.lstm(
        "x", *map(g.add, onnx_arrays(ONE)), hidden_size=4
    ),
    "2 LSTMs do not form one stack.*reads an input of the model": lambda g: [
        g.layer("x", ONE), g.layer("x", OTHER)
    ],
    "do not form one stack.*reads what Relu makes": stack(
        lambda g, y: g.node("Relu", squeeze(g, y))
    ),
    "do not form.*an input of the model and 'LSTM0_0' of an LSTM": stack(
        lambda g, y: g.node("Concat", squeeze(g, y), "x", axis=2)
    ),
    "do not form.*reads 'LSTM0_1' of an LSTM": stack(lambda g, y: "LSTM0_1"),
    "reads 'LSTM0_0' rearranged": stack(
        lambda g, y: g.node("Transpose", squeeze(g, y), perm=[1, 0, 2])
    ),
    "do not form.*reads 'LSTM0_0' rearranged": stack(
        lambda g, y: g.node("Reshape", y, g.add([0, 0, 2 * H])), BOTH[2:], BOTH[:2]
    ),
    "the Reshape that makes .* is amiss": stack(
        lambda g, y: g.node("Reshape", y, g.add([0, 0, 7]))
    ),
    "layer 1 has 3 units in 2 directions and layer 0 has 3 in 1": stack(squeeze, BOTH[:2]),
    "layer 1 reads 2 features, the one below makes 3": stack(squeeze, ONE),
    "starts from the state of another LSTM": lambda g: [
        g.layer(squeeze(g, g.layer("x", TWO[:1])), TWO[1:], "", "LSTM0_1")
    ],
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_represented_is_refused(path, message):
    graph = Graph()
    REFUSED[message](graph)
    with pytest.raises(ValueError, match=f"model.onnx cannot be converted: .*{message}"):
        interop.from_onnx(graph.save(path))


def test_a_graph_that_would_fill_the_memory_is_refused(path):
    graph = Graph()
    W = graph.add(np.zeros((1, 12, 2), "f"))
    for _ in range(40):
        W = graph.node("Concat", W, W, axis=0)
    graph.lstm("x", W, graph.add(np.zeros((1, 12, 3), "f")))
    with pytest.raises(ValueError, match="makes too much"):
        interop.from_onnx(graph.save(path))


def test_a_graph_in_a_circle_is_refused(path):
    for nodes in (
        [("LSTM", ["a", "W", "R"], ["Y"]), ("Squeeze", ["Y"], ["a"])],
        [("LSTM", ["x", "a", "R"], ["Y"]), ("Squeeze", ["a"], ["a"])],
    ):
        graph = Graph()
        graph.nodes = [helper.make_node(*node) for node in nodes]
        for name, n in (("W", 3), ("R", 3)):
            graph.tensors[name] = numpy_helper.from_array(np.zeros((1, 12, n), "f"), name)
        with pytest.raises(ValueError, match="model.onnx cannot be converted"):
            interop.from_onnx(graph.save(path))
