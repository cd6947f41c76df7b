"""Files that TensorFlow, Keras 2 and tf2onnx wrote give what TensorFlow computed."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from numlstm import LSTMVariant, interop

DATA = Path(__file__).parent / "data" / "tensorflow"
READERS = {"{}.keras": interop.from_keras, "tf2onnx_{}.onnx": interop.from_onnx}


@pytest.fixture(scope="module")
def results():
    with np.load(DATA / "results.npz") as file:
        return dict(file)


def flat(layers):
    return np.concatenate([np.ravel(array) for layer in layers for array in layer])


@pytest.mark.parametrize("form", READERS)
@pytest.mark.parametrize("name", ["stack", "bidirectional"])
def test_models_of_keras(results, name, form):
    """As a file, and through tf2onnx; the weights are Keras's own to the last bit."""
    lstm = READERS[form](DATA / form.format(name))
    assert (lstm.n_layers, lstm.bidirectional) == (2, name == "bidirectional")
    assert_allclose(lstm(results["X"])[0], results[f"{name}.outputs"], atol=1e-6)
    assert_array_equal(flat(interop.to_keras(lstm)), results[f"{name}.weights"])


def test_a_checkpoint_of_tensorflow_1(results):
    lstm = interop.from_tf1(DATA / "checkpoint.npz", cell_clip=0.5)
    assert lstm.variant == LSTMVariant(peepholes=True, proj_size=2, cell_clip=0.5)
    assert_allclose(lstm(results["X"])[0], results["checkpoint.outputs"], atol=1e-6)
    assert np.abs(lstm.trace(results["X"]).c).max() == 0.5  # or else the limit proves nothing
    unbiased = interop.from_tf1(DATA / "checkpoint.npz", forget_bias=0, cell_clip=0.5)
    layers = interop.to_tf1(unbiased, forget_bias=0, cell_clip=0.5)
    assert_array_equal(flat(layers), results["checkpoint.weights"])
