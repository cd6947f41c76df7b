"""`save` and `load` of `LSTMClassifier`: labels of every kind come back, and lies are refused."""

import numpy as np
import pytest
from test_saved_estimators import again

import numlstm
from numlstm import LSTMClassifier
from numlstm.persistence import read_model, write_model

N, T = 24, 6


def classifier(**options):
    usual = {"hidden_size": 5, "max_iter": 2, "batch_size": 8, "n_threads": 1, "random_state": 0}
    return LSTMClassifier(**usual | options)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.fixture
def X(rng):
    return rng.normal(size=(N, T, 2))


LABELS = {
    "strings": ["up", "down", "über"],
    "strings in objects": np.array(["up", "down", "über"], object),
    "integers": [3, -7, 0],
    "unsigned": np.array([3, 200, 0], np.uint8),
    "floats": [0.0, 2.0, -1.0],
    "switches": [False, True, False],
    "one": ["only"] * 3,
}


@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("kind", LABELS)
def test_labels_come_back(kind, per_step, X, path):
    y = np.asarray(LABELS[kind])[np.arange(N) % 3]
    y = np.repeat(y[:, None], T, axis=1) if per_step else y
    model = classifier().fit(X, y)
    loaded = again(model, path)
    np.testing.assert_array_equal(loaded.classes_, model.classes_, strict=True)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X), strict=True)
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X), strict=True)
    assert loaded.loss_curve_ == model.loss_curve_


WEIGHTS = [None, "balanced", {0: 1.5, 1: 2, 2: 0.5}, {np.int64(2): 3}]


@pytest.mark.parametrize("class_weight", WEIGHTS)
def test_class_weights_come_back(class_weight, X, path):
    y = np.arange(N) ** 2 % 3
    y[0] = 2
    model = classifier(class_weight=class_weight).fit(X, y)
    loaded = again(model, path)
    np.testing.assert_array_equal(loaded.classes_, model.classes_, strict=True)
    bytes_then = path.read_bytes()
    loaded.save(path)
    assert path.read_bytes() == bytes_then
    assert loaded.get_params() == model.get_params()
    assert loaded.fit(X, y).loss_curve_ == model.fit(X, y).loss_curve_


def test_string_labels_of_weights_come_back(X, path):
    y = np.array(["a", "b"])[np.arange(N) % 2]
    model = classifier(class_weight={"a": 4.0, "b": 1.0}).fit(X, y)
    assert again(model, path).class_weight == {"a": 4.0, "b": 1.0}


def test_labels_that_a_file_cannot_hold(X, path):
    model = classifier().fit(X, np.arange(N) % 2)
    model.classes_ = np.array(["2020", "2021"], "datetime64[Y]")
    with pytest.raises(ValueError, match="labels of dtype datetime64.* cannot be saved"):
        model.save(path)
    assert not path.exists()


CLASSES = {
    "too few": {"dtype": "<U1", "values": ["a"]},
    "too many": {"dtype": "<U1", "values": ["a", "b", "c"]},
    "not in order": {"dtype": "<U1", "values": ["b", "a"]},
    "twice the same": {"dtype": "<U1", "values": ["a", "a"]},
    "cut off": {"dtype": "<U1", "values": ["aa", "b"]},
    "numbers as strings": {"dtype": "<U1", "values": [1, 2]},
    "strings as numbers": {"dtype": "<i8", "values": ["1", "2"]},
    "fractions as integers": {"dtype": "<i8", "values": [0.5, 1.5]},
    "objects": {"dtype": "|O", "values": [{}, []]},
    "dates": {"dtype": "<M8[D]", "values": [1, 2]},
    "no dtype": {"dtype": "spam", "values": ["a", "b"]},
    "none": None,
}


@pytest.mark.parametrize("case", CLASSES)
def test_classes_that_make_no_sense_are_refused(case, X, path):
    classifier().fit(X, np.array(["a", "b"])[np.arange(N) % 2]).save(path)
    kind, arrays, content = read_model(path)
    content["fitted"]["classes"] = CLASSES[case]
    write_model(path, kind, arrays, content)
    with pytest.raises(ValueError, match="LSTMClassifier that makes no sense"):
        numlstm.load(path)


@pytest.mark.parametrize("y_ndim", [0, 2, 3])
def test_another_form_of_labels_is_refused(y_ndim, X, path):
    classifier().fit(X, np.arange(N) % 2).save(path)
    kind, arrays, content = read_model(path)
    content["fitted"]["_y_ndim"] = y_ndim
    write_model(path, kind, arrays, content)
    with pytest.raises(ValueError, match="contradicts itself: y of"):
        numlstm.load(path)
