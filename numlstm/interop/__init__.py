"""Weights of other systems into a `numlstm.LSTM` and back; none of those systems is imported."""

from numlstm.interop.keras import from_keras, to_keras
from numlstm.interop.onnx_export import to_onnx
from numlstm.interop.onnx_import import from_onnx
from numlstm.interop.tf1 import from_tf1, to_tf1
from numlstm.interop.torch import from_torch, to_torch

__all__ = [
    "from_keras",
    "from_onnx",
    "from_tf1",
    "from_torch",
    "to_keras",
    "to_onnx",
    "to_tf1",
    "to_torch",
]
