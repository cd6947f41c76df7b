"""Layers and directions of a variant LSTM: what `numlstm.nn.stack` is to the plain one."""

from typing import NamedTuple

import numpy as np

from numlstm.kernels._threads import launch
from numlstm.kernels.products import Rows
from numlstm.kernels.variants import VariantMasks, VariantTape, variant_forward_chunk
from numlstm.kernels.variants_backward import (
    VariantScratch,
    VariantSums,
    VariantTransposed,
    variant_backward_chunk,
)
from numlstm.nn.between import drop
from numlstm.nn.memory import aligned_zeros
from numlstm.nn.rows import Batch, time_major
from numlstm.nn.state import zeroed_carries
from numlstm.nn.variant import n_gates
from numlstm.nn.variant_layout import VariantLayout
from numlstm.nn.weight_gradients import add_weight_gradients
from numlstm.nn.weights import round_up, transpose, vector_lanes


class VariantKept(NamedTuple):
    """What the backward pass needs of a forward pass."""

    batch: Batch
    inputs: list  # of every layer, as Rows
    tapes: list  # of every layer and direction
    masks: list
    dropout: tuple  # (rate, seed) between the layers


class VariantStack:
    """Geometry and passes of `n_layers` variant layers; the parameters are handed in."""

    def __init__(self, input_size, hidden_size, n_layers, bidirectional, dtype, variant):
        self.n_layers, self.n_directions = n_layers, 2 if bidirectional else 1
        self.dtype, self.variant = np.dtype(dtype), variant
        self.wide = 2 * vector_lanes(dtype)
        self.hidden_size, self.n_features = hidden_size, variant.proj_size or hidden_size
        self.widths = self.n_features, hidden_size
        self.width = self.n_features * self.n_directions  # of a layer's output
        self.Hq, self.Rq = round_up(hidden_size, self.wide), round_up(self.n_features, self.wide)
        self.padded_widths = self.Rq, self.Hq
        inputs = [input_size] + [self.width] * (n_layers - 1)
        sizes = [(n, hidden_size) for n in inputs for _ in range(self.n_directions)]
        self.layout = VariantLayout(sizes, dtype, variant)
        self._zeros = aligned_zeros((2 * self.wide,), dtype)
        self._nothing = Rows(np.empty(0, self.dtype), 0, 0, 0)

    def states(self, workspace, name, n_rows, dh=False):
        """Return zeroed carries, one per layer and direction; those of gradients are the same."""
        return zeroed_carries(self, workspace, name, n_rows)

    def padded_inputs(self, n_inputs):
        """Return the elements that a row of gradients of inputs takes."""
        return round_up(n_inputs, self.wide)

    def draw_masks(self, rng, order, n_timesteps):
        """Return random masks for training, of every layer and direction.

        Parameters
        ----------
        rng : RandomState
        order : array of int, (B,)
            The samples in the order of the batch: a sample's masks do not depend on the others'
            lengths.
        n_timesteps : int
        """
        T, B, variant = n_timesteps, len(order), self.variant
        rate, masks = variant.recurrent_dropout, []
        for _ in range(self.n_layers * self.n_directions):
            keep = self._mask(rng, 1 - rate, order, (B, self.n_features)) if rate else None
            zones = [
                self._mask(rng, zoneout, order, (B, T, width)) if zoneout else None
                for zoneout, width in self._zones()
            ]
            keep = np.empty((0, 0), self.dtype) if keep is None else keep / (1 - rate)
            zones = [self._no_zone() if z is None else z.transpose(1, 0, 2) for z in zones]
            masks.append(VariantMasks(*(np.ascontiguousarray(m, self.dtype)
                                        for m in (keep, *zones))))  # fmt: skip
        return masks

    def _zones(self):
        variant = self.variant
        return (variant.zoneout_cell, self.hidden_size), (variant.zoneout_hidden, self.n_features)

    def _mask(self, rng, rate, order, shape):
        """Return ones at a rate, and zeros; rows in the order of the batch, padded with zeros."""
        out = np.zeros((*shape[:-1], round_up(shape[-1], self.wide)))
        out[..., : shape[-1]] = (rng.random_sample(shape) < rate)[order]
        return out

    def _no_zone(self):
        return np.empty((1, 1, 0), self.dtype)

    def _expectations(self):
        """Return the masks of inference: no dropout, and zoneout's expectation."""
        zones = []
        for zoneout, width in self._zones():
            zone = np.zeros((1, 1, round_up(width, self.wide)), self.dtype)
            zone[..., :width] = zoneout
            zones.append(zone if zoneout else self._no_zone())
        masks = VariantMasks(np.empty((0, 0), self.dtype), *zones)
        return [masks] * (self.n_layers * self.n_directions)

    def _tape(self, workspace, k, T, B, keep, dropout):
        S, ring = (T, T + 1) if keep else (1, 2)
        name, variant = (f"variant{k}" if keep else "variant"), self.variant
        G, normed, projects = n_gates(variant), variant.layer_norm, variant.proj_size is not None
        widths = {
            "gates": G * self.Hq,
            "sum_x": G * self.Hq * normed,
            "sum_h": G * self.Hq * normed,
            "cell": self.Hq,
            "y": self.Hq * projects,
            "m": self.Rq,
            "c": self.Hq,
            "h": self.Rq,
            "seen": self.Rq * dropout,
        }
        arrays = (
            workspace.take(f"{name}.{field}", ring if field in "ch" else S, B, width)
            for field, width in widths.items()
        )
        return VariantTape(*arrays, self._zeros)

    def forward(
        self, panels, batch, first, last, outputs, workspace, *, keep=False, dropout=(0.0, 0),
        masks=None,
    ):  # fmt: skip
        """Run every layer.

        Parameters
        ----------
        panels : list of VariantPanels
        batch : Batch
        first, last : list of Carry
            Initial states, and the final ones to be written.
        outputs : Rows or None
        workspace : Workspace
        keep : bool
            Keep what `backward` needs.
        dropout : (float, int)
            Rate and seed of the dropout between layers.
        masks : list of VariantMasks, optional
            Of training; those of inference by default.

        Returns
        -------
        VariantKept or None
        """
        T, B = batch.shape
        masks = self._expectations() if masks is None else masks
        x, inputs, tapes = batch.x, [], []
        for layer in range(self.n_layers):
            inputs.append(x)
            out, top = outputs or self._nothing, layer == self.n_layers - 1
            if not top:
                between = workspace.take(f"between{layer}", T, B, self.width)
                out = time_major(between)
            for d in range(self.n_directions):
                k = layer * self.n_directions + d
                tape = self._tape(workspace, k, T, B, keep, masks[k].keep.size > 0)
                tapes.append(tape)
                place = out._replace(start=out.start + d * self.n_features)
                launch(
                    variant_forward_chunk, x, panels[k], masks[k], first[k], batch.active, d, tape,
                    last[k], place, work=self._work(T * B, panels[k]), at_most=B,
                )  # fmt: skip
            if not top:
                drop(between, self.width, layer, dropout)
            x = out
        return VariantKept(batch, inputs, tapes, masks, dropout) if keep else None

    def _work(self, rows, panels):
        """Return multiply-adds, roughly; a cell update costs as much as 64 inputs."""
        n = panels.Wx.shape[1] + self.n_features + 64
        return rows * (n * panels.bias.size + panels.Wp.size)

    def backward(self, panels, kept, d_outputs, carry, grads, workspace, dX=None):
        """Run every layer backwards.

        Parameters
        ----------
        panels : list of VariantPanels
        kept : VariantKept
            Of the forward pass; overwritten.
        d_outputs : Rows or None
        carry : list of Carry
            Gradients of the final states on entry, of the initial states on return.
        grads : list of VariantPanels
            Added to.
        workspace : Workspace
        dX : Rows, optional
            Where the gradient of the inputs goes; rows of `padded_inputs` elements.
        """
        T, B = kept.batch.shape
        d_out = d_outputs or self._nothing
        for layer in range(self.n_layers - 1, -1, -1):
            d_in = dX or self._nothing
            if layer > 0:
                rows = workspace.take(f"dX{layer}", T, B, self.padded_inputs(self.width))
                d_in = time_major(rows)
            for d in range(self.n_directions):
                k = layer * self.n_directions + d
                place = d_out._replace(start=d_out.start + d * self.n_features)
                self._backward_layer(panels[k], kept, k, place, carry[k], grads[k], workspace, d_in)
            if layer > 0:
                drop(rows, self.width, layer - 1, kept.dropout)
            d_out = d_in

    def _backward_layer(self, panels, kept, k, d_out, carry, grads, workspace, dX):
        tape, masks, active, reverse = kept.tapes[k], kept.masks[k], kept.batch.active, self._way(k)
        T, B = kept.batch.shape
        work = self._work(T * B, panels)
        sums = VariantSums(*(
            workspace.zeros(f"sums.{name}", B, getattr(panels, name).size)
            for name in VariantSums._fields
        ))  # fmt: skip
        scratch = VariantScratch(*(
            workspace.take(f"scratch.{name}", B, width)
            for name, width in zip(VariantScratch._fields, (self.Hq, self.Hq, self.Rq), strict=True)
        ))  # fmt: skip
        transposed = self._transpose(workspace, panels)
        launch(
            variant_backward_chunk, panels, transposed, masks, d_out, active, reverse, tape, carry,
            sums, scratch, dX, work=work, at_most=B,
        )  # fmt: skip
        for name, rows in sums._asdict().items():
            total = getattr(grads, name)
            total += rows.sum(axis=0)
        self._weight_gradients(kept, k, tape, masks, grads, workspace, work)

    def _way(self, k):
        return k % self.n_directions

    def _transpose(self, workspace, panels):
        """Return the weights transposed: the way back multiplies by them."""
        counts = {"Wx": panels.Wx.shape[1], "Wh": self.n_features}
        counts["Wp"] = self.hidden_size if panels.Wp.size else 0
        return VariantTransposed(*(
            transpose(workspace, f"{name}_T", getattr(panels, name)[:, None], 0, counts[name])
            for name in VariantTransposed._fields
        ))  # fmt: skip

    def _weight_gradients(self, kept, k, tape, masks, grads, workspace, work):
        """Add the gradients of the three matrices: products over all rows and steps."""
        active, B = kept.batch.active, kept.batch.shape[1]
        normed, no_sums = self.variant.layer_norm, np.empty(0, self.dtype)
        # Read forwards, the state before step t lies at row t of the tape; backwards, at t + 1.
        h = time_major(tape.h, self._way(k) * B * self.Rq)
        if masks.keep.size:
            h = time_major(tape.seen)
        triples = [
            (kept.inputs[k // self.n_directions], tape.sum_x if normed else tape.gates, grads.Wx),
            (h, tape.sum_h if normed else tape.gates, grads.Wh),
        ]
        if grads.Wp.size:
            triples.append((time_major(tape.y), tape.m, grads.Wp))
        for A, d, grad in triples:
            add_weight_gradients(
                workspace, [(A, grad.shape[1])], active, time_major(d), grad, no_sums, work=work
            )

    def read_tape(self, tape):
        """Return the gates i, f, g, o of a tape, each (T, B, H)."""
        *i, f, g, o = np.split(tape.gates, n_gates(self.variant), axis=2)
        gates = [*(i or [1 - f]), f, g, o]
        return [gate[..., : self.hidden_size] for gate in gates]
