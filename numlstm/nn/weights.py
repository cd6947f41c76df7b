"""LSTM weights: their named tuples, their initialisation, and the layout the kernels read."""

import functools
import math
from typing import NamedTuple

import numpy as np
from threadpoolctl import ThreadpoolController

from numlstm.kernels._jit import VECTOR_BYTES
from numlstm.kernels._threads import launch
from numlstm.kernels.layout import (
    transpose_panels_chunk,
    unpack_panels_chunk,
)
from numlstm.kernels.lstm import Panels
from numlstm.nn.memory import enough_memory

MOVE_COST = 8  # of an element that changes its place, in multiply-adds


class LSTMWeights(NamedTuple):
    """Weights of one layer in one direction; gates in the order i, f, g, o.

    Attributes
    ----------
    Wx : array, (D, 4 * H)
        Input weights.
    Wh : array, (H, 4 * H)
        Recurrent weights.
    b : array, (4 * H,)
        Bias, the forget bias included.
    """

    Wx: np.ndarray
    Wh: np.ndarray
    b: np.ndarray


class LSTMState(NamedTuple):
    """State between two time steps.

    Attributes
    ----------
    h, c : array, (n_layers * n_directions, n_samples, hidden_size)
        Hidden and cell state. With a projection h has `proj_size` features.
    """

    h: np.ndarray
    c: np.ndarray


class LSTMGradients(NamedTuple):
    """Gradients of a scalar loss.

    Attributes
    ----------
    weights : list of LSTMWeights, or of LSTMVariantWeights
        One per layer and direction.
    X : array, (n_samples, n_timesteps, input_size)
    state : LSTMState
        With respect to the initial state.
    """

    weights: list
    X: np.ndarray
    state: LSTMState


class LSTMTrace(NamedTuple):
    """Every gate and state of every step; zero past a sequence's length.

    Attributes
    ----------
    i, f, g, o, c, h : array, (n_layers * n_directions, n_samples, n_timesteps, hidden_size)
    """

    i: np.ndarray
    f: np.ndarray
    g: np.ndarray
    o: np.ndarray
    c: np.ndarray
    h: np.ndarray


def vector_lanes(dtype):
    """Return VL, the elements of one vector register."""
    return VECTOR_BYTES // np.dtype(dtype).itemsize


def round_up(n, multiple):
    """Return the smallest multiple of `multiple` that is at least n."""
    return -(-n // multiple) * multiple


def initial_weights(n_inputs, n_units, forget_bias, rng):
    """Return random weights: Glorot uniform input weights, orthogonal recurrent ones, zero bias.

    Each gate is a matrix of its own (Glorot & Bengio 2010; Saxe et al. 2014); the bias of the
    forget gate starts at `forget_bias` (Gers et al. 2000; Jozefowicz et al. 2015).
    """
    limit = math.sqrt(6 / (n_inputs + n_units))
    # float64; the recurrent weights once by gates and once together
    n_bytes = 8 * 4 * n_units * (n_inputs + 2 * n_units)
    sizes = {"n_inputs": n_inputs, "hidden_size": n_units}
    with enough_memory(n_bytes, "drawing the weights of a layer", **sizes):
        Wx = rng.uniform(-limit, limit, (n_inputs, 4 * n_units))
        gates = []
        with blas().limit(limits=1, user_api="blas"):
            for _ in range(4):
                Q, R = np.linalg.qr(rng.standard_normal((n_units, n_units)))
                gates.append(Q * np.sign(np.diag(R)))
        Wh = np.concatenate(gates, axis=1)
    b = np.zeros(4 * n_units)
    b[n_units : 2 * n_units] = forget_bias
    return LSTMWeights(Wx, Wh, b)


@functools.cache
def blas():
    """Return the control of NumPy's BLAS.

    After a call its threads spin for 0.1 s (OpenBLAS), in which those of the kernels have to share
    the cores with them; of matrices as small as a layer's one thread makes as much.
    """
    return ThreadpoolController()


def panel_shapes(n_inputs, n_units, dtype):
    """Return the shapes of the packed weights and bias: see `numlstm.kernels.lstm`."""
    VL = vector_lanes(dtype)
    P = -(-n_units // VL)
    return (P, 2, n_inputs + n_units, 2 * VL), (P, 4 * VL)


def pack_panels(rows, panels):
    """Write weights (K, 4H), gates i, f, g, o, as panels (P, 2, K, 2 * VL) padded with zeros.

    `panels` is contiguous. In NumPy: a kernel would take 0.3 s to compile, in every first fit.
    """
    P, _, K, wide = panels.shape
    VL, H = wide // 2, rows.shape[1] // 4
    gates, parts = np.reshape(rows, (K, 2, 2, H)), panels.reshape(P, 2, K, 2, VL)
    whole, rest = divmod(H, VL)
    split = gates[..., : H - rest].reshape(K, 2, 2, whole, VL)
    parts[:whole] = split.transpose(3, 1, 0, 2, 4)
    if rest:
        parts[whole] = 0
        parts[whole, ..., :rest] = gates[..., H - rest :].swapaxes(0, 1)


def pack(weights, panels):
    """Write Wx, Wh, b into packed panels; the padding becomes zero."""
    dtype, bias = panels.weights.dtype, _bias_panels(panels)
    rows = np.concatenate([weights.Wx, weights.Wh]).astype(dtype, copy=False)
    pack_panels(rows, panels.weights)
    pack_panels(np.asarray(weights.b, dtype)[None], bias)


def unpack_rows(panels, rows):
    """Write packed panels (P, 2, K, 2 * VL) as rows (K, 4H)."""
    launch(unpack_panels_chunk, panels, rows, work=panels.size * MOVE_COST)


def unpack(panels):
    """Return packed panels as Wx, Wh, b, in arrays of their own."""
    H, D = panels.n_units, panels.n_inputs
    rows = np.empty((D + H, 4 * H), panels.weights.dtype)
    unpack_rows(panels.weights, rows)
    b = np.empty((1, 4 * H), panels.weights.dtype)
    unpack_rows(np.ascontiguousarray(_bias_panels(panels)), b)
    return LSTMWeights(rows[:D], rows[D:], b[0])


def transpose(workspace, name, panels, first, count):
    """Return the transpose of rows first .. first + count of packed weights, in panels.

    panels (P, G, K, wide); returns (ceil(count / wide), P * G * wide, wide).
    """
    P, G, _, wide = panels.shape
    out = workspace.take(name, -(-count // wide), P * G * wide, wide)
    if out.size:
        launch(transpose_panels_chunk, panels, first, count, out, work=out.size * MOVE_COST)
    return out


def _bias_panels(panels):
    """Return the packed bias (P, W) in the shape of weights of one row."""
    P, _, _, wide = panels.weights.shape
    return panels.bias.reshape(P, 2, 1, wide)


def unpack_gates(gates, n_units):
    """Return the tape's gates (P, T, B, W) as i, f, g, o, each (T, B, H)."""
    P, T, B, W = gates.shape
    VL = W // 4
    split = gates.reshape(P, T, B, 4, VL).transpose(3, 1, 2, 0, 4).reshape(4, T, B, P * VL)
    return split[..., :n_units]


class PanelLayout:
    """Where the packed weights of a stack of layers lie in one flat vector of parameters.

    Optimisers see one vector; kernels see `Panels` that view it. Every array starts on a cache line
    because every size is a multiple of a vector.
    """

    pack, unpack = staticmethod(pack), staticmethod(unpack)

    def __init__(self, sizes, dtype):
        self.sizes, self.dtype = list(sizes), np.dtype(dtype)
        self.size = sum(math.prod(shape) for pair in self._shapes() for shape in pair)

    def _shapes(self):
        return [panel_shapes(*pair, self.dtype) for pair in self.sizes]

    def views(self, flat):
        """Return the `Panels` of every layer and direction, as views of a flat vector."""
        out, at = [], 0
        for (n_inputs, n_units), (shape, bias_shape) in zip(
            self.sizes, self._shapes(), strict=True
        ):
            n, m = math.prod(shape), math.prod(bias_shape)
            weights = flat[at : at + n].reshape(shape)
            bias = flat[at + n : at + n + m].reshape(bias_shape)
            out.append(Panels(weights, bias, n_inputs, n_units))
            at += n + m
        return out

    def places(self):
        """Return where weights and bias of each layer begin, and its inputs: int64, (n, 3)."""
        out, at = [], 0
        for (n_inputs, _), (shape, bias) in zip(self.sizes, self._shapes(), strict=True):
            bias_at = at + math.prod(shape)
            out.append((at, bias_at, n_inputs))
            at = bias_at + math.prod(bias)
        return np.array(out, np.int64)
