"""Files of ONNX models that are damaged, not there, too large, or that point to others."""

import shutil
import sys

import numpy as np
import pytest
from damaged_files import count_refusals, damaged_copies
from onnx import TensorProto
from test_interop import random_lstm
from test_onnx_import import DATA, Graph

from numlstm import interop


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


def test_tensors_beside_the_model(path):
    shutil.copy(DATA / "torch_dynamo.onnx", path)
    with pytest.raises(ValueError, match="model.onnx cannot .* needs 288 bytes, but torch_dynamo"):
        interop.from_onnx(path)
    data = path.parent / "torch_dynamo.onnx.data"
    shutil.copy(DATA / data.name, data)
    interop.from_onnx(path)
    data.write_bytes(data.read_bytes()[:-100])
    with pytest.raises(ValueError, match="model.onnx cannot be converted: the tensor .* bytes"):
        interop.from_onnx(path)


@pytest.mark.parametrize("location", ["../secret", "/etc/hostname", "link"])
def test_tensors_elsewhere_are_refused(path, location):
    (path.parent / "secret").write_bytes(bytes(96))
    (path.parent / "sub").mkdir()
    (path.parent / "sub" / "link").symlink_to(path.parent / "secret")
    tensor = TensorProto(
        name="W", dims=[1, 12, 2], data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL
    )
    tensor.external_data.add(key="location", value=location)
    graph = Graph()
    graph.tensors["W"] = tensor
    graph.lstm("x", "W", graph.add(np.zeros((1, 12, 3), "f")), hidden_size=3)
    graph.save(path.parent / "sub" / "model.onnx")
    with pytest.raises(ValueError, match="model.onnx cannot be converted"):
        interop.from_onnx(path.parent / "sub" / "model.onnx")


def test_a_missing_file(path):
    with pytest.raises(OSError, match="model.onnx"):
        interop.from_onnx(path)
    path.mkdir()
    with pytest.raises(OSError):
        interop.from_onnx(path)


def test_a_file_beyond_what_a_model_can_be(path, monkeypatch):
    interop.to_onnx(random_lstm(1), path)
    monkeypatch.setattr("numlstm.interop.onnx_file.MAX_BYTES", 99)
    with pytest.raises(ValueError, match=r"it has \d+ bytes, more than the 2 GiB of a model"):
        interop.from_onnx(path)


def test_damaged_files_are_refused_or_hold_an_lstm(path):
    """Nothing but a ValueError with the path comes out, whatever the bytes."""
    interop.to_onnx(random_lstm(2, bidirectional=True), path)
    copies = damaged_copies(path.read_bytes(), 97, 300)
    refused = count_refusals(interop.from_onnx, path, copies)
    assert refused > 50
    path.write_bytes(b"PK\3\4 something else")
    with pytest.raises(ValueError, match="model.onnx cannot be converted: it is damaged, or not"):
        interop.from_onnx(path)


def test_without_onnx_the_extra_is_named(path, monkeypatch):
    interop.to_onnx(random_lstm(1), path)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match="from_onnx needs the package onnx.*numlstm.interop."):
        interop.from_onnx(path)
