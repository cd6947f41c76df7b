"""Weights of other systems into a `numlstm.LSTM` and back, and models out as a whole.

None of those systems is imported. Files of Keras are read with h5py, ONNX models with onnx; both
are in the extra `interop` and are loaded when they are needed. Files are data: their sizes are
looked at before anything is read, and nothing in them is executed. What cannot be converted without
loss is refused, and the error says what would be lost.

book/12_moving.md shows what the conversions do, and what they refuse. All gate orders and layouts:
book/a_gate_orders.md. From BasicLSTMCell: book/11_tutorial.md.
"""

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
