"""Variants in ONNX: onnxruntime gives what we give, and they come back as they went."""

import numpy as np
import onnxruntime
import pytest
from numpy.testing import assert_allclose
from onnx import TensorProto, helper
from test_onnx_import import Graph
from test_variants_errors import assert_same_lstm

from numlstm import LSTM, LSTMState, LSTMVariant, interop

D, H = 3, 5
OPTIONS = {
    "peepholes": {"peepholes": True},
    "coupled gates": {"coupled_gates": True},
    "both": {"peepholes": True, "coupled_gates": True, "recurrent_dropout": 0.5},
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


def session_of(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it mentions every input with a default
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options)


def random_variant(rng, n_layers=1, bidirectional=False, **options):
    lstm = LSTM(
        D, H, n_layers=n_layers, bidirectional=bidirectional, variant=LSTMVariant(**options)
    )
    lstm.weights = [
        type(w)(*(None if a is None else rng.normal(size=a.shape).astype("f") for a in w))
        for w in lstm.weights
    ]
    return lstm


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize("options", OPTIONS)
def test_onnxruntime_gives_what_we_give(path, rng, options, n_layers, bidirectional):
    lstm = random_variant(rng, n_layers, bidirectional, **OPTIONS[options])
    interop.to_onnx(lstm, path)
    session = session_of(path)
    for lengths in ([5, 2, 4], [1, 9, 3, 3, 8]):
        X = rng.normal(size=(len(lengths), max(lengths), D)).astype("f")
        shape = lstm.zero_state(len(X)).h.shape
        state = LSTMState(*rng.normal(size=(2, *shape)).astype("f"))
        inputs = {"X": X, "sequence_lens": np.array(lengths, np.int32)}
        given = {"initial_h": state.h, "initial_c": state.c}
        for ours, theirs in (({}, inputs), ({"state": state}, inputs | given)):
            outputs, last = lstm(X, lengths=lengths, **ours)
            for a, b in zip(session.run(None, theirs), (outputs, *last), strict=True):
                assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("options", OPTIONS)
def test_there_and_back(path, rng, options):
    lstm = random_variant(rng, 2, True, **OPTIONS[options])
    interop.to_onnx(lstm, path)
    kept = LSTMVariant(**OPTIONS[options] | {"recurrent_dropout": 0.0})
    expected = LSTM.from_weights(lstm.weights, bidirectional=True, variant=kept)
    assert_same_lstm(interop.from_onnx(path), expected)


# Operators of others -------------------------------------------------------------------------


def write(path, rng, *attributes, peepholes=True):
    """Write layers of random weights, which contradict each other where they are coupled."""
    graph, x = Graph(), "x"
    for k, named in enumerate(attributes):
        shapes = (1, 4 * H, H if k else D), (1, 4 * H, H), (1, 8 * H), (1, 3 * H)
        arrays = [rng.normal(size=shape).astype("f") for shape in shapes]
        names = [graph.add(array) for array in arrays]
        with_P = ("", "", "", names[3]) if peepholes and k == 0 else ()
        Y = graph.node("LSTM", x, *names[:3], *with_P, n_outputs=3, hidden_size=H, **named)[0]
        x = graph.node("Squeeze", Y, graph.add(np.array([1])))
    graph.nodes[-1].output[0] = "y"
    tensors = list(graph.tensors.values())
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["t", "n", None]) for name in "xy"
    ]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "g", ends[:1], ends[1:], tensors),
        opset_imports=[helper.make_opsetid("", 17)], ir_version=8,
    )  # fmt: skip
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("coupled", [0, 1])
@pytest.mark.parametrize("peepholes", [False, True])
def test_operators_mean_what_onnxruntime_makes_of_them(path, rng, coupled, peepholes):
    """Of two layers one has no peepholes: they are zero then."""
    both = [{"input_forget": coupled}] * 2
    lstm = interop.from_onnx(write(path, rng, *both, peepholes=peepholes))
    options = {"peepholes": peepholes, "coupled_gates": bool(coupled)}
    assert lstm.variant == (LSTMVariant(**options) if any(options.values()) else None)
    X = rng.normal(size=(4, 6, D)).astype("f")
    (outputs,) = session_of(path).run(None, {"x": X.transpose(1, 0, 2)})
    assert_allclose(outputs.transpose(1, 0, 2), lstm(X)[0], atol=1e-6)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ([{"clip": 0.5}], r"clip=0.5.*numlstm.LSTM does not: its cell_clip limits the cell state"),
        ([{"input_forget": 1}, {}], "layer 1 couples its gates and layer 0 does not, or"),
    ],
)
def test_what_is_something_else_is_refused(path, rng, attributes, message):
    with pytest.raises(ValueError, match=f"model.onnx cannot be converted: .*{message}"):
        interop.from_onnx(write(path, rng, *attributes))


def test_peepholes_of_a_wrong_shape_are_refused(path):
    graph = Graph()
    W, R = graph.add(np.ones((1, 4 * H, D), "f")), graph.add(np.ones((1, 4 * H, H), "f"))
    graph.lstm("x", W, R, "", "", "", "", graph.add(np.ones((1, 3), "f")))
    with pytest.raises(ValueError, match=r"P must be an array of floats of shape \(1, 15\)"):
        interop.from_onnx(graph.save(path))
