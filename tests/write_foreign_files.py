"""Write the files of other libraries that the tests read: tests/data, made by the real libraries.

    pip install torch onnx onnxscript keras h5py
    python tests/write_foreign_files.py

All weights are those of `weights_of`, so that a test can say what a file holds. Then weights go out
to the real layers, which must compute what ours do, and back in by a file of theirs.
"""

import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
from keras_archives import compress

from numlstm import LSTM, interop

FOLDER = Path(__file__).parent / "data"
D, H = 2, 3


def weights_of(shape, k):
    """Return weights of a shape: fractions that float32 holds exactly, others for every k."""
    numbers = (np.arange(np.prod(shape)) * 7 + 11 * k) % 61 - 30
    return (numbers / 64).reshape(shape).astype(np.float32)


def torch_module(n_layers, bidirectional, bias=True):
    """Return a torch.nn.LSTM; its parameters are `weights_of` 0, 1, 2, ... in their order."""
    import torch

    options = {"num_layers": n_layers, "bidirectional": bidirectional, "bias": bias}
    module = torch.nn.LSTM(D, H, batch_first=True, **options)
    state = {
        name: torch.from_numpy(weights_of(tuple(array.shape), k))
        for k, (name, array) in enumerate(module.state_dict().items())
    }
    module.load_state_dict(state)
    return module.eval()


def write_torch():
    import torch
    from safetensors.torch import save_file

    class Packed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = torch_module(2, True)

        def forward(self, x, lengths):
            nn = torch.nn.utils.rnn
            packed = nn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            return nn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True)[0]

    x = torch.zeros(2, 5, D)
    torch.onnx.export(torch_module(2, True), (x,), FOLDER / "torch_dynamo.onnx", dynamo=True)
    forget_where_it_was_made(FOLDER / "torch_dynamo.onnx")
    torch.onnx.export(
        torch_module(3, False, bias=False), (x,), FOLDER / "torch_script.onnx", dynamo=False
    )
    lengths = torch.tensor([5, 3])
    torch.onnx.export(Packed(), (x, lengths), FOLDER / "torch_packed.onnx", dynamo=False)
    model = torch.nn.ModuleDict({"lstm": torch_module(2, True), "head": torch.nn.Linear(6, 1)})
    for parameter in model["head"].parameters():
        torch.nn.init.ones_(parameter)
    save_file(model.state_dict(), FOLDER / "torch.safetensors")


def write_keras():
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    layers = keras.layers
    below = layers.Bidirectional(layers.LSTM(H, return_sequences=True))
    above = layers.Bidirectional(layers.LSTM(H))
    model = keras.Sequential([keras.Input((None, D)), below, layers.Dropout(0.1), above])
    model.set_weights([weights_of(w.shape, k) for k, w in enumerate(model.get_weights())])
    save_small(model, FOLDER / "bidirectional.keras")

    x = keras.Input((None, D))
    below, above = layers.LSTM(H, return_sequences=True), layers.LSTM(H)
    model = keras.Model(x, layers.Dense(1)(above(below(x))))
    model.set_weights([weights_of(w.shape, k) for k, w in enumerate(model.get_weights())])
    save_small(model, FOLDER / "functional.keras")


def check_torch(folder):
    import torch
    from safetensors.torch import save_file

    for n_layers, bidirectional in ((1, False), (2, True)):
        lstm, X = (
            LSTM(D, H, n_layers=n_layers, bidirectional=bidirectional),
            weights_of((2, 5, D), 0),
        )
        module = torch_module(n_layers, bidirectional)
        arrays = interop.to_torch(lstm)
        module.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
        with torch.no_grad():
            outputs = module(torch.from_numpy(X))[0].numpy()
        np.testing.assert_allclose(outputs, lstm(X)[0], atol=1e-6)
        save_file(module.state_dict(), folder / "out.safetensors")
        torch.onnx.export(module, (torch.zeros(2, 5, D),), folder / "out.onnx", dynamo=True)
        for back in (
            interop.from_torch(folder / "out.safetensors"),
            interop.from_onnx(folder / "out.onnx"),
        ):
            assert_same(back, lstm)


def check_keras(folder):
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    layers = keras.layers
    for n_layers, bidirectional in ((1, False), (2, True)):
        lstm, X = (
            LSTM(D, H, n_layers=n_layers, bidirectional=bidirectional),
            weights_of((2, 5, D), 0),
        )
        model = keras.Sequential([keras.Input((None, D))])
        for _ in range(n_layers):
            layer = layers.LSTM(H, return_sequences=True)
            model.add(layers.Bidirectional(layer) if bidirectional else layer)
        model.set_weights([array for layer in interop.to_keras(lstm) for array in layer])
        np.testing.assert_allclose(model.predict(X, verbose=0), lstm(X)[0], atol=1e-6)
        model.save(folder / "out.keras")
        model.save_weights(folder / "out.weights.h5")
        for name in ("out.keras", "out.weights.h5"):
            assert_same(interop.from_keras(folder / name), lstm)


def assert_same(a, b):
    for ours, theirs in zip(a.weights, b.weights, strict=True):
        for left, right in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(left, right)


def save_small(model, path):
    """Save a Keras model, compressed."""
    model.save(path)
    compress(path)


def forget_where_it_was_made(path):
    """Remove the stack traces that PyTorch's exporter attaches to every node."""
    import onnx

    model = onnx.load(path, load_external_data=False)
    for thing in (model, model.graph, *model.graph.node, *model.graph.value_info):
        thing.ClearField("metadata_props")
    path.write_bytes(model.SerializeToString())


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    FOLDER.mkdir(exist_ok=True)
    write_torch()
    write_keras()
    for path in FOLDER.iterdir():
        path.chmod(0o644)
    with tempfile.TemporaryDirectory() as folder:
        check_torch(Path(folder))
        check_keras(Path(folder))
