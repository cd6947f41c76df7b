"""State dicts out of safetensors files: those of PyTorch, of several modules, damaged ones."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from safetensors.numpy import save_file
from test_interop import assert_same_weights, random_lstm
from test_onnx_import import torch_weights

from numlstm import interop

FILE = Path(__file__).parent / "data" / "torch.safetensors"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def test_a_file_written_by_pytorch():
    """It also holds a dense layer, which is left alone."""
    for lstm in (interop.from_torch(FILE), interop.from_torch(str(FILE), prefix="lstm.")):
        assert (lstm.bidirectional, lstm.n_layers) == (True, 2)
        for ours, expected in zip(lstm.weights, torch_weights(2, True), strict=True):
            for left, right in zip(ours, expected, strict=True):
                assert_array_equal(left, right)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_there_and_back(path, dtype):
    lstm = random_lstm(2, True, dtype)
    save_file(interop.to_torch(lstm), path)
    assert_same_weights(interop.from_torch(path), lstm)
    assert interop.from_torch(path, dtype="float64").dtype == np.float64


def test_one_of_several_by_its_prefix(path):
    first, second = random_lstm(1, seed=0), random_lstm(2, seed=1)
    arrays = {"a." + k: v for k, v in interop.to_torch(first).items()}
    arrays |= {"b." + k: v for k, v in interop.to_torch(second).items()}
    save_file(arrays, path)
    assert_same_weights(interop.from_torch(path, prefix="b."), second)
    assert_same_weights(interop.from_torch(arrays, prefix="a."), first)
    with pytest.raises(ValueError, match=r"got 2, with the prefixes 'a\.', 'b\.': say which"):
        interop.from_torch(path)
    with pytest.raises(ValueError, match=r"expected names such as c\.weight_ih_l0"):
        interop.from_torch(path, prefix="c.")


def test_half_precision_is_widened_before_the_biases_are_added(path):
    arrays = {k: v.astype(np.float16) for k, v in interop.to_torch(random_lstm(1)).items()}
    arrays["bias_hh_l0"] = np.full(12, 2**-14, np.float16)
    save_file(arrays, path)
    b = arrays["bias_ih_l0"].astype(np.float32) + np.float32(2**-14)
    assert_array_equal(interop.from_torch(path).weights[0].b, b)
    assert (b.astype(np.float16) != b).any()


def test_what_is_refused(path):
    save_file({k: v.astype(int) for k, v in interop.to_torch(random_lstm(1)).items()}, path)
    with pytest.raises(ValueError, match="model.safetensors cannot .* is of dtype I64"):
        interop.from_torch(path)
    big = {
        k: np.full_like(v, np.finfo("f").max) for k, v in interop.to_torch(random_lstm(1)).items()
    }
    save_file(big, path)
    with pytest.raises(ValueError, match="model.safetensors cannot .* finite"):
        interop.from_torch(path)
    save_file({"weight_ih_l999999999999": np.ones((12, 2))}, path)
    with pytest.raises(ValueError, match="model.safetensors cannot .* expected weight_ih_l0, "):
        interop.from_torch(path)
    with pytest.raises(OSError, match="nothing"):
        interop.from_torch(path.with_name("nothing"))


def test_damaged_files_are_refused_or_hold_an_lstm(path):
    whole, rng, refused = FILE.read_bytes(), np.random.default_rng(0), 0
    damaged = [whole[:n] for n in range(0, len(whole), 97)]
    for _ in range(300):
        data = bytearray(whole)
        for k in rng.integers(1200, size=rng.integers(1, 4)):  # the header, more or less
            data[k] = rng.integers(256)
        damaged.append(bytes(data))
    for data in damaged:
        path.write_bytes(data)
        try:
            interop.from_torch(path)
        except ValueError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 200
