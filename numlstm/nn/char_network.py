"""The network of a character model: a table look-up, LSTM layers, a softmax over the vocabulary."""

import math

import numpy as np

from numlstm.kernels._threads import launch
from numlstm.kernels.generation import (
    Model,
    Scratch,
    generate_tokens_chunk,
    read_tokens_chunk,
)
from numlstm.kernels.lstm import Lookup
from numlstm.kernels.products import Rows, rows_times_panels_chunk
from numlstm.kernels.softmax import (
    negative_log_likelihoods_chunk,
    softmax_cross_entropy_chunk,
    sum_by_token_chunk,
)
from numlstm.kernels.team import new_team
from numlstm.nn.dense import Dense
from numlstm.nn.lstm import LSTM
from numlstm.nn.memory import Workspace, aligned_zeros, weight_vectors
from numlstm.nn.rows import Batch, full_length, time_major
from numlstm.nn.stack import WEIGHTS_PER_WORKER, LSTMStack
from numlstm.nn.weight_gradients import add_weight_gradients
from numlstm.nn.weights import (
    LSTMWeights,
    initial_weights,
    pack,
    pack_panels,
    round_up,
    transpose,
    unpack,
    unpack_rows,
)


def _total(losses):
    """Return the sum of losses; infinite, it ends the training."""
    with np.errstate(over="ignore"):
        return float(losses.sum())


def array_shapes(n_tokens, hidden_size, embedding_size, n_layers, **_):
    """Return the shapes of the arrays of such a network, by name, without making one."""
    V, H = n_tokens, hidden_size
    out = {"dense.W": (H, V), "dense.b": (V,)}
    for k in range(n_layers):
        out[f"lstm.{k}.Wx"] = (H if k else embedding_size or V, 4 * H)
        out[f"lstm.{k}.Wh"], out[f"lstm.{k}.b"] = (H, 4 * H), (4 * H,)
    if embedding_size:
        out["embedding"] = (V, embedding_size)
    return out


class CharNetwork:
    """Characters in, logits of the next character out.

    The first layer's input product is a row of a table, (embedding W_x + b) of each token, made
    once for every step of training: with V tokens in the vocabulary and N in a batch, V / N of the
    work of multiplying every position out.

    Parameters
    ----------
    n_tokens : int
        V, size of the vocabulary.
    hidden_size : int
    embedding_size : int or None
        None: one-hot, the table holds the input weights themselves.
    n_layers : int
    dropout : float
        Between the layers, while training.
    dtype : {"float32", "float64"}
    """

    def __init__(self, n_tokens, hidden_size, embedding_size, n_layers, dropout, dtype):
        self.geometry = {
            "n_tokens": n_tokens,
            "hidden_size": hidden_size,
            "embedding_size": embedding_size,
            "n_layers": n_layers,
            "dropout": dropout,
            "dtype": str(np.dtype(dtype)),
        }
        self.n_tokens, self.embedding_size, self.dropout = n_tokens, embedding_size, dropout
        self.stack = LSTMStack(0, hidden_size, n_layers, False, dtype)
        self.dtype = self.stack.dtype
        self.dense = Dense(hidden_size, n_tokens, dtype)
        P, self.wide = self.stack.Hp // self.stack.lanes, 4 * self.stack.Hp
        self._input_shape = (2 * P, embedding_size or n_tokens, 2 * self.stack.lanes)
        sizes = [
            self.stack.layout.size,
            self.dense.size,
            math.prod(self._input_shape),
            round_up(n_tokens * (embedding_size or 0), 16),
        ]
        self._ends = np.cumsum(sizes)
        names = ("n_tokens", "hidden_size", "embedding_size", "n_layers")
        sizes = {name: self.geometry[name] for name in names}
        vectors = weight_vectors(2, int(self._ends[-1]), dtype, **sizes)
        self.parameters, self.gradient = vectors
        self._panels, self._head, self._input, self._embedding = self._views(self.parameters)
        self._d_panels, self._d_head, self._d_input, self._d_embedding = self._views(self.gradient)
        self.workspace = Workspace(self.dtype)

    def _views(self, flat):
        stack, head, inputs, embedding = np.split(flat, self._ends[:-1])
        n = self.n_tokens * (self.embedding_size or 0)
        embedding = embedding[:n].reshape(self.n_tokens, -1) if n else None
        return self.stack.layout.views(stack), head, inputs.reshape(self._input_shape), embedding

    def initialise(self, forget_bias, rng):
        """Draw fresh parameters; the embedding has standard normal entries."""
        H, rows = self.stack.hidden_size, self._input_shape[1]
        for k, panels in enumerate(self._panels):
            n_inputs = panels.n_inputs if k else rows
            w = initial_weights(n_inputs, H, forget_bias, rng)
            if k == 0:
                self._pack_input(w.Wx, self._input)
                w = w._replace(Wx=w.Wx[:0])
            pack(w, panels)
        self.dense.initialise(self._head, rng)
        if self._embedding is not None:
            self._embedding[...] = rng.standard_normal(self._embedding.shape)

    def _pack_input(self, Wx, inputs):
        pairs, rows, wide = self._input_shape
        pack_panels(Wx, inputs.reshape(pairs // 2, 2, rows, wide))

    def table(self, workspace):
        """Return what each token adds to the first layer's pre-activations, (V, P * W)."""
        table = workspace.take("table", self.n_tokens, self.wide)
        bias = self._panels[0].bias.reshape(-1)
        if self._embedding is None:
            rows = self._input.transpose(1, 0, 2).reshape(self.n_tokens, self.wide)
            np.add(rows, bias, out=table)
            return table
        launch(
            rows_times_panels_chunk, Rows(self._embedding.reshape(-1), 0, 0, self.embedding_size),
            0, self.embedding_size, self._input, Rows(bias, 0, 0, 0),
            full_length(self.n_tokens, 1), Rows(table.reshape(-1), 0, 0, self.wide),
            work=table.size * self.embedding_size,
        )  # fmt: skip
        return table

    def _table_backward(self, d_table, workspace):
        """Add the gradients of the input weights, and of the embedding."""
        pairs, rows, wide = self._input_shape
        if self._embedding is None:
            self._d_input += d_table.reshape(rows, pairs, wide).transpose(1, 0, 2)
            return
        active, e = full_length(self.n_tokens, 1), self.embedding_size
        d_rows = Rows(d_table.reshape(-1), 0, 0, self.wide)
        x, work = Rows(self._embedding.reshape(-1), 0, 0, e), d_table.size * e
        no_sums = np.empty(0, self.dtype)
        add_weight_gradients(workspace, [(x, e)], active, d_rows, self._d_input, no_sums, work=work)
        transposed = transpose(workspace, "input.T", self._input[:, None], 0, e)
        d_embedding = workspace.take("embedding.d", self.n_tokens, round_up(e, wide))
        zeros = Rows(workspace.zeros("embedding.0", d_embedding.shape[1]), 0, 0, 0)
        launch(
            rows_times_panels_chunk, d_rows, 0, self.wide, transposed, zeros, active,
            time_major(d_embedding[None]), work=work,
        )  # fmt: skip
        self._d_embedding += d_embedding[:, :e]

    def _forward(self, tokens, first, last, workspace, *, keep, seed=0):
        T, B = tokens.shape
        lookup = Lookup(tokens.reshape(-1), self.table(workspace))
        nothing = Rows(np.empty(0, self.dtype), 0, 0, 0)
        batch = Batch(nothing, full_length(B, T), lookup)
        features = time_major(workspace.take("features", T, B, self.stack.width))
        dropout = (self.dropout if keep else 0.0, seed)
        kept = self.stack.forward(
            self._panels, batch, first, last, features, workspace, keep=keep, dropout=dropout
        )
        out = self.dense.forward(self._head, features, batch.active, workspace)
        return out, features, kept

    def loss_and_gradient(self, tokens, targets, first, last, seed=0):
        """Return the mean cross-entropy of a chunk in nats; set `gradient` to its gradient.

        Parameters
        ----------
        tokens, targets : array of int32, (T, B)
            Characters, and those that follow them.
        first, last : list of Carry
            State before and, written, after the chunk. The gradient stops at `first`.
        seed : int
            Of the dropout.
        """
        ws, (T, B) = self.workspace, tokens.shape
        self.gradient.fill(0)
        out, features, kept = self._forward(tokens, first, last, ws, keep=True, seed=seed)
        losses = np.empty(T * B)
        launch(
            softmax_cross_entropy_chunk, out, targets.reshape(-1), self.n_tokens,
            self.dense.width, 1 / (T * B), losses, work=16 * out.size,
        )  # fmt: skip
        active = kept.batch.active
        d_features = self.dense.backward(self._head, features, active, out, self._d_head, ws)
        carry = self.stack.states(ws, "carry", B, dh=True)
        self.stack.backward(self._panels, kept, time_major(d_features), carry, self._d_panels, ws)
        d_table = ws.zeros("table.d", self.n_tokens, self.wide)
        d_gates = kept.tapes[0].gates
        launch(sum_by_token_chunk, kept.batch.lookup.tokens, d_gates, d_table, work=d_gates.size)
        self._table_backward(d_table, ws)
        return _total(losses) / (T * B)

    def loss(self, tokens, targets, first, last, workspace):
        """Return the summed cross-entropy of a chunk, in nats; parameters as above."""
        out, _, _ = self._forward(tokens, first, last, workspace, keep=False)
        losses = np.empty(targets.size)
        launch(
            negative_log_likelihoods_chunk, out, targets.reshape(-1), self.n_tokens,
            self.dense.width, losses, work=16 * out.size,
        )  # fmt: skip
        return _total(losses)

    def weight_arrays(self):
        """Return pairs (weights, gradient) of all that an L2 penalty shrinks: no bias."""
        pairs = [(p.weights, d.weights) for p, d in zip(self._panels, self._d_panels, strict=True)]
        pairs.append((self.dense.views(self._head)[0], self.dense.views(self._d_head)[0]))
        return [*pairs, (self._input, self._d_input)]

    def model(self):
        """Return what the generation kernels need, with a table of its own."""
        table = self.table(Workspace(self.dtype))
        panels, bias = self.dense.views(self._head)
        stack = self.parameters[: self.stack.layout.size]
        layers = self.stack.layout.places()
        return Model(stack, layers, self.stack.hidden_size, table, panels, bias)

    def scratch(self, n_rows):
        """Return a zero state for the generation kernels, with the logits of the start.

        Before its first character a text has no state: h is zero, the logits are the bias.
        """
        n, Hp, W = self.stack.n_layers, self.stack.Hp, 4 * self.stack.lanes
        logits = aligned_zeros((n_rows, self.dense.width), self.dtype)
        logits[:] = self.dense.views(self._head)[1]
        return Scratch(
            aligned_zeros((n, 2, n_rows, Hp), self.dtype),
            aligned_zeros((n, n_rows, Hp), self.dtype),
            aligned_zeros((n, Hp // self.stack.lanes, n_rows, W), self.dtype),
            logits,
            aligned_zeros((W,), self.dtype),
            np.empty((self._shares(n_rows), n_rows), np.int32),
            np.empty(self.n_tokens, np.int64),
        )

    def _shares(self, n_rows):
        """Return how many workers a text is worth; several texts are written by one."""
        most = min(self.stack.Hp // self.stack.lanes, self.stack.layout.size // WEIGHTS_PER_WORKER)
        return max(1, most) if n_rows == 1 else 1

    def read(self, model, scratch, tokens, phase, wanted):
        """Run tokens (B, n) of int32 through a model; return phase and log-probabilities (B, n).

        Log-probabilities only if they are wanted, else (0, 0). `phase` is which half of scratch.h
        holds the state.
        """
        log_p = np.empty(tokens.shape if wanted else (0, 0))
        self._launch(read_tokens_chunk, tokens, model, scratch, tokens, phase, self.n_tokens, log_p)
        return (phase + tokens.shape[1]) % 2, log_p

    def write(self, model, scratch, phase, how, uniforms):
        """Draw tokens (B, n) with uniforms (B, n); return phase and tokens.

        `how` is (temperature, top_k, top_p), top_k 0 for all.
        """
        tokens = np.empty(uniforms.shape, np.int32)
        self._launch(
            generate_tokens_chunk, tokens, model, scratch, phase, self.n_tokens, *how, uniforms,
            tokens,
        )  # fmt: skip
        return (phase + tokens.shape[1]) % 2, tokens

    def _launch(self, chunk, tokens, *arguments):
        n_rows, n = tokens.shape
        work, shares = n * n_rows * self.stack.layout.size, self._shares(n_rows)
        launch(chunk, *arguments, new_team(shares), work=work, at_most=shares)

    def shapes(self):
        """Return the shape of every array of `get_weights`."""
        return array_shapes(**self.geometry)

    def get_weights(self, flat=None):
        """Return a flat vector, by default the parameters, in plain layout: a dict of arrays."""
        panels, head, inputs, embedding = self._views(self.parameters if flat is None else flat)
        pairs, rows, wide = self._input_shape
        Wx = np.empty((rows, 4 * self.stack.hidden_size), self.dtype)
        unpack_rows(inputs.reshape(pairs // 2, 2, rows, wide), Wx)
        out = {}
        for k, layer in enumerate(panels):
            w = unpack(layer)
            out[f"lstm.{k}.Wx"] = w.Wx if k else Wx
            out[f"lstm.{k}.Wh"], out[f"lstm.{k}.b"] = w.Wh, w.b
        out["dense.W"], out["dense.b"] = self.dense.get_weights(head)
        if embedding is not None:
            out["embedding"] = embedding.copy()
        return out

    def set_weights(self, arrays, flat=None):
        """Write a dict of `get_weights` into a flat vector, by default the parameters."""
        panels, head, inputs, embedding = self._views(self.parameters if flat is None else flat)
        for k, layer in enumerate(panels):
            w = LSTMWeights(*(arrays[f"lstm.{k}.{name}"] for name in LSTMWeights._fields))
            if k == 0:
                self._pack_input(w.Wx, inputs)
                w = w._replace(Wx=w.Wx[:0])
            pack(w, layer)
        self.dense.set_weights(head, arrays["dense.W"], arrays["dense.b"])
        if embedding is not None:
            embedding[...] = arrays["embedding"]

    def lstm(self):
        """Return the layers as an `LSTM` that reads embedded (or one-hot) characters."""
        arrays = self.get_weights()
        weights = [
            tuple(arrays[f"lstm.{k}.{name}"] for name in LSTMWeights._fields)
            for k in range(self.stack.n_layers)
        ]
        return LSTM.from_weights(weights, dtype=self.dtype)

    def __getstate__(self):
        """Return what a copy or a pickle needs."""
        return {"geometry": self.geometry, "weights": self.get_weights()}

    def __setstate__(self, state):
        """Rebuild from `__getstate__`."""
        self.__init__(**state["geometry"])
        self.set_weights(state["weights"])
