"""What a forecaster writes to its file beside a network: the last window, and its index."""

import numpy as np

from numlstm.data.series import index_from


class ForecastSaveMixin:
    """`save` and `load` of the end of the series."""

    _own_arrays = ("_history", "_exogenous", "_floor")
    _own_facts = ("_window", "_ahead", "_window_scales")

    def _saved_state(self):
        arrays, fitted = super()._saved_state()
        return arrays, {**fitted, "index": self._index.describe()}

    def _restore(self, network, arrays, fitted):
        super()._restore(network, arrays, fitted)
        self._index = index_from(fitted["index"])
        blank = np.zeros((1, self.n_outputs_))  # fails for names that do not fit the series
        self._index.carry_on(blank[:, 0] if self._y_ndim == 1 else blank)
