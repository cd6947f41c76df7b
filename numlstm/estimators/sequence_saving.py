"""What the estimators on sequences write to their files, and how they come back from one."""

import numpy as np

from numlstm.data.validation import check_bool, check_integer, check_shape
from numlstm.estimators.saving import SaveMixin, check_list
from numlstm.nn.network import SequenceNetwork
from numlstm.nn.variant import describe_variant, described_variant, n_gates

NUMBERS = ("n_features_in_", "n_outputs_", "n_iter_", "t_", "_y_ndim")
LOSSES = ("loss_", "best_loss_", "best_validation_score_")
CURVES = ("loss_curve_", "validation_scores_")
# Arrays beside the weights, and their shapes: D features, K outputs or series, W past values.
SHAPES = {
    "_x_mean": "D", "_x_scale": "D", "_y_mean": "K", "_y_scale": "K",
    "_class_weights": "K", "_history": "WK", "_exogenous": "WD", "_floor": "K",
}  # fmt: skip
SWITCHES = ("_window_scales",)  # the facts of a subclass that are no numbers


class SequenceSaveMixin(SaveMixin):
    """`save` for `SequenceEstimator`; a subclass has arrays and facts of its own."""

    _own_arrays = ("_y_mean", "_y_scale")  # names of fitted float64 arrays, keys of SHAPES
    _own_facts = ()  # names of fitted numbers and switches

    def _fitted_shapes(self):
        """Return the shape of every array beside the weights; none has an empty one."""
        sizes = {"D": 1 if self._univariate else self.n_features_in_, "K": self.n_outputs_}
        sizes["W"] = getattr(self, "_window", 0)
        shapes = {
            name: tuple(sizes[letter] for letter in SHAPES[name])
            for name in ("_x_mean", "_x_scale", *self._own_arrays)
        }
        return {name: shape for name, shape in shapes.items() if 0 not in shape}

    def _saved_state(self):
        arrays = self._network.get_weights()
        for name in self._fitted_shapes():
            arrays[f"fitted.{name}"] = np.asarray(getattr(self, name), np.float64)
        facts = (*NUMBERS, *LOSSES, *CURVES, *self._own_facts)
        fitted = {name: getattr(self, name) for name in facts}
        fitted |= {
            "geometry": self._network.geometry | self._described_variant(),
            "univariate": bool(self._univariate),
            "feature_names": list(getattr(self, "feature_names_in_", [])),
        }
        return arrays, fitted

    def _described_variant(self):
        return {"variant": describe_variant(self._network.variant)}

    def _saved_parameters(self):
        return super()._saved_parameters() | self._described_variant()

    @classmethod
    def _from_saved(cls, parameters):
        return super()._from_saved(parameters | {"variant": described_variant(parameters)})

    def _least_size(self, fitted):
        """Return how many numbers the arrays of a file hold at least; see `load`."""
        g, variant = fitted["geometry"], self.variant
        H = R = g["hidden_size"]
        if variant is not None:
            R = variant.proj_size or H
        rows = R * g["n_layers"] + g["input_size"]
        return n_gates(variant) * H * rows + R * g["n_outputs"]

    def _empty(self, fitted):
        """Return a network of the saved geometry, and shapes and dtypes of the file's arrays."""
        self._set_facts(fitted)
        geometry, ahead = fitted["geometry"], getattr(self, "_ahead", 1)
        geometry = geometry | {"variant": described_variant(geometry)}
        expected = {"input_size": self._input_size, "n_outputs": self.n_outputs_ * ahead}
        for name in ("hidden_size", "n_layers", "bidirectional", "dropout", "variant"):
            expected[name] = getattr(self, name)
        expected["dtype"] = str(np.dtype(self.dtype))
        for name, value in expected.items():
            if geometry[name] != value:
                raise ValueError(
                    f"the file contradicts itself: {name} is {value!r} and {geometry[name]!r}"
                )
        if not self._y_fits(check_bool("per_step", geometry["per_step"])):
            raise ValueError(
                f"the file contradicts itself: y of {self._y_ndim} dimensions, "
                f"{self.n_outputs_} outputs, per_step {geometry['per_step']}"
            )
        network = SequenceNetwork(**geometry)
        shapes = network.shapes()
        dtypes = dict.fromkeys(shapes, network.dtype)
        for name, shape in self._fitted_shapes().items():
            shapes[f"fitted.{name}"], dtypes[f"fitted.{name}"] = shape, np.dtype(np.float64)
        return network, shapes, dtypes

    def _y_fits(self, per_step):
        """Return whether y can have had the number of dimensions that the file says."""
        if per_step:
            return self._y_ndim == 3
        return self._y_ndim == 2 or (self._y_ndim == 1 and self.n_outputs_ == 1)

    def _set_facts(self, fitted):
        """Set the fitted attributes that are not arrays."""
        self._univariate = check_bool("univariate", fitted["univariate"])
        for name in (*NUMBERS, *self._own_facts):
            if name in SWITCHES:
                setattr(self, name, check_bool(name, fitted[name]))
            else:
                setattr(self, name, check_integer(name, fitted[name], 0))
        for name in LOSSES:
            setattr(self, name, None if fitted[name] is None else float(fitted[name]))
        for name in CURVES:
            setattr(self, name, check_list(fitted[name]))
        if fitted["feature_names"]:
            self.feature_names_in_ = np.array([str(n) for n in fitted["feature_names"]], object)
            check_shape("feature_names", self.feature_names_in_, (self.n_features_in_,))

    def _restore(self, network, arrays, fitted):
        """Set the fitted attributes that are arrays, or made of them."""
        network.set_weights(arrays)
        self._network, self.lstm_, self._dtype = network, network.lstm, network.dtype
        for name in self._own_arrays:
            setattr(self, name, None)
        for name in self._fitted_shapes():
            setattr(self, name, arrays[f"fitted.{name}"])
