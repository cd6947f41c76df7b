"""The compiled LSTM is its NumPy twin, for every shape and option, and the tests can tell."""

import inspect
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import config

from numlstm import LSTM, LSTMState
from numlstm.kernels import _threads, bptt, lstm, products
from numlstm.kernels.checks import all_finite
from numlstm.nn import reference, stack
from numlstm.nn.gradcheck import relative_error

TOLERANCE = {"float32": 2e-5, "float64": 2e-12}
LENGTHS = ("none", "full", "ones", "mixed", "falling", "rising", "one long")
SLOW = config.DISABLE_JIT


@dataclass
class Problem:
    """An LSTM with all that goes into a forward and a backward pass."""

    lstm: LSTM
    X: np.ndarray
    lengths: np.ndarray | None
    state: LSTMState | None
    d_outputs: np.ndarray | None
    d_state: LSTMState | None


def draw_lengths(kind, N, T, rng):
    """Return the lengths of N rows; "mixed", "falling" and "rising" ones hold both 1 and T."""
    if kind == "none":
        return None
    lengths = rng.integers(1, T + 1, N)
    lengths[: N // 2] = 1
    if kind in ("full", "ones", "one long"):
        lengths[:] = T if kind == "full" else 1
    if kind != "ones":
        lengths[-1] = T
    lengths.sort()
    return {"falling": lengths[::-1].copy(), "rising": lengths}.get(kind, rng.permutation(lengths))


def draw_weights(D, H, n_layers, bidirectional, dtype, rng):
    directions, weights = 2 if bidirectional else 1, []
    for layer in range(n_layers):
        n_inputs = directions * H if layer else D
        for _ in range(directions):
            shapes = (n_inputs, 4 * H), (H, 4 * H), (4 * H,)
            weights.append([rng.normal(scale=0.4, size=shape).astype(dtype) for shape in shapes])
    return weights


def make_problem(
    N, T, D, H, *, n_layers=1, bidirectional=False, lengths="none", state=True, dtype="float64"
):
    rng = np.random.default_rng([N, T, D, H, n_layers, bidirectional, LENGTHS.index(lengths)])
    weights = draw_weights(D, H, n_layers, bidirectional, dtype, rng)

    def normal(*shape):
        return rng.normal(size=shape).astype(dtype)

    directions = 2 if bidirectional else 1
    some = n_layers * directions, N, H
    return Problem(
        LSTM.from_weights(weights, bidirectional=bidirectional),
        normal(N, T, D),
        draw_lengths(lengths, N, T, rng),
        LSTMState(normal(*some), normal(*some)) if state else None,
        normal(N, T, directions * H),
        LSTMState(normal(*some), normal(*some)),
    )


def named(outputs, h, c, dX, dh0, dc0, d_weights):
    """Return the results of both passes by name."""
    results = {"outputs": outputs, "h": h, "c": c, "dX": dX, "dh0": dh0, "dc0": dc0}
    for k, layer in enumerate(d_weights):
        results |= {f"{name}[{k}]": d for name, d in zip(("dWx", "dWh", "db"), layer, strict=True)}
    return results


def run(p):
    """Return all results of the LSTM; those of inference, which keeps nothing, as "call".

    Where there is one direction only, its first step is there as well.
    """
    outputs, final = p.lstm.forward(p.X, lengths=p.lengths, state=p.state)
    gradients = p.lstm.backward(p.d_outputs, p.d_state)
    called, called_final = p.lstm(p.X, lengths=p.lengths, state=p.state)
    results = named(outputs, *final, gradients.X, *gradients.state, gradients.weights)
    if not p.lstm.bidirectional:
        results["step"], _ = p.lstm.step(np.asarray(p.X)[:, 0].copy(), p.state)
    return results | {"call": called, "call h": called_final.h, "call c": called_final.c}


def run_reference(p, twin=reference):
    """Return what `run` must return, computed in float64."""

    def wide(array, shape):
        return np.zeros(shape) if array is None else np.asarray(array, np.float64)

    lstm, N = p.lstm, len(p.X)
    some = lstm.zero_state(N).h.shape
    width = lstm.hidden_size * (2 if lstm.bidirectional else 1)
    state, d_state = (part or (None, None) for part in (p.state, p.d_state))
    *results, tape = twin.stack_forward(
        np.asarray(p.X, np.float64),
        [[np.asarray(array, np.float64) for array in layer] for layer in lstm.weights],
        *(wide(part, some) for part in state),
        n_layers=lstm.n_layers,
        bidirectional=lstm.bidirectional,
        lengths=p.lengths,
    )
    d_outputs = wide(p.d_outputs, (*p.X.shape[:2], width))
    gradients = twin.stack_backward(d_outputs, *(wide(part, some) for part in d_state), tape)
    outputs, h, c = results
    step = {} if lstm.bidirectional else {"step": outputs[:, 0]}
    return named(*results, *gradients) | step | {"call": outputs, "call h": h, "call c": c}


def assert_same(actual, expected, tolerance):
    """Compare results by name; the error is relative to the largest value of each array."""
    assert actual.keys() == expected.keys()
    errors = {name: relative_error(actual[name], expected[name]) for name in expected}
    # Written so that NaN, the error of results that are not finite, is bad as well.
    assert {name: error for name, error in errors.items() if not error <= tolerance} == {}


def assert_identical(actual, expected):
    """Compare results to the last bit."""
    assert actual.keys() == expected.keys()
    assert [name for name in expected if actual[name].tobytes() != expected[name].tobytes()] == []


def check(*shape, dtype, **options):
    """Compare the LSTM with the reference on one problem."""
    p = make_problem(*shape, dtype=dtype, **options)
    results = run(p)
    assert {array.dtype for array in results.values()} == {np.dtype(dtype)}
    try:
        assert_same(results, run_reference(p), TOLERANCE[dtype])
    except AssertionError as error:
        error.add_note(f"(N, T, D, H) = {shape}, {options}")
        raise


# Shapes --------------------------------------------------------------------------------------

ROWS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 17)
HIDDEN = (1, 2, 15, 16, 17, 33)
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


@dtypes
@pytest.mark.parametrize("H", HIDDEN)
def test_every_shape(H, dtype):
    steps = [(1, 1), (1, 3), (2, 1), (3, 2), (4, 16), (5, 33), (9, 7)]
    for k, N in enumerate(ROWS):
        for j, (T, D) in enumerate(steps):
            lengths = LENGTHS[(k + 2 * j) % len(LENGTHS)]
            check(N, T, D, H, lengths=lengths, state=(k + j) % 2 == 0, dtype=dtype)


@pytest.mark.kernel
@dtypes
@pytest.mark.parametrize(("D", "H"), [(1, 1), (2, 3), (1, 17)])
@pytest.mark.parametrize("N", [1, 2, 3, 7, 9])
def test_small_shapes(N, D, H, dtype):
    for T, lengths in ((1, "none"), (3, "none"), (3, "mixed")):
        check(N, T, D, H, lengths=lengths, dtype=dtype)


@dtypes
@pytest.mark.parametrize(
    "shape", [(1, 600, 2, 3), (17, 40, 5, 9), (150, 3, 20, 4), (300, 2, 1, 40), (6, 5, 130, 150)]
)
@pytest.mark.parametrize("lengths", ["none", "mixed"])
def test_more_rows_or_columns_than_one_pass_takes(shape, lengths, dtype):
    check(*shape, lengths=lengths, bidirectional=True, dtype=dtype)


@pytest.mark.kernel
@dtypes
def test_every_number_of_rows_gives_a_row_the_same_bits(dtype):
    p = make_problem(42, 2, 3, 9, dtype=dtype, state=False)
    upstream = np.random.default_rng(0).normal(size=(42, 2, 9)).astype(dtype)
    whole = p.lstm.forward(p.X)[0].copy()
    dX = p.lstm.backward(upstream).X
    for n in range(1, 42):
        assert p.lstm.forward(p.X[:n])[0].tobytes() == whole[:n].tobytes(), n
        assert p.lstm.backward(upstream[:n]).X.tobytes() == dX[:n].tobytes(), n


PASSES = lstm.lstm_forward_chunk, bptt.lstm_backward_chunk


@pytest.mark.kernel
@dtypes
@pytest.mark.parametrize("lengths", ["none", "mixed"])
def test_weights_from_far_give_the_same_bits(lengths, dtype, monkeypatch):
    """Many rows request large weights ahead; fewer than CUT_ROWS, and small weights, do not."""
    sizes, two = (5, 9) if SLOW else (40, 70), lengths == "mixed"
    options = {"lengths": lengths, "bidirectional": two, "dtype": dtype, "state": False}
    p = make_problem(43, 3, *sizes, **options)
    upstream = np.random.default_rng(0).normal(size=(43, 3, (1 + two) * sizes[1])).astype(dtype)

    def run_rows(n):
        given = None if p.lengths is None else p.lengths[:n]
        outputs, last = p.lstm(p.X[:n], lengths=given)
        results = [outputs, last.c[0]]
        outputs, last = p.lstm.forward(p.X[:n], lengths=given)
        results += [outputs.copy(), last.c[0]]
        gradients = p.lstm.backward(upstream[:n])
        return [*results, gradients.X, gradients.weights[0].Wh, gradients.weights[0].Wx]

    with _threads.thread_limit(1):
        for n in range(products.CUT_ROWS - 1, 44):
            found = []
            for least, far in ((0, True), (10**9, None)):
                monkeypatch.setattr(stack, "FAR_WEIGHTS", least)
                with _threads.noting() as noted:
                    found.append([each.tobytes() for each in run_rows(n)])
                assert {args[-1] for kernel, args, _ in noted if kernel in PASSES} == {far}
            assert found[0] == found[1], n


@pytest.mark.kernel
def test_the_weights_of_large_layers_come_from_far():
    for units, far in ((300, None), (448, True)):
        layer = LSTM(1, units, random_state=0)
        noted = _threads.rehearse(layer.forward, np.zeros((9, 1, 1), np.float32))
        assert [args[-1] for kernel, args, _ in noted if kernel in PASSES] == [far]


@pytest.mark.kernel
@dtypes
@pytest.mark.parametrize("lengths", ["none", "mixed"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_rows_without_a_state_among_others_get_the_same_bits(bidirectional, lengths, dtype):
    """A worker whose rows all begin with zeros leaves a product out; the others do not."""
    p = make_problem(10, 3, 2, 9, lengths=lengths, bidirectional=bidirectional, dtype=dtype)
    state = LSTMState(p.state.h.copy(), p.state.c.copy())
    state.h[:, ::2] = 0

    def run_rows(rows):
        given = None if p.lengths is None else p.lengths[rows]
        first = LSTMState(state.h[:, rows], state.c[:, rows])
        outputs, last = p.lstm.forward(p.X[rows], lengths=given, state=first)
        gradients = p.lstm.backward(p.d_outputs[rows])
        return outputs, last.c, gradients.X, gradients.state.h, gradients.weights

    even, odd = slice(None, None, 2), slice(1, None, 2)
    *whole, weights = run_rows(slice(None))
    parts = {rows.start: run_rows(rows) for rows in (even, odd)}
    for rows in (even, odd):
        for found, part, axis in zip(whole, parts[rows.start], (0, 1, 0, 1), strict=False):
            cut = found[rows] if axis == 0 else found[:, rows]
            assert cut.tobytes() == part.tobytes()
    for of_layer in zip(weights, parts[None][4], parts[1][4], strict=True):
        for found, first, second in zip(*of_layer, strict=True):
            np.testing.assert_allclose(found, first + second, rtol=1e-4, atol=1e-5)


@pytest.mark.kernel
@dtypes
def test_every_number_that_is_not_finite_is_found(dtype):
    values = np.linspace(-3, 3, 37).astype(dtype)
    limits = np.finfo(dtype)
    values[:4] = limits.max, limits.min, limits.tiny / 4, -0.0
    for count in range(38):
        assert all_finite(values[:count])
    for bad in (np.nan, np.inf, -np.inf):
        for k in range(37):
            other = values.copy()
            other[k] = bad
            assert not all_finite(other), (bad, k)


@pytest.mark.parametrize("tile", [6, 8])
def test_tiles_of_two_sizes_leave_few_rows_over(tile, monkeypatch):
    """What is left is no row, or so many that they waste little: never one beside whole tiles."""
    cut = getattr(products.short_tiles, "py_func", products.short_tiles)
    monkeypatch.setattr(products, "TILE_ROWS", tile)
    monkeypatch.setattr(products, "SHORT_ROWS", tile - 1)
    for rows in range(200):
        left = rows - (tile - 1) * cut(rows)
        assert left >= 0
        left %= tile
        assert left in (0, 2, 4) or rows < tile or (tile, rows) == (8, 13), rows
        assert left in (0, 4) or rows < products.CUT_ROWS


@settings(deadline=None, derandomize=True, max_examples=20 if SLOW else 250, database=None)
@given(
    shape=st.tuples(
        *(st.integers(1, high) for high in ((9, 4, 5, 20) if SLOW else (40, 8, 40, 70)))
    ),
    n_layers=st.integers(1, 3),
    bidirectional=st.booleans(),
    lengths=st.sampled_from(LENGTHS),
    state=st.booleans(),
    dtype=st.sampled_from(["float32", "float64"]),
)
@pytest.mark.kernel
def test_drawn_shapes(shape, dtype, **options):
    check(*shape, dtype=dtype, **options)


# Options -------------------------------------------------------------------------------------


@pytest.mark.kernel
@dtypes
@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_every_option(n_layers, bidirectional, lengths, dtype):
    for state in (False, True):
        check(
            5, 4, 2, 3,
            n_layers=n_layers, bidirectional=bidirectional, lengths=lengths, state=state,
            dtype=dtype,
        )  # fmt: skip


# Padding -------------------------------------------------------------------------------------


@pytest.mark.kernel
@dtypes
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("lengths", ["ones", "mixed", "falling", "rising", "one long"])
def test_padding_is_invisible(lengths, bidirectional, dtype):
    options = dict(n_layers=2, bidirectional=bidirectional, lengths=lengths, dtype=dtype)
    p = make_problem(7, 5, 3, 2, **options)
    clean = run(p)
    past = np.arange(5) >= p.lengths[:, None]
    assert past.any()
    for name in ("outputs", "call", "dX"):
        assert not clean[name][past].any()
        assert clean[name][~past].all()
    p.X[past] = 1e30
    p.d_outputs[past] = -1e30
    assert_identical(run(p), clean)


# These tests can fail ------------------------------------------------------------------------

MUTANTS = {
    "i and f swapped": ("= sigmoid(a_i), sigmoid(a_f)", "= sigmoid(a_f), sigmoid(a_i)"),
    "g and o swapped": ("np.tanh(a_g), sigmoid(a_o)", "np.tanh(a_o), sigmoid(a_g)"),
    "gradients of f and o swapped": ("[da_i, da_f, da_g, da_o]", "[da_i, da_o, da_g, da_f]"),
    "no tanh of the cell": ("h_next = o * np.tanh(c_next)", "h_next = o * c_next"),
    "carry not gated": ("dc_prev = dc * f", "dc_prev = dc"),
    "outputs past the end": ("np.where(alive, h_next, 0)", "h_next"),
    "reversed with the padding": ("np.asarray(lengths)[:, None] - 1", "np.array([[T - 1]])"),
    "state goes on past the end": ("np.where(alive, h_next, h), np", "h_next, np"),
}


def mutate(old, new):
    """Return the reference with one change in its source."""
    source = inspect.getsource(reference)
    assert source.count(old) == 1
    namespace = {"__name__": "mutant"}
    exec(source.replace(old, new), namespace)
    return SimpleNamespace(**namespace)


@pytest.mark.kernel
@dtypes
@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_reference_is_noticed(name, dtype):
    p = make_problem(4, 3, 2, 3, bidirectional=True, lengths="mixed", dtype=dtype)
    results = run(p)
    assert_same(results, run_reference(p, mutate("import numpy", "import numpy")), 2e-5)
    with pytest.raises(AssertionError):
        assert_same(results, run_reference(p, mutate(*MUTANTS[name])), 2e-5)


@pytest.mark.kernel
def test_a_wrong_bit_and_a_nan_are_noticed():
    right = run(make_problem(1, 1, 1, 1))
    wrong = right | {"c": np.nextafter(right["c"], 9)}
    assert_same(wrong, right, 1e-15)
    with pytest.raises(AssertionError, match="'c'"):
        assert_identical(wrong, right)
    with pytest.raises(AssertionError, match="'c': nan"):
        assert_same(right | {"c": right["c"] * np.nan}, right, 1)
