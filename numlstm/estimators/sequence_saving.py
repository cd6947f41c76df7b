"""What the estimators on sequences write to their files, and how they come back from one."""

import numpy as np

from numlstm.estimators.saving import SaveMixin, check_list
from numlstm.nn.network import SequenceNetwork

NUMBERS = ("n_features_in_", "n_outputs_", "n_iter_", "t_", "_y_ndim")
LOSSES = ("loss_", "best_loss_", "best_validation_score_")
CURVES = ("loss_curve_", "validation_scores_")
SCALES = ("_x_mean", "_x_scale", "_y_mean", "_y_scale")


class SequenceSaveMixin(SaveMixin):
    """`save` for `SequenceEstimator`; a subclass adds arrays and facts of its own."""

    _own_arrays = ()  # names of fitted float64 arrays beside the scales
    _own_facts = ()  # names of fitted numbers or strings

    def _saved_state(self):
        arrays = self._network.get_weights()
        names = [
            name for name in (*SCALES, *self._own_arrays) if getattr(self, name, None) is not None
        ]
        arrays |= {f"fitted.{name}": np.asarray(getattr(self, name), np.float64) for name in names}
        facts = (*NUMBERS, *LOSSES, *CURVES, *self._own_facts)
        fitted = {name: getattr(self, name) for name in facts}
        fitted |= {
            "geometry": self._network.geometry,
            "univariate": bool(self._univariate),
            "shapes": {name: list(np.shape(getattr(self, name))) for name in names},
            "feature_names": list(getattr(self, "feature_names_in_", [])),
        }
        return arrays, fitted

    def _empty(self, fitted):
        """Return a network of the saved geometry, and shapes and dtypes of the file's arrays."""
        geometry = fitted["geometry"]
        for name in ("hidden_size", "n_layers", "bidirectional", "dropout"):
            if geometry[name] != getattr(self, name):
                raise ValueError(
                    f"the file contradicts itself: {name} is {getattr(self, name)!r} and "
                    f"{geometry[name]!r}"
                )
        network = SequenceNetwork(**geometry)
        shapes = network.shapes()
        dtypes = dict.fromkeys(shapes, network.dtype)
        for name, shape in fitted["shapes"].items():
            if name not in (*SCALES, *self._own_arrays):
                raise ValueError(f"the file holds {name!r}, which its class does not know")
            shapes[f"fitted.{name}"] = tuple(shape)
            dtypes[f"fitted.{name}"] = np.dtype(np.float64)
        return network, shapes, dtypes

    def _restore(self, network, arrays, fitted):
        """Set the fitted attributes from a file."""
        network.set_weights(arrays)
        self._network, self.lstm_, self._dtype = network, network.lstm, network.dtype
        self._univariate = bool(fitted["univariate"])
        for name in NUMBERS:
            setattr(self, name, int(fitted[name]))
        for name in LOSSES:
            setattr(self, name, None if fitted[name] is None else float(fitted[name]))
        for name in CURVES:
            setattr(self, name, check_list(fitted[name]))
        for name in self._own_facts:
            setattr(self, name, fitted[name])
        for name in (*SCALES, *self._own_arrays):
            if name in fitted["shapes"]:
                setattr(self, name, arrays[f"fitted.{name}"])
            elif name in self._own_arrays:
                setattr(self, name, None)
        if fitted["feature_names"]:
            self.feature_names_in_ = np.array(fitted["feature_names"], object)
