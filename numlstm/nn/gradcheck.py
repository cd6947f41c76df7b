"""Gradient checks: what backward says, against what central differences of forward say.

Why the differences are central, and how good they are, is the subject of
book/05_gradient_checks.md.
"""

import numpy as np

from numlstm.nn.variant import weight_fields, weight_shapes
from numlstm.nn.weights import LSTMState


def numerical_gradient(f, x, *, eps=1e-6):
    """Differentiate a scalar function by central differences, one element after another.

    Parameters
    ----------
    f : callable
        Takes an array shaped like ``x``, returns a number. It is called ``2 * x.size`` times,
        always with the same copy of ``x``, so it must not keep a reference to it.
    x : ndarray of float64, any shape
        Where to differentiate. It is left alone.
    eps : float
        Half the distance between the two points.

    Returns
    -------
    gradient : ndarray of float64, shaped like ``x``

    Raises
    ------
    ValueError
        If ``x`` is not a float64 array: in float32 the difference would be rounding noise.
    """
    if not isinstance(x, np.ndarray) or x.dtype != np.float64:
        raise ValueError(f"x must be a float64 array, got {getattr(x, 'dtype', type(x).__name__)}")
    x, gradient = x.copy(), np.empty(x.shape)
    for index in np.ndindex(x.shape):
        value = x[index]
        x[index] = value + eps
        above = f(x)
        x[index] = value - eps
        below = f(x)
        x[index] = value
        gradient[index] = (above - below) / (2 * eps)  # eq: central-difference
    return gradient


def relative_error(a, b):
    """Return max|a - b| / max(max|a|, max|b|): one figure for two whole arrays.

    Both maxima run over all elements, so an element near zero is measured on the scale of the
    array and not on its own.

    Parameters
    ----------
    a, b : array-like of one shape

    Returns
    -------
    error : float
        0 for two arrays of zeros (or of no elements), nan if any element is nan or infinite.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        raise ValueError(f"a and b must have one shape, got {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("nan")
    scale = max(np.abs(a).max(initial=0), np.abs(b).max(initial=0))
    return float(np.abs(a - b).max(initial=0) / scale) if scale else 0.0  # eq: relative-error


def check_gradients(lstm, X, *, lengths=None, state=None, eps=1e-6, random_state=0):
    """Compare every gradient of an LSTM with central differences.

    The loss is a weighted sum of all outputs and of the final h and c, with weights drawn from
    the standard normal distribution, so that every path back is used. ``lstm`` is left alone.

    Parameters
    ----------
    lstm : numlstm.LSTM of dtype float64
    X : array-like (n_samples, n_timesteps, input_size)
    lengths : array-like of int (n_samples,), optional
    state : LSTMState, optional
        The initial h and c, each (n_layers * directions, n_samples, hidden_size); zero by default.
    eps : float
        Half the distance between the two points of a difference.
    random_state : int
        Seed of the upstream gradients, and of the masks of a random variant.

    Returns
    -------
    errors : dict of str to float
        The `relative_error` of "X", "h0", "c0", and of "Wx_l0", "Wh_l0", "b_l0", "Wx_l0_reverse"
        and so on for each layer and direction. About 1e-9 is right, 1e-2 is a bug.

    Raises
    ------
    ValueError
        If ``lstm`` is not float64.
    """
    if np.dtype(lstm.dtype) != np.float64:
        raise ValueError(f"check_gradients needs a float64 LSTM, got {np.dtype(lstm.dtype)}")
    points = _points(lstm, X, state)
    model, X, state = _rebuild(lstm, points, random_state)
    outputs, final = model.forward(X, lengths=lengths, state=state)
    rng = np.random.default_rng(random_state)
    upstream = [rng.standard_normal(part.shape) for part in (outputs, *final)]
    gradients = model.backward(upstream[0], LSTMState(*upstream[1:]))
    analytic = _named(lstm, gradients.X, gradients.state, gradients.weights)

    def loss_at(name, value):
        model, X, state = _rebuild(lstm, {**points, name: value}, random_state)
        outputs, final = model.forward(X, lengths=lengths, state=state)
        return sum(np.vdot(d, part) for d, part in zip(upstream, (outputs, *final), strict=True))

    return {
        name: relative_error(
            analytic[name],
            numerical_gradient(lambda value, name=name: loss_at(name, value), point, eps=eps),
        )
        for name, point in points.items()
    }


def _named(lstm, X, state, weights):
    """Return X, the state and the weights (or the gradients of each) in one dict of arrays."""
    named = {"X": X, "h0": state.h, "c0": state.c}
    directions = 2 if lstm.bidirectional else 1
    for k, layer in enumerate(weights):
        suffix = f"_l{k // directions}" + ("_reverse" if k % directions else "")
        arrays = layer._asdict().items()
        named |= {name + suffix: array for name, array in arrays if array is not None}
    return named


def _points(lstm, X, state):
    """Return where to differentiate: float64 copies of X, h0, c0 and of all weights, by name."""
    X = np.asarray(X)
    state = lstm.zero_state(len(X)) if state is None else LSTMState(*state)
    named = _named(lstm, X, state, lstm.weights)
    return {name: np.array(value, dtype=np.float64) for name, value in named.items()}


def _rebuild(lstm, points, random_state):
    """Return a new LSTM, X and state made of the arrays that `_points` named."""
    X, h0, c0, *flat = points.values()
    names = list(weight_shapes(lstm.variant, 1, 1))
    fields = weight_fields(lstm.variant)
    weights = [
        [dict(zip(names, flat[k : k + len(names)], strict=True)).get(name) for name in fields]
        for k in range(0, len(flat), len(names))
    ]
    model = type(lstm).from_weights(
        weights, dtype=np.float64, bidirectional=lstm.bidirectional, variant=lstm.variant,
        random_state=random_state,
    )  # fmt: skip
    return model, X, LSTMState(h0, c0)
