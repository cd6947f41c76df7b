"""LSTM layers with a dense layer on top: predictions, and the loss with its gradient."""

import math

import numpy as np

from numlstm.kernels._threads import launch, then
from numlstm.kernels.losses import (
    ABSOLUTE,
    HUBER,
    QUANTILE,
    SQUARED,
    log_loss,
    regression_loss,
)
from numlstm.nn.dense import Dense
from numlstm.nn.lstm import LSTM
from numlstm.nn.memory import Workspace, aligned_zeros, weight_vectors
from numlstm.nn.rows import full_length, time_major
from numlstm.nn.state import kept_carries, no_state
from numlstm.nn.variant import (
    as_weights,
    check_variant,
    initial_variant_weights,
    weight_fields,
    weight_shapes,
)

REGRESSION_LOSSES = {
    "squared_error": SQUARED, "absolute_error": ABSOLUTE, "huber": HUBER, "quantile": QUANTILE,
}  # fmt: skip


class SequenceNetwork:
    """LSTM layers, then a dense layer on the last hidden state or on that of every step.

    All parameters lie in one flat vector, `parameters`, in the kernels' layout.

    Parameters
    ----------
    input_size, hidden_size, n_outputs : int
    n_layers : int
    bidirectional : bool
    per_step : bool
        One output for each time step instead of one for each sequence. Bidirectional without it,
        the last states of both directions are joined.
    dropout : float
        Between the layers, while training.
    dtype : {"float32", "float64"}
    variant : LSTMVariant, optional
    """

    def __init__(
        self,
        input_size,
        hidden_size,
        n_outputs,
        *,
        n_layers=1,
        bidirectional=False,
        per_step=False,
        dropout=0.0,
        dtype="float32",
        variant=None,
    ):
        self.geometry = {
            "input_size": input_size,
            "hidden_size": hidden_size,
            "n_outputs": n_outputs,
            "n_layers": n_layers,
            "bidirectional": bidirectional,
            "per_step": per_step,
            "dropout": dropout,
            "dtype": str(np.dtype(dtype)),
            "variant": check_variant(variant),
        }
        self.per_step, self.dropout = per_step, dropout
        self.lstm = LSTM.__new__(LSTM)
        self.lstm._set_geometry(input_size, hidden_size, n_layers, bidirectional, dtype, variant)
        self.stack, self.dtype, self.variant = self.lstm._stack, self.lstm.dtype, self.lstm.variant
        self._masked = self.variant is not None and self.variant.is_random
        self.dense = Dense(self.stack.width, n_outputs, dtype)
        split = self.stack.layout.size
        names = ("input_size", "hidden_size", "n_outputs", "n_layers", "bidirectional")
        sizes = {name: self.geometry[name] for name in names}
        vectors = weight_vectors(2, split + self.dense.size, dtype, **sizes)
        self.parameters, self.gradient = vectors
        self._d_panels, self._d_head = self._views(self.gradient)
        self._head = self.parameters[split:]
        self.lstm._adopt(self.parameters[:split])
        self._panels = self.lstm._panels
        self.workspace = Workspace(self.dtype)
        self.sums = np.zeros(1)  # of losses; written by `loss_and_gradient`
        self.class_weights = np.ones(n_outputs)  # of the log loss
        self.quantile = 0.5  # of the quantile loss

    def _views(self, flat):
        """Return the panels of the layers and the dense layer's part of a flat vector."""
        layout = self.stack.layout
        return layout.views(flat[: layout.size]), flat[layout.size :]

    def initialise(self, forget_bias, rng):
        """Draw fresh parameters.

        Input weights are scaled by the inputs alone, uniform with variance 1 / D (LeCun et al.
        1998), as becomes standardised inputs. Glorot's scale takes the units into account: 32 units
        over one feature then hardly see it, and need several times as many steps to learn.
        """
        layers = [
            initial_variant_weights(self.variant, *sizes, forget_bias, rng)
            for sizes in self.stack.layout.sizes
        ]
        H = self.stack.hidden_size
        self.lstm.weights = [w._replace(Wx=_by_inputs(w.Wx, H)) for w in layers]
        self.dense.initialise(self._head, rng)

    def weight_arrays(self):
        """Return pairs (weights, gradient) of all that an L2 penalty shrinks: no bias, no gain."""
        names = ("weights",) if self.variant is None else ("Wx", "Wh", "Wp", "peepholes")
        pairs = [
            (getattr(p, name), getattr(d, name))
            for p, d in zip(self._panels, self._d_panels, strict=True)
            for name in names
        ]
        return [*pairs, (self.dense.views(self._head)[0], self.dense.views(self._d_head)[0])]

    def _features(self, batch, last, workspace):
        """Return what the dense layer reads, as `Rows`, and its `active` vector."""
        if self.per_step:
            return time_major(workspace.take("features", *batch.shape, self.stack.width))
        _, B = batch.shape
        R, top = self.stack.widths[0], last[-self.stack.n_directions :]
        if len(top) == 1:
            return time_major(top[0].h[np.newaxis])
        features = workspace.take("features", 1, B, self.stack.width)
        for d, carry in enumerate(top):
            then(np.copyto, features[0, :, d * R : (d + 1) * R], carry.h[:, :R])
        return time_major(features)

    @property
    def is_random(self):
        """Whether training draws masks."""
        return self._masked or self.dropout > 0

    @property
    def only_launches(self):
        """Whether training is launches of kernels and nothing else, for batches of full length."""
        return self.variant is None and not self.is_random

    def _training(self, batch, seed):
        """Return what training does at random, as arguments of the stack's forward pass."""
        options, (T, B) = {"dropout": (self.dropout, seed)}, batch.shape
        if self._masked:
            rng = np.random.RandomState(seed)
            options["masks"] = self.stack.draw_masks(rng, np.arange(B), T)
        return options

    def _forward(self, batch, workspace, *, keep=False, **training):
        T, B = batch.shape
        first = no_state(self.stack, workspace, B)
        last = kept_carries(self.stack, workspace, "last", B)
        outputs = None
        if self.per_step:
            outputs = time_major(workspace.take("features", T, B, self.stack.width))
        kept = self.stack.forward(
            self._panels, batch, first, last, outputs, workspace, keep=keep, **training
        )
        features = self._features(batch, last, workspace)
        active = batch.active if self.per_step else full_length(B, 1)
        out = self.dense.forward(self._head, features, active, workspace)
        return out, features, active, kept

    def predict(self, batch, workspace):
        """Return the outputs of a batch: (T, B, n_outputs) per step, else (1, B, n_outputs).

        What stands past a sequence's end is undefined.
        """
        out, _, _, _ = self._forward(batch, workspace)
        return out[:, :, : self.dense.n_outputs]

    def loss_and_gradient(self, batch, targets, weights, scale, loss, seed=0):
        """Return the weighted sum of losses; add its gradient times `scale` to `self.gradient`.

        The sum is in `self.sums` too, for who repeats the kernels alone.

        Parameters
        ----------
        batch : Batch
        targets : array, (T * B, n_outputs) per step, else (B, n_outputs)
            Or with one column, the number of the class, for "log_loss".
        weights : array, (T * B,) or (B,)
            Of the rows of `targets`.
        scale : float
        loss : {"squared_error", "absolute_error", "huber", "quantile", "log_loss"}
        seed : int
            Of dropout and the masks of a variant.
        """
        ws = self.workspace
        out, features, active, kept = self._forward(
            batch, ws, keep=True, **self._training(batch, seed)
        )
        rows = time_major(out)
        if loss == "log_loss":
            kernel, kind = log_loss, (self.class_weights,)
        else:
            kernel, kind = regression_loss, (REGRESSION_LOSSES[loss], self.quantile)
        arguments = rows, targets, weights, active, self.dense.width, scale, rows, self.sums
        launch(kernel, *kind, *arguments, work=0)
        self._backward(kept, features, active, out, self._d_panels, self._d_head, ws)
        return float(self.sums[0])

    def _backward(self, kept, features, active, d_out, d_panels, d_head, workspace, dX=None):
        """Add to the gradients of weights, and write that of the inputs if it is wanted."""
        stack = self.stack
        d_features = self.dense.backward(self._head, features, active, d_out, d_head, workspace)
        _, B = kept.batch.shape
        carry = stack.states(workspace, "carry", B, dh=True)
        if self.per_step:
            d_outputs = time_major(d_features)
        else:
            d_outputs, R = None, stack.widths[0]
            for d, top in enumerate(carry[-stack.n_directions :]):
                then(np.copyto, top.h[:, :R], d_features[0, :, d * R : (d + 1) * R])
        stack.backward(self._panels, kept, d_outputs, carry, d_panels, workspace, dX)

    def input_gradients(self, batch, lengths, upstream, workspace):
        """Return the gradient of a function of the outputs at each row's end, for every input.

        Parameters
        ----------
        batch : Batch
        lengths : array of int, (B,)
        upstream : callable
            Takes outputs (B, n_outputs) and returns the function's gradient with respect to them.
        workspace : Workspace

        Returns
        -------
        array, (T, B, D)
            What stands past a row's end is undefined.
        """
        out, features, active, kept = self._forward(batch, workspace, keep=True)
        last = lengths - 1 if self.per_step else 0, np.arange(len(lengths))
        ends = out[last]
        d_ends = upstream(ends[:, : self.dense.n_outputs])
        out.fill(0)
        ends[...] = 0
        ends[:, : self.dense.n_outputs] = d_ends
        out[last] = ends
        spare = aligned_zeros(self.gradient.shape, self.dtype)  # of the weights; nobody asked
        n_inputs = self.stack.layout.sizes[0][0]
        dX = workspace.take("dX", *batch.shape, self.stack.padded_inputs(n_inputs))
        self._backward(kept, features, active, out, *self._views(spare), workspace, time_major(dX))
        return dX[:, :, :n_inputs]

    def step(self, x, state):
        """Return the outputs of one time step, (n_samples, n_outputs), and the state after it."""
        h, state = self.lstm.step(x, state)
        W, b = self.dense.get_weights(self._head)
        return h @ W + b, state

    def shapes(self):
        """Return the shape of every array of `get_weights`."""
        K, out = self.dense.n_outputs, {}
        for k, sizes in enumerate(self.stack.layout.sizes):
            shapes = weight_shapes(self.variant, *sizes)
            out |= {f"lstm.{k}.{name}": shape for name, shape in shapes.items()}
        return {**out, "dense.W": (self.stack.width, K), "dense.b": (K,)}

    def get_weights(self, flat=None):
        """Return a flat vector, by default the parameters, in plain layout: a dict of arrays."""
        layers, head = self._views(self.parameters if flat is None else flat)
        out = {}
        for k, panels in enumerate(layers):
            arrays = self.stack.layout.unpack(panels)._asdict().items()
            out |= {f"lstm.{k}.{name}": array for name, array in arrays if array is not None}
        out["dense.W"], out["dense.b"] = self.dense.get_weights(head)
        return out

    def set_weights(self, arrays, flat=None):
        """Write a dict of `get_weights` into a flat vector, by default the parameters."""
        layers, head = self._views(self.parameters if flat is None else flat)
        for k, panels in enumerate(layers):
            own = [arrays.get(f"lstm.{k}.{name}") for name in weight_fields(self.variant)]
            self.stack.layout.pack(as_weights(self.variant, own), panels)
        self.dense.set_weights(head, arrays["dense.W"], arrays["dense.b"])

    def __getstate__(self):
        """Return what a copy or a pickle needs: geometry and parameters in plain layout."""
        return {"geometry": self.geometry, "weights": self.get_weights()}

    def __setstate__(self, state):
        """Rebuild from `__getstate__`."""
        self.__init__(**state["geometry"])
        self.set_weights(state["weights"])


def _by_inputs(Wx, n_units):
    """Return Glorot uniform input weights (D, gates * H) of a gate on the scale of 1 / D."""
    n_inputs = len(Wx)
    return Wx * math.sqrt((n_inputs + n_units) / (2 * n_inputs))
