"""Write the files of other libraries that the tests read: tests/data, made by the real libraries.

    pip install torch onnx onnxscript keras h5py
    python tests/write_foreign_files.py

All weights are those of `weights_of`, so that a test can say what a file holds.
"""

import os
import warnings
import zipfile
from pathlib import Path

import numpy as np

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


def save_small(model, path):
    """Save a Keras model with the members of the archive compressed; they are a tenth then."""
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


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
