"""The dense layer on top of the LSTM: y = x W + b, for one row or for every time step."""

import math

import numpy as np

from numlstm.kernels._threads import launch
from numlstm.kernels.products import Rows, rows_times_panels_chunk
from numlstm.nn.rows import time_major
from numlstm.nn.weight_gradients import add_weight_gradients
from numlstm.nn.weights import round_up, transpose, vector_lanes


class Dense:
    """A dense layer whose parameters lie in one flat vector: panels (Q, K, 2 * VL), then the bias.

    Parameters
    ----------
    n_inputs, n_outputs : int
    dtype : dtype
    """

    def __init__(self, n_inputs, n_outputs, dtype):
        self.n_inputs, self.n_outputs = n_inputs, n_outputs
        self.dtype = np.dtype(dtype)
        self.pair = 2 * vector_lanes(dtype)
        self.width = round_up(n_outputs, self.pair)  # padded columns of a row of outputs
        self.panels_shape = (self.width // self.pair, n_inputs, self.pair)
        self.size = math.prod(self.panels_shape) + self.width

    def views(self, flat):
        """Return panels and bias as views of a flat vector of `size` elements."""
        return flat[: -self.width].reshape(self.panels_shape), flat[-self.width :]

    def initialise(self, flat, rng):
        """Draw Glorot uniform weights and set the bias to zero."""
        limit = math.sqrt(6 / (self.n_inputs + self.n_outputs))
        W = rng.uniform(-limit, limit, (self.n_inputs, self.n_outputs))
        self.set_weights(flat, W, np.zeros(self.n_outputs))

    def set_weights(self, flat, W, b):
        """Write W (K, n_outputs) and b (n_outputs,) into a flat vector."""
        Q, K, pair = self.panels_shape
        panels, bias = self.views(flat)
        padded = np.zeros((K, self.width), self.dtype)
        padded[:, : self.n_outputs] = W
        panels[...] = padded.reshape(K, Q, pair).transpose(1, 0, 2)
        bias[...] = 0
        bias[: self.n_outputs] = b

    def get_weights(self, flat):
        """Return W (K, n_outputs) and b (n_outputs,)."""
        panels, bias = self.views(flat)
        W = panels.transpose(1, 0, 2).reshape(self.n_inputs, self.width)
        return W[:, : self.n_outputs].copy(), bias[: self.n_outputs].copy()

    def forward(self, flat, x, active, workspace):
        """Return x W + b for all active rows, (T, B, width)."""
        panels, bias = self.views(flat)
        T, B = len(active) - 1, int(active[0])
        out = workspace.take("dense.out", T, B, self.width)
        launch(
            rows_times_panels_chunk, x, 0, self.n_inputs, panels, Rows(bias, 0, 0, 0), active,
            time_major(out), work=T * B * self.n_inputs * self.width,
        )  # fmt: skip
        return out

    def backward(self, flat, x, active, d_out, grads, workspace):
        """Add to the flat gradients; return dx, (T, B, >= n_inputs)."""
        T, B, _ = d_out.shape
        panels, _ = self.views(flat)
        d_panels, d_bias = self.views(grads)
        d_rows, work = time_major(d_out), d_out.size * self.n_inputs
        add_weight_gradients(
            workspace, [(x, self.n_inputs)], active, d_rows, d_panels, d_bias, work=work
        )
        transposed = transpose(workspace, "dense.T", panels[:, None], 0, self.n_inputs)
        n = len(transposed)
        dx = workspace.take("dense.dx", T, B, n * self.pair)
        zeros = Rows(workspace.zeros("dense.zeros", n * self.pair), 0, 0, 0)
        launch(
            rows_times_panels_chunk, d_rows, 0, self.width, transposed, zeros, active,
            time_major(dx), work=work,
        )  # fmt: skip
        return dx
