"""The weights of an `LSTM` on their way in and out: arrays, files, pickles."""

import numpy as np

from numlstm.data.validation import as_floats, check_bool, check_shape
from numlstm.nn.weights import LSTMWeights, pack, unpack
from numlstm.persistence import write_model


class StoredWeights:
    """Base of `LSTM`: everything about its weights but their initialisation."""

    @classmethod
    def from_weights(cls, weights, *, bidirectional=False, dtype=None):
        """Return an LSTM with the given weights.

        Parameters
        ----------
        weights : sequence of (Wx, Wh, b)
            One per layer and direction, in PyTorch's order: forward, then reverse, then the next
            layer. Wx (D, 4 * H), Wh (H, 4 * H), b (4 * H,), gates i, f, g, o.
        bidirectional : bool
        dtype : {"float32", "float64"}, optional
            By default that of the weights.

        Returns
        -------
        LSTM

        Raises
        ------
        ValueError
            If the shapes do not fit together.
        """
        weights = [LSTMWeights(*map(np.asarray, w)) for w in weights]
        directions = 2 if check_bool("bidirectional", bidirectional) else 1
        if not weights or len(weights) % directions:
            raise ValueError(
                f"weights must hold {directions} (Wx, Wh, b) per layer, got {len(weights)}"
            )
        first = weights[0]
        if first.Wx.ndim != 2 or first.Wx.shape[1] % 4 or not first.Wx.size:
            raise ValueError(f"weights[0].Wx must have shape (D, 4 * H), got {first.Wx.shape}")
        if dtype is None:
            dtype = np.result_type(first.Wx.dtype, np.float32)
        self = cls.__new__(cls)
        D, wide = first.Wx.shape
        self._build(D, wide // 4, len(weights) // directions, bidirectional, dtype)
        self.weights = weights
        return self

    @property
    def weights(self):
        """Weights of every layer and direction: read-only copies, in PyTorch's order."""
        out = [unpack(panels) for panels in self._panels]
        for w in out:
            for array in w:
                array.flags.writeable = False
        return out

    @weights.setter
    def weights(self, weights):
        sizes = self._stack.layout.sizes
        if len(weights) != len(sizes):
            raise ValueError(f"weights must hold {len(sizes)} (Wx, Wh, b), got {len(weights)}")
        checked = []
        for k, ((D, H), (Wx, Wh, b)) in enumerate(zip(sizes, weights, strict=True)):
            w = LSTMWeights(
                as_floats(f"weights[{k}].Wx", Wx, self.dtype, 2),
                as_floats(f"weights[{k}].Wh", Wh, self.dtype, 2),
                as_floats(f"weights[{k}].b", b, self.dtype, 1),
            )
            for name, shape in (("Wx", (D, 4 * H)), ("Wh", (H, 4 * H)), ("b", (4 * H,))):
                check_shape(f"weights[{k}].{name}", getattr(w, name), shape)
            checked.append(w)
        for w, panels in zip(checked, self._panels, strict=True):
            pack(w, panels)

    def save(self, path):
        """Write the layers to a file that `numlstm.load` reads.

        Parameters
        ----------
        path : path
            A safetensors file; replaced in one step, so that it is never half-written.

        Raises
        ------
        OSError
            If the file cannot be written; an older one then stays as it was.
        """
        arrays = {
            f"{k}.{name}": array
            for k, w in enumerate(self.weights)
            for name, array in w._asdict().items()
        }
        write_model(path, "LSTM", arrays, {"bidirectional": self.bidirectional})

    @classmethod
    def _from_file(cls, path, arrays, content):
        """Return the layers in a file's arrays."""
        try:
            weights = [
                tuple(arrays[f"{k}.{name}"] for name in LSTMWeights._fields)
                for k in range(len(arrays) // 3)
            ]
            return cls.from_weights(weights, bidirectional=content["bidirectional"])
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ValueError(f"{path} holds an LSTM that makes no sense: {error}") from None

    def __getstate__(self):
        """Return what a copy or a pickle needs: the geometry and the weights."""
        return {
            "geometry": (
                self.input_size, self.hidden_size, self.n_layers, self.bidirectional,
                str(self.dtype),
            ),
            "weights": self.weights,
        }  # fmt: skip

    def __setstate__(self, state):
        """Rebuild from `__getstate__`."""
        self._build(*state["geometry"])
        self.weights = state["weights"]
