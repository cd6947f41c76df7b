"""The network of `CharLSTM` is its NumPy twin: losses, gradients, states from chunk to chunk."""

import copy
import pickle

import numba
import numpy as np
import pytest
from scipy.special import log_softmax

from numlstm.kernels import _threads
from numlstm.kernels.softmax import (
    negative_log_likelihoods_chunk,
    softmax_cross_entropy_chunk,
    sum_by_token_chunk,
)
from numlstm.nn import reference, stack
from numlstm.nn.char_network import CharNetwork
from numlstm.nn.gradcheck import numerical_gradient, relative_error
from numlstm.nn.memory import Workspace, aligned_empty
from numlstm.nn.weights import round_up, vector_lanes
from numlstm.training.problem import add_penalty

SMALL = [  # V, H, E, n_layers, T, B
    (3, 2, 2, 1, 3, 2),
    (3, 2, None, 1, 3, 2),
    (2, 1, 1, 2, 2, 1),
    (1, 2, None, 2, 2, 2),
]
LARGE = [
    (1, 3, 2, 1, 4, 3),
    (5, 7, None, 2, 6, 4),
    (33, 17, 9, 2, 5, 3),
    (65, 16, None, 1, 7, 13),
    (70, 33, 40, 2, 4, 5),
    (129, 5, 1, 2, 3, 9),
]


def make_network(V, H, E, n_layers, *, dropout=0.0, dtype="float64"):
    """Return a network in which no parameter is zero, biases included."""
    rng = np.random.default_rng([V, H, E or 0])
    network = CharNetwork(V, H, E, n_layers, dropout, np.dtype(dtype))
    network.set_weights({k: rng.normal(0, 0.5, s) for k, s in network.shapes().items()})
    return network


def make_states(network, B, rng=None, name="s"):
    states = network.stack.states(Workspace(network.dtype), name, B)
    for carry in states if rng else []:
        for part in carry:
            part[:, : network.stack.hidden_size] = rng.normal(size=(B, network.stack.hidden_size))
    return states


def make_problem(V, H, E, n_layers, T, B, **options):
    network, rng = make_network(V, H, E, n_layers, **options), np.random.default_rng([T, B])
    tokens, targets = rng.integers(0, V, (2, T, B)).astype(np.int32)
    return network, tokens, targets, make_states(network, B, rng), make_states(network, B)


def run_reference(network, tokens, targets, first, masks=None):
    """Return loss, gradients by name and final state, from the NumPy twin in float64."""
    w = {name: array.astype(np.float64) for name, array in network.get_weights().items()}
    n, H, (T, B) = network.stack.n_layers, network.stack.hidden_size, tokens.shape
    rows = w.get("embedding", np.eye(network.n_tokens))
    layers = [tuple(w[f"lstm.{k}.{name}"] for name in ("Wx", "Wh", "b")) for k in range(n)]
    h0, c0 = (
        np.stack([part[:, :H].astype(np.float64) for part in z]) for z in zip(*first, strict=True)
    )
    out, h, c, tape = reference.stack_forward(
        rows[tokens.T], layers, h0, c0, n_layers=n, bidirectional=False, masks=masks
    )
    flat = out.reshape(B * T, H)
    loss, d = reference.softmax_cross_entropy(
        flat @ w["dense.W"] + w["dense.b"], targets.T.reshape(-1)
    )
    d_out = (d @ w["dense.W"].T).reshape(B, T, H)
    zero = np.zeros_like(h)
    dX, _, _, d_layers = reference.stack_backward(d_out, zero, zero, tape)
    grads = {"dense.W": flat.T @ d, "dense.b": d.sum(axis=0)}
    for k, layer in enumerate(d_layers):
        grads |= {f"lstm.{k}.{name}": g for name, g in zip(("Wx", "Wh", "b"), layer, strict=True)}
    if "embedding" in w:
        grads["embedding"] = np.zeros_like(rows)
        np.add.at(grads["embedding"], tokens.T, dX)
    return loss, grads, h, c


def check_against_reference(shape, dtype, tolerance):
    network, tokens, targets, first, last = make_problem(*shape, dtype=dtype)
    expected, grads, h, c = run_reference(network, tokens, targets, first)
    network.gradient.fill(np.nan)  # what was there before must not matter
    loss = network.loss_and_gradient(tokens, targets, first, last)
    assert loss == pytest.approx(expected, rel=tolerance, abs=tolerance)
    actual = network.get_weights(network.gradient)
    assert actual.keys() == grads.keys()
    for name, gradient in grads.items():
        scale = max(np.abs(gradient).max(), 1e-3)
        assert np.abs(actual[name] - gradient).max() < tolerance * scale, name
    H = network.stack.hidden_size
    for k, carry in enumerate(last):
        np.testing.assert_allclose(carry.h[:, :H], h[k], rtol=0, atol=tolerance)
        np.testing.assert_allclose(carry.c[:, :H], c[k], rtol=0, atol=10 * tolerance)
    total = network.loss(tokens, targets, first, last, Workspace(network.dtype))
    assert total / tokens.size == pytest.approx(expected, rel=tolerance, abs=tolerance)


@pytest.mark.kernel
@pytest.mark.parametrize("shape", SMALL, ids=str)
def test_small_networks_are_the_reference(shape):
    check_against_reference(shape, "float64", 1e-10)


@pytest.mark.parametrize("shape", LARGE, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 3e-5)])
def test_networks_are_the_reference(shape, dtype, tolerance):
    check_against_reference(shape, dtype, tolerance)


def check_differences(shape, dropout=0.0):
    network, tokens, targets, first, last = make_problem(*shape, dropout=dropout)
    weights = network.get_weights()

    def loss_at(name, value):
        network.set_weights({**weights, name: value})
        return network.loss_and_gradient(tokens, targets, first, last, 5)

    network.loss_and_gradient(tokens, targets, first, last, 5)
    analytic = network.get_weights(network.gradient)
    assert any(np.abs(gradient).max() > 1e-3 for gradient in analytic.values())
    for name, point in weights.items():
        numerical = numerical_gradient(lambda value, name=name: loss_at(name, value), point)
        assert np.abs(numerical - analytic[name]).max() < 1e-8, name
        if np.abs(numerical).max() > 1e-4:
            assert relative_error(numerical, analytic[name]) < 1e-6, name


@pytest.mark.kernel
@pytest.mark.parametrize("shape", SMALL[:2], ids=str)
def test_gradients_are_differences_of_the_loss(shape):
    check_differences(shape)


@pytest.mark.parametrize("shape", [(5, 3, 4, 2, 4, 3), (4, 9, None, 2, 3, 2)], ids=str)
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_gradients_of_two_layers_are_differences_of_the_loss(shape, dropout):
    check_differences(shape, dropout)


@pytest.mark.kernel
@pytest.mark.filterwarnings("ignore:overflow encountered in scalar")  # meant so in the hash
def test_dropout_is_a_mask_between_the_layers():
    """Recover the mask from the gradient of the second layer; the rest must then be the twin's."""
    network, tokens, targets, first, last = make_problem(4, 6, 3, 2, 3, 5, dropout=0.4)
    losses = {network.loss_and_gradient(tokens, targets, first, last, seed) for seed in range(3)}
    assert len(losses) == 3
    network.loss_and_gradient(tokens, targets, first, last, 1)
    kept = network.workspace.take("between0", 3, 5, 6).transpose(1, 0, 2) != 0
    assert 0.3 < kept.mean() < 0.9
    loss, grads, *_ = run_reference(network, tokens, targets, first, [kept / 0.6])
    assert network.loss_and_gradient(tokens, targets, first, last, 1) == pytest.approx(loss, 1e-12)
    actual = network.get_weights(network.gradient)
    for name, gradient in grads.items():
        np.testing.assert_allclose(actual[name], gradient, rtol=0, atol=1e-12)
    plain, *_ = run_reference(network, tokens, targets, first)
    total = network.loss(tokens, targets, first, last, Workspace(network.dtype))
    assert total / tokens.size == pytest.approx(plain, 1e-12)  # none outside training


@pytest.mark.kernel
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("cuts", [(1,), (3,), (2, 3), (1, 2, 3, 4)])
def test_a_state_carried_over_chunks_is_that_of_the_whole(keep, cuts):
    network, tokens, targets, first, last = make_problem(5, 6, 3, 2, 5, 3)

    def total(tokens, targets, first, last):
        if keep:
            return network.loss_and_gradient(tokens, targets, first, last) * tokens.size
        return network.loss(tokens, targets, first, last, network.workspace)

    whole = total(tokens, targets, first, last)
    a, b, parts = first, make_states(network, 3, name="b"), 0.0
    for start, stop in zip((0, *cuts), (*cuts, 5), strict=True):
        parts += total(*(np.ascontiguousarray(x[start:stop]) for x in (tokens, targets)), a, b)
        a, b = b, a
    assert parts == pytest.approx(whole, rel=1e-13)
    for one, other in zip(a, last, strict=True):
        assert np.array_equal(one.h, other.h)
        assert np.array_equal(one.c, other.c)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
@pytest.mark.parametrize("shape", LARGE, ids=str)
def test_one_and_two_threads_give_the_same_bits(shape, monkeypatch):
    monkeypatch.setattr(_threads, "WORK_PER_THREAD", 1)
    network, tokens, targets, first, last = make_problem(*shape, dropout=0.3, dtype="float32")
    results = []
    for n in (1, 2):
        with _threads.thread_limit(n):
            loss = network.loss_and_gradient(tokens, targets, first, last, 9)
        results.append((loss, network.gradient.copy(), np.array(last[-1].h)))
    for one, two in zip(*results, strict=True):
        assert np.array_equal(one, two)


# --- weights ----------------------------------------------------------------------------------


@pytest.mark.kernel
@pytest.mark.parametrize("shape", [s[:4] for s in (*SMALL, *LARGE)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_go_in_and_out_exactly(shape, dtype):
    network = make_network(*shape, dtype=dtype)
    weights = network.get_weights()
    assert {name: array.shape for name, array in weights.items()} == network.shapes()
    assert {array.dtype for array in weights.values()} == {np.dtype(dtype)}
    for twin in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert np.array_equal(twin.parameters, network.parameters)
        assert not np.shares_memory(twin.parameters, network.parameters)
    for k, layer in enumerate(network.lstm().weights):
        for name, array in layer._asdict().items():
            assert np.array_equal(array, weights[f"lstm.{k}.{name}"])


@pytest.mark.kernel
@pytest.mark.parametrize("shape", SMALL, ids=str)
def test_the_penalty_leaves_biases_and_embedding_out(shape):
    network, tokens, targets, first, last = make_problem(*shape)
    network.loss_and_gradient(tokens, targets, first, last)
    before, weights = network.get_weights(network.gradient), network.get_weights()
    penalty = add_penalty(network, 0.3)
    after = network.get_weights(network.gradient)
    shrunk = [name for name in weights if not name.endswith(".b") and name != "embedding"]
    assert penalty == pytest.approx(0.15 * sum((weights[name] ** 2).sum() for name in shrunk))
    for name, w in weights.items():
        expected = before[name] + (0.3 * w if name in shrunk else 0)
        np.testing.assert_allclose(after[name], expected, rtol=0, atol=1e-14)


# --- softmax ----------------------------------------------------------------------------------

SIZES = (1, 2, 31, 32, 33, 65)
LOGITS = {
    "normal": lambda rng, n, V: 3 * rng.normal(size=(n, V)),
    "equal": lambda rng, n, V: np.full((n, V), 7.0),
    "wide": lambda rng, n, V: 30 * rng.normal(size=(n, V)),
    "far": lambda rng, n, V: 1e4 + rng.normal(size=(n, V)),
    "low": lambda rng, n, V: rng.normal(size=(n, V)) - 1e4,
}


@pytest.mark.kernel
@pytest.mark.parametrize("V", SIZES)
@pytest.mark.parametrize("kind", LOGITS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 1e-6)])
def test_softmax_is_scipys(V, kind, dtype, tolerance, rng):
    n, width = 5, round_up(V, 2 * vector_lanes(dtype))
    logits = LOGITS[kind](rng, n, V).astype(dtype)
    targets = rng.integers(0, V, n).astype(np.int32)
    targets[0], targets[-1] = 0, V - 1
    log_p = log_softmax(logits.astype(np.float64), axis=1)
    expected, one_hot = -log_p[np.arange(n), targets], np.eye(V)[targets]
    scale = max(1, np.abs(logits).max())
    for n_workers in (1, 2):
        rows, again = (aligned_empty((n, width), dtype) for _ in range(2))
        for array in (rows, again):
            array[:] = np.nan  # padding: whatever was there
            array[:, :V] = logits
        losses, twice = np.full((2, n), np.nan)
        logits_3d, again_3d = rows[np.newaxis], again[np.newaxis]  # as the network passes them
        for worker in range(n_workers):
            rest = worker, n_workers
            softmax_cross_entropy_chunk(logits_3d, targets, V, width, 0.25, losses, *rest)
            negative_log_likelihoods_chunk(again_3d, targets, V, width, twice, *rest)
        np.testing.assert_allclose(losses, expected, rtol=tolerance, atol=tolerance * scale)
        assert np.array_equal(losses, twice)
        gradient = (np.exp(log_p) - one_hot) / 4
        np.testing.assert_allclose(rows[:, :V], gradient, rtol=0, atol=tolerance)
        assert not rows[:, V:].any()


@pytest.mark.kernel
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_are_added_to_the_tokens_they_came_from(dtype, rng):
    V, P, T, B, W = 4, 2, 3, 5, 4 * vector_lanes(dtype)
    tokens = rng.integers(0, V - 1, T * B).astype(np.int32)  # the last one never occurs
    d_gates = rng.normal(size=(P, T, B, W)).astype(dtype)
    start = rng.normal(size=(V, P * W)).astype(dtype)
    expected = start.astype(np.float64)
    np.add.at(expected, tokens, d_gates.transpose(1, 2, 0, 3).reshape(T * B, P * W))
    for n_workers in (1, 2, 3):
        table = start.copy()
        for worker in range(n_workers):
            sum_by_token_chunk(tokens, d_gates, table, worker, n_workers)
        np.testing.assert_allclose(table, expected, rtol=0, atol=1e-5)
        assert np.array_equal(table[-1], start[-1])


@pytest.mark.kernel
@pytest.mark.parametrize("E", [None, 7])
def test_weights_from_far_give_the_same_bits(E, monkeypatch, rng):
    network, found = make_network(11, 6, E, 2, dtype="float32"), []
    tokens, targets = rng.integers(0, 11, (2, 5, 23)).astype(np.int32)
    for least in (0, 10**9):
        monkeypatch.setattr(stack, "FAR_WEIGHTS", least)
        states = [make_states(network, 23, name=name) for name in ("a", "b")]
        loss = network.loss_and_gradient(tokens, targets, *states)
        found.append((loss, network.gradient.tobytes(), states[1][1].c.tobytes()))
    assert found[0] == found[1]
