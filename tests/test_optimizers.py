"""The optimisers' kernels against NumPy, in one piece and in several."""

import numpy as np
import pytest

from numlstm.kernels import optimizers
from numlstm.nn import reference
from numlstm.nn.memory import aligned_zeros

pytestmark = pytest.mark.kernel
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])
RATE, SCALE, NORM = 0.01, 0.5, 8.0  # a gradient of that norm, clipped to half of it


def vectors(rng, n, dtype, count):
    out = [aligned_zeros((n,), dtype) for _ in range(count)]
    for vector in out:
        vector[:] = rng.normal(size=n)
    return out


def norm_of(x, loss=1.0):
    """Return the norm that a step begins with."""
    numbers = np.zeros(optimizers.N_NUMBERS)
    optimizers.global_norm(x, np.array([loss]), numbers, 0, 1)
    assert numbers[optimizers.STEPS] == np.isfinite(numbers[optimizers.NORM])
    return numbers[optimizers.NORM]


def before_step(t, norm=NORM):
    """Return what `global_norm` leaves before step t."""
    numbers = np.zeros(optimizers.N_NUMBERS)
    numbers[[optimizers.RATE, optimizers.CLIP]] = RATE, SCALE * NORM
    numbers[[optimizers.STEPS, optimizers.NORM]] = t, norm
    return numbers


@dtypes
@pytest.mark.parametrize("n", [16, 48, 1024, 1040, 3072])
def test_the_norm(n, dtype, rng):
    (x,) = vectors(rng, n, dtype, 1)
    np.testing.assert_allclose(norm_of(x), np.linalg.norm(x.astype(np.float64)), rtol=1e-6)


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # NumPy's, without JIT
def test_a_norm_whose_squares_overflow(rng):
    (x,) = vectors(rng, 1040, "float32", 1)
    x *= np.float32(1e30)
    expected = np.linalg.norm(x.astype(np.float64))
    np.testing.assert_allclose(norm_of(x), expected, rtol=1e-6)
    x[7] = np.inf
    assert norm_of(x) == np.inf
    x[8] = np.nan
    assert np.isnan(norm_of(x))


@pytest.mark.parametrize("loss", [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_not_finite_stands_for_the_norm(rng, loss):
    (x,) = vectors(rng, 64, "float32", 1)
    assert not np.isfinite(norm_of(x, loss))


@pytest.mark.parametrize("norm", [np.nan, np.inf])
def test_no_step_along_a_gradient_that_is_not_finite(rng, norm):
    for chunk, count, options in (
        (optimizers.adam_step_chunk, 4, ((0.9, 0.999), 1e-8)),
        (optimizers.momentum_step_chunk, 3, (0.9,)),
    ):
        arrays = vectors(rng, 80, "float32", count)
        after = in_pieces(chunk, arrays, (before_step(0, norm), *options), 1)
        for a, b in zip(arrays, after, strict=True):
            np.testing.assert_array_equal(a, b)


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
    arguments = before_step(3), (0.9, 0.999), 1e-8
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
    arguments = before_step(3), 0.9
    found = in_pieces(optimizers.momentum_step_chunk, (p, g, m), arguments, 1)
    velocity = 0.9 * m - RATE * SCALE * g
    np.testing.assert_allclose(found[2], velocity, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found[0], p + velocity, rtol=1e-5, atol=1e-7)
    for a, b in zip(
        found, in_pieces(optimizers.momentum_step_chunk, (p, g, m), arguments, 3), strict=True
    ):
        np.testing.assert_array_equal(a, b)
