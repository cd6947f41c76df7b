"""What a classifier writes to its file beside a network: labels and weights of classes."""

import numpy as np

from numlstm.data.validation import check_shape

KINDS = "biufU"  # of NumPy's dtypes; an object array must hold strings


class ClassSaveMixin:
    """`save` and `load` of `classes_` and `class_weight`."""

    _own_arrays = ("_class_weights",)

    def _saved_state(self):
        arrays, fitted = super()._saved_state()
        return arrays, {**fitted, "classes": describe_classes(self.classes_)}

    def _saved_parameters(self):
        parameters = super()._saved_parameters()
        if isinstance(self.class_weight, dict):  # the keys of a JSON object are strings
            weights = self.class_weight
            labels = describe_classes(np.array(list(weights)))["values"]
            parameters["class_weight"] = list(
                zip(labels, map(float, weights.values()), strict=True)
            )
        return parameters

    @classmethod
    def _from_saved(cls, parameters):
        weights = parameters["class_weight"]
        if isinstance(weights, list):
            parameters = {**parameters, "class_weight": {label: w for label, w in weights}}
        return super()._from_saved(parameters)

    def _y_fits(self, per_step):
        return self._y_ndim == (2 if per_step else 1)

    def _restore(self, network, arrays, fitted):
        super()._restore(network, arrays, fitted)
        self.classes_ = classes_from(fitted["classes"])
        check_shape("classes", self.classes_, (self.n_outputs_,))
        self._prepare_network(network)


def describe_classes(classes):
    """Return classes as JSON can hold them.

    Raises
    ------
    ValueError
        For labels that are neither numbers nor strings.
    """
    values = classes.tolist()
    strings = all(isinstance(value, str) for value in values)
    if classes.dtype.kind not in KINDS and not (classes.dtype.kind == "O" and strings):
        raise ValueError(
            f"labels of dtype {classes.dtype} cannot be saved, only numbers and strings"
        )
    return {"dtype": classes.dtype.str, "values": values}


def classes_from(described):
    """Return the classes of `describe_classes`; raise a ValueError if they make no sense."""
    dtype, values = np.dtype(described["dtype"]), described["values"]
    strings = dtype.kind in "OU"
    if dtype.kind not in KINDS + "O" or not all(isinstance(v, str) == strings for v in values):
        raise ValueError(f"classes of dtype {dtype} do not fit {values[:3]}")
    classes = np.array(values, dtype)
    if classes.tolist() != values or not np.array_equal(np.unique(classes), classes):
        raise ValueError("the classes are not distinct labels in order")
    return classes
