"""Vectorizable tanh and sigmoid for float32 and float64, as numerators and denominators.

With n = round(x log2(e)), f = x log2(e) - n, s = 2**n and p = (2**f - 1) / f: exp(x) = s + (s f) p.
Then

    sigmoid(x) = E / (1 + E)             E = s + (s f) p
    tanh(x)    = M / (M + 2)             M = (s - 1) + (s f) p,  taken at 2 x

s f waits for no polynomial, and is exact: so the chain of dependent operations is shorter than with
s (f p).

M is exact to rounding near 0, where 1 - exp(-2x) would cancel. Arguments are limited first: to
+-18 in float32 and +-40 in float64, beyond which both functions have reached their limits to
within rounding.

Adding MAGIC rounds to a whole number and leaves n plus the exponent's bias in the lowest bits,
from where one shift makes 2**n: two operations less than rounding, converting and adding.
"""

from numlstm.kernels._jit import helper
from numlstm.kernels.simd import clip, exponent_from_low_bits, fma, is_double

LOG2_E = 1.4426950408889634
# 1.5 * 2**(bits of the mantissa) + the exponent's bias.
MAGIC_FLOAT32, MAGIC_FLOAT64 = 12582912.0 + 127, 6755399441055744.0 + 1023


@helper
def exp2m1_by_f_float32(f):
    """Return (2**f - 1) / f for |f| <= 1/2: a polynomial fitted to 3e-9."""
    f2 = f * f
    p = fma(f, 1.5353361823311237e-4, 1.3398874445787294e-3)
    p = fma(p, f2, fma(f, 9.618437358276184e-3, 5.550332471025937e-2))
    return fma(p, f2, fma(f, 2.4022647913619766e-1, 6.93147202855129e-1))


@helper
def exp2m1_by_f_float64(f):
    """Return (2**f - 1) / f for |f| <= 1/2: a Taylor series to degree 12."""
    f2 = f * f
    p = fma(f2, 1.3691488853904128e-12, fma(f, 2.567843599348820e-11, 4.445538271870811e-10))
    p = fma(p, f2, fma(f, 7.054911620801123e-09, 1.017808600923970e-07))
    p = fma(p, f2, fma(f, 1.3215486790144310e-06, 1.5252733804059841e-05))
    p = fma(p, f2, fma(f, 1.5403530393381608e-04, 1.3333558146428443e-03))
    p = fma(p, f2, fma(f, 9.618129107628477e-03, 5.550410866482158e-02))
    return fma(p, f2, fma(f, 2.402265069591007e-01, 6.931471805599453e-01))


@helper
def exp2_parts(x, scale):
    """Return s, s f and p with 2**(x * scale) = s + (s f) p, for x already limited."""
    if is_double(x):
        shifted = fma(x, scale, MAGIC_FLOAT64)
        f = fma(x, scale, fma(shifted, -1.0, MAGIC_FLOAT64))
        s = exponent_from_low_bits(shifted)
        return s, s * f, exp2m1_by_f_float64(f)
    shifted = fma(x, scale, MAGIC_FLOAT32)
    f = fma(x, scale, fma(shifted, -1.0, MAGIC_FLOAT32))
    s = exponent_from_low_bits(shifted)
    return s, s * f, exp2m1_by_f_float32(f)


@helper
def sigmoid_parts(x):
    """Return numerator and denominator of 1 / (1 + exp(-x))."""
    limit = 40.0 if is_double(x) else 18.0
    s, sf, p = exp2_parts(clip(x, -limit, limit), LOG2_E)
    e = fma(sf, p, s)
    return e, e + 1.0


@helper
def tanh_parts(x):
    """Return numerator and denominator of tanh(x)."""
    limit = 20.0 if is_double(x) else 9.0
    s, sf, p = exp2_parts(clip(x, -limit, limit), 2 * LOG2_E)
    m = fma(sf, p, s - 1.0)
    return m, m + 2.0


@helper
def tanh(x):
    """Return tanh(x), lane by lane."""
    numerator, denominator = tanh_parts(x)
    return numerator / denominator


@helper
def sigmoid(x):
    """Return 1 / (1 + exp(-x)), lane by lane."""
    numerator, denominator = sigmoid_parts(x)
    return numerator / denominator


@helper
def exp(x):
    """Return exp(x), lane by lane, for x from -87 to 0 or so; below that the value at -87."""
    s, sf, p = exp2_parts(clip(x, -87.0, 87.0), LOG2_E)
    return fma(sf, p, s)
