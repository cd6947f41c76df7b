"""The gradients of the compiled LSTM are central differences, for every option."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_lstm_kernels import LENGTHS, assert_same, make_problem, run, run_reference

from numlstm import LSTM
from numlstm.nn.gradcheck import check_gradients


def check(shape, **options):
    p = make_problem(*shape, **options)
    errors = check_gradients(p.lstm, p.X, lengths=p.lengths, state=p.state)
    # The test of the names is also one of the number: a gradient left out is not a right one.
    assert set(errors) == {"X", "h0", "c0"} | names(p.lstm)
    wrong = {name: error for name, error in errors.items() if not error < 1e-6}
    assert wrong == {}, f"{shape}, {options}"


def names(lstm):
    """Return the names of all weights, as PyTorch would end them."""
    ends = ("", "_reverse") if lstm.bidirectional else ("",)
    layers = range(lstm.n_layers)
    return {f"{w}_l{k}{end}" for w in ("Wx", "Wh", "b") for k in layers for end in ends}


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("n_layers", [1, 2, 3])
@pytest.mark.parametrize("state", [False, True])
def test_every_option(n_layers, bidirectional, lengths, state):
    check(
        (3, 3, 2, 2), n_layers=n_layers, bidirectional=bidirectional, lengths=lengths, state=state
    )


@pytest.mark.kernel
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("lengths", ["none", "mixed"])
def test_small(lengths, bidirectional):
    check((2, 2, 1, 1), bidirectional=bidirectional, lengths=lengths)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (9, 2, 1, 1), (2, 12, 1, 2), (1, 2, 17, 3)])
def test_uneven_shapes(shape):
    check(shape)


@pytest.mark.parametrize("H", [9, 17])
def test_more_units_than_one_vector_holds(H):
    check((2, 2, 1, H), bidirectional=H == 9, lengths="rising")


@settings(deadline=None, derandomize=True, max_examples=30, database=None)
@given(
    shape=st.tuples(*(st.integers(1, high) for high in (4, 4, 3, 4))),
    n_layers=st.integers(1, 3),
    bidirectional=st.booleans(),
    lengths=st.sampled_from(LENGTHS),
    state=st.booleans(),
)
def test_drawn_shapes(shape, **options):
    check(shape, **options)


@pytest.mark.kernel
@pytest.mark.parametrize("missing", ["d_outputs", "d_state"])
@pytest.mark.parametrize("lengths", ["none", "mixed"])
def test_a_missing_upstream_gradient_is_zero(missing, lengths):
    p = make_problem(5, 4, 2, 3, n_layers=2, bidirectional=True, lengths=lengths)
    setattr(p, missing, None)
    assert_same(run(p), run_reference(p), 2e-12)


@pytest.mark.kernel
def test_without_any_upstream_gradient_all_are_zero():
    p = make_problem(2, 3, 2, 3, n_layers=2)
    p.lstm.forward(p.X)
    gradients = p.lstm.backward(None)
    arrays = [gradients.X, *gradients.state, *(w for layer in gradients.weights for w in layer)]
    assert len(arrays) == 9
    assert not any(array.any() for array in arrays)


@pytest.mark.kernel
def test_gradients_are_linear_in_the_upstream_gradient(rng):
    """Twice the gradient is exactly twice the result: nothing is left over from another call."""
    p = make_problem(3, 4, 2, 3, n_layers=2, bidirectional=True, lengths="mixed")
    once = run(p)
    p.lstm.forward(rng.normal(size=(5, 6, 2)))
    p.lstm.backward(rng.normal(size=(5, 6, 6)))
    p.d_outputs *= 2
    for part in p.d_state:
        part *= 2
    twice = run(p)
    for name in once:
        if name.startswith("d"):
            np.testing.assert_array_equal(twice[name], 2 * once[name])


@pytest.mark.kernel
@pytest.mark.parametrize("scale", [1e-3, 30.0])
def test_saturated_and_tiny_gates(scale, rng):
    """Gates at their limits have a gradient of zero; nothing divides by it."""
    lstm = LSTM(2, 3, dtype="float64", random_state=0)
    X = scale * rng.normal(size=(2, 3, 2))
    outputs, _ = lstm.forward(X)
    gradients = lstm.backward(np.ones_like(outputs))
    assert np.isfinite(gradients.X).all()
    if scale < 1:
        assert max(check_gradients(lstm, X).values()) < 1e-6
