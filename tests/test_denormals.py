"""Denormal numbers, which make arithmetic slow, count as zero inside the kernels and only there."""

import platform

import numpy as np
import pytest
from numba import config

from numlstm import LSTM, LSTMState

SMALL = {"float32": 1e-40, "float64": 1e-310}
flushed = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64") or bool(config.DISABLE_JIT),
    reason="only compiled kernels on x86 flush them",
)


@flushed
@pytest.mark.parametrize("n_rows", [1, 5])
@pytest.mark.parametrize("dtype", SMALL)
def test_they_count_as_zero(dtype, n_rows, rng):
    lstm = LSTM(3, 6, dtype=dtype, forget_bias=30.0, random_state=0)
    X = np.full((n_rows, 1, 3), SMALL[dtype], dtype)
    state = LSTMState(*(np.full((1, n_rows, 6), SMALL[dtype], dtype) for _ in "hc"))
    h, last = lstm(X, state=state)
    expected, zero = lstm(np.zeros_like(X))
    np.testing.assert_array_equal(h, expected)
    np.testing.assert_array_equal(last.c, zero.c)
    lstm.forward(X, state=state)
    grads = lstm.backward(np.full_like(h, SMALL[dtype]))
    assert not grads.X.any() and not grads.weights[0].b.any()


@pytest.mark.parametrize("dtype", SMALL)
def test_the_mode_of_the_caller_is_restored(dtype, rng):
    lstm = LSTM(3, 6, dtype=dtype, random_state=0)
    small = np.array([SMALL[dtype]], dtype)
    for n_rows in (1, 5):
        X = rng.normal(size=(n_rows, 4, 3)).astype(dtype)
        lstm.backward(lstm.forward(X)[0])
        assert (small * dtype_of(small)(0.5))[0] != 0


def dtype_of(array):
    """Return the array's type of scalars."""
    return array.dtype.type
