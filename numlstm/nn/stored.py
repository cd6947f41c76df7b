"""The weights of an `LSTM` on their way in and out: arrays, files, pickles."""

import numpy as np

from numlstm.data.validation import as_random_state, check_bool
from numlstm.nn.masks import MaskSeed
from numlstm.nn.variant import (
    as_weights,
    check_variant,
    check_weights,
    describe_variant,
    described_variant,
    n_gates,
    weight_fields,
    weight_shapes,
)
from numlstm.persistence import write_model


class StoredWeights:
    """Base of `LSTM`: everything about its weights but their initialisation."""

    @classmethod
    def from_weights(
        cls, weights, *, bidirectional=False, dtype=None, variant=None, random_state=None
    ):
        """Return an LSTM with the given weights.

        Parameters
        ----------
        weights : sequence of (Wx, Wh, b)
            One per layer and direction, in PyTorch's order: forward, then reverse, then the next
            layer. Wx (D, 4 * H), Wh (H, 4 * H), b (4 * H,), gates i, f, g, o. With a variant
            the fields of `LSTMVariantWeights`.
        bidirectional : bool
        dtype : {"float32", "float64"}, optional
            By default that of the weights.
        variant : LSTMVariant, optional
        random_state : int, RandomState instance or None
            Seed of the masks of a random variant.

        Returns
        -------
        LSTM

        Raises
        ------
        ValueError
            If the shapes do not fit together.
        """
        variant = check_variant(variant)
        weights = [
            as_weights(variant, [None if a is None else np.asarray(a) for a in w]) for w in weights
        ]
        directions = 2 if check_bool("bidirectional", bidirectional) else 1
        if not weights or len(weights) % directions:
            raise ValueError(
                f"weights must hold {directions} (Wx, Wh, b) per layer, got {len(weights)}"
            )
        first = weights[0]
        G = n_gates(variant)
        if first.Wx.ndim != 2 or first.Wx.shape[1] % G or not first.Wx.size:
            raise ValueError(f"weights[0].Wx must have shape (D, {G} * H), got {first.Wx.shape}")
        if dtype is None:
            dtype = np.result_type(first.Wx.dtype, np.float32)
        self = cls.__new__(cls)
        D, wide = first.Wx.shape
        self._build(D, wide // G, len(weights) // directions, bidirectional, dtype, variant)
        self._masks = MaskSeed.drawn_for(variant, as_random_state(random_state))
        self.weights = weights
        return self

    @property
    def weights(self):
        """Weights of every layer and direction: read-only copies, in PyTorch's order."""
        out = [self._stack.layout.unpack(panels) for panels in self._panels]
        for w in out:
            for array in w:
                if array is not None:
                    array.flags.writeable = False
        return out

    @weights.setter
    def weights(self, weights):
        sizes = self._stack.layout.sizes
        if len(weights) != len(sizes):
            raise ValueError(f"weights must hold {len(sizes)} (Wx, Wh, b), got {len(weights)}")
        variant, checked = self.variant, []
        for k, (size, w) in enumerate(zip(sizes, weights, strict=True)):
            w = as_weights(variant, w)
            checked.append(check_weights(f"weights[{k}]", w, variant, *size, self.dtype))
        for w, panels in zip(checked, self._panels, strict=True):
            self._stack.layout.pack(w, panels)

    def save(self, path):
        """Write the layers to a file that `numlstm.load` reads.

        Of a random variant the seed of its masks is kept too: training goes on with the same ones.

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
            if array is not None
        }
        content = {
            "bidirectional": self.bidirectional,
            "variant": describe_variant(self.variant),
            "masks": [self._masks.seed, self._masks.n_drawn],
        }
        write_model(path, "LSTM", arrays, content)

    @classmethod
    def _from_file(cls, path, arrays, content):
        """Return the layers in a file's arrays."""
        try:
            variant = described_variant(content)
            names = weight_shapes(variant, 1, 1)
            weights = [
                as_weights(
                    variant,
                    [
                        arrays[f"{k}.{name}"] if name in names else None
                        for name in weight_fields(variant)
                    ],
                )
                for k in range(len(arrays) // len(names))
            ]
            self = cls.from_weights(
                weights, bidirectional=content["bidirectional"], variant=variant, random_state=0
            )
            seed, n_drawn = content["masks"]
            self._masks = MaskSeed(seed, n_drawn)
            return self
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ValueError(f"{path} holds an LSTM that makes no sense: {error}") from None

    def __getstate__(self):
        """Return what a copy or a pickle needs: the geometry, the weights, and the next masks."""
        return {
            "geometry": (
                self.input_size, self.hidden_size, self.n_layers, self.bidirectional,
                str(self.dtype), self.variant,
            ),
            "weights": self.weights,
            "masks": self._masks,
        }  # fmt: skip

    def __setstate__(self, state):
        """Rebuild from `__getstate__`."""
        self._build(*state["geometry"])
        self._masks = state["masks"]
        self.weights = state["weights"]
