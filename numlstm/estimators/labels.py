"""Labels of classes, as they are given and as the network counts them; weights of classes."""

import numbers
import warnings

import numpy as np
from sklearn.exceptions import DataConversionWarning
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import assert_all_finite

from numlstm.data.sequences import Sequences, is_ragged
from numlstm.data.validation import check_unmasked


def read_labels(y, lengths):
    """Return labels (n, 1), or `Sequences` of them, one for each step; and y's dimensions.

    Raises
    ------
    ValueError
        For other dimensions, numbers that are not classes, NaN, other lengths than those of X.
    """
    if is_ragged(y) and np.ndim(y[0]) > 0:
        parts = [_as_labels("y", part).reshape(-1) for part in y]
        found = np.array([len(part) for part in parts])
        if len({part.dtype.kind in "US" for part in parts}) > 1:  # NumPy would make all strings
            parts = [part.astype(object) for part in parts]
        labels = np.concatenate(parts)
    else:
        array = _as_labels("y", y)
        if array.ndim == 2 and array.shape[1] == 1:
            warnings.warn(
                "A column-vector y was passed when a 1d array was expected",
                DataConversionWarning,
                stacklevel=6,
            )
            array = array[:, 0]
        if array.ndim not in (1, 2) or not array.size:
            raise ValueError(
                "y must have shape (n_samples,) or (n_samples, n_timesteps), none of them 0, "
                f"got {array.shape}"
            )
        labels = array.reshape(-1)
        found = None if array.ndim == 1 else np.full(len(array), array.shape[1])
    _check_objects("y", labels)
    assert_all_finite(labels, input_name="y")
    check_classification_targets(labels)
    if found is None:
        return labels[:, None], 1
    if not np.array_equal(found, lengths):
        k = int(np.flatnonzero(found != lengths)[0])
        raise ValueError(
            f"y must have one label for each time step of X: sequence {k} has {lengths[k]} "
            f"steps, but {found[k]} labels"
        )
    return Sequences(labels[:, None], np.cumsum(lengths) - lengths, lengths), 2


def read_classes(classes):
    """Return distinct labels, sorted, (n_classes,).

    Raises
    ------
    ValueError
        For other dimensions, none, missing ones, or labels of several kinds.
    """
    array = _as_labels("classes", classes)
    if array.ndim != 1 or not array.size:
        raise ValueError(f"classes must have shape (n_classes,), not 0, got {array.shape}")
    _check_objects("classes", array)
    assert_all_finite(array, input_name="classes")
    return np.unique(array)


def _as_labels(name, labels):
    """Return labels as an array; where a list mixes strings and other things, of objects."""
    check_unmasked(name, labels)
    try:
        array = np.asarray(labels)
    except TypeError as error:  # columns of kinds that have nothing in common
        raise ValueError(f"{name} must hold labels of one kind: {error}") from error
    if array.dtype.kind not in "US" or isinstance(labels, np.ndarray):
        return array
    given = np.asarray(labels, object)
    return array if all(isinstance(v, (str, bytes)) for v in given.flat) else given


def _check_objects(name, labels):
    """Raise a ValueError where objects are no labels, or cannot be sorted."""
    if labels.dtype.kind != "O":
        return
    values = labels.tolist()
    for k, value in enumerate(values):
        if _is_missing(value):
            raise ValueError(f"{name} must hold labels, but at index {k} one is missing: {value!r}")
    try:
        np.unique(labels)
    except TypeError:
        kinds = ", ".join(sorted({type(value).__name__ for value in values}))
        raise ValueError(f"{name} must hold labels of one kind, got {kinds}") from None


def _is_missing(value):
    try:
        return value is None or bool(value != value)
    except (TypeError, ValueError):  # of pandas.NA nobody knows, and an array is no label
        return True


def number_of(labels, classes):
    """Return the number of each label among the classes, (n, 1).

    Raises
    ------
    ValueError
        For a label that is none of them.
    """
    at = {label: k for k, label in enumerate(classes.tolist())}
    try:
        return np.array([[at[label]] for label in labels[:, 0].tolist()])
    except KeyError as error:
        raise ValueError(
            f"y must hold labels of classes_ = {classes}, got {error.args[0]!r}"
        ) from None


def weights_of(classes, class_weight, labels, sample_weight):
    """Return the weight of each class in the loss, (n_classes,).

    Parameters
    ----------
    classes : array, (n_classes,)
    class_weight : dict, "balanced" or None
    labels, sample_weight : array, (n,)
        "balanced" makes the total weight of each class the same.
    """
    if class_weight != "balanced":
        odd = set(class_weight or ()) - set(classes.tolist())
        if odd:
            raise ValueError(
                f"class_weight must be a dict of labels in y: {odd.pop()!r} is none of {classes}"
            )
        weights = compute_class_weight(class_weight, classes=classes, y=labels)
        return np.asarray(weights, np.float64)
    totals = np.array([sample_weight[labels == label].sum() for label in classes])
    present = totals > 0
    weights = np.ones(len(classes))
    weights[present] = totals.sum() / (present.sum() * totals[present])
    return weights


def check_class_weight(class_weight):
    """Raise a ValueError unless it is None, "balanced", or a dict of numbers not below 0."""
    if class_weight is None or (isinstance(class_weight, str) and class_weight == "balanced"):
        return
    wanted = "a dict of labels and numbers of at least 0, 'balanced' or None"
    if not isinstance(class_weight, dict):
        raise ValueError(f"class_weight must be {wanted}, got {class_weight!r}")
    for weight in class_weight.values():
        if not isinstance(weight, numbers.Real) or not 0 <= weight < np.inf:
            raise ValueError(f"class_weight must be {wanted}, got {class_weight!r}")
