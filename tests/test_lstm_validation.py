"""Bad input is refused before any work, by an error that names it and says what was expected."""

import re

import numpy as np
import pytest

from numlstm import LSTM, LSTMState

pytestmark = pytest.mark.kernel


@pytest.fixture
def lstm():
    return LSTM(3, 2, random_state=0)


def good(*shape):
    return np.ones(shape)


def holding(value, *shape):
    """Return ones with one other value at the end."""
    array = np.ones(shape)
    array[(-1,) * len(shape)] = value
    return array


def refused(error, *said):
    """Expect an error whose text holds all that is said."""
    return pytest.raises(error, match="(?s)" + "".join(f"(?=.*{re.escape(part)})" for part in said))


# The layer -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["input_size", "hidden_size", "n_layers"])
@pytest.mark.parametrize(
    ("value", "error"),
    [(0, ValueError), (-1, ValueError)]
    + [(v, TypeError) for v in (2.5, 2.0, True, None, "2", [2], np.float64(2))],
)
def test_sizes(name, value, error):
    sizes = {"input_size": 1, "hidden_size": 1, name: value}
    with refused(error, name, "an integer of at least 1", f"got {value!r}"):
        LSTM(**sizes)


@pytest.mark.parametrize(
    "dtype",
    [
        "float16",
        "complex64",
        "int32",
        ">f8",
        np.longdouble,
        "double precision",
        None,
        32,
    ],
)
def test_dtypes(dtype):
    with refused(ValueError, "dtype must be 'float32' or 'float64'", f"got {dtype!r}"):
        LSTM(1, 1, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", np.float32, np.dtype("f8"), float, "d"])
def test_dtypes_that_are_fine(dtype):
    assert LSTM(np.int64(1), np.uint8(1), dtype=dtype).dtype == np.dtype(dtype)


@pytest.mark.parametrize(
    ("name", "value", "error", "wanted"),
    [
        ("bidirectional", 1, TypeError, "True or False"),
        ("bidirectional", "yes", TypeError, "True or False"),
        ("bidirectional", None, TypeError, "True or False"),
        ("forget_bias", np.nan, ValueError, "a number"),
        ("forget_bias", np.inf, ValueError, "a number"),
        ("forget_bias", 1e300, ValueError, "a number in [-1e+30, 1e+30]"),
        ("forget_bias", 10**400, ValueError, "a number"),
        ("forget_bias", "1", TypeError, "a number"),
        ("forget_bias", 1j, TypeError, "a number"),
        ("forget_bias", True, TypeError, "a number"),
        ("hidden_size", 10**30, ValueError, "at most 1000000"),
        ("n_layers", 10**9, ValueError, "at most 1000"),
        ("input_size", 2**31, ValueError, "at most 2147483647"),
        ("random_state", -1, ValueError, "an integer from 0 to 2**32 - 1"),
        ("random_state", "x", ValueError, "an integer from 0 to 2**32 - 1"),
    ],
)
def test_other_arguments(name, value, error, wanted):
    with refused(error, name, wanted, f"got {value!r}"):
        LSTM(**{"input_size": 1, "hidden_size": 1, name: value})


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (-1, ValueError), (1.0, TypeError)])
def test_samples_of_the_zero_state(value, error, lstm):
    with refused(error, "n_samples", "at least 1", f"got {value!r}"):
        lstm.zero_state(value)


# Sequences -----------------------------------------------------------------------------------

WANTED = "input_size=3"
SEQUENCES = {
    "too many features": (good(2, 4, 5), WANTED, "(2, 4, 5)"),
    "too few features": (good(2, 4, 1), WANTED, "(2, 4, 1)"),
    "no features": (good(2, 4, 0), WANTED, "(2, 4, 0)"),
    "no samples": (good(0, 4, 3), WANTED, "none of them 0", "(0, 4, 3)"),
    "no time steps": (good(2, 0, 3), WANTED, "none of them 0", "(2, 0, 3)"),
    "0 dimensions": (1.0, "3 dimensions", "got 0"),
    "1 dimension": (good(3), "3 dimensions", "got 1", "(3,)"),
    "2 dimensions": (good(4, 3), "3 dimensions", "got 2", "(4, 3)"),
    "4 dimensions": (good(1, 2, 4, 3), "3 dimensions", "got 4"),
    "an empty list": ([], "3 dimensions", "got 1"),
    "None": (None, "3 dimensions", "got 0"),
    "NaN": (holding(np.nan, 2, 4, 3), "finite", "1 of its 24", "NaN", "(1, 3, 2)"),
    "infinity": (holding(np.inf, 2, 4, 3), "finite", "1 of its 24", "infinity", "(1, 3, 2)"),
    "minus infinity": (holding(-np.inf, 2, 4, 3), "finite", "infinity", "(1, 3, 2)"),
    "beyond float32": (holding(1e300, 2, 4, 3), "finite", "infinity", "(1, 3, 2)"),
    "None inside": ([[[1.0, 2.0, None]]], "finite", "NaN", "(0, 0, 2)"),
    "ragged": ([good(2, 3), good(3, 3)], "an array of numbers", "inhomogeneous"),
    "words": ([[["a", "b", "c"]]], "an array of numbers"),
    "complex": (good(2, 4, 3) * 1j, "real", "complex"),
    "a dict": ({"a": 1}, "numbers", "got {"),
}
DEFECTS = [
    pytest.param([[["1", "2", "3"]]], ("numbers",), id="digits"),
    pytest.param(np.full((1, 1, 3), b"1"), ("numbers",), id="bytes"),
    pytest.param(np.zeros((1, 1, 3), "M8[D]"), ("numbers",), id="dates"),
    pytest.param(np.full((1, 1, 3), 1j, object), ("real",), id="complex objects"),
]
everything = pytest.mark.parametrize(
    ("X", "said"),
    [*(pytest.param(X, said, id=key) for key, (X, *said) in SEQUENCES.items()), *DEFECTS],
)


@everything
@pytest.mark.parametrize("method", ["__call__", "forward", "trace"])
def test_sequences(method, X, said, lstm):
    with refused(ValueError, "X must", *said):
        getattr(lstm, method)(X)


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (good(2, 4), ("shape (2, 3)", "got (2, 4)")),
        (good(0, 3), ("shape (1, 3)", "got (0, 3)")),
        (good(3), ("2 dimensions", "got 1")),
        (good(2, 1, 3), ("2 dimensions", "got 3")),
        (holding(np.nan, 2, 3), ("finite", "NaN", "(1, 2)")),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_steps(dtype, x, said):
    with refused(ValueError, "x must", *said):
        LSTM(3, 2, dtype=dtype).step(x.astype(dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("where", "name"), [(0, "x"), (1, "state.h"), (2, "state.c")])
def test_steps_that_are_not_finite(where, name, value, dtype):
    """A compiler that may reassociate must not find a way round the check."""
    arrays = [good(2, 3), good(1, 2, 2), good(1, 2, 2)]
    arrays[where] = holding(value, *arrays[where].shape)
    x, *state = (array.astype(dtype) for array in arrays)
    with refused(ValueError, f"{name} must be finite"):
        LSTM(3, 2, dtype=dtype).step(x, LSTMState(*state))


def test_steps_of_a_bidirectional_lstm():
    with refused(ValueError, "step", "bidirectional", "whole sequences"):
        LSTM(3, 2, bidirectional=True).step(good(1, 3))


# Lengths -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lengths", "error", "said"),
    [
        ([4, 0], ValueError, ("from 1 to the 4 time steps", "got 0 for sample 1")),
        ([-1, 4], ValueError, ("from 1 to the 4 time steps", "got -1 for sample 0")),
        ([4, 5], ValueError, ("from 1 to the 4 time steps", "got 5 for sample 1")),
        (np.array([1, 2**63], np.uint64), ValueError, ("got 9223372036854775808 for sample 1",)),
        ([4], ValueError, ("shape (2,)", "got (1,)")),
        ([4, 4, 4], ValueError, ("shape (2,)", "got (3,)")),
        (4, ValueError, ("shape (2,)", "got ()")),
        ([[4, 4]], ValueError, ("shape (2,)", "got (1, 2)")),
        ([4.0, 3.0], TypeError, ("integers", "float64")),
        ([True, True], TypeError, ("integers", "bool")),
        (["4", "4"], TypeError, ("integers", "<U1")),
        ([4, None], TypeError, ("integers", "object")),
        ([], TypeError, ("integers",)),
    ],
)
@pytest.mark.parametrize("method", ["__call__", "forward", "trace"])
def test_lengths(method, lengths, error, said, lstm):
    with refused(error, "lengths must", *said):
        getattr(lstm, method)(good(2, 4, 3), lengths=lengths)


# States and upstream gradients ---------------------------------------------------------------

STATES = {
    "an array": (good(2, 1, 2, 2), TypeError, "(h, c)"),
    "h alone": ((good(1, 2, 2),), TypeError, "(h, c)"),
    "three": ((good(1, 2, 2),) * 3, TypeError, "(h, c)"),
    "a string": ("hc", TypeError, "(h, c)"),
    "no layers": (LSTMState(good(2, 2), good(2, 2)), ValueError, ".h", "3 dimensions", "got 2"),
    "too many layers": ((good(2, 2, 2),) * 2, ValueError, ".h", "(1, 2, 2)", "got (2, 2, 2)"),
    "too few samples": ((good(1, 1, 2),) * 2, ValueError, ".h", "(1, 2, 2)", "got (1, 1, 2)"),
    "too many units": ((good(1, 2, 2), good(1, 2, 3)), ValueError, ".c", "got (1, 2, 3)"),
    "NaN": ((good(1, 2, 2), holding(np.nan, 1, 2, 2)), ValueError, ".c", "NaN", "(0, 1, 1)"),
    "None": ((None, good(1, 2, 2)), ValueError, ".h", "3 dimensions"),
}
states = pytest.mark.parametrize(
    ("state", "error", "said"), [(s, e, said) for s, e, *said in STATES.values()], ids=STATES
)


@states
@pytest.mark.parametrize("method", ["__call__", "forward", "trace", "step"])
def test_states(method, state, error, said, lstm):
    X = good(2, 3) if method == "step" else good(2, 4, 3)
    with refused(error, "state", *said):
        getattr(lstm, method)(X, state=state)


@states
def test_gradients_of_states(state, error, said, lstm):
    lstm.forward(good(2, 4, 3))
    with refused(error, "d_state", *said):
        lstm.backward(None, state)


@pytest.mark.parametrize(
    ("d_outputs", "said"),
    [
        (good(2, 4, 3), ("shape (2, 4, 2)", "got (2, 4, 3)")),
        (good(2, 3, 2), ("shape (2, 4, 2)", "got (2, 3, 2)")),
        (good(1, 4, 2), ("shape (2, 4, 2)", "got (1, 4, 2)")),
        (good(2, 2), ("3 dimensions", "got 2")),
        (holding(np.inf, 2, 4, 2), ("finite", "infinity", "(1, 3, 1)")),
        (good(2, 4, 2) * 1j, ("real", "complex")),
    ],
)
def test_gradients_of_outputs(d_outputs, said, lstm):
    lstm.forward(good(2, 4, 3))
    with refused(ValueError, "d_outputs must", *said):
        lstm.backward(d_outputs)


# Weights -------------------------------------------------------------------------------------

Wx, Wh, b = good(3, 8), good(2, 8), good(8)
WEIGHTS = {
    "none": ([], "weights must hold 1 (Wx, Wh, b)", "got 0"),
    "Wx flat": ([(b, Wh, b)], "weights[0].Wx", "(D, 4 * H)", "got (8,)"),
    "Wx without rows": ([(good(0, 8), Wh, b)], "weights[0].Wx", "(D, 4 * H)", "got (0, 8)"),
    "7 columns": ([(Wx[:, :7], Wh, b)], "weights[0].Wx", "(D, 4 * H)", "got (3, 7)"),
    "Wh transposed": ([(Wx, Wh.T, b)], "weights[0].Wh", "(2, 8)", "got (8, 2)"),
    "Wh of others": ([(Wx, good(3, 12), b)], "weights[0].Wh", "(2, 8)", "got (3, 12)"),
    "b too short": ([(Wx, Wh, b[:-1])], "weights[0].b", "(8,)", "got (7,)"),
    "b in rows": ([(Wx, Wh, b[None])], "weights[0].b", "1 dimension", "got 2"),
    "second layer": ([(Wx, Wh, b)] * 2, "weights[1].Wx", "(2, 8)", "got (3, 8)"),
    "NaN": ([(Wx, Wh, b * np.nan)], "weights[0].b", "finite", "NaN", "(0,)"),
    "complex": ([(Wx, Wh * 1j, b)], "weights[0].Wh", "real", "complex"),
    "words": ([(Wx, np.full((2, 8), "a"), b)], "weights[0].Wh", "numbers"),
}


@pytest.mark.parametrize(
    ("weights", "said"), [(w, said) for w, *said in WEIGHTS.values()], ids=WEIGHTS
)
def test_weights(weights, said):
    with refused(ValueError, *said):
        LSTM.from_weights(weights)


def test_weights_of_two_directions():
    with refused(ValueError, "weights must hold 2 (Wx, Wh, b) per layer", "got 1"):
        LSTM.from_weights([(Wx, Wh, b)], bidirectional=True)
    with refused(ValueError, "weights[3].Wx", "(4, 8)", "got (2, 8)"):
        LSTM.from_weights(
            [(Wx, Wh, b)] * 2 + [(good(4, 8), Wh, b), (Wh, Wh, b)], bidirectional=True
        )


@pytest.mark.parametrize("count", [0, 1, 3])
def test_another_number_of_layers_is_not_assigned(count):
    with refused(ValueError, "weights must hold 2 (Wx, Wh, b)", f"got {count}"):
        LSTM(3, 2, n_layers=2).weights = [(Wx, Wh, b)] * count


def test_weights_of_any_number_type_are_fine():
    whole = [(Wx.astype(int), Wh.astype(int).tolist(), b.astype(np.float16))]
    assert LSTM.from_weights(whole).dtype == np.float64
    assert LSTM.from_weights([(Wx.astype(np.float16), Wh, b)]).dtype == np.float32
    assert LSTM.from_weights(whole, dtype="float32").dtype == np.float32
