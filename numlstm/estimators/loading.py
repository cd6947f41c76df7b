"""`load`: any saved model, told by the class named in its file."""

from numlstm.estimators.char_lstm import CharLSTM
from numlstm.estimators.classifier import LSTMClassifier
from numlstm.estimators.forecaster import LSTMForecaster
from numlstm.estimators.regressor import LSTMRegressor
from numlstm.nn.lstm import LSTM
from numlstm.nn.variant import described_variant, n_gates, weight_shapes
from numlstm.persistence import check_arrays, read_model

CLASSES = {c.__name__: c for c in (CharLSTM, LSTMClassifier, LSTMForecaster, LSTMRegressor)}


def load(path):
    """Return a model from a file that `save` wrote.

    Parameters
    ----------
    path : path

    Returns
    -------
    LSTM, LSTMRegressor, LSTMClassifier, LSTMForecaster or CharLSTM

    Raises
    ------
    OSError
        If there is no such file, or it cannot be read.
    ValueError
        If it is something else, damaged, or of a newer format. Nothing in a file is executed.
    """
    kind, arrays, content = read_model(path)
    if kind == "LSTM":
        _check_lstm(path, arrays, content)
        return LSTM._from_file(path, arrays, content)
    found = CLASSES.get(kind)
    if found is None:
        raise ValueError(f"{path} holds a {kind!r}, which is not a model that can be loaded")
    try:
        estimator = found._from_saved(content["parameters"])
        estimator._check_parameters()
        # Before anything is made: a short file that claims a huge network must not take the memory.
        enough = 3 * estimator.n_layers <= len(arrays)
        size = sum(array.size for array in arrays.values())
        if not enough or not estimator._least_size(content["fitted"]) <= size:
            raise ValueError("the arrays are too few or too small for the network it describes")
        network, shapes, dtypes = estimator._empty(content["fitted"])
        check_arrays(path, arrays, shapes, dtypes)
        estimator._restore(network, arrays, content["fitted"])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        # A ValueError explains itself; of the others the name says most.
        why = error if isinstance(error, ValueError) else repr(error)
        raise ValueError(f"{path} holds a {kind} that makes no sense: {why}") from None
    return estimator


def _check_lstm(path, arrays, content):
    """Raise a ValueError unless every layer of an `LSTM` has arrays that fit together."""
    try:
        variant = described_variant(content)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} holds an LSTM that makes no sense: {error}") from None
    shapes = {}
    for k in range(len(arrays) // len(weight_shapes(variant, 1, 1))):
        inputs, wide = (*getattr(arrays.get(f"{k}.Wx"), "shape", ()), 0, 0)[:2]
        layer = weight_shapes(variant, inputs, wide // n_gates(variant))
        shapes |= {f"{k}.{name}": shape for name, shape in layer.items()}
    dtype = getattr(arrays.get("0.Wx"), "dtype", None)
    check_arrays(path, arrays, shapes, dict.fromkeys(shapes, dtype))
