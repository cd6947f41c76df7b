"""Which variables of a TensorFlow 1 checkpoint are those of LSTM cells, by their names.

One cell is ``rnn/basic_lstm_cell/kernel`` and ``bias``; the cells of a MultiRNNCell are
``rnn/multi_rnn_cell/cell_0/basic_lstm_cell/...``. In TensorFlow 1.0 and 1.1 they ended in
``weights`` and ``biases``, and before that they were called
``RNN/MultiRNNCell/Cell0/BasicLSTMCell/Linear/Matrix`` and ``Bias``.
"""

import re

KERNELS = ("kernel", "weights", "Linear/Matrix", "W_0")
BIASES = ("bias", "biases", "Linear/Bias", "B")
# What an LSTMCell may have beside them, and what it is for.
EXTRAS = {
    **dict.fromkeys(("w_f_diag", "w_i_diag", "w_o_diag"), "peepholes"),
    **dict.fromkeys(("W_F_diag", "W_I_diag", "W_O_diag"), "peepholes"),
    **dict.fromkeys(("projection/kernel", "projection/weights", "W_P_0"), "a projection"),
}
_NAME = re.compile(
    r"(?P<scope>(.*?/)??)"
    r"(stack_bidirectional_rnn/cell_(?P<level>\d+)/)?"
    r"((bidirectional_rnn|BiRNN)/(?P<way>fw|bw|FW|BW)/)?"
    r"((multi_rnn_cell|MultiRNNCell)(_\d+)?/[cC]ell_?(?P<layer>\d+)/)?"
    r"(basic_lstm_cell|lstm_cell|BasicLSTMCell|LSTMCell)(_\d+)?/"
    rf"(?P<kind>{'|'.join([*KERNELS, *BIASES, *EXTRAS])})(:0)?"
)


def find_cells(names, scope=None):
    """Return the names of the variables of the cells of one LSTM.

    Parameters
    ----------
    names : iterable of str
        Of all variables. What belongs to other layers or to an optimiser is left alone.
    scope : str, optional
        How the names begin, where there are several LSTMs.

    Returns
    -------
    pairs : list of (str, str)
        Kernel and bias of each layer and direction, in our order.
    bidirectional : bool

    Raises
    ------
    ValueError
        If a name is missing, there are several LSTMs, or their cells are more than a BasicLSTMCell
        is.
    """
    names = list(names)
    matches = [m for name in names if name.startswith(scope or "") and (m := _NAME.fullmatch(name))]
    if not matches:
        raise ValueError(
            f"expected names such as {scope or ''}rnn/basic_lstm_cell/kernel (of a BasicLSTMCell), "
            f"got {', '.join(map(str, names)) or 'no names at all'}"
        )
    _check(matches)
    cells = {}
    for match in matches:
        way = (match["way"] or "").lower()
        cell = cells.setdefault((_number(match["level"]), _number(match["layer"]), way), {})
        kind = "kernel" if match["kind"] in KERNELS else "bias"
        if kind in cell:
            raise ValueError(
                f"got {cell[kind]} and {match[0]}: two cells side by side, whose order is not told"
            )
        cell[kind] = match[0]
    return _in_order(cells)


def _number(digits):
    return -1 if digits is None else int(digits)


def _check(matches):
    """Raise a ValueError for several LSTMs, and for cells with more to them."""
    scopes = sorted({match["scope"] for match in matches})
    if len(scopes) > 1:
        raise ValueError(
            f"expected the variables of one LSTM, got {len(scopes)}, with the scopes "
            f"{', '.join(map(repr, scopes))}: say which one by scope"
        )
    for match in matches:
        if match["kind"] in EXTRAS:
            raise ValueError(
                f"got {match[0]}: an LSTMCell with {EXTRAS[match['kind']]} can't be converted, "
                "because a numlstm.LSTM has none"
            )


def _in_order(cells):
    """Return the names of the cells from the lowest layer to the highest, and whether both ways."""
    ways = {way for _, _, way in cells}
    levels, layers = ({key[axis] for key in cells} for axis in (0, 1))
    if ways != {""} and len(layers) > 1:
        raise ValueError(
            "each direction is a stack of its own (a MultiRNNCell in bidirectional_dynamic_rnn); "
            "in a numlstm.LSTM the directions meet after every layer"
        )
    depth = levels if ways != {""} else layers
    wanted = [-1] if depth == {-1} else range(len(depth))
    order = ("",) if ways == {""} else ("fw", "bw")
    pairs = []
    for k in wanted:
        for way in order:
            key = (k, *layers, way) if ways != {""} else (*levels, k, way)
            pairs.append(_pair(cells.get(key, {}), key, cells))
    return pairs, ways != {""}


def _pair(cell, key, cells):
    """Return the names of kernel and bias of a cell, or say which is missing."""
    if set(cell) != {"kernel", "bias"}:
        what = " and ".join(kind for kind in ("kernel", "bias") if kind not in cell)
        where = ", ".join(str(part) for part in key if part not in (-1, "")) or "the only one"
        found = ", ".join(name for cell in cells.values() for name in cell.values())
        raise ValueError(f"expected {what} of cell {where} too, got only {found}")
    return cell["kernel"], cell["bias"]
