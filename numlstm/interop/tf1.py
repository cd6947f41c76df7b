"""TensorFlow 1: BasicLSTMCell and LSTMCell, and a MultiRNNCell of them, as `dynamic_rnn` runs them.

What a cell adds or limits at run time is not in a checkpoint, so it must be named here: the forget
bias, and the limits of an LSTMCell.
"""

import zipfile
import zlib
from collections.abc import Mapping

import numpy as np

from numlstm.data.validation import check_forget_bias
from numlstm.interop._files import is_path, refusing
from numlstm.interop._variants import refuse_variant
from numlstm.interop.npz_file import NpzArrays
from numlstm.interop.tf1_cells import arrays_of, as_cell, check_cell, weights_of
from numlstm.interop.tf1_names import find_cells
from numlstm.nn.lstm import LSTM
from numlstm.nn.variant import LSTMVariant


def from_tf1(
    layers,
    forget_bias=1.0,
    dtype=None,
    bidirectional=False,
    scope=None,
    *,
    cell_clip=None,
    proj_clip=None,
):
    """Make an LSTM of the weights of BasicLSTMCells or LSTMCells.

    Parameters
    ----------
    layers : sequence of (kernel, bias, ...), mapping of str to array-like, or path
        Arrays (D + R, 4H) and (4H,), one pair per cell of the MultiRNNCell, lowest first; R is H.
        An LSTMCell with ``use_peepholes`` has after them ``w_f_diag``, ``w_i_diag`` and
        ``w_o_diag``, each (H,), and one with ``num_proj`` its projection (H, R), in the order of
        ``get_weights()``. Or all variables of a checkpoint by their names, old or new ones, as a
        mapping or as an ``.npz`` file; those of other layers and of optimisers are left alone. The
        names of `bidirectional_dynamic_rnn` and `stack_bidirectional_dynamic_rnn` are known too.
    forget_bias : float
        What the cells were made with; 1.0 is TensorFlow's default.
    dtype : {"float32", "float64"}, optional
        That of the weights by default.
    bidirectional : bool
        Whether the pairs are those of a forward and a backward cell by turns, of one layer after
        the other. Names say so themselves.
    scope : str, optional
        How the names of the variables begin, where there are several LSTMs.
    cell_clip, proj_clip : float, optional
        What the LSTMCells were made with.

    Returns
    -------
    lstm : LSTM
        With a variant where the cells have peepholes, a projection or limits. Its state is (h, c),
        where TensorFlow's is (c, h).

    Raises
    ------
    ValueError
        If a shape is wrong, the cells differ in their number of units or in their variables, or
        they project to more features than they have units. By name: if one is missing, or if there
        are several LSTMs; for a file that is damaged or something else.
    OSError
        If a file cannot be read.

    Notes
    -----
    Where TensorFlow is installed, this makes such a file of a checkpoint::

        reader = tf.train.load_checkpoint(path)
        names = reader.get_variable_to_shape_map()
        np.savez("model.npz", **{name: reader.get_tensor(name) for name in names})
    """
    forget_bias = _as_number(forget_bias)
    clips = {"cell_clip": cell_clip, "proj_clip": proj_clip}
    if is_path(layers):
        with open(layers, "rb") as file, refusing(layers, zipfile.BadZipFile, zlib.error, OSError):
            return from_tf1(NpzArrays(file), forget_bias, dtype, scope=scope, **clips)
    if isinstance(layers, Mapping):
        cells, bidirectional = find_cells(layers, scope)
        layers = [{kind: layers[name] for kind, name in cell.items()} for cell in cells]
    cells = [as_cell(layer, arrays) for layer, arrays in enumerate(layers)]
    directions = 2 if bidirectional else 1
    if not cells or len(cells) % directions:
        raise ValueError(
            f"from_tf1 expects {directions} (kernel, bias) per layer, and at least one layer, "
            f"got {len(cells)}"
        )
    first = cells[0]
    inputs = first.kernel.shape[0] - first.n_features
    for k, cell in enumerate(cells):
        check_cell(k, cell, first, inputs if k < directions else first.n_features * directions)
    variant = LSTMVariant(
        peepholes=first.w_f_diag is not None,
        proj_size=None if first.projection is None else first.n_features,
        **clips,
    )
    weights = [weights_of(cell, forget_bias) for cell in cells]
    return LSTM.from_weights(weights, bidirectional=bidirectional, dtype=dtype, variant=variant)


def to_tf1(lstm, forget_bias=1.0, *, cell_clip=None, proj_clip=None):
    """Return the weights of an LSTM as BasicLSTMCells or LSTMCells store them.

    Parameters
    ----------
    lstm : LSTM in one direction
    forget_bias : float
        What the cells will be made with. It is taken out of the bias, in the LSTM's dtype: there
        and back the bias may move by its last bit, unless ``forget_bias`` is 0.
    cell_clip, proj_clip : float, optional
        What the cells will be made with: the LSTM's own, which no array holds.

    Returns
    -------
    layers : list of (kernel, bias, ...)
        New arrays (D + R, 4H) and (4H,), one tuple per layer. With peepholes there follow
        ``w_f_diag``, ``w_i_diag`` and ``w_o_diag``, each (H,), with a projection its matrix (H, R):
        what ``set_weights`` of an LSTMCell takes.

    Raises
    ------
    ValueError
        If the LSTM is bidirectional: TensorFlow 1 makes one cell per direction and joins them
        with `bidirectional_dynamic_rnn`, outside the cells that this list describes. If it has a
        variant that an LSTMCell has not, or other limits than those named.
    """
    forget_bias = _as_number(forget_bias)
    refuse_variant(
        lstm, "to_tf1", carries=("peepholes", "proj_size"),
        made_with={"cell_clip": cell_clip, "proj_clip": proj_clip},
    )  # fmt: skip
    if lstm.bidirectional:
        raise ValueError(
            "to_tf1 got a bidirectional LSTM, but a list of cells runs in one direction: "
            "TensorFlow 1 joins two such lists with bidirectional_dynamic_rnn, outside the cells"
        )
    return [arrays_of(weights, forget_bias) for weights in lstm.weights]


def _as_number(forget_bias):
    """Return a forget bias as a float; files hold it as an array without dimensions."""
    if isinstance(forget_bias, np.ndarray) and forget_bias.ndim == 0:
        forget_bias = forget_bias.item()
    return check_forget_bias(forget_bias)
