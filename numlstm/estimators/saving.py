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
        not saved.
        """
        check_is_fitted(self)
        arrays, fitted = self._saved_state()
        parameters = {name: _plain(value) for name, value in self.get_params(deep=False).items()}
        content = {"parameters": parameters, "fitted": fitted}
        write_model(path, type(self).__name__, arrays, content)


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
        return LSTM._from_file(path, arrays, content)
    found = _classes().get(kind)
    if found is None:
        raise ValueError(f"{path} holds a {kind!r}, which is not a model that can be loaded")
    try:
        estimator = found(**content["parameters"])
        estimator._check_parameters()
        network, shapes, dtypes = estimator._empty(content["fitted"])
        check_arrays(path, arrays, shapes, dtypes)
        estimator._restore(network, arrays, content["fitted"])
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{path} holds a {kind} that makes no sense: {error!r}") from None
    return estimator


def check_list(values, kind=float):
    """Return a list of numbers from a file, or None."""
    return None if values is None else [kind(v) for v in values]
