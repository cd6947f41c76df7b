"""Layers and directions on top of each other, in the kernels' own layout.

`LSTM` and the networks of the estimators share it: time-major rows sorted by length in, `Rows` out.
"""

import functools
from typing import NamedTuple

import numpy as np

from numlstm.kernels._threads import MOST_THREADS, launch
from numlstm.kernels.bptt import Transposed, lstm_backward_chunk
from numlstm.kernels.lstm import Lookup, Tape, lstm_forward_chunk
from numlstm.kernels.one_sequence import lstm_backward_row_chunk, lstm_forward_row_chunk
from numlstm.kernels.products import Rows
from numlstm.kernels.team import new_team
from numlstm.nn.between import drop
from numlstm.nn.memory import aligned_zeros
from numlstm.nn.rows import Batch, time_major
from numlstm.nn.state import zeroed_carries
from numlstm.nn.weight_gradients import add_weight_gradients
from numlstm.nn.weights import PanelLayout, round_up, transpose, unpack_gates, vector_lanes

RING_STEPS = 64  # of a single row, whose inputs are multiplied for so many steps at once
WEIGHTS_PER_WORKER = 30_000  # fewer are not worth a meeting of threads at every step
FAR_WEIGHTS = 800_000  # elements that L2 does not hold, and a shared L3 hardly
GAP = 8192  # bytes, or more, between what two workers write in inference; see `lstm`
FEW_INPUTS = 8  # up to so many, dX is dot products and not a product of padded panels


def work_of_pass(products, T, B):
    """Return the multiply-adds of a pass, as `launch` counts them; `products` per row and step."""
    n_rows = B if B > 1 else 2  # the weights of a single row are used once, and arrive slowly
    return T * n_rows * products


class Kept(NamedTuple):
    """What the backward pass needs of a forward pass."""

    batch: Batch
    inputs: list  # of every layer, as Rows
    tapes: list  # of every layer and direction
    dropout: tuple  # (rate, seed) between the layers


class LSTMStack:
    """Geometry and passes of `n_layers` LSTM layers; the parameters are handed in."""

    def __init__(self, input_size, hidden_size, n_layers, bidirectional, dtype):
        self.input_size, self.hidden_size = input_size, hidden_size
        self.n_layers, self.n_directions = n_layers, 2 if bidirectional else 1
        self.dtype = np.dtype(dtype)
        VL = vector_lanes(dtype)
        self.lanes = VL
        self.width = hidden_size * self.n_directions  # of a layer's output
        self.widths = hidden_size, hidden_size  # of h and c
        self.Hp, self.Hq = round_up(hidden_size, VL), round_up(hidden_size, 2 * VL)
        self.padded_widths = self.Hp, self.Hp
        inputs = [input_size] + [self.width] * (n_layers - 1)
        sizes = [(n, hidden_size) for n in inputs for _ in range(self.n_directions)]
        self.layout = PanelLayout(sizes, dtype)
        self._zeros = aligned_zeros((4 * VL,), dtype)
        self._nothing = Rows(np.empty(0, self.dtype), 0, 0, 0)
        self._no_lookup = Lookup(np.empty(0, np.int32), np.empty((0, 4 * self.Hp), self.dtype))

    def states(self, workspace, name, n_rows, dh=False):
        """Return zeroed carries, one per layer and direction. With `dh`, of gradients."""
        widths = self.Hq if dh else self.Hp, self.Hp
        return zeroed_carries(self, workspace, name, n_rows, widths)

    @property
    def shares(self):
        """How many workers a single row is worth: each keeps weights of so many units."""
        shares = max(1, self.hidden_size * 4 * self.Hp // WEIGHTS_PER_WORKER)
        return min(shares, self.Hq // (2 * self.lanes))

    def products(self, panels):
        """Return multiply-adds per row and step; a cell update costs as much as 64 a column."""
        return (panels.n_inputs + panels.n_units + 64) * 4 * self.Hp

    def _tape(self, workspace, k, T, B, keep):
        make = functools.partial(self._new_tape, workspace, k, T, B, keep)
        return workspace.once(f"tape{k}", (T, B, keep), make)

    def _new_tape(self, workspace, k, T, B, keep):
        P, W = self.Hp // self.lanes, 4 * self.lanes
        if keep:
            name, gates, states, gap = f"tape{k}", (P, T), (T + 1, T + 1), 0
        elif B == 1:
            name, gates, states, gap = "ring", (P, min(T, RING_STEPS)), (1, 2), 0
        else:
            name, gates, states = "ring", (1, 1), (1, 2)
            gap = -(-GAP // (self.dtype.itemsize * min(W, self.Hp)))
        rows = B + gap * min(B, MOST_THREADS)
        return Tape(
            workspace.take(name + ".gates", *gates, rows, W),
            *(
                workspace.take(f"{name}.{s}", n, rows, self.Hp)
                for s, n in zip("ch", states, strict=True)
            ),
            gap,
        )

    def forward(
        self, panels, batch, first, last, outputs, workspace, *, keep=False, dropout=(0.0, 0)
    ):
        """Run every layer.

        Parameters
        ----------
        panels : list of Panels
        batch : Batch
        first, last : list of Carry
            Initial states, and the final ones to be written; `last` may be `first`.
        outputs : Rows or None
            Where the last layer's outputs go, if they are wanted.
        workspace : Workspace
        keep : bool
            Keep what `backward` needs.
        dropout : (float, int)
            Rate and seed of the dropout between layers.

        Returns
        -------
        Kept or None
        """
        T, B = batch.shape
        x, inputs, tapes = batch.x, [], []
        for layer in range(self.n_layers):
            top = layer == self.n_layers - 1
            inputs.append(x)
            if not top:
                between = workspace.take(f"between{layer}", T, B, self.width)
                out = time_major(between)
            else:
                out = outputs or self._nothing
            for d in range(self.n_directions):
                k = layer * self.n_directions + d
                tape = self._tape(workspace, k, T, B, keep)
                tapes.append(tape)
                place = out._replace(start=out.start + d * self.hidden_size)
                arguments = (
                    x, self._lookup(batch, layer), panels[k], first[k], batch.active, d, tape,
                    last[k], place,
                )  # fmt: skip
                self._launch(lstm_forward_chunk, lstm_forward_row_chunk, arguments, T, B, panels[k])
            if not top:
                drop(between, self.width, layer, dropout)
                x = out
        return Kept(batch, inputs, tapes, dropout) if keep else None

    def _launch(self, chunk, row_chunk, arguments, T, B, panels):
        """Run a pass whose workers share rows, or the units of a single row."""
        work = work_of_pass(self.products(panels), T, B)
        if B > 1:
            # None, and not False: kernels for small weights are compiled without the rest.
            far = True if panels.weights.size >= FAR_WEIGHTS else None
            launch(chunk, *arguments, far, work=work, at_most=B)
        else:
            team = new_team(self.shares)
            launch(row_chunk, *arguments, team, work=work, at_most=self.shares)

    def _lookup(self, batch, layer):
        return batch.lookup if batch.lookup is not None and layer == 0 else self._no_lookup

    def backward(self, panels, kept, d_outputs, carry, grads, workspace, dX=None):
        """Run every layer backwards.

        Parameters
        ----------
        panels : list of Panels
        kept : Kept
            Of the forward pass; its gates are overwritten.
        d_outputs : Rows or None
        carry : list of Carry
            Gradients of the final states on entry, of the initial states on return.
        grads : list of Panels
            Added to.
        workspace : Workspace
        dX : Rows, optional
            Where the gradient of the inputs goes; rows of `padded_inputs` elements.
        """
        T, B = kept.batch.shape
        d_out = d_outputs or self._nothing
        for layer in range(self.n_layers - 1, -1, -1):
            d_in, rows = dX or self._nothing, None
            if layer > 0:
                width = self.padded_inputs(panels[layer * self.n_directions].n_inputs)
                rows = workspace.take(f"dX{layer}", T, B, width)
                d_in = time_major(rows)
            for d in range(self.n_directions):
                k = layer * self.n_directions + d
                place = d_out._replace(start=d_out.start + d * self.hidden_size)
                self._backward_layer(panels[k], kept, k, place, carry[k], grads[k], workspace, d_in)
            if layer > 0:
                drop(rows, self.width, layer - 1, kept.dropout)
                d_out = d_in

    def read_tape(self, tape):
        """Return the gates i, f, g, o of a tape, each (T, B, H)."""
        return unpack_gates(tape.gates, self.hidden_size)

    def padded_inputs(self, n_inputs):
        """Return the elements that a row of gradients of inputs takes."""
        return n_inputs if n_inputs <= FEW_INPUTS else round_up(n_inputs, 2 * self.lanes)

    def _backward_layer(self, panels, kept, k, d_out, carry, grads, workspace, dX):
        active, tape, reverse = kept.batch.active, kept.tapes[k], k % self.n_directions
        T, B = kept.batch.shape
        work, n_inputs = T * B * self.products(panels), panels.n_inputs
        columns = n_inputs if dX.data.size and n_inputs > FEW_INPUTS else 0
        transposed = Transposed(
            transpose(workspace, "Wh_T", panels.weights, n_inputs, panels.n_units),
            transpose(workspace, "Wx_T", panels.weights, 0, columns),
            self._zeros,
        )
        arguments = panels, transposed, d_out, active, reverse, tape, carry, dX
        self._launch(lstm_backward_chunk, lstm_backward_row_chunk, arguments, T, B, panels)
        # Read forwards, the state before step t lies at row t of the tape; backwards, at t + 1.
        h_before = time_major(tape.h, reverse * B * self.Hp)
        W = tape.gates.shape[3]
        add_weight_gradients(
            workspace,
            [(kept.inputs[k // self.n_directions], n_inputs), (h_before, panels.n_units)],
            active, Rows(tape.gates.reshape(-1), 0, B * W, W), grads.weights, grads.bias,
            work=work, side=2, apart=T * B * W,
        )  # fmt: skip
