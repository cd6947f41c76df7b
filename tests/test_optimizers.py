"""The optimisers' kernels against NumPy, in one piece and in several."""

import numpy as np
import pytest

from numlstm.kernels import optimizers
from numlstm.nn import reference
from numlstm.nn.memory import aligned_zeros

pytestmark = pytest.mark.kernel
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])
RATE, SCALE = 0.01, 0.5


def vectors(rng, n, dtype, count):
    out = [aligned_zeros((n,), dtype) for _ in range(count)]
    for vector in out:
        vector[:] = rng.normal(size=n)
    return out


@dtypes
@pytest.mark.parametrize("n", [16, 48, 1024, 1040, 3072])
def test_the_norm(n, dtype, rng):
    (x,) = vectors(rng, n, dtype, 1)
    np.testing.assert_allclose(
        optimizers.global_norm(x), np.linalg.norm(x.astype(np.float64)), rtol=1e-6
    )


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # NumPy's, without JIT
def test_a_norm_whose_squares_overflow(rng):
    (x,) = vectors(rng, 1040, "float32", 1)
    x *= np.float32(1e30)
    expected = np.linalg.norm(x.astype(np.float64))
    np.testing.assert_allclose(optimizers.global_norm(x), expected, rtol=1e-6)
    x[7] = np.inf
    assert optimizers.global_norm(x) == np.inf
    x[8] = np.nan
    assert np.isnan(optimizers.global_norm(x))


def in_pieces(chunk, arrays, arguments, n_workers):
    """Return copies of the arrays after a step in so many pieces."""
    arrays = [aligned_zeros(a.shape, a.dtype) + a for a in arrays]
    for worker in range(n_workers):
        chunk(*arrays, *arguments, worker, n_workers)
    return arrays


@dtypes
def test_a_step_of_adam(dtype, rng):
    p, g, m, v = vectors(rng, 80, dtype, 4)
    v[:] = v**2
    arguments = SCALE, RATE, (0.9, 0.999), 1e-8, 3
    found = in_pieces(optimizers.adam_step_chunk, (p, g, m, v), arguments, 1)
    expected = reference.adam_step(p, SCALE * g, m, v, 3, learning_rate=RATE)
    for a, b in zip((found[0], found[2], found[3]), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    for a, b in zip(
        found, in_pieces(optimizers.adam_step_chunk, (p, g, m, v), arguments, 3), strict=True
    ):
        np.testing.assert_array_equal(a, b)


@dtypes
def test_a_step_of_momentum(dtype, rng):
    p, g, m = vectors(rng, 80, dtype, 3)
    arguments = SCALE, RATE, 0.9
    found = in_pieces(optimizers.momentum_step_chunk, (p, g, m), arguments, 1)
    velocity = 0.9 * m - RATE * SCALE * g
    np.testing.assert_allclose(found[2], velocity, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found[0], p + velocity, rtol=1e-5, atol=1e-7)
    for a, b in zip(
        found, in_pieces(optimizers.momentum_step_chunk, (p, g, m), arguments, 3), strict=True
    ):
        np.testing.assert_array_equal(a, b)
