"""The weights of a variant LSTM in the layout of its kernels: see `numlstm.kernels.variants`."""

import math

import numpy as np

from numlstm.kernels.variants import VariantPanels
from numlstm.nn.variant import LSTMVariantWeights, n_gates, weight_shapes
from numlstm.nn.weights import round_up, vector_lanes

MATRICES = ("Wx", "Wh", "Wp")


class VariantLayout:
    """Where the packed weights of a stack of variant layers lie in one flat vector."""

    def __init__(self, sizes, dtype, variant):
        self.sizes, self.dtype, self.variant = list(sizes), np.dtype(dtype), variant
        self.wide = 2 * vector_lanes(dtype)
        self.limits = [_limit(value, dtype) for value in (variant.cell_clip, variant.proj_clip)]
        self.size = sum(
            math.prod(shape) for pair in self.sizes for shape in self._packed(*pair).values()
        )

    def _packed(self, n_inputs, n_units):
        """Return the shapes of the packed arrays of one layer and direction."""
        shapes, wide = {}, self.wide
        for name, shape in weight_shapes(self.variant, n_inputs, n_units).items():
            columns = self._blocks(name, n_units) * round_up(shape[-1], wide)
            if name != "Wp":
                columns = self._blocks(name, n_units) * round_up(n_units, wide)
            shapes[name] = (columns,)
            if name in MATRICES:
                shapes[name] = (columns // wide, shape[0], wide)
        return shapes

    def _blocks(self, name, n_units):
        """Return how many blocks of units the rows of an array hold, each padded by itself."""
        if name in ("Wp", "gain_c", "shift_c"):
            return 1
        return n_gates(self.variant) - (name == "peepholes")

    def views(self, flat):
        """Return the `VariantPanels` of every layer and direction, as views of a flat vector."""
        out, at = [], 0
        empty = flat[:0]
        for n_inputs, n_units in self.sizes:
            arrays = dict.fromkeys(VariantPanels._fields[:9], empty)
            arrays["Wp"] = empty.reshape(0, n_units, self.wide)
            for name, shape in self._packed(n_inputs, n_units).items():
                n = math.prod(shape)
                arrays["bias" if name == "b" else name] = flat[at : at + n].reshape(shape)
                at += n
            n_features = self.variant.proj_size or n_units
            out.append(VariantPanels(*arrays.values(), n_units, n_features, *self.limits))
        return out

    def pack(self, weights, panels):
        """Write weights into packed panels; the padding becomes zero."""
        for name, array in weights._asdict().items():
            if array is None:
                continue
            target = panels.bias if name == "b" else getattr(panels, name)
            blocks = self._blocks(name, panels.n_units)
            if name == "peepholes":
                array = array.reshape(-1)
            rows = array.reshape(-1, blocks, array.shape[-1] // blocks)
            padded = np.zeros((len(rows), blocks, target.size // len(rows) // blocks), self.dtype)
            padded[..., : rows.shape[-1]] = rows
            if name in MATRICES:
                padded = padded.reshape(len(rows), -1, self.wide).transpose(1, 0, 2)
            target[...] = padded.reshape(target.shape)

    def unpack(self, panels):
        """Return packed panels as weights, in arrays of their own."""
        n_inputs, arrays = panels.Wx.shape[1], {}
        for name, shape in weight_shapes(self.variant, n_inputs, panels.n_units).items():
            packed = panels.bias if name == "b" else getattr(panels, name)
            if name in MATRICES:
                packed = packed.transpose(1, 0, 2)
            blocks = self._blocks(name, panels.n_units)
            rows = shape[0] if name in MATRICES else 1
            split = packed.reshape(rows, blocks, -1)
            width = math.prod(shape) // rows // blocks
            arrays[name] = np.array(split[..., :width], order="C").reshape(shape)
        return LSTMVariantWeights(**arrays)


def _limit(value, dtype):
    """Return a limit as the dtype holds it, so that what was clipped is equal to it."""
    with np.errstate(over="ignore"):
        return math.inf if value is None else float(np.dtype(dtype).type(value))
