"""The compiled loops that read a text with a character model, and write one."""

from typing import NamedTuple

import numpy as np

from numlstm.kernels._jit import helper, kernel
from numlstm.kernels.lstm import Lookup
from numlstm.kernels.products import panel_rows, row_times_panels
from numlstm.kernels.simd import never_inline
from numlstm.kernels.softmax import exponentials
from numlstm.kernels.stepping import step_layer


class Model(NamedTuple):
    """All a character model needs to run.

    Attributes
    ----------
    parameters : array, (n,)
        Of the layers, flat.
    layers : array of int64, (n_layers, 3)
        Where weights and bias of each layer begin, and its number of inputs (0: looked up).
    n_units : int
    table : array, (V, P * W)
        What each character adds to the first layer's pre-activations.
    panels, bias : array, (Q, K, 2 * VL) and (Q * 2 * VL,)
        Of the dense layer.
    """

    parameters: np.ndarray
    layers: np.ndarray
    n_units: int
    table: np.ndarray
    panels: np.ndarray
    bias: np.ndarray


class Scratch(NamedTuple):
    """State and room to work: h (n_layers, 2, B, Hp), c (n_layers, B, Hp), gates (2, 1, B, W)."""

    h: np.ndarray
    c: np.ndarray
    gates: np.ndarray
    logits: np.ndarray
    tokens: np.ndarray


@helper
def advance(model, s, phase):
    """Run all layers one step: tokens in, the states' other half out."""
    n_layers, _, B, Hp = s.h.shape
    size = B * Hp
    flat, lookup = s.h.reshape(-1), Lookup(s.tokens, model.table)
    for layer in range(n_layers):
        prev, after = (2 * layer + phase) * size, (2 * layer + 1 - phase) * size
        step_layer(
            model.parameters, model.layers[layer], model.n_units, lookup, flat, after - 2 * size,
            Hp, s.h, prev, after, s.c, layer * size, s.gates,
        )  # fmt: skip


@helper
def write_logits(model, s, phase):
    """Compute the logits of every row from the top layer's hidden state."""
    n_layers, _, B, Hp = s.h.shape
    Q, K, wide = model.panels.shape
    top = (2 * n_layers - 2 + phase) * B * Hp
    if B == 1:
        row_times_panels(
            model.bias, 0, wide, s.h, top, 0, K, 1, model.panels, 0, s.logits, 0, Q
        )  # fmt: skip
        return
    for q in range(Q):
        panel_rows(
            model.bias, q * wide, 0, s.h, top, Hp, 0, K, 1, model.panels, q * K * wide,
            s.logits, q * wide, Q * wide, B,
        )  # fmt: skip


@kernel
def read_tokens(model, scratch, tokens, phase, V, log_probabilities):
    """Run tokens (B, n) through the model; write how probable each one was, in nats.

    Row r of `log_probabilities` (B, n), or (0, 0) if they are not wanted, compares each token with
    the logits before it, so that scratch.logits must hold those of the start. Returns the phase:
    which half of scratch.h holds the state.
    """
    never_inline()
    B, n = tokens.shape
    width = scratch.logits.shape[1]
    wanted = log_probabilities.size > 0
    flat = scratch.logits.reshape(-1)
    for k in range(n):
        if wanted:
            for r in range(B):
                logit = flat[r * width + tokens[r, k]]
                peak, total = exponentials(flat, r * width, V, width)
                log_probabilities[r, k] = logit - peak - np.log(total)
        for r in range(B):
            scratch.tokens[r] = tokens[r, k]
        advance(model, scratch, phase)
        phase = 1 - phase
        if wanted or k == n - 1:
            write_logits(model, scratch, phase)
    return phase


@helper
def choose(p, at, V, total, temperature, top_k, top_p, u, order):
    """Return a token drawn with u in [0, 1) from V weights p[at:] that sum to `total`.

    The top_k most probable are kept (0: all), of those the fewest whose probability reaches top_p;
    ties go to the smaller token.
    """
    for k in range(V):
        order[k] = k
    kept, mass = V, total
    if top_k > 0 or top_p < 1:
        weights = np.empty(V, np.float64)
        for k in range(V):
            weights[k] = -p[at + k]
        ranked = np.argsort(weights, kind="mergesort")
        kept = min(top_k, V) if top_k > 0 else V
        whole = 0.0
        for k in range(kept):
            whole += p[at + ranked[k]]
        mass, count = 0.0, 0
        while count < kept and (count == 0 or mass < top_p * whole):
            mass += p[at + ranked[count]]
            count += 1
        kept = count
        for k in range(kept):
            order[k] = ranked[k]
    target, running = u * mass, 0.0
    for k in range(kept):
        running += p[at + order[k]]
        if target < running:
            return order[k]
    return order[kept - 1]


@kernel
def generate_tokens(model, scratch, phase, V, temperature, top_k, top_p, uniforms, tokens):
    """Draw tokens (B, n) one after the other, from the logits in scratch on; return the phase.

    uniforms (B, n) decide; temperature 0 takes the most probable token.
    """
    never_inline()
    B, n = tokens.shape
    width = scratch.logits.shape[1]
    flat, order = scratch.logits.reshape(-1), np.empty(V, np.int64)
    divisor = max(temperature, 1e-30)
    for k in range(n):
        for r in range(B):
            at = r * width
            if temperature == 0:
                best = 0
                for v in range(1, V):
                    if flat[at + v] > flat[at + best]:
                        best = v
                tokens[r, k] = best
            else:
                # The largest logit becomes 0, and stays it: 0 times 1 / temperature must be no NaN.
                peak = flat[at]
                for v in range(1, V):
                    peak = max(peak, flat[at + v])
                for v in range(V):
                    flat[at + v] = (flat[at + v] - peak) / divisor
                _, total = exponentials(flat, at, V, width)
                tokens[r, k] = choose(
                    flat, at, V, float(total), temperature, top_k, top_p, uniforms[r, k], order
                )
            scratch.tokens[r] = tokens[r, k]
        advance(model, scratch, phase)
        phase = 1 - phase
        write_logits(model, scratch, phase)
    return phase
