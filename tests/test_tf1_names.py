"""Variables of TensorFlow 1 checkpoints by their names, from mappings and from files."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from damaged_files import count_refusals, damaged_copies
from test_interop import assert_same_weights, random_lstm

from numlstm import interop

GOLDEN = Path(__file__).parent / "golden"
NEW = "rnn/multi_rnn_cell/cell_{}/basic_lstm_cell/{}", ("kernel", "bias")
NAMES = {
    "1.2": NEW,
    "1.0": (NEW[0], ("weights", "biases")),
    "0.12": ("RNN/MultiRNNCell/Cell{}/BasicLSTMCell/Linear/{}", ("Matrix", "Bias")),
    "LSTMCell": ("model/rnn/multi_rnn_cell_1/cell_{}/lstm_cell/{}:0", ("kernel", "bias")),
    "old LSTMCell": ("RNN/MultiRNNCell/Cell{}/LSTMCell/{}", ("W_0", "B")),
}
WAYS = "{}/bidirectional_rnn/{}/basic_lstm_cell/{}"


def named(lstm, form=NEW, forget_bias=1.0):
    """Return the variables of a stack of cells in the order of the alphabet, and some others."""
    template, kinds = form
    arrays = {
        template.format(k, kind): array
        for k, pair in enumerate(interop.to_tf1(lstm, forget_bias))
        for kind, array in zip(kinds, pair, strict=True)
    }
    slots = {f"{name}/{slot}": np.ones(1) for name in arrays for slot in ("Adam", "Adam_1")}
    return dict(sorted({**arrays, **slots, "softmax_w": np.ones((3, 2)), "step": 3}.items()))


def named_both_ways(lstm, outer):
    """Return the variables of a bidirectional LSTM; TensorFlow has a cell for each direction."""
    names = [
        WAYS.format(outer.format(k // 2), ("fw", "bw")[k % 2], "{}")
        for k in range(len(lstm.weights))
    ]
    arrays = {}
    for name, (Wx, Wh, b) in zip(names, lstm.weights, strict=True):
        i, f, g, o = np.split(np.concatenate([Wx, Wh, b[None]]), 4, axis=1)
        joined = np.concatenate([i, g, f, o], axis=1)
        arrays[name.format("kernel")], arrays[name.format("bias")] = joined[:-1], joined[-1]
    return arrays


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.npz"


@pytest.mark.parametrize("name", ["basic", "lengths", "nofb", "stack2"])
def test_the_variables_of_real_cells(path, name):
    """By name comes what comes as a list, which tests/test_golden.py compares with TensorFlow."""
    with np.load(GOLDEN / f"tf1_{name}.npz") as file:
        variables = {
            key.partition(":")[2].replace("|", "/"): file[key] for key in file if key[0] == "w"
        }
        forget_bias = float(file["forget_bias"])
    arrays = list(variables.values())
    expected = interop.from_tf1(list(zip(arrays[::2], arrays[1::2], strict=True)), forget_bias)
    assert_same_weights(interop.from_tf1(variables, forget_bias), expected)
    np.savez(path, **variables)
    assert_same_weights(interop.from_tf1(path, forget_bias), expected)


@pytest.mark.parametrize("form", NAMES)
def test_there_and_back_by_old_and_new_names(path, form):
    """The order is that of the numbers: cell_10 is above cell_2."""
    lstm = random_lstm(11)
    variables = named(lstm, NAMES[form], forget_bias=0)
    assert_same_weights(interop.from_tf1(variables, forget_bias=0), lstm)
    np.savez_compressed(path, **variables)
    assert_same_weights(interop.from_tf1(path, forget_bias=0), lstm)
    assert_same_weights(interop.from_tf1(str(path), 0), lstm)
    assert interop.from_tf1(path, dtype="float64").dtype == np.float64


def test_the_forget_bias_is_added():
    lstm = random_lstm(2)
    one, two = (interop.from_tf1(named(lstm), forget_bias=b).weights for b in (1.0, 2.0))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(b.b - a.b, np.repeat([0, 1, 0, 0], 3), atol=1e-6)


@pytest.mark.parametrize(
    ("n_layers", "outer"), [(1, "rnn"), (3, "stack_bidirectional_rnn/cell_{}")]
)
def test_both_directions(n_layers, outer):
    lstm = random_lstm(n_layers, bidirectional=True)
    variables = named_both_ways(lstm, outer)
    assert_same_weights(interop.from_tf1(variables, forget_bias=0), lstm)
    arrays = list(variables.values())
    pairs = list(zip(arrays[::2], arrays[1::2], strict=True))
    assert_same_weights(interop.from_tf1(pairs, forget_bias=0, bidirectional=True), lstm)
    with pytest.raises(ValueError, match="expects 2 .kernel, bias. per layer.*got 1"):
        interop.from_tf1(pairs[:1], bidirectional=True)


def test_one_of_several_by_its_scope():
    first, second = random_lstm(1, seed=0), random_lstm(2, seed=1)
    variables = {"encoder/" + k: v for k, v in named(first, forget_bias=0).items()}
    variables |= {"decoder/" + k: v for k, v in named(second, forget_bias=0).items()}
    assert_same_weights(interop.from_tf1(variables, 0, scope="decoder/"), second)
    with pytest.raises(ValueError, match="got 2, with the scopes 'decoder/rnn/', 'encoder/rnn/'"):
        interop.from_tf1(variables)
    with pytest.raises(ValueError, match="expected names such as other/rnn/basic_lstm_cell/kernel"):
        interop.from_tf1(variables, scope="other/")


def test_half_precision_is_widened_before_the_forget_bias_is_added():
    bias = np.full(12, 2**-12, np.float16)
    lstm = interop.from_tf1([(np.ones((5, 12), np.float16), bias)])
    assert lstm.dtype == np.float32
    assert lstm.weights[0].b[3] == np.float32(1 + 2**-12)


CELL = "rnn/multi_rnn_cell/cell_1/basic_lstm_cell/"
SIDE = "rnn/multi_rnn_cell/cell_1/basic_lstm_cell_1/bias"
REFUSED = {
    "expected bias of cell 1 too": lambda v: v.pop(CELL + "bias"),
    "expected w_i_diag and w_o_diag of cell 1 too": lambda v: v.update({CELL + "w_f_diag": 1}),
    "layer 1: all layers must have the variables of layer 0, kernel, bias, .* projection": (
        lambda v: v.update({CELL + "projection/kernel": np.ones((3, 3))})
    ),
    r"layer 1: projection must have shape \(3, features\), got \(2, 3\)": (
        lambda v: v.update({CELL + "projection/kernel": np.ones((2, 3))})
    ),
    r"layer 1: w_o_diag must have shape \(3,\), got \(4,\)": lambda v: v.update(
        {CELL + f"w_{gate}_diag": np.ones(3 + (gate == "o")) for gate in "fio"}
    ),
    "two cells side by side": lambda v: v.update({SIDE: 1}),
    r"layer 1: kernel must .*got \(5, 12\)": lambda v: v.update(
        {CELL + "kernel": np.ones((5, 12))}
    ),
    "names such as rnn/basic_lstm_cell/kernel .* got no names": lambda v: v.clear(),
    "expected kernel and bias of cell 1 too": lambda v: [
        v.update({name.replace("cell_1/", "cell_9/"): v.pop(name)}) for name in list(v)
    ],
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_refused(message):
    variables = named(random_lstm(2))
    REFUSED[message](variables)
    with pytest.raises(ValueError, match=message):
        interop.from_tf1(variables)


def test_directions_that_meet_only_at_the_top_are_refused():
    name = "bidirectional_rnn/{}/multi_rnn_cell/cell_{}/basic_lstm_cell/kernel"
    variables = {name.format(way, k): 1 for way in ("fw", "bw") for k in (0, 1)}
    with pytest.raises(ValueError, match="each direction is a stack of its own"):
        interop.from_tf1(variables)
    with pytest.raises(ValueError, match="expected kernel and bias of cell bw too"):
        interop.from_tf1({WAYS.format("rnn", "fw", kind): 1 for kind in ("kernel", "bias")})


# Files ---------------------------------------------------------------------------------------


def write(path, header, n_bytes=0):
    """Write an `.npz` file whose only kernel has this header, and this many bytes after it."""
    text = (header + "\n").encode()
    content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(n_bytes)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rnn/basic_lstm_cell/kernel.npy", content)
        archive.writestr("rnn/basic_lstm_cell/bias.npy", content)


HEADERS = {
    "kernel.npy claims 838860\\d\\d bytes in a file of": ("", 80 << 20),
    "buffer is smaller than requested": (
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000)}", 0
    ),
    "must be an array of floats, got object": (
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", 90
    ),
    "malformed node or string": ("{'descr': __import__('os').system('true')}", 0),
}  # fmt: skip


@pytest.mark.parametrize("message", HEADERS)
def test_hostile_files_are_refused(path, message):
    write(path, *HEADERS[message])
    with pytest.raises(ValueError, match=f"model.npz cannot be converted: .*{message}"):
        interop.from_tf1(path)


def test_other_and_missing_files(path):
    path.write_bytes(b"something else")
    with pytest.raises(ValueError, match="model.npz cannot be converted: BadZipFile"):
        interop.from_tf1(path)
    with pytest.raises(OSError, match="nothing"):
        interop.from_tf1(path.with_name("nothing"))


def test_damaged_files_are_refused_or_hold_an_lstm(path):
    np.savez_compressed(path, **named(random_lstm(2)))
    copies = damaged_copies(path.read_bytes(), 97, 200)
    refused = count_refusals(interop.from_tf1, path, copies)
    assert refused > 50
