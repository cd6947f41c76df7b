"""`LSTM`: the layer itself, for inference, training by hand, streaming and looking inside."""

import threading

import numpy as np

from numlstm.data.validation import (
    LARGEST_COUNT,
    LARGEST_DEPTH,
    as_random_state,
    check_bool,
    check_dtype,
    check_forget_bias,
    check_lengths,
    check_shape,
    check_size,
)
from numlstm.kernels.layout import gather_sequences, scatter_sequences
from numlstm.nn.arguments import as_finite
from numlstm.nn.at_once import AtOnce
from numlstm.nn.masks import MaskSeed
from numlstm.nn.memory import Workspace, aligned_empty, weight_vectors
from numlstm.nn.rows import Batch, batch_first, sort_by_length, time_major
from numlstm.nn.stack import LSTMStack
from numlstm.nn.state import carries_of, kept_carries, load_state, no_state, read_state
from numlstm.nn.stored import StoredWeights
from numlstm.nn.variant import check_variant, initial_variant_weights
from numlstm.nn.weights import LSTMGradients, LSTMState, LSTMTrace


class LSTM(StoredWeights):
    r"""Long short-term memory layers, compiled for the CPU.

    Parameters
    ----------
    input_size : int
        Features of the input, D.
    hidden_size : int
        Units of each layer and direction, H.
    n_layers : int
        Layers on top of each other.
    bidirectional : bool
        Each layer also reads the sequences from their ends; outputs have 2 H features.
    forget_bias : float
        Initial bias of the forget gate.
    dtype : {"float32", "float64"}
    random_state : int, RandomState instance or None
        Seed of the initial weights, and of the masks that `forward` draws for a random variant.
    variant : LSTMVariant, optional
        Peepholes, projection, clipping and more. Without it the layers are the plain ones.

    Attributes
    ----------
    weights : list of LSTMWeights, or of LSTMVariantWeights
        One per layer and direction, in PyTorch's order; read-only copies. Assign a list to replace
        them.

    Notes
    -----
    Gates are in the order i, f, g, o:

    .. math::

        (i, f, o) &= \sigma(x W_x + h W_h + b) \\
        g &= \tanh(x W_x + h W_h + b) \\
        c' &= f c + i g, \quad h' = o \tanh(c')

    without peepholes, as in Zaremba, Sutskever & Vinyals (2014) and TensorFlow's BasicLSTMCell;
    `LSTMVariant` has the other forms.
    `lengths` gives the number of time steps of each sequence: past it outputs are zero and the
    state stays as it was.

    Results do not depend on the number of threads, to the last bit. Calls are safe from several
    threads; `forward` and `backward` are not, because the one prepares the other.
    """

    def __init__(
        self,
        input_size,
        hidden_size,
        *,
        n_layers=1,
        bidirectional=False,
        forget_bias=1.0,
        dtype="float32",
        random_state=None,
        variant=None,
    ):
        self._build(input_size, hidden_size, n_layers, bidirectional, dtype, variant)
        forget_bias = check_forget_bias(forget_bias)
        rng = as_random_state(random_state)
        self._initialise(forget_bias, rng)
        self._masks = MaskSeed.drawn_for(self.variant, rng)

    def _initialise(self, forget_bias, rng):
        self.weights = [
            initial_variant_weights(self.variant, n_inputs, n_units, forget_bias, rng)
            for n_inputs, n_units in self._stack.layout.sizes
        ]

    def _build(self, *geometry):
        self._set_geometry(*geometry)
        names = ("input_size", "hidden_size", "n_layers", "bidirectional")
        sizes = {name: getattr(self, name) for name in names}
        self._adopt(*weight_vectors(1, self._stack.layout.size, self.dtype, **sizes))

    def _set_geometry(self, input_size, hidden_size, n_layers, bidirectional, dtype, variant=None):
        self.input_size = check_size("input_size", input_size, LARGEST_COUNT)
        self.hidden_size = check_size("hidden_size", hidden_size)
        self.n_layers = check_size("n_layers", n_layers, LARGEST_DEPTH)
        self.bidirectional = check_bool("bidirectional", bidirectional)
        self.dtype = check_dtype(dtype)
        self.variant = check_variant(variant, self.hidden_size)
        self._stack, self._masks = self._new_stack(), MaskSeed()

    def _new_stack(self):
        geometry = self.input_size, self.hidden_size, self.n_layers, self.bidirectional, self.dtype
        if self.variant is None:
            return LSTMStack(*geometry)
        # Only here, so that nobody else loads its kernels.
        from numlstm.nn.variant_stack import VariantStack

        return VariantStack(*geometry, self.variant)

    def _adopt(self, parameters):
        """Use a flat vector of packed parameters, shared with whoever holds it."""
        self._parameters = parameters
        self._panels = self._stack.layout.views(parameters)
        plain = self.variant is None and not self.bidirectional
        self._at_once = AtOnce(self._stack, parameters) if plain else None
        self._workspace = Workspace(self.dtype)
        self._local = threading.local()
        self._kept = None

    def zero_state(self, n_samples):
        """Return the state in which a sequence starts by default.

        Parameters
        ----------
        n_samples : int

        Returns
        -------
        LSTMState
            Zeros, h and c each (n_layers * n_directions, n_samples, hidden_size); with a
            projection h has `proj_size` features.
        """
        shape = len(self._panels), check_size("n_samples", n_samples, LARGEST_COUNT)
        return LSTMState(*(np.zeros((*shape, w), self.dtype) for w in self._stack.widths))

    def __call__(self, X, *, lengths=None, state=None):
        """Run the layers over sequences, keeping nothing.

        Parameters
        ----------
        X : array, (n_samples, n_timesteps, input_size)
        lengths : array of int, (n_samples,), optional
            Time steps of each sequence; all of them by default.
        state : LSTMState, optional
            Initial state, zero by default.

        Returns
        -------
        outputs : array, (n_samples, n_timesteps, hidden_size * n_directions)
            Hidden states of the last layer; zero past a sequence's length.
        state : LSTMState
            Final state, of each sequence at its own last step.

        Raises
        ------
        TypeError, ValueError
            For arguments of a wrong shape or type, NaN or infinity.
        """
        if lengths is None and self._at_once is not None:
            found = self._at_once(X, state)
            if found is not None:
                return found
        if not hasattr(self._local, "workspace"):
            self._local.workspace = Workspace(self.dtype)
        return self._run(X, lengths, state, self._local.workspace)[:2]

    def forward(self, X, *, lengths=None, state=None):
        """Run the layers over sequences and keep what `backward` needs.

        This is the pass of training: a variant draws its masks anew in every call.

        Parameters
        ----------
        X : array, (n_samples, n_timesteps, input_size)
        lengths : array of int, (n_samples,), optional
        state : LSTMState, optional

        Returns
        -------
        outputs : array, (n_samples, n_timesteps, hidden_size * n_directions)
        state : LSTMState

        Raises
        ------
        TypeError, ValueError
            For arguments of a wrong shape or type, NaN or infinity.
        """
        self._kept = None
        outputs, last, self._kept = self._run(
            X, lengths, state, self._workspace, keep=True, train=True
        )
        return outputs, last

    def _run(self, X, lengths, state, workspace, keep=False, train=False):
        X = as_finite("X", X, self.dtype, 3)
        N, T, D = X.shape
        stack = self._stack
        if D != self.input_size or not N or not T:
            raise ValueError(
                "X must have shape (n_samples, n_timesteps, "
                f"input_size={self.input_size}), none of them 0, got {X.shape}"
            )
        if lengths is not None:
            lengths = check_lengths(lengths, N, T)
        order, active = sort_by_length(lengths, N, T)
        x = batch_first(X, D)
        if keep or lengths is not None:
            sorted_X = workspace.take("X", T, N, D)
            gather_sequences(X, order, active, sorted_X)
            x = time_major(sorted_X)
        if state is None:
            first = no_state(stack, workspace, N)
        else:
            first = stack.states(workspace, "first", N)
            load_state(first, state, "state", order, stack.widths)
        if lengths is None and stack.padded_widths == stack.widths:  # users' rows are the kernels'
            shape = len(self._panels), N
            found = LSTMState(*(np.empty((*shape, w), self.dtype) for w in stack.widths))
            last = carries_of(*found)
        else:
            found, last = None, kept_carries(stack, workspace, "last", N)
        width = stack.width
        outputs = aligned_empty((N, T, width), self.dtype)
        batch = Batch(x, active)
        if lengths is None:
            target = batch_first(outputs, width)
        else:
            rows = workspace.take("outputs", T, N, width)
            target = time_major(rows)
        masks = {}
        if train and self.variant is not None and self.variant.is_random:
            masks["masks"] = stack.draw_masks(self._masks.next_rng(), order, T)
        kept = stack.forward(
            self._panels, batch, first, last, target, workspace, keep=keep, **masks
        )
        if lengths is not None:
            scatter_sequences(rows, order, active, outputs)
        kept = kept and (kept, order)
        return outputs, found or read_state(last, order, stack.widths), kept

    def backward(self, d_outputs, d_state=None):
        """Backpropagate through time, once for each call of `forward`.

        Parameters
        ----------
        d_outputs : array, (n_samples, n_timesteps, hidden_size * n_directions), or None
            Gradient of a scalar loss with respect to the outputs; None where the loss does not
            see them. What it holds past a sequence's length has no effect.
        d_state : LSTMState, optional
            Gradient with respect to the final state.

        Returns
        -------
        LSTMGradients
            With respect to the weights, X and the initial state.

        Raises
        ------
        RuntimeError
            Without a call of `forward` before it.
        TypeError, ValueError
            For arguments of a wrong shape or type, NaN or infinity.
        """
        if self._kept is None:
            raise RuntimeError("backward needs a call of forward before it, one for each")
        kept, order = self._kept
        T, N = kept.batch.shape
        stack, workspace, active = self._stack, self._workspace, kept.batch.active
        width = stack.width
        target = None
        if d_outputs is not None:
            d_outputs = as_finite("d_outputs", d_outputs, self.dtype, 3)
            check_shape("d_outputs", d_outputs, (N, T, width))
            if active[T - 1] == N:
                target = batch_first(d_outputs, width)
            else:
                rows = workspace.take("outputs", T, N, width)
                gather_sequences(d_outputs, order, active, rows)
                target = time_major(rows)
        carry = stack.states(workspace, "carry", N, dh=True)
        carry = load_state(carry, d_state, "d_state", order, stack.widths)
        self._kept = None  # the gates are about to be overwritten
        grads = stack.layout.views(workspace.zeros("gradient", self._parameters.size))
        dX, D = aligned_empty((N, T, self.input_size), self.dtype), self.input_size
        width = stack.padded_inputs(D)
        straight = active[T - 1] == N and width == D
        rows = batch_first(dX, D)
        if not straight:
            padded = workspace.take("dX", T, N, width)
            rows = time_major(padded)
        stack.backward(self._panels, kept, target, carry, grads, workspace, rows)
        if not straight:
            scatter_sequences(padded, order, active, dX)
        return LSTMGradients(
            [stack.layout.unpack(g) for g in grads], dX, read_state(carry, order, stack.widths)
        )

    def step(self, x, state=None):
        """Run one time step, for streams.

        Parameters
        ----------
        x : array, (n_samples, input_size)
        state : LSTMState, optional
            As the previous step returned it; zero by default.

        Returns
        -------
        h : array, (n_samples, hidden_size)
        state : LSTMState

        Raises
        ------
        ValueError
            For arguments of a wrong shape, NaN or infinity, or a bidirectional LSTM, which needs
            the whole sequence.
        """
        if self.bidirectional:
            raise ValueError(
                "step is not defined for a bidirectional LSTM: it needs whole sequences"
            )
        if type(x) is np.ndarray and x.ndim == 2 and self._at_once is not None:
            found = self._at_once(x[:, None], state)
            if found is not None:
                return found[0][:, 0], found[1]
        x = as_finite("x", x, self.dtype, 2)
        check_shape("x", x, (max(len(x), 1), self.input_size))
        outputs, state = self(x[:, None], state=state)
        return outputs[:, 0], state

    def trace(self, X, *, lengths=None, state=None):
        """Return every gate and state of every step.

        Parameters
        ----------
        X : array, (n_samples, n_timesteps, input_size)
        lengths : array of int, (n_samples,), optional
        state : LSTMState, optional

        Returns
        -------
        LSTMTrace
            i, f, g, o, c, h, each (n_layers * n_directions, n_samples, n_timesteps, hidden_size);
            zero past a sequence's length. With a projection h has `proj_size` features.
        """
        _, _, (kept, order) = self._run(X, lengths, state, Workspace(self.dtype), keep=True)
        T, N = kept.batch.shape
        R, H = self._stack.widths
        shape = len(self._panels), N, T
        trace = LSTMTrace(*(np.zeros((*shape, w), self.dtype) for w in (H, H, H, H, H, R)))
        for k, tape in enumerate(kept.tapes):
            after = slice(0, T) if k % self._stack.n_directions else slice(1, T + 1)
            parts = [*self._stack.read_tape(tape), tape.c[after], tape.h[after]]
            for out, part in zip(trace, parts, strict=True):
                part = np.ascontiguousarray(part[..., : out.shape[-1]])
                scatter_sequences(part, order, kept.batch.active, out[k])
        return trace

    def __repr__(self):
        """Return the geometry as a call."""
        variant = "" if self.variant is None else f", variant={self.variant}"
        return (
            f"LSTM({self.input_size}, {self.hidden_size}, n_layers={self.n_layers}, "
            f"bidirectional={self.bidirectional}, dtype='{self.dtype}'{variant})"
        )
