"""What an LSTM may have beyond the plain one: its options, its weights and their shapes.

A layer reads x_t (D), h_{t-1} (R) and c_{t-1} (H), R being the projection's size, or H. With all
options a step is

    s     = LN(x_t Wx; gain_x) + LN((k * h_{t-1}) Wh; gain_h) + b     four parts: i, f, g, o
    f     = sigmoid(s_f + p_f * c_{t-1})
    i     = sigmoid(s_i + p_i * c_{t-1}),  coupled: 1 - f
    cell  = clip(f * c_{t-1} + i * tanh(s_g), cell_clip)
    o     = sigmoid(s_o + p_o * cell)
    y     = o * tanh(LN(cell; gain_c, shift_c))
    m     = clip(y Wp, proj_clip)
    c_t   = z_c * c_{t-1} + (1 - z_c) * cell
    h_t   = z_h * h_{t-1} + (1 - z_h) * m

LN is layer normalisation, k the mask of recurrent dropout, z_c and z_h the masks of zoneout. An
option that is off leaves its part out.
"""

from dataclasses import asdict, dataclass, fields
from typing import NamedTuple

import numpy as np

from numlstm.data.validation import as_floats, check_bool, check_integer, check_number, check_shape
from numlstm.nn.weights import LSTMWeights, initial_weights


@dataclass(frozen=True, repr=False)
class LSTMVariant:
    """Options of an `LSTM` beyond the plain one; all are off by default, and may be combined.

    Parameters
    ----------
    peepholes : bool
        Gates see the cell state, each unit its own: i and f that of the step before, o the new
        one, already clipped (Gers & Schmidhuber 2000; TensorFlow's LSTMCell).
    cell_clip : float, optional
        The new cell state is limited to [-cell_clip, cell_clip] before the output gate and carried
        so (TensorFlow's LSTMCell). Where it is limited its gradient is zero.
    proj_size : int, optional
        R, at most the hidden size: the output is projected to so many features, without a bias, and
        it is the projection that is fed back (Sak, Senior & Beaufays 2014, without their second,
        non-recurrent projection).
    proj_clip : float, optional
        The projection is limited to [-proj_clip, proj_clip].
    coupled_gates : bool
        No input gate: i = 1 - f (Greff et al. 2017, CIFG). They write f = 1 - i, which is the same
        with the gate's weights negated; so written the forget bias keeps its meaning. Weights
        then hold the gates f, g, o.
    recurrent_dropout : float
        Rate at which h is hidden from the gates in training: one mask for all steps of a sequence
        and all four gates (Gal & Ghahramani 2016, tied weights), none on the inputs. What is kept
        is scaled by 1 / (1 - rate), so that inference needs nothing. The state that is carried
        is not dropped.
    layer_norm : bool
        Layer normalisation as in Ba, Kiros & Hinton (2016, equations 20 to 22): of the input's and
        of the state's part of the gates, each over all gates together, with a gain each; and of the
        cell state on its way to the output, with gain and shift. Their two other shifts would only
        be added to `b`. The variance gets 1e-5.
    zoneout_cell, zoneout_hidden : float
        Rates at which a unit of c, or of h, keeps its value of the step before, in training by a
        mask for every step; in inference the expectation is taken (Krueger et al. 2017).

    Raises
    ------
    TypeError, ValueError
        For values of a wrong type or out of range.
    """

    peepholes: bool = False
    cell_clip: float | None = None
    proj_size: int | None = None
    proj_clip: float | None = None
    coupled_gates: bool = False
    recurrent_dropout: float = 0.0
    layer_norm: bool = False
    zoneout_cell: float = 0.0
    zoneout_hidden: float = 0.0

    def __post_init__(self):
        """Check every option."""
        for name in ("peepholes", "coupled_gates", "layer_norm"):
            self._set(name, check_bool(name, getattr(self, name)))
        for name in ("recurrent_dropout", "zoneout_cell", "zoneout_hidden"):
            self._set(name, check_number(name, getattr(self, name), 0, 1, below=True))
        for name in ("cell_clip", "proj_clip"):
            if getattr(self, name) is not None:
                self._set(name, check_number(name, getattr(self, name), 0, above=True))
        if self.proj_size is not None:
            self._set("proj_size", check_integer("proj_size", self.proj_size, 1))
        elif self.proj_clip is not None:
            raise ValueError(f"proj_clip={self.proj_clip!r} needs proj_size: nothing is projected")

    def _set(self, name, value):
        object.__setattr__(self, name, value)

    def __repr__(self):
        """Return the options that are on, as a call."""
        values = [(field, getattr(self, field.name)) for field in fields(self)]
        on = [f"{field.name}={value!r}" for field, value in values if value != field.default]
        return f"LSTMVariant({', '.join(on)})"

    @property
    def is_random(self):
        """Whether training draws masks."""
        return max(self.recurrent_dropout, self.zoneout_cell, self.zoneout_hidden) > 0


class LSTMVariantWeights(NamedTuple):
    """Weights of one layer in one direction of an `LSTM` with a variant.

    G is 4, for the gates i, f, g, o, or 3 with coupled gates, for f, g, o. What a variant does not
    use is None.

    Attributes
    ----------
    Wx : array, (D, G * H)
    Wh : array, (R, G * H)
        R is the size of the projection, or H.
    b : array, (G * H,)
    peepholes : array, (G - 1, H), or None
        Of i (unless coupled), f, o.
    Wp : array, (H, R), or None
        Projection.
    gain_x, gain_h : array, (G * H,), or None
        Of the layer normalisation of the two products.
    gain_c, shift_c : array, (H,), or None
        Of that of the cell state.
    """

    Wx: np.ndarray
    Wh: np.ndarray
    b: np.ndarray
    peepholes: np.ndarray | None = None
    Wp: np.ndarray | None = None
    gain_x: np.ndarray | None = None
    gain_h: np.ndarray | None = None
    gain_c: np.ndarray | None = None
    shift_c: np.ndarray | None = None


def check_variant(variant, hidden_size=None):
    """Return a variant, or None where nothing is switched on.

    Raises
    ------
    TypeError, ValueError
        If it is something else, or projects to more features than there are units.
    """
    if variant is None:
        return None
    if not isinstance(variant, LSTMVariant):
        raise TypeError(f"variant must be an LSTMVariant or None, got {variant!r}")
    if hidden_size is not None and (variant.proj_size or 0) > hidden_size:
        raise ValueError(
            f"proj_size must be at most hidden_size={hidden_size}, got {variant.proj_size}"
        )
    return None if variant == LSTMVariant() else variant


def n_gates(variant):
    """Return how many gates have weights."""
    return 3 if variant is not None and variant.coupled_gates else 4


def weight_shapes(variant, n_inputs, n_units):
    """Return the shapes of the arrays that a layer in one direction has, by name."""
    G, D, H = n_gates(variant), n_inputs, n_units
    R = H if variant is None else variant.proj_size or H
    shapes = {"Wx": (D, G * H), "Wh": (R, G * H), "b": (G * H,)}
    if variant is None:
        return shapes
    if variant.peepholes:
        shapes["peepholes"] = (G - 1, H)
    if variant.proj_size is not None:
        shapes["Wp"] = (H, R)
    if variant.layer_norm:
        shapes |= {"gain_x": (G * H,), "gain_h": (G * H,), "gain_c": (H,), "shift_c": (H,)}
    return shapes


def weight_fields(variant):
    """Return the names of the named tuple of weights, those included that a variant has not."""
    return LSTMWeights._fields if variant is None else LSTMVariantWeights._fields


def describe_variant(variant):
    """Return a variant, or None, as JSON can hold it."""
    return None if variant is None else asdict(variant)


def described_variant(content):
    """Return the variant in a description of `describe_variant`, under "variant", or None.

    Raises
    ------
    KeyError, TypeError, ValueError
        If it is missing, or the options are others than an `LSTMVariant` has.
    """
    described = content["variant"]
    return None if described is None else LSTMVariant(**described)


def as_weights(variant, arrays):
    """Return arrays in the named tuple that belongs to a variant, or to none.

    Raises
    ------
    ValueError
        If there are more or fewer than it has.
    """
    fields = weight_fields(variant)
    if not 3 <= len(arrays) <= len(fields):
        raise ValueError(f"weights must be {', '.join(fields)}, got {len(arrays)} arrays")
    return LSTMWeights(*arrays) if variant is None else LSTMVariantWeights(*arrays)


def check_weights(name, weights, variant, n_inputs, n_units, dtype):
    """Return the weights of a layer as finite arrays of the dtype.

    Raises
    ------
    ValueError
        If an array is missing, superfluous or of a wrong shape, or holds NaN or infinity.
    """
    shapes, checked = weight_shapes(variant, n_inputs, n_units), {}
    for field, array in weights._asdict().items():
        if (array is None) == (field in shapes):
            what = "is missing" if array is None else f"does not belong to {variant}"
            raise ValueError(f"{name}.{field} {what}")
        if array is not None:
            where = f"{name}.{field}"
            checked[field] = as_floats(where, array, dtype, len(shapes[field]))
            check_shape(where, checked[field], shapes[field])
    return type(weights)(**checked)


def initial_variant_weights(variant, n_inputs, n_units, forget_bias, rng):
    """Return random weights: those of the plain layer, and what makes the additions do nothing.

    Peepholes and shifts start at 0, gains at 1, the projection as Glorot's uniform weights. The
    recurrent weights of a projection are rows of orthogonal matrices.
    """
    weights = initial_weights(n_inputs, n_units, forget_bias, rng)
    if variant is None:
        return weights
    shapes = weight_shapes(variant, n_inputs, n_units)
    first = 0 if n_gates(variant) == 4 else n_units
    arrays = {"Wx": weights.Wx[:, first:], "b": weights.b[first:]}
    arrays["Wh"] = weights.Wh[: shapes["Wh"][0], first:]
    for name, shape in shapes.items():
        if name == "Wp":
            limit = np.sqrt(6 / sum(shape))
            arrays[name] = rng.uniform(-limit, limit, shape)
        elif name not in arrays:
            arrays[name] = np.ones(shape) if name.startswith("gain") else np.zeros(shape)
    return LSTMVariantWeights(**arrays)
