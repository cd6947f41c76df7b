"""The compiled loops that read a text with a character model, and write one.

A single text is bound by the bandwidth at which weights arrive. Workers then share the units of all
layers, and meet after each layer. The character is needed last of all: what the recurrent weights
add to the pre-activations is computed while the first worker is still drawing it, and that worker
owns fewer units for it.
"""

from typing import NamedTuple

import numpy as np

from numlstm.kernels._flat import flattened
from numlstm.kernels._jit import helper, kernel
from numlstm.kernels.cell import cell_forward
from numlstm.kernels.products import (
    ONE,
    ZERO,
    panel_rows,
    row_times_gates,
    row_times_panels,
    rows_times_panels,
)
from numlstm.kernels.simd import (
    flush_denormals,
    lanes,
    never_inline,
    restore_denormals,
)
from numlstm.kernels.softmax import divide_logits, exponentials
from numlstm.kernels.team import join, learn, make_known, meet, will_read, will_write
from numlstm.kernels.vectors import add_vectors

SHARED_LOGITS = 100_000  # weights of a dense layer that is worth one more meeting
# A draw, and a vector of a cell update, cost as many weights' products.
DRAWING, CELL = np.int64(10_000), np.int64(500)


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
    """State and room to work.

    Attributes
    ----------
    h : array, (n_layers, 2, B, Hp)
    c : array, (n_layers, B, Hp)
    gates : array, (n_layers, P, B, W)
    logits : array, (B, Q * 2 * VL)
    zeros : array, (W,)
        Where sums begin.
    characters : array of int32, (n_workers, B)
        What each worker reads.
    heap : array of int64, (V,)
        To rank tokens in.
    """

    h: np.ndarray
    c: np.ndarray
    gates: np.ndarray
    logits: np.ndarray
    zeros: np.ndarray
    characters: np.ndarray
    heap: np.ndarray


@helper
def shares_logits(model, n_workers):
    """Return whether the logits are computed by all workers."""
    return n_workers > 1 and model.panels.size >= SHARED_LOGITS


@helper
def first_panel(model, P, W, drawing, worker, n_workers):
    """Return the first panel of units of a worker; `drawing` is what the first one does besides.

    Its share is the one with which the slowest worker is done soonest, first with what needs no
    character, then with the rest.
    """
    if worker == 0 or worker == n_workers:
        return P * worker // n_workers
    if not shares_logits(model, n_workers):
        drawing += model.panels.size
    n_layers, weights = model.layers.shape[0], model.n_units * W
    before, after = n_layers * weights, (n_layers - 1) * weights + n_layers * CELL
    best, least = 0, np.inf
    for first in range(P // n_workers + 1):
        others = -(-(P - first) // (n_workers - 1))
        time = max(drawing + first * before, others * before) + max(first, others) * after
        if time < least:
            best, least = first, time
    return best + (P - best) * (worker - 1) // (n_workers - 1)


@helper
def recurrent_products(model, s, phase, zeros, team, first, stop, worker, n_workers):
    """Set the gates of every layer to h @ Wh, panels first .. stop.

    Every other step, by `phase`, goes from the last panels to the first: the weights used last are
    still in the cache.
    """
    n_layers, _, B, Hp = s.h.shape
    P, W, H = s.gates.shape[1], s.gates.shape[3], model.n_units
    half, pairs = W // 2, (stop - first + 1) // 2
    h, gates = flattened(s.h), flattened(s.gates)
    for layer in range(n_layers):
        w0, _, D = model.layers[layer]
        size, prev = (D + H) * half, (2 * layer + phase) * B * Hp
        after, VL = (2 * layer + 1 - phase) * B * Hp, W // 4
        will_write(h, after + first * VL, after + stop * VL, team, worker, n_workers)
        for k in range(pairs):
            p = first + 2 * (pairs - 1 - k if phase else k)
            n, w, g = min(2, stop - p), w0 + 2 * p * size + D * half, (layer * P + p) * B * W
            if B == 1:
                row_times_gates(zeros, ZERO, ZERO, h, prev, H, model.parameters, w, size,
                                gates, g, W, n)  # fmt: skip
                continue
            for j in range(2 * n):
                panel_rows(
                    zeros, ZERO, ZERO, h, prev, Hp, ZERO, H, ONE, model.parameters, w + j * size,
                    gates, g + j // 2 * B * W + j % 2 * half, W, B,
                )  # fmt: skip


@helper
def look_up_characters(model, s, characters, first, stop):
    """Add the table's rows of the characters (B,) to the first layer's gates."""
    B, W, wide = s.gates.shape[2], s.gates.shape[3], model.table.shape[1]
    table, gates = flattened(model.table), flattened(s.gates)
    for p in range(first, stop):
        for r in range(B):
            row = np.int64(characters[r]) * wide + p * W
            add_vectors(table, row, gates, (p * B + r) * W, W)


@helper
def add_inputs(model, s, layer, below, first, stop):
    """Add x @ Wx + b to the gates of a layer; x is the hidden state at `below`.

    The products are written out as in `recurrent_products`: one helper for both took 8 to 13 %
    longer a character.
    """
    B, Hp = s.h.shape[2:]
    P, W, (w0, b0, D) = s.gates.shape[1], s.gates.shape[3], model.layers[layer]
    half, h, gates = W // 2, flattened(s.h), flattened(s.gates)
    size = (D + model.n_units) * half
    for p in range(first, stop, 2):
        n, w, g = min(2, stop - p), w0 + 2 * p * size, (layer * P + p) * B * W
        if B == 1:
            row_times_gates(gates, g, W, h, below, D, model.parameters, w, size, gates, g, W, n)
        else:
            for j in range(2 * n):
                at = g + j // 2 * B * W + j % 2 * half
                panel_rows(
                    gates, at, W, h, below, Hp, ZERO, D, ONE, model.parameters, w + j * size,
                    gates, at, W, B,
                )  # fmt: skip
        for row in range(n * B):
            add_vectors(model.parameters, b0 + (p + row // B) * W, gates, g + row * W, W)


@helper
def advance(model, s, characters, phase, team, first, stop, worker, n_workers):
    """Run all layers one step, from the recurrent products and the characters (B,) on."""
    n_layers, _, B, Hp = s.h.shape
    P, W, VL = s.gates.shape[1], s.gates.shape[3], lanes(s.gates)
    gates, c, h = flattened(s.gates), flattened(s.c), flattened(s.h)
    for layer in range(n_layers):
        after = (2 * layer + 1 - phase) * B * Hp
        if layer == 0:
            look_up_characters(model, s, characters, first, stop)
        else:
            add_inputs(model, s, layer, after - 2 * B * Hp, first, stop)
        for r in range(B):
            g, unit = ((layer * P + first) * B + r) * W, r * Hp + first * VL
            cell = layer * B * Hp + unit
            cell_forward(gates, g, B * W, c, cell, cell, h, after + unit, VL, stop - first)
        meet(team, worker, n_workers)
        will_read(h, after, after + B * Hp, n_workers)


@helper
def write_logits(model, s, phase, team, worker, n_workers):
    """Compute the logits of every row from the top layer's hidden state.

    Ready for the first worker on return; of large vocabularies each worker computes a share.
    """
    n_layers, _, B, Hp = s.h.shape
    Q, K, wide = model.panels.shape
    top, h = (2 * n_layers - 2 + phase) * B * Hp, flattened(s.h)
    panels, logits = flattened(model.panels), flattened(s.logits)
    if B > 1:
        rows_times_panels(
            model.bias, ZERO, ZERO, wide, h, top, Hp, ZERO, K, ONE, panels, ZERO, Q,
            logits, ZERO, Q * wide, B,
        )  # fmt: skip
        return
    shared = shares_logits(model, n_workers)
    n = n_workers if shared else 1
    if worker < n:
        begin, end = Q * worker // n, Q * (worker + 1) // n
        row_times_panels(
            model.bias, begin * wide, wide, h, top, ZERO, K, ONE, panels, begin * K * wide,
            logits, begin * wide, end - begin,
        )  # fmt: skip
    if shared:
        meet(team, worker, n_workers)


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
    P, W, width = scratch.gates.shape[1], scratch.gates.shape[3], scratch.logits.shape[1]
    wanted = log_probabilities.size > 0
    drawing = DRAWING if wanted else ZERO
    first = first_panel(model, P, W, drawing, worker, n_workers)
    stop = first_panel(model, P, W, drawing, worker + 1, n_workers)
    flat, zeros, characters = (
        flattened(scratch.logits), scratch.zeros, scratch.characters[worker],
    )  # fmt: skip
    for k in range(n):
        if worker == 0 and wanted:
            for r in range(B):
                logit = flat[r * width + tokens[r, k]]
                peak, total = exponentials(flat, r * width, V, width)
                log_probabilities[r, k] = logit - peak - np.log(total)
        recurrent_products(model, scratch, phase, zeros, team, first, stop, worker, n_workers)
        for r in range(B):
            characters[r] = tokens[r, k]
        advance(model, scratch, characters, phase, team, first, stop, worker, n_workers)
        phase = 1 - phase
        if wanted or k == n - 1:
            write_logits(model, scratch, phase, team, worker, n_workers)
    restore_denormals(denormals)


@helper
def comes_first(p, at, a, b):
    """Return whether token a is more probable than b, or as probable and smaller."""
    return p[at + a] > p[at + b] or (p[at + a] == p[at + b] and a < b)


@helper
def sift(p, at, heap, root, size):
    """Sink the token at `root` to its place in a heap whose first token is the most probable."""
    token, child = heap[root], 2 * root + 1
    while child < size:
        if child + 1 < size and comes_first(p, at, heap[child + 1], heap[child]):
            child += 1
        if comes_first(p, at, token, heap[child]):
            break
        heap[root], root = heap[child], child
        child = 2 * root + 1
    heap[root] = token


@helper
def choose(p, at, V, total, top_k, top_p, u, heap):
    """Return a token drawn with u in [0, 1) from V weights p[at:] that sum to `total`.

    The top_k most probable are kept (0: all), of those the fewest whose probability reaches top_p;
    ties go to the smaller token. Tokens leave a heap, the most probable first, for the end of the
    array: NumPy's sort is a fifth of what the kernel takes to compile.
    """
    running, chosen = 0.0, V - 1
    if top_k == 0 and top_p >= 1:
        target = u * total
        for k in range(V):
            running += p[at + k]
            if target < running:
                return k
        return chosen
    for k in range(V):
        heap[k] = k
    for root in range(V // 2 - 1, -1, -1):
        sift(p, at, heap, root, V)
    kept = min(top_k, V) if top_k > 0 else V
    for size in range(V - 1, V - 1 - kept, -1):
        heap[0], heap[size] = heap[size], heap[0]
        sift(p, at, heap, ZERO, size)
    whole, mass, count = 0.0, 0.0, 0
    for k in range(kept):
        whole += p[at + heap[V - 1 - k]]
    while count < kept and (count == 0 or mass < top_p * whole):
        mass += p[at + heap[V - 1 - count]]
        count += 1
    target = u * mass
    for k in range(count):
        chosen = heap[V - 1 - k]
        running += p[at + chosen]
        if target < running:
            break
    return chosen


@helper
def draw_token(flat, at, V, width, temperature, top_k, top_p, u, heap):
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
    return choose(flat, at, V, float(total), top_k, top_p, u, heap)


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
    P, W, width = scratch.gates.shape[1], scratch.gates.shape[3], scratch.logits.shape[1]
    first = first_panel(model, P, W, DRAWING, worker, n_workers)
    stop = first_panel(model, P, W, DRAWING, worker + 1, n_workers)
    flat, zeros, characters = (
        flattened(scratch.logits), scratch.zeros, scratch.characters[worker],
    )  # fmt: skip
    for k in range(n):
        if worker == 0:
            for r in range(B):
                u = uniforms[r, k]
                token = draw_token(
                    flat, r * width, V, width, temperature, top_k, top_p, u, scratch.heap
                )  # fmt: skip
                tokens[r, k] = characters[r] = token
            if n_workers > 1:
                make_known(team, k, characters[0])
        recurrent_products(model, scratch, phase, zeros, team, first, stop, worker, n_workers)
        if worker > 0:
            characters[0] = learn(team, k)
        advance(model, scratch, characters, phase, team, first, stop, worker, n_workers)
        phase = 1 - phase
        write_logits(model, scratch, phase, team, worker, n_workers)
    restore_denormals(denormals)
