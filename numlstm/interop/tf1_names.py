"""Which variables of a TensorFlow 1 checkpoint are those of LSTM cells, by their names.

One cell is ``rnn/basic_lstm_cell/kernel`` and ``bias``; the cells of a MultiRNNCell are
``rnn/multi_rnn_cell/cell_0/basic_lstm_cell/...``. In TensorFlow 1.0 and 1.1 they ended in
``weights`` and ``biases``, and before that they were called
``RNN/MultiRNNCell/Cell0/BasicLSTMCell/Linear/Matrix`` and ``Bias``. An LSTMCell may have more than
those two: ``rnn/lstm_cell/w_f_diag``, ``w_i_diag``, ``w_o_diag`` and ``projection/kernel``.
"""

import re

from numlstm.interop.tf1_cells import PEEPHOLES

# The variables of a cell, and all the names that they have had.
KINDS = {
    "kernel": ("kernel", "weights", "Linear/Matrix", "W_0"),
    "bias": ("bias", "biases", "Linear/Bias", "B"),
    "w_f_diag": ("w_f_diag", "W_F_diag"),
    "w_i_diag": ("w_i_diag", "W_I_diag"),
    "w_o_diag": ("w_o_diag", "W_O_diag"),
    "projection": ("projection/kernel", "projection/weights", "W_P_0"),
}
_KIND_OF = {name: kind for kind, names in KINDS.items() for name in names}
_NAME = re.compile(
    r"(?P<scope>(.*?/)??)"
    r"(stack_bidirectional_rnn/cell_(?P<level>\d+)/)?"
    r"((bidirectional_rnn|BiRNN)/(?P<way>fw|bw|FW|BW)/)?"
    r"((multi_rnn_cell|MultiRNNCell)(_\d+)?/[cC]ell_?(?P<layer>\d+)/)?"
    r"(basic_lstm_cell|lstm_cell|BasicLSTMCell|LSTMCell)(_\d+)?/"
    rf"(?P<kind>{'|'.join(_KIND_OF)})(:0)?"
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
    cells : list of dict of str to str
        The variables of each layer and direction, in our order, by what they are: see `KINDS`.
    bidirectional : bool

    Raises
    ------
    ValueError
        If a name is missing, or there are several LSTMs.
    """
    names = list(names)
    matches = [m for name in names if name.startswith(scope or "") and (m := _NAME.fullmatch(name))]
    if not matches:
        raise ValueError(
            f"expected names such as {scope or ''}rnn/basic_lstm_cell/kernel (of a BasicLSTMCell), "
            f"got {', '.join(map(str, names)) or 'no names at all'}"
        )
    _check_scope(matches)
    cells = {}
    for match in matches:
        way = (match["way"] or "").lower()
        cell = cells.setdefault((_number(match["level"]), _number(match["layer"]), way), {})
        kind = _KIND_OF[match["kind"]]
        if kind in cell:
            raise ValueError(
                f"got {cell[kind]} and {match[0]}: two cells side by side, whose order is not told"
            )
        cell[kind] = match[0]
    return _in_order(cells)


def _number(digits):
    return -1 if digits is None else int(digits)


def _check_scope(matches):
    """Raise a ValueError for several LSTMs."""
    scopes = sorted({match["scope"] for match in matches})
    if len(scopes) > 1:
        raise ValueError(
            f"expected the variables of one LSTM, got {len(scopes)}, with the scopes "
            f"{', '.join(map(repr, scopes))}: say which one by scope"
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
    ordered = []
    for k in wanted:
        for way in order:
            key = (k, *layers, way) if ways != {""} else (*levels, k, way)
            ordered.append(_complete(cells.get(key, {}), key, cells))
    return ordered, ways != {""}


def _complete(cell, key, cells):
    """Return the names of the variables of a cell, or say which is missing."""
    needed = {"kernel", "bias"} | set(PEEPHOLES if set(PEEPHOLES) & set(cell) else ())
    if missing := [kind for kind in KINDS if kind in needed - set(cell)]:
        where = ", ".join(str(part) for part in key if part not in (-1, "")) or "the only one"
        found = ", ".join(name for cell in cells.values() for name in cell.values())
        raise ValueError(f"expected {' and '.join(missing)} of cell {where} too, got only {found}")
    return cell
