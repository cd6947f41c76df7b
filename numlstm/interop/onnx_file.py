"""An ONNX file as tables of nodes and tensors. Nothing in it is run; tensors are read on demand."""

import math
import os

import numpy as np

from numlstm.interop._extras import require

MAX_BYTES = 2**31  # what protobuf can hold


class OnnxFile:
    """The nodes and tensors of an ONNX model, those of the bodies of loops and branches included.

    Attributes
    ----------
    nodes : list of NodeProto
    producers : dict of str to (NodeProto, int)
        Which node makes a value, as which of its outputs.
    """

    def __init__(self, path):
        self._onnx, self._folder = require("onnx", "from_onnx"), os.path.dirname(path) or "."
        size = os.path.getsize(path)
        if size > MAX_BYTES:
            raise ValueError(f"it has {size} bytes, more than the 2 GiB of a model")
        try:
            model = self._onnx.load(path, load_external_data=False)
        except OSError:
            raise
        except Exception as error:  # protobuf's own classes, which differ by its implementation
            raise ValueError(f"it is damaged, or not a model: {error}") from None
        self._model, self._shapes = model, None
        self.nodes, self.producers, self._tensors, self.inputs = [], {}, {}, set()
        self._collect(model.graph)

    def _collect(self, graph):
        self.inputs |= {value.name for value in graph.input}
        self._tensors |= {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            self.nodes.append(node)
            self.producers |= {name: (node, k) for k, name in enumerate(node.output) if name}
            for attribute in node.attribute:
                for body in (attribute.g, *attribute.graphs):
                    if body.node:
                        self._collect(body)

    def attributes(self, node):
        """Return the attributes of a node as a dict; strings as str."""
        return {
            attribute.name: _decoded(self._onnx.helper.get_attribute_value(attribute))
            for attribute in node.attribute
        }

    def is_fixed(self, name):
        """Return whether a name is a tensor of the file that no input can replace."""
        return name in self._tensors and name not in self.inputs

    def shape(self, name):
        """Return the shape of a value where the model fixes it, else None."""
        if self._shapes is None:
            try:
                graph = self._onnx.shape_inference.infer_shapes(self._model).graph
            except Exception as error:  # of many classes, some of them of its C++ side
                raise ValueError(f"its shapes make no sense: {error}") from None
            self._shapes = {v.name: v.type.tensor_type.shape.dim for v in graph.value_info}
        shape = tuple(dim.dim_value for dim in self._shapes.get(name, ()))
        return shape if shape and all(shape) else None

    def tensor(self, name):
        """Return the array of an initializer or of a Constant node, or None if it is neither."""
        if name in self._tensors:
            return self.array(self._tensors[name])
        node = self.producers.get(name, (None, 0))[0]
        if node is None or node.op_type != "Constant":
            return None
        for key, value in self.attributes(node).items():
            if key == "value":
                return self.array(value)
            if key in ("value_float", "value_floats", "value_int", "value_ints"):
                return np.asarray(value, np.int64 if "int" in key else np.float32)
        raise ValueError(f"the constant {name!r} is not a plain tensor")

    def array(self, tensor):
        """Return a tensor as an array, half precision widened to float32."""
        if tensor.data_location == tensor.EXTERNAL:
            self._load_external(tensor)
        try:
            array = self._onnx.numpy_helper.to_array(tensor)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"the tensor {tensor.name!r} is damaged: {error!r}") from None
        narrow = array.dtype == np.float16 or array.dtype.name == "bfloat16"
        return array.astype(np.float32) if narrow else array

    def _load_external(self, tensor):
        """Read a tensor from the file beside the model, if that is as long as it must be."""
        external = self._onnx.external_data_helper
        info = external.ExternalDataInfo(tensor)
        itemsize = np.dtype(self._onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize
        expected = math.prod(tensor.dims) * itemsize
        start = info.offset or 0
        path = os.path.join(self._folder, info.location)
        there = os.path.getsize(path) - start if os.path.exists(path) else 0
        length = there if info.length is None else info.length
        if not 0 <= expected == length <= there:
            raise ValueError(
                f"the tensor {tensor.name!r} of shape {tuple(tensor.dims)} needs {expected} bytes, "
                f"but {info.location} holds {max(there, 0)} for it"
            )
        try:
            external.load_external_data_for_tensor(tensor, self._folder)
        except Exception as error:  # a path that leaves the folder, or a link: its own class
            raise ValueError(f"the tensor {tensor.name!r} is not beside it: {error}") from None


def _decoded(value):
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    return value
