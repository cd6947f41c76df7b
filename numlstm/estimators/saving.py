"""`save`: fitted models as files that hold data only."""

import numbers

import numpy as np
from sklearn.utils.validation import check_is_fitted

from numlstm.persistence import write_model


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

        A process killed amid the write leaves a hidden file `.NAME.*.numlstm-part` beside the path,
        at most one, until the next write there. (On Windows it stays until somebody deletes it.)
        """
        check_is_fitted(self)
        self._check_parameters()  # `load` does, and a file that it refuses helps nobody
        arrays, fitted = self._saved_state()
        content = {"parameters": self._saved_parameters(), "fitted": fitted}
        write_model(path, type(self).__name__, arrays, content)

    def _saved_parameters(self):
        """Return the parameters as JSON can hold them."""
        parameters = self.get_params(deep=False)
        geometry = self._network.geometry
        parameters |= {name: geometry[name] for name in geometry if name in parameters}
        return {name: _plain(value) for name, value in parameters.items()}

    @classmethod
    def _from_saved(cls, parameters):
        """Return an estimator with the parameters of a file."""
        return cls(**parameters)


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
    return None


def check_list(values, kind=float):
    """Return a list of numbers from a file, or None."""
    return None if values is None else [kind(v) for v in values]
