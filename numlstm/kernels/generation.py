"""The compiled loops that read a text with a character model, and write one.

A single text is bound by the bandwidth at which weights arrive. Workers then share the units of
each layer and meet after it; the first of them also draws the characters.
"""

from typing import NamedTuple

import numpy as np

from numlstm.kernels._jit import helper, kernel
from numlstm.kernels.lstm import Lookup
from numlstm.kernels.products import panel_rows, row_times_panels
from numlstm.kernels.simd import (
    flush_denormals,
    never_inline,
    restore_denormals,
)
from numlstm.kernels.softmax import divide_logits, exponentials
from numlstm.kernels.stepping import step_layer, step_row
from numlstm.kernels.team import join, meet

SHARED_LOGITS = 100_000  # weights of a dense layer that is worth one more meeting


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
    """State and room to work: h (n_layers, 2, B, Hp), c (n_layers, B, Hp), gates (2 n, 1, B, W).

    n is the largest number of workers.
    """

    h: np.ndarray
    c: np.ndarray
    gates: np.ndarray
    logits: np.ndarray
    tokens: np.ndarray


@helper
def advance(model, s, phase, team, worker, n_workers):
    """Run all layers one step: tokens in, the states' other half out."""
    n_layers, _, B, Hp = s.h.shape
    size, W = B * Hp, s.gates.shape[3]
    P = Hp // (W // 4)
    pairs = (P + 1) // 2
    begin, end = 2 * (pairs * worker // n_workers), 2 * (pairs * (worker + 1) // n_workers)
    flat, lookup = s.h.reshape(-1), Lookup(s.tokens, model.table)
    for layer in range(n_layers):
        prev, after = (2 * layer + phase) * size, (2 * layer + 1 - phase) * size
        place, below, cell = model.layers[layer], after - 2 * size, layer * size
        if B == 1:
            step_row(
                model.parameters, place, model.n_units, lookup, flat, below, s.h, prev, after, s.c,
                cell, s.gates, 2 * worker * W, begin, min(P, end), phase,
            )  # fmt: skip
        else:
            step_layer(
                model.parameters, place, model.n_units, lookup, flat, below, Hp, s.h, prev, after,
                s.c, cell, s.gates,
            )  # fmt: skip
        meet(team, n_workers)


@helper
def write_logits(model, s, phase, team, worker, n_workers):
    """Compute the logits of every row from the top layer's hidden state.

    Ready for the first worker on return; of large vocabularies each worker computes a share.
    """
    n_layers, _, B, Hp = s.h.shape
    Q, K, wide = model.panels.shape
    top = (2 * n_layers - 2 + phase) * B * Hp
    if B > 1:
        for q in range(Q):
            panel_rows(
                model.bias, q * wide, 0, s.h, top, Hp, 0, K, 1, model.panels, q * K * wide,
                s.logits, q * wide, Q * wide, B,
            )  # fmt: skip
        return
    shared = n_workers > 1 and Q * K * wide >= SHARED_LOGITS
    n = n_workers if shared else 1
    if worker < n:
        begin, end = Q * worker // n, Q * (worker + 1) // n
        row_times_panels(
            model.bias, begin * wide, wide, s.h, top, 0, K, 1, model.panels, begin * K * wide,
            s.logits, begin * wide, end - begin,
        )  # fmt: skip
    if shared:
        meet(team, n_workers)


@kernel
def read_tokens_chunk(model, scratch, tokens, phase, V, log_probabilities, team, worker, n_workers):
    """Run tokens (B, n) through the model; write how probable each one was, in nats.

    Row r of `log_probabilities` (B, n), or (0, 0) if they are not wanted, compares each token with
    the logits before it, so that scratch.logits must hold those of the start. The half of scratch.h
    that holds the state is `phase` before, and (phase + n) % 2 after.
    """
    never_inline()
    n_workers = join(team, worker, n_workers)
    if n_workers == 0:
        return
    worker = worker if n_workers > 1 else 0
    denormals = flush_denormals()
    B, n = tokens.shape
    width = scratch.logits.shape[1]
    wanted = log_probabilities.size > 0
    flat = scratch.logits.reshape(-1)
    for k in range(n):
        if worker == 0:
            for r in range(B):
                if wanted:
                    logit = flat[r * width + tokens[r, k]]
                    peak, total = exponentials(flat, r * width, V, width)
                    log_probabilities[r, k] = logit - peak - np.log(total)
                scratch.tokens[r] = tokens[r, k]
        meet(team, n_workers)
        advance(model, scratch, phase, team, worker, n_workers)
        phase = 1 - phase
        if wanted or k == n - 1:
            write_logits(model, scratch, phase, team, worker, n_workers)
    restore_denormals(denormals)


@helper
def choose(p, at, V, total, top_k, top_p, u):
    """Return a token drawn with u in [0, 1) from V weights p[at:] that sum to `total`.

    The top_k most probable are kept (0: all), of those the fewest whose probability reaches top_p;
    ties go to the smaller token.
    """
    running = 0.0
    if top_k == 0 and top_p >= 1:
        target = u * total
        for k in range(V):
            running += p[at + k]
            if target < running:
                return k
        return V - 1
    weights = np.empty(V, np.float64)
    for k in range(V):
        weights[k] = -p[at + k]
    ranked = np.argsort(weights, kind="mergesort")
    kept = min(top_k, V) if top_k > 0 else V
    whole, mass, count = 0.0, 0.0, 0
    for k in range(kept):
        whole += p[at + ranked[k]]
    while count < kept and (count == 0 or mass < top_p * whole):
        mass += p[at + ranked[count]]
        count += 1
    target = u * mass
    for k in range(count):
        running += p[at + ranked[k]]
        if target < running:
            return ranked[k]
    return ranked[count - 1]


@helper
def draw_token(flat, at, V, width, temperature, top_k, top_p, u):
    """Return a token drawn from the logits at flat[at:], which are used up."""
    if temperature == 0:
        best = 0
        for v in range(1, V):
            if flat[at + v] > flat[at + best]:
                best = v
        return best
    if temperature != 1:
        divide_logits(flat, at, V, width, max(temperature, 1e-30))
    _, total = exponentials(flat, at, V, width)
    return choose(flat, at, V, float(total), top_k, top_p, u)


@kernel
def generate_tokens_chunk(
    model, scratch, phase, V, temperature, top_k, top_p, uniforms, tokens, team, worker, n_workers
):
    """Draw tokens (B, n) one after the other, from the logits in scratch on.

    uniforms (B, n) decide; temperature 0 takes the most probable token. `phase` as above.
    """
    never_inline()
    n_workers = join(team, worker, n_workers)
    if n_workers == 0:
        return
    worker = worker if n_workers > 1 else 0
    denormals = flush_denormals()
    B, n = tokens.shape
    width = scratch.logits.shape[1]
    flat = scratch.logits.reshape(-1)
    for k in range(n):
        if worker == 0:
            for r in range(B):
                u = uniforms[r, k]
                token = draw_token(flat, r * width, V, width, temperature, top_k, top_p, u)
                tokens[r, k] = token
                scratch.tokens[r] = token
        meet(team, n_workers)
        advance(model, scratch, phase, team, worker, n_workers)
        phase = 1 - phase
        write_logits(model, scratch, phase, team, worker, n_workers)
    restore_denormals(denormals)
