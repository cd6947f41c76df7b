"""A state carries all there is: chunks, steps and single rows give the bits of the whole."""

import copy
import pickle

import numpy as np
import pytest
from test_lstm_kernels import assert_identical, assert_same, make_problem, run

from numlstm import LSTM, LSTMState, LSTMWeights
from numlstm.kernels import _threads
from numlstm.kernels._threads import available_threads, n_workers, thread_limit
from numlstm.kernels.stepping import WORTH_PACKING
from numlstm.nn import at_once, reference
from numlstm.nn.weights import vector_lanes

pytestmark = pytest.mark.kernel
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])
layers = pytest.mark.parametrize("n_layers", [1, 3])
both = pytest.mark.parametrize("bidirectional", [False, True])


def same_bits(actual, expected):
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    assert actual.tobytes() == expected.tobytes()


def same_states(actual, expected):
    assert isinstance(actual, LSTMState)
    same_bits(actual.h, expected.h)
    same_bits(actual.c, expected.c)


def rows_of(state, rows):
    """Return some samples of a state."""
    return None if state is None else LSTMState(state.h[:, rows], state.c[:, rows])


# One sequence, in parts ----------------------------------------------------------------------


@dtypes
@layers
@pytest.mark.parametrize("keep", [False, True])
def test_three_chunks_are_the_whole(keep, n_layers, dtype):
    p = make_problem(5, 9, 3, 17, n_layers=n_layers, dtype=dtype)
    go = p.lstm.forward if keep else p.lstm
    whole, final = go(p.X, state=p.state)
    parts, state = [], p.state
    for chunk in np.split(p.X, [2, 6], axis=1):
        outputs, state = go(chunk, state=state)
        parts.append(outputs)
    same_bits(np.concatenate(parts, axis=1), whole)
    same_states(state, final)


@dtypes
@layers
def test_gradients_of_three_chunks_are_those_of_the_whole(n_layers, dtype):
    p = make_problem(4, 7, 3, 5, n_layers=n_layers, dtype=dtype)
    whole, tolerance = run(p), 1e-12 if dtype == "float64" else 1e-5
    cuts = [slice(0, 2), slice(2, 3), slice(3, 7)]
    states, d_state, dX, d_weights = [p.state], p.d_state, [], []
    for cut in cuts:
        states.append(p.lstm(p.X[:, cut], state=states[-1])[1])
    for cut, state in reversed(list(zip(cuts, states, strict=False))):
        p.lstm.forward(p.X[:, cut], state=state)
        gradients = p.lstm.backward(p.d_outputs[:, cut], d_state)
        d_state = gradients.state
        dX.insert(0, gradients.X)
        d_weights.append(gradients.weights)
    same_bits(np.concatenate(dX, axis=1), whole["dX"])
    same_bits(d_state.h, whole["dh0"])
    same_bits(d_state.c, whole["dc0"])
    sums = {}  # The order of these sums is another one.
    for k in range(n_layers):
        for name in LSTMWeights._fields:
            sums[f"d{name}[{k}]"] = sum(getattr(part[k], name) for part in d_weights)
    assert_same(sums, {name: whole[name] for name in sums}, tolerance)


@dtypes
@layers
@pytest.mark.parametrize("N", [1, 2, 3, 4, 5, 6, 7, 8, 9, 13])
def test_steps_are_the_whole(N, n_layers, dtype):
    p = make_problem(N, 3, 2, 17, n_layers=n_layers, dtype=dtype)
    whole, final = p.lstm(p.X, state=p.state)
    state = p.state
    for t in range(3):
        before = copy.deepcopy(state)
        x = p.X[:, t] if t == 1 else p.X[:, t].copy()  # in memory with gaps, or without
        h, after = p.lstm.step(x, state)
        same_states(state, before)
        state = after
        same_bits(h, whole[:, t].copy())
        same_bits(state.h[-1], h)
        h.fill(9)  # it is the caller's, and no part of the state
    same_states(state, final)
    kept, final = p.lstm.forward(p.X, state=p.state)  # few rows have a shorter way, but not here
    same_bits(kept, whole)
    same_states(state, final)


@dtypes
@layers
def test_few_rows_are_run_at_once(n_layers, dtype):
    p = make_problem(8, 3, 2, 17, n_layers=n_layers, dtype=dtype)
    outputs, state = p.lstm._at_once(p.X, p.state)
    expected, final = p.lstm.forward(p.X, state=p.state)
    same_bits(outputs, expected)
    same_states(state, final)
    with_gaps = np.zeros((8, 3, 4), dtype)[:, :, ::2]
    half, narrow = p.X.astype("float16"), p.X[:, :, :1].copy()
    for other in (with_gaps, half, narrow, p.X[:0], p.X[:, 0], p.X.tolist()):
        assert p.lstm._at_once(other, None) is None
    assert p.lstm._at_once(np.zeros((9, 3, 2), dtype), None) is None
    assert p.lstm._at_once(np.zeros((8, 10**5, 2), dtype), None) is None
    assert p.lstm._at_once(np.full((8, 3, 2), np.nan, dtype), None) is None


@dtypes
@layers
@pytest.mark.parametrize("n_rows", range(2, 9))
@pytest.mark.parametrize("full", [0, 2])
def test_last_units_that_share_a_vector_have_the_same_bits(full, n_rows, n_layers, dtype):
    VL = vector_lanes(dtype)
    H = full * VL + max(1, VL // 4)
    p = make_problem(n_rows, WORTH_PACKING, 3, H, n_layers=n_layers, dtype=dtype)
    outputs, state = p.lstm._at_once(p.X, p.state)
    packed = p.lstm._at_once._room(n_rows)[1][3]
    assert VL < 4 or np.count_nonzero(packed) > n_layers * H
    expected, final = p.lstm.forward(p.X, state=p.state)
    same_bits(outputs, expected)
    same_states(state, final)
    p.lstm.weights = [w._replace(b=w.b + 1) for w in p.lstm.weights]  # nothing old is kept
    same_bits(p.lstm._at_once(p.X, p.state)[0], p.lstm.forward(p.X, state=p.state)[0])


@dtypes
@layers
@pytest.mark.parametrize("n_workers", [2, 3])
def test_workers_that_share_one_row_have_the_same_bits(n_workers, n_layers, dtype, monkeypatch):
    monkeypatch.setattr(at_once, "AWAKE", np.inf)
    monkeypatch.setattr(at_once, "WORTH_WAKING", 0)
    monkeypatch.setattr(_threads, "stay_awake", lambda: True)
    p = make_problem(1, 5, 3, 8 * vector_lanes(dtype) - 3, n_layers=n_layers, dtype=dtype)
    p.lstm._at_once._shares = n_workers
    with thread_limit(n_workers):
        outputs, state = p.lstm._at_once(p.X, p.state)
        expected, final = p.lstm.forward(p.X, state=p.state)
        same_bits(outputs, expected)
        same_states(state, final)
        assert p.lstm._at_once(np.full_like(p.X, np.nan), p.state) is None
        same_bits(p.lstm._at_once(p.X, p.state)[0], expected)


@pytest.mark.parametrize("awake", [False, True])
def test_only_many_steps_that_follow_closely_wake_threads(awake, monkeypatch):
    monkeypatch.setattr(_threads, "stay_awake", lambda: awake)
    monkeypatch.setattr(at_once, "WORTH_WAKING", 2)
    workers = []
    launched = at_once.launch

    def launch(*args, work, at_most):
        workers.append(n_workers(work, at_most))
        launched(*args, work=work, at_most=at_most)

    monkeypatch.setattr(at_once, "launch", launch)
    lstm = LSTM(3, 40, random_state=0)
    lstm._at_once._shares = 2
    x, state = np.ones((1, 3), "float32"), None
    with thread_limit(2):
        for limit in (np.inf, 0.0, np.inf, np.inf, np.inf, 0.0, np.inf):
            monkeypatch.setattr(at_once, "AWAKE", limit)
            _, state = lstm.step(x, state)
        several = available_threads() if awake else 1
    assert workers == [1, 1, 1, several, several, 1, 1]


@dtypes
def test_each_step_may_be_of_another_number_of_rows(dtype):
    p = make_problem(9, 1, 2, 17, n_layers=2, dtype=dtype)
    whole, final = p.lstm(p.X, state=p.state)
    for rows in ([0, 1, 2, 3, 4], [5, 6], [7], [6, 7, 8], list(range(9))):
        first = LSTMState(*(array.copy() for array in rows_of(p.state, rows)))  # without gaps
        h, state = p.lstm.step(p.X[rows, 0].copy(), first)
        same_bits(h, whole[rows, 0])
        same_states(state, rows_of(final, rows))


@dtypes
@both
@pytest.mark.parametrize("lengths", ["none", "mixed", "falling"])
def test_a_batch_is_its_rows_one_by_one(lengths, bidirectional, dtype):
    """Also in the gradients with respect to inputs and state; those of the weights are sums."""
    p = make_problem(
        13, 4, 3, 5, n_layers=2, bidirectional=bidirectional, lengths=lengths, dtype=dtype
    )
    batch = run(p)
    for n in range(13):
        row = copy.copy(p)
        row.X, row.d_outputs = p.X[n : n + 1], p.d_outputs[n : n + 1]
        row.state, row.d_state = (rows_of(part, [n]) for part in (p.state, p.d_state))
        row.lengths = None if p.lengths is None else p.lengths[n : n + 1]
        alone = {name: value for name, value in run(row).items() if "[" not in name}
        states = {"h", "c", "dh0", "dc0", "call h", "call c"}
        expected = {k: batch[k][:, [n]] if k in states else batch[k][n : n + 1] for k in alone}
        assert_identical(alone, expected)


@dtypes
@both
def test_a_row_ends_as_if_it_had_been_cut_off(bidirectional, dtype):
    """The state stays as it was after the last step: padding is not run over."""
    options = dict(n_layers=2, bidirectional=bidirectional, dtype=dtype)
    p = make_problem(6, 5, 2, 3, lengths="mixed", **options)
    outputs, final = p.lstm(p.X, lengths=p.lengths, state=p.state)
    for n, length in enumerate(p.lengths):
        short, state = p.lstm(p.X[n : n + 1, :length], state=rows_of(p.state, [n]))
        same_bits(outputs[n, :length], short[0])
        assert not outputs[n, length:].any()
        same_states(rows_of(final, [n]), state)


@dtypes
def test_full_lengths_are_no_lengths(dtype):
    p = make_problem(5, 4, 2, 3, n_layers=2, bidirectional=True, dtype=dtype)
    without = run(p)
    p.lengths = [4] * 5
    assert_identical(run(p), without)


@dtypes
@both
def test_the_order_of_the_rows_is_free(bidirectional, dtype, rng):
    p = make_problem(9, 4, 2, 3, lengths="mixed", bidirectional=bidirectional, dtype=dtype)
    outputs, final = p.lstm(p.X, lengths=p.lengths, state=p.state)
    order = rng.permutation(9)
    shuffled, state = p.lstm(p.X[order], lengths=p.lengths[order], state=rows_of(p.state, order))
    same_bits(shuffled, outputs[order])
    same_states(state, rows_of(final, order))


# The default state ---------------------------------------------------------------------------


@dtypes
@both
def test_the_default_state_is_zero(bidirectional, dtype):
    p = make_problem(3, 2, 2, 3, n_layers=2, bidirectional=bidirectional, dtype=dtype)
    zero = p.lstm.zero_state(3)
    assert zero.h.shape == zero.c.shape == (4 if bidirectional else 2, 3, 3)
    assert zero.h.dtype == zero.c.dtype == np.dtype(dtype)
    assert not zero.h.any() and not zero.c.any()
    p.state = zero
    given = run(p)
    p.state = None
    assert_identical(run(p), given)
    if not bidirectional:
        same_bits(p.lstm.step(p.X[:, 0])[0], p.lstm.step(p.X[:, 0], zero)[0])


def test_arguments_are_left_alone():
    p = make_problem(4, 3, 2, 3, n_layers=2, bidirectional=True, lengths="mixed")
    before = copy.deepcopy((p.X, p.lengths, p.state, p.d_outputs, p.d_state, p.lstm.weights))
    results = run(p)
    kept = copy.deepcopy(results)
    p.lstm.forward(p.X[::-1], lengths=p.lengths)
    p.lstm.backward(-p.d_outputs)
    np.testing.assert_equal(
        (p.X, p.lengths, p.state, p.d_outputs, p.d_state, p.lstm.weights), before
    )
    assert_identical(results, kept)  # nothing that was returned is a buffer used again


# Looking inside ------------------------------------------------------------------------------


@dtypes
@both
@pytest.mark.parametrize("lengths", ["none", "mixed"])
def test_trace_is_what_the_reference_saw(lengths, bidirectional, dtype):
    p = make_problem(
        5, 4, 2, 3, n_layers=2, bidirectional=bidirectional, lengths=lengths, dtype=dtype
    )
    trace = p.lstm.trace(p.X, lengths=p.lengths, state=p.state)
    tape = reference.stack_forward(
        p.X, p.lstm.weights, *p.state, n_layers=2, bidirectional=bidirectional, lengths=p.lengths
    )[3][0]
    rows = np.arange(5)[:, None]
    for k, (steps, *_, order) in enumerate(tape):
        expected = {name: [] for name in "ifgoc"}
        for step in steps:
            i, f, g, o = step.gates
            values = i, f, g, o, f * step.c + i * g
            for name, value in zip("ifgoc", values, strict=True):
                expected[name].append(np.where(step.alive, value, 0))
        expected = {name: np.stack(v, axis=1)[rows, order] for name, v in expected.items()}
        expected["h"] = expected["o"] * np.tanh(expected["c"])
        actual = {name: part[k] for name, part in trace._asdict().items()}
        assert_same(actual, expected, 1e-12 if dtype == "float64" else 1e-5)
    outputs, _ = p.lstm(p.X, lengths=p.lengths, state=p.state)
    same_bits(np.concatenate(trace.h[-2 if bidirectional else -1 :], axis=2), outputs)


def test_trace_and_call_leave_a_pending_backward_alone():
    p = make_problem(4, 3, 2, 3, lengths="mixed", bidirectional=True)
    expected = run(p)
    p.lstm.forward(p.X, lengths=p.lengths, state=p.state)
    p.lstm(p.X[:2] + 1)
    p.lstm.trace(p.X + 1)
    gradients = p.lstm.backward(p.d_outputs, p.d_state)
    same_bits(gradients.X, expected["dX"])
    same_bits(gradients.weights[1].Wh, expected["dWh[1]"])


# Weights and copies --------------------------------------------------------------------------


@dtypes
def test_weights_are_read_only_copies(dtype):
    lstm = LSTM(2, 17, n_layers=2, bidirectional=True, dtype=dtype, random_state=0)
    first = lstm.weights
    assert [w.Wx.shape for w in first] == [(2, 68)] * 2 + [(34, 68)] * 2
    for w in first:
        assert isinstance(w, LSTMWeights)
        for array in w:
            assert array.dtype == np.dtype(dtype)
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0
    lstm.weights = [LSTMWeights(*(array + 1 for array in w)) for w in first]
    np.testing.assert_equal(lstm.weights, [tuple(array + 1 for array in w) for w in first])
    assert first[0].b.max() == 1  # the old copies are still what they were


def test_weights_that_are_refused_change_nothing():
    lstm = LSTM(2, 3, n_layers=2, random_state=0)
    before = lstm.weights
    good = tuple(array + 1 for array in before[0])
    with pytest.raises(ValueError, match=r"weights\[1\].b"):
        lstm.weights = [good, (*before[1][:2], np.zeros(3))]
    np.testing.assert_equal(lstm.weights, before)


@dtypes
@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_copies_give_the_same_bits_and_share_nothing(copied, dtype):
    p = make_problem(3, 2, 2, 5, n_layers=2, bidirectional=True, dtype=dtype)
    expected = run(p)
    p.lstm.forward(p.X)
    other = copy.copy(p)
    other.lstm = copied(p.lstm)
    assert repr(other.lstm) == repr(p.lstm)
    with pytest.raises(RuntimeError):
        other.lstm.backward(None)
    assert_identical(run(other), expected)
    other.lstm.weights = [tuple(0 * array for array in w) for w in p.lstm.weights]
    assert_identical(run(p), expected)


@pytest.mark.parametrize("before", ["nothing", "call", "trace", "backward", "refused"])
def test_backward_needs_a_forward_of_its_own(before):
    p = make_problem(2, 3, 2, 3)
    if before == "call":
        p.lstm(p.X)
    elif before == "trace":
        p.lstm.trace(p.X)
    elif before != "nothing":
        p.lstm.forward(p.X)
        if before == "backward":
            p.lstm.backward(p.d_outputs)
        else:
            with pytest.raises(ValueError, match="X must"):
                p.lstm.forward(p.X[0])
    with pytest.raises(RuntimeError, match="needs a call of forward"):
        p.lstm.backward(p.d_outputs)


def test_a_refused_upstream_gradient_can_be_put_right():
    p = make_problem(2, 3, 2, 3)
    p.lstm.forward(p.X, state=p.state)
    with pytest.raises(ValueError, match="d_outputs"):
        p.lstm.backward(p.d_outputs[:, :1])
    gradients = p.lstm.backward(p.d_outputs, p.d_state)
    same_bits(gradients.X, run(p)["dX"])
