"""A small writer of ONNX graphs: nodes by their operator, arrays as constants, checked models."""

from importlib.metadata import version

import numpy as np

from numlstm.interop._extras import require
from numlstm.persistence import write_file

OPSET = 17
IR_VERSION = 8  # that of this opset: onnxruntime 1.12 (2022) and all later ones run it

N, T = "n_samples", "n_timesteps"  # the axes of any length


class GraphWriter:
    """An ONNX graph in the making. A value is the name of one, or an array, which is stored."""

    def __init__(self):
        self._onnx = require("onnx", "to_onnx")
        self._nodes, self._inputs, self._outputs = [], [], []
        self._initializers, self._names = [], {}

    def _info(self, name, dtype, shape, about):
        kind = self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self._onnx.helper.make_tensor_value_info(name, kind, shape, about)

    def input(self, name, dtype, shape, about, default=None):
        """Add an input and return its name.

        An initializer of the same name is its default: whoever runs the graph may leave it out.
        """
        self._inputs.append(self._info(name, dtype, shape, about))
        if default is not None:
            self._initializers.append(self._onnx.numpy_helper.from_array(default, name))
        return name

    def output(self, value, name, dtype, shape, about):
        """Give a value the name of an output."""
        self._nodes.append(self._onnx.helper.make_node("Identity", [value], [name]))
        self._outputs.append(self._info(name, dtype, shape, about))

    def constant(self, array):
        """Store an array and return its name; the same array twice is stored once."""
        array = np.asarray(array)
        content = tuple(array.flat) if array.dtype == object else array.tobytes()
        key = (array.dtype.str, array.shape, content)
        if key not in self._names:
            self._names[key] = name = f"constant_{len(self._names)}"
            self._initializers.append(self._onnx.numpy_helper.from_array(array, name))
        return self._names[key]

    def node(self, operator, *values, n_outputs=1, **attributes):
        """Add a node and return the name of its output, or a list of them.

        Parameters
        ----------
        operator : str
        *values : str or array
            Its inputs; an empty string stands for one that is left out.
        n_outputs : int
        **attributes
            Those of the operator.
        """
        inputs = [v if isinstance(v, str) else self.constant(v) for v in values]
        name = f"{operator}_{len(self._nodes)}"
        outputs = [name] if n_outputs == 1 else [f"{name}_{k}" for k in range(n_outputs)]
        self._nodes.append(self._onnx.helper.make_node(operator, inputs, outputs, **attributes))
        return outputs[0] if n_outputs == 1 else outputs

    def cast(self, value, dtype):
        """Return a value in another dtype."""
        kind = self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.node("Cast", value, to=kind)

    def save(self, path, about, metadata):
        """Check the model as strictly as ONNX can and write it in one step."""
        helper = self._onnx.helper
        graph = helper.make_graph(
            self._nodes, "numlstm", self._inputs, self._outputs, self._initializers
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
            producer_name="numlstm", producer_version=version("numlstm"), doc_string=about,
        )  # fmt: skip
        helper.set_model_props(model, metadata)
        self._onnx.checker.check_model(model, full_check=True)
        write_file(path, model.SerializeToString())
