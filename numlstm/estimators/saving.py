"""`save` and `load`: fitted models as files that hold data only."""

import numbers

import numpy as np
from sklearn.utils.validation import check_is_fitted

from numlstm.persistence import check_arrays, read_model, write_model


class SaveMixin:
    """`save` for an estimator that knows its state: see `_saved_state` and `_restore`."""

    def save(self, path):
        """Write the fitted estimator to a file that `numlstm.load` reads.

        Parameters
        ----------
        path : path
            A safetensors file; replaced in one step, so that it is never half-written.

        Raises
        ------
        NotFittedError
        OSError
            If the file cannot be written; an older one then stays as it was.

        Notes
        -----
        A `random_state` that is not an integer is saved as None. The moments of the optimiser are
        not saved. Parameters of the network's shape are saved as they were when it was fitted.
        """
        check_is_fitted(self)
        self._check_parameters()  # `load` does, and a file that it refuses helps nobody
        arrays, fitted = self._saved_state()
        parameters = self.get_params(deep=False)
        geometry = self._network.geometry
        parameters |= {name: geometry[name] for name in geometry if name in parameters}
        parameters = {name: _plain(value) for name, value in parameters.items()}
        content = {"parameters": parameters, "fitted": fitted}
        write_model(path, type(self).__name__, arrays, content)

    def _least_size(self, fitted):
        """Return how many numbers the arrays of a file hold at least; see `load`."""
        g = fitted["geometry"]
        rows = g["hidden_size"] * g["n_layers"] + g["input_size"] + g["n_outputs"] / 4
        return 4 * g["hidden_size"] * rows


def _plain(value):
    """Return a parameter as JSON can hold it."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, (np.dtype, type)):
        return str(np.dtype(value))
    return None


def _classes():
    from numlstm.estimators.char_lstm import CharLSTM
    from numlstm.estimators.classifier import LSTMClassifier
    from numlstm.estimators.forecaster import LSTMForecaster
    from numlstm.estimators.regressor import LSTMRegressor

    return {c.__name__: c for c in (CharLSTM, LSTMClassifier, LSTMForecaster, LSTMRegressor)}


def load(path):
    """Return a model from a file that `save` wrote.

    Parameters
    ----------
    path : path

    Returns
    -------
    LSTM, LSTMRegressor, LSTMForecaster or CharLSTM

    Raises
    ------
    OSError
        If there is no such file, or it cannot be read.
    ValueError
        If it is something else, damaged, or of a newer format. Nothing in a file is executed.
    """
    from numlstm.nn.lstm import LSTM

    kind, arrays, content = read_model(path)
    if kind == "LSTM":
        _check_lstm(path, arrays)
        return LSTM._from_file(path, arrays, content)
    found = _classes().get(kind)
    if found is None:
        raise ValueError(f"{path} holds a {kind!r}, which is not a model that can be loaded")
    try:
        estimator = found(**content["parameters"])
        estimator._check_parameters()
        # Before anything is made: a short file that claims a huge network must not take the memory.
        if not estimator._least_size(content["fitted"]) <= sum(a.size for a in arrays.values()):
            raise ValueError(f"{path} holds arrays too small for the network it describes")
        network, shapes, dtypes = estimator._empty(content["fitted"])
        check_arrays(path, arrays, shapes, dtypes)
        estimator._restore(network, arrays, content["fitted"])
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise ValueError(f"{path} holds a {kind} that makes no sense: {error!r}") from None
    return estimator


def _check_lstm(path, arrays):
    """Raise a ValueError unless every layer of an `LSTM` has arrays that fit together."""
    shapes = {}
    for k in range(len(arrays) // 3):
        inputs, wide = (*getattr(arrays.get(f"{k}.Wx"), "shape", ()), 0, 0)[:2]
        shapes |= {f"{k}.Wx": (inputs, wide), f"{k}.Wh": (wide // 4, wide), f"{k}.b": (wide,)}
    dtype = getattr(arrays.get("0.Wx"), "dtype", None)
    check_arrays(path, arrays, shapes, dict.fromkeys(shapes, dtype))


def check_list(values, kind=float):
    """Return a list of numbers from a file, or None."""
    return None if values is None else [kind(v) for v in values]
