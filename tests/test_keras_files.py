"""LSTM layers out of Keras files: real ones, ones by hand, damaged and hostile ones."""

import io
import json
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from damaged_files import count_refusals, damaged_copies
from test_interop import assert_same_weights, random_lstm
from write_foreign_files import weights_of

from numlstm import LSTM, interop

DATA = Path(__file__).parent / "data"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.keras"


def written(lstm, first=0):
    """Return an LSTM of the same geometry with the weights of tests/write_foreign_files.py."""
    arrays = [array.shape for w in lstm.weights for array in w]
    arrays = [weights_of(shape, first + k) for k, shape in enumerate(arrays)]
    return interop.from_keras(arrays, bidirectional=lstm.bidirectional)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_files_written_by_keras(path, bidirectional):
    expected = written(LSTM(2, 3, n_layers=2, bidirectional=bidirectional))
    source = DATA / f"{'bidirectional' if bidirectional else 'functional'}.keras"
    assert_same_weights(interop.from_keras(source), expected)
    assert_same_weights(interop.from_keras(str(source)), expected)
    with zipfile.ZipFile(source) as archive:
        path = path.with_name("model.weights.h5")
        path.write_bytes(archive.read("model.weights.h5"))
    assert_same_weights(interop.from_keras(path), expected)
    assert interop.from_keras(path, dtype="float64").dtype == np.float64


# By hand -------------------------------------------------------------------------------------


def weights_file(lstm, place="layers", change=None):
    """Return the bytes of a `.weights.h5` with an LSTM; `change` is made to the open file."""
    buffer = io.BytesIO()
    directions = 2 if lstm.bidirectional else 1
    with h5py.File(buffer, "w") as file:
        for k, weights in enumerate(interop.to_keras(lstm)):
            turn = f"_{k // directions}" if k >= directions else ""
            name = f"lstm{turn}"
            if lstm.bidirectional:
                name = f"bidirectional{turn}/{('forward', 'backward')[k % 2]}_layer"
            for i, array in enumerate(weights):
                file[f"{place}/{name}/cell/vars/{i}"] = array
        file[f"{place}/dense/vars/0"] = np.ones((3, 1))
        if change:
            change(file)
    return buffer.getvalue()


def layer(kind="LSTM", name="a", reads=None, **config):
    """Return a layer's configuration; `reads` as Keras 3 writes it in a Functional model."""
    if kind == "LSTM":
        usual = {"activation": "tanh", "recurrent_activation": "sigmoid", "return_sequences": True}
        config = {**usual, "go_backwards": False, **config}
    calls = [{"args": [{"config": {"keras_history": [name, 0, 0]}}]} for name in reads or []]
    return {"class_name": kind, "config": {"name": name, **config}, "inbound_nodes": calls}


def both(name, **config):
    ways = {"layer": layer(), "backward_layer": layer(go_backwards=True)}
    return layer("Bidirectional", name, **{"merge_mode": "concat", **ways, **config})


def save(path, lstm, layers, kind="Sequential", compression=zipfile.ZIP_STORED):
    config = {"class_name": kind, "config": {"layers": layers}}
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", weights_file(lstm))
    return path


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("n_layers", [1, 12])
def test_the_order_of_layers_is_that_of_their_numbers(path, n_layers, bidirectional):
    lstm = random_lstm(n_layers, bidirectional)
    make = both if bidirectional else lambda name: layer("LSTM", name)
    layers = [layer("InputLayer", "x"), *(make(f"l{k}") for k in range(n_layers))]
    assert_same_weights(interop.from_keras(save(path, lstm, layers)), lstm)
    path.write_bytes(weights_file(lstm, "_layer_checkpoint_dependencies"))  # as Keras 2.13 calls it
    assert_same_weights(interop.from_keras(path), lstm)


def test_the_order_of_layers_is_that_of_the_configuration(path):
    """Groups are counted in the order of the list, but who reads whom is said by each layer."""
    lstm = random_lstm(2)
    layers = [
        layer("LSTM", "b", ["drop"]), layer("Dropout", "drop", ["a"]),
        layer("LSTM", "a", ["x"]), layer("InputLayer", "x"),
    ]  # fmt: skip
    swapped = io.BytesIO(weights_file(lstm))
    with h5py.File(swapped, "r+") as file:
        for old, new in (("lstm", "other"), ("lstm_1", "lstm"), ("other", "lstm_1")):
            file.move(f"layers/{old}", f"layers/{new}")
    save(path, lstm, layers, "Functional")
    with zipfile.ZipFile(path, "w") as archive:
        config = {"class_name": "Functional", "config": {"layers": layers}}
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", swapped.getvalue())
    assert_same_weights(interop.from_keras(path), lstm)


def test_calls_as_keras_2_wrote_them(path):
    lstm, layers = random_lstm(2), [layer("LSTM", "a"), layer("LSTM", "b")]
    layers[1]["inbound_nodes"] = [[["a", 0, 0, {}]]]
    assert_same_weights(interop.from_keras(save(path, lstm, layers, "Functional")), lstm)


# Refusals ------------------------------------------------------------------------------------


def refuses(path, message):
    return pytest.raises(ValueError, match=f"{path.name} cannot be converted: .*{message}")


A, B = layer(name="a"), layer(name="b")
REFUSED = {
    "a has the activation 'relu', not 'tanh'": [layer(activation="relu"), B],
    "b has the recurrent_activation 'hard_sigmoid', not 'sigmoid'": [
        A, layer(name="b", recurrent_activation="hard_sigmoid")
    ],
    "a has dropout=0.2, which would be lost, .* drops no inputs: .* get_weights": [
        layer(dropout=0.2, recurrent_dropout=0.0), B
    ],
    "b has recurrent_dropout=0.1, which would be lost, .* one mask for all gates, Keras four": [
        layer(dropout=0.0), layer(name="b", recurrent_dropout=0.1)
    ],
    "a reads its input backwards": [layer(go_backwards=True), B],
    "a returns its last output only": [layer(return_sequences=False), B],
    "not form one stack: a reads an input of the model; b reads Dense d": [
        A, layer("Dense", "d"), B
    ],
    "no LSTM layers; its layers are: Dense": [layer("Dense", "d")],
    "lacks the weights of lstm_2": [A, B, layer(name="c")],
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_what_a_configuration_says_is_refused(path, message):
    save(path, random_lstm(2), REFUSED[message])
    with refuses(path, message):
        interop.from_keras(path)


X = layer("InputLayer", "x")
JOINED = {
    "b reads a and x together": [X, layer(name="a", reads=["x"]), layer(name="b")],
    "not form one stack: .*b reads 2 inputs, one after the other": [
        layer(name="a"), layer(name="b", reads=["a", "a"])
    ],
    "do not form one stack: .*b reads a; c reads a": [
        X, *(layer(name=name, reads=[below]) for name, below in ("ax", "ba", "ca"))
    ],
    "not form one stack: a reads b; b reads a": [
        layer(name="a", reads=["b"]), layer(name="b", reads=["a"])
    ],
    "run in a circle": [layer(name="a", reads=["d"]), layer("Dropout", "d", ["d"])],
    "KeyError.'gone'.": [layer(name="a", reads=["gone"])],
}  # fmt: skip
JOINED["b reads a and x together"][2]["inbound_nodes"] = [
    {"args": [[{"keras_history": [name, 0, 0]} for name in "ax"]]}
]


@pytest.mark.parametrize("message", JOINED)
def test_layers_that_are_not_one_stack_are_refused(path, message):
    save(path, random_lstm(1), JOINED[message], "Functional")
    with refuses(path, message):
        interop.from_keras(path)


def test_a_model_whose_joints_are_code_is_refused(path):
    save(path, random_lstm(1), [], "MyModel")
    with refuses(path, "a model of the class MyModel, whose code .* get_weights"):
        interop.from_keras(path)


def test_directions_that_are_not_joined_are_refused(path):
    lstm = random_lstm(1, bidirectional=True)
    for layers, message in (
        ([both("a", merge_mode="sum")], "a merges its directions by 'sum'"),
        ([both("a", layer=layer("GRU"))], "a holds a GRU, not an LSTM"),
        ([both("a", backward_layer=layer())], "a reads its input backwards"),
    ):
        with refuses(path, message):
            interop.from_keras(save(path, lstm, layers))


def replaced(place, **options):
    """Return a change that puts another array in the place of one."""

    def change(file):
        del file[place]
        file.create_dataset(place, **options)

    return change


def linked(file):
    file.move("layers/lstm", "elsewhere")
    file["layers/lstm"] = h5py.ExternalLink("other.h5", "layers/lstm")


def outside(file):
    replaced(KERNEL, shape=(2, 12), dtype="f4", external=[("/etc/hostname", 0, 96)])(file)


def virtual(file):
    layout = h5py.VirtualLayout((2, 12), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "data", (2, 12))
    del file[KERNEL]
    file.create_virtual_dataset(KERNEL, layout)


KERNEL = "layers/lstm/cell/vars/0"
CHANGES = {
    r"lstm/cell/vars/0 claims \d+ bytes in a file of": replaced(
        KERNEL, shape=(2**18, 2**18), dtype="f4", chunks=(16, 16)
    ),
    "vars/0 must be an array of floats in this file, got <HDF5": replaced(
        KERNEL, data=np.ones((2, 12), int)
    ),
    r"weights 0: kernel must have shape \(5, 12\).*got \(5, 9\)": replaced(
        KERNEL, data=np.ones((5, 9))
    ),
    "got 1 items": lambda file: [file.pop(f"layers/lstm/cell/vars/{k}") for k in "12"],
    "no LSTM layers; it has: elsewhere/cell, layers/dense$": linked,
    "vars/0 must be an array of floats in this file, got None": lambda file: [
        file.pop(KERNEL),
        file.__setitem__(KERNEL, h5py.ExternalLink("other.h5", "data")),
    ],
    "vars/0 lies in another file": outside,
    "/vars/0 lies in another file": virtual,
    "several parts of a model: layers/, more/": lambda file: file.copy(
        "layers/lstm", file.require_group("more"), "lstm"
    ),
    "layers bidirectional, lstm are bidirectional, some not": lambda file: [
        file.copy("layers/lstm/cell", file.require_group(f"layers/bidirectional/{way}_layer"))
        for way in ("forward", "backward")
    ],
    "it is of Keras 2": lambda file: file.attrs.update(layer_names=["lstm"]),
}


@pytest.mark.parametrize("message", CHANGES)
def test_what_a_weights_file_holds_is_refused(path, message):
    path.write_bytes(weights_file(random_lstm(1), change=CHANGES[message]))
    with refuses(path, message):
        interop.from_keras(path)


def test_an_archive_that_would_fill_the_memory_is_refused(path):
    for name in ("config.json", "model.weights.h5"):
        save(path, random_lstm(1), [A])
        with zipfile.ZipFile(path) as archive:
            members = {key: archive.read(key) for key in archive.namelist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for key, content in members.items():
                archive.writestr(key, bytes(80 << 20) if key == name else content)
        with refuses(path, f"{name} claims 83886080 bytes in a file of"):
            interop.from_keras(path)


def test_an_archive_of_something_else_is_refused(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("letter.txt", "hello")
    with refuses(path, "it holds no config.json, but letter.txt"):
        interop.from_keras(path)


@pytest.mark.parametrize("archived", [False, True])
def test_damaged_files_are_refused_or_hold_an_lstm(path, archived):
    """Nothing but a ValueError with the path comes out, whatever the bytes."""
    if archived:
        save(path, random_lstm(1), [A], compression=zipfile.ZIP_DEFLATED)
    else:
        path.write_bytes(weights_file(random_lstm(1)))
    whole = path.read_bytes()
    copies = damaged_copies(whole, len(whole) // 50, 200)
    refused = count_refusals(interop.from_keras, path, copies)
    assert refused > 50


def test_a_missing_file_and_a_missing_package(path, monkeypatch):
    with pytest.raises(OSError, match="model.keras"):
        interop.from_keras(path)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match="file of Keras needs the package h5py.*numlstm.interop."):
        interop.from_keras(path)
