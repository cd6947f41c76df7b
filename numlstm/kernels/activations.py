"""Vectorizable tanh and sigmoid for float32 and float64, as numerators and denominators.

With n = round(x / ln 2) and r = x - n ln 2, exp(x) = s (1 + u), s = 2**n, u = exp(r) - 1. Then

    sigmoid(x) = E / (1 + E)             E = s + s u
    tanh(x)    = M / (M + 2)             M = (s - 1) + s u,  taken at 2 x

M is exact to rounding near 0, where 1 - exp(-2x) would cancel. Numerator and denominator are kept
apart so that a cell can share one division between its four gates. Arguments are limited first:
to +-18 in float32 and +-40 in float64, beyond which both functions have reached their limits to
within rounding, and the product of four denominators stays far from overflow.
"""

from numlstm.kernels._jit import helper
from numlstm.kernels.simd import clip, exp2_int, fma, is_double, round_half_even

LOG2_E = 1.4426950408889634
# ln 2 in two parts; the first has enough trailing zero bits for n * LN2_HIGH to be exact.
LN2 = 0.6931471805599453
LN2_HIGH, LN2_LOW = 0.693145751953125, 1.4286068203094172e-06


@helper
def expm1_float32(r):
    """Return exp(r) - 1 for |r| <= ln(2) / 2: r + r^2 P(r), P of degree 4 fitted to 3e-9."""
    u = r * 1.3814539569477538e-3 + 8.36874516074715e-3
    u = u * r + 4.166839079630404e-2
    u = u * r + 1.666652039848479e-1
    u = u * r + 4.999999343206529e-1
    return fma(u * r, r, r)


@helper
def expm1_float64(r):
    """Return exp(r) - 1 for |r| <= ln(2) / 2: the Taylor series to degree 13."""
    u = r * 1.6059043836821613e-10 + 2.08767569878681e-09
    u = u * r + 2.505210838544172e-08
    u = u * r + 2.755731922398589e-07
    u = u * r + 2.7557319223985893e-06
    u = u * r + 2.48015873015873e-05
    u = u * r + 1.984126984126984e-4
    u = u * r + 1.388888888888889e-3
    u = u * r + 8.333333333333333e-3
    u = u * r + 4.1666666666666664e-2
    u = u * r + 1.6666666666666666e-1
    u = u * r + 0.5
    return fma(u * r, r, r)


@helper
def exp_parts(x):
    """Return s and s * u with exp(x) = s + s * u, for x already limited."""
    n = round_half_even(x * LOG2_E)
    s = exp2_int(n)
    if is_double(x):
        return s, s * expm1_float64(fma(n, -LN2_LOW, fma(n, -LN2_HIGH, x)))
    return s, s * expm1_float32(fma(n, -LN2, x))


@helper
def sigmoid_parts(x):
    """Return numerator and denominator of 1 / (1 + exp(-x))."""
    limit = 40.0 if is_double(x) else 18.0
    s, su = exp_parts(clip(x, -limit, limit))
    e = s + su
    return e, e + 1.0


@helper
def tanh_parts(x):
    """Return numerator and denominator of tanh(x)."""
    limit = 40.0 if is_double(x) else 18.0
    s, su = exp_parts(clip(x + x, -limit, limit))
    m = (s - 1.0) + su
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
    s, su = exp_parts(clip(x, -87.0, 87.0))
    return s + su
