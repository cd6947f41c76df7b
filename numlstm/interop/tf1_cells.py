"""One cell of TensorFlow 1 as arrays: its variables, their shapes, and what they are here.

The kernel is (D + R, 4H), input rows above recurrent rows, gates in the order i, j (our g), f, o.
R is the size of the projection, or H.
"""

from typing import NamedTuple

import numpy as np

from numlstm.nn.variant import LSTMVariantWeights
from numlstm.nn.weights import LSTMWeights


class Cell(NamedTuple):
    """The variables of a cell, in the order in which TensorFlow makes them."""

    kernel: np.ndarray
    bias: np.ndarray
    w_f_diag: np.ndarray | None = None
    w_i_diag: np.ndarray | None = None
    w_o_diag: np.ndarray | None = None
    projection: np.ndarray | None = None

    @property
    def n_units(self):
        """H."""
        return self.bias.size // 4

    @property
    def n_features(self):
        """R."""
        return self.n_units if self.projection is None else self.projection.shape[1]

    @property
    def kinds(self):
        """Names of the variables that there are."""
        return [name for name, array in self._asdict().items() if array is not None]


PEEPHOLES = Cell._fields[2:5]
# By their number: the kernel and the bias, peepholes, a projection.
FORMS = {2: Cell._fields[:2], 3: (*Cell._fields[:2], "projection"), 5: Cell._fields[:5],
         6: Cell._fields}  # fmt: skip


def as_cell(layer, arrays):
    """Return arrays, in order or by their names, as a cell that is fit to be measured.

    Raises
    ------
    ValueError
        If their number is that of no cell, or a shape is.
    """
    if not isinstance(arrays, dict):
        if len(arrays) not in FORMS:
            raise ValueError(
                f"layer {layer}: expected (kernel, bias), with peepholes w_f_diag, w_i_diag and "
                f"w_o_diag after them, and last a projection, got {len(arrays)} items"
            )
        arrays = dict(zip(FORMS[len(arrays)], arrays, strict=True))
    cell = Cell(**{name: _widened(np.asarray(array)) for name, array in arrays.items()})
    bias, kernel, units = cell.bias, cell.kernel, cell.bias.size // 4
    if bias.ndim != 1 or bias.size == 0 or bias.size % 4:
        raise ValueError(f"layer {layer}: bias must have shape (4 * units,), got {bias.shape}")
    _check_additions(layer, cell)
    if kernel.ndim != 2 or kernel.shape[0] <= cell.n_features:
        rows = f"input size + {cell.n_features}"
        raise ValueError(
            f"layer {layer}: kernel must have shape ({rows}, {4 * units}), got {kernel.shape}"
        )
    return cell


def _widened(array):
    """Return a copy in single precision at least: half would lose digits of the forget bias."""
    return array.astype(np.result_type(array, np.float32))


def _check_additions(layer, cell):
    """Raise ValueError for peepholes or a projection of a wrong shape."""
    units, projection = cell.n_units, cell.projection
    for name in PEEPHOLES:
        array = getattr(cell, name)
        if array is not None and array.shape != (units,):
            raise ValueError(f"layer {layer}: {name} must have shape ({units},), got {array.shape}")
    if projection is not None and (
        projection.ndim != 2 or len(projection) != units or not projection.size
    ):
        raise ValueError(
            f"layer {layer}: projection must have shape ({units}, features), got {projection.shape}"
        )


def check_cell(layer, cell, first, inputs):
    """Raise ValueError unless a cell is like the first one, and has this number of inputs."""
    units, features = first.n_units, first.n_features
    if cell.n_units != units:
        raise ValueError(
            f"layer {layer}: all layers must have the {units} units of layer 0, "
            f"got a bias of shape {cell.bias.shape}, so {cell.n_units} units"
        )
    if cell.kinds != first.kinds or cell.n_features != features:
        raise ValueError(
            f"layer {layer}: all layers must have the variables of layer 0, "
            f"{', '.join(first.kinds)}, with {features} features, got {', '.join(cell.kinds)}, "
            f"with {cell.n_features}"
        )
    if cell.kernel.shape != (inputs + features, 4 * units):
        what = "units" if cell.projection is None else "features"
        raise ValueError(
            f"layer {layer}: kernel must have shape ({inputs} inputs + {features} {what}, "
            f"{4 * units}), got {cell.kernel.shape}"
        )


def weights_of(cell, forget_bias):
    """Return a cell's weights as ours."""
    kernel, features = _swap_middle_gates(cell.kernel), cell.n_features
    bias = _add_to_forget_gate(_swap_middle_gates(cell.bias), forget_bias)
    weights = LSTMWeights(kernel[:-features], kernel[-features:], bias)
    if len(cell.kinds) == 2:
        return weights
    peepholes = None
    if cell.w_i_diag is not None:
        peepholes = np.stack([cell.w_i_diag, cell.w_f_diag, cell.w_o_diag])
    return LSTMVariantWeights(*weights, peepholes=peepholes, Wp=cell.projection)


def arrays_of(weights, forget_bias):
    """Return our weights as the variables of a cell, new arrays in TensorFlow's order."""
    kernel = _swap_middle_gates(np.concatenate([weights.Wx, weights.Wh]))
    arrays = [kernel, _swap_middle_gates(_add_to_forget_gate(weights.b, -forget_bias))]
    if isinstance(weights, LSTMVariantWeights):
        if weights.peepholes is not None:
            i, f, o = weights.peepholes
            arrays += [np.array(f), np.array(i), np.array(o)]
        if weights.Wp is not None:
            arrays.append(np.array(weights.Wp))
    return tuple(arrays)


def _swap_middle_gates(array):
    """Return a copy with blocks 1 and 2 of the last axis swapped: i j f o to i f g o, and back."""
    i, second, third, o = np.split(array, 4, axis=-1)
    return np.concatenate([i, third, second, o], axis=-1)


def _add_to_forget_gate(bias, amount):
    """Return a copy of a bias in our gate order with a number added to f, in the bias's dtype."""
    i, f, g, o = np.split(bias, 4)
    return np.concatenate([i, f + amount, g, o])
