"""Files whose description contradicts itself or their arrays: refused before anything is made."""

import json
import time
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open

import numlstm
from numlstm import CharLSTM, LSTMForecaster, LSTMRegressor
from numlstm.persistence import read_model, write_model

N, T = 24, 6
QUICK = {"hidden_size": 5, "max_iter": 1, "n_threads": 1, "random_state": 0}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.fixture
def parts(rng, path):
    """Class, arrays and description of a saved forecaster of two series with two features."""
    y = pd.DataFrame(rng.normal(size=(N, 2)), pd.period_range("2020-01", periods=N, freq="M"))
    LSTMForecaster(4, 3, **QUICK).fit(y, rng.normal(size=(N, 2))).save(path)
    return read_model(path)


@pytest.fixture
def regressor_parts(rng, path):
    """Those of a regressor of two targets, fitted on a table."""
    X = pd.DataFrame(rng.normal(size=(N, T)), columns=[f"lag {k}" for k in range(T)])
    LSTMRegressor(**QUICK).fit(X, rng.normal(size=(N, 2))).save(path)
    return read_model(path)


def refuses(path, kind, arrays, content, match=None):
    """Check that a file is refused, at once, with its name in the message."""
    write_model(path, kind, arrays, content)
    start = time.perf_counter()
    with pytest.raises(ValueError, match=match) as caught:
        numlstm.load(path)
    assert time.perf_counter() - start < 5  # whatever else the machine does
    assert path.name in str(caught.value)


def test_the_parts_put_together_again_are_accepted(parts, regressor_parts, path):
    for kind, arrays, content in (parts, regressor_parts):
        write_model(path, kind, arrays, content)
        assert type(numlstm.load(path)).__name__ == kind


HUGE = 10**9
PARAMETERS = {
    "hidden_size": (6, HUGE, 10**30, 0, -1, 5.0, "5", None, True, [5]),
    "n_layers": (2, HUGE, 10**30, 0, "1"),
    "bidirectional": (True, 0, None),
    "dropout": (0.5, 1.0, -1, "0", float("nan")),
    "dtype": ("float64", "float16", "object", "O", None, 3),
    "window": (0, "4"),
    "strategy": ("both", None),
    "loss": ("log", None),
    "nonsense": (1,),
    "self": (1,),
}
FITTED = {
    "n_features_in_": (1, 3, HUGE, -2, 0, "2", 2.0, None),
    "n_outputs_": (1, 4, HUGE, 0, -1, None),
    "_y_ndim": (0, 1, 3, "2"),
    "_window": (5, HUGE, 0, -4, 4.0, "4", None),
    "_ahead": (1, 4, HUGE, 0, None),
    "_window_scales": (1, None, "yes"),
    "n_iter_": ("two", None, -1),
    "t_": ([], 1.5),
    "loss_": ("low", [], 10**400),
    "loss_curve_": (["a"], 3, [None], [10**400]),
    "validation_scores_": (3, {"a": 1}),
    "univariate": (True, 0, None),
    "feature_names": (["a"], ["a", "b", "c"], 5),
    "geometry": (None, {}, [], "geometry"),
    "index": ({}, [], "index", 5),
}
GEOMETRY = {
    "input_size": (7, HUGE, 10**30, 0, -8, 8.0, None),
    "hidden_size": (6, HUGE, 10**30, 0, -5, None),
    "n_outputs": (5, HUGE, 10**30, 0, -6, 6.5, None),
    "n_layers": (2, HUGE, 10**30, 0, None),
    "bidirectional": (True, None, 2),
    "per_step": (True, None, 0),
    "dropout": (0.5, None, "0"),
    "dtype": ("float64", "object", None),
    "nonsense": (1,),
}
INDEX = {
    "kind": ("Timestamp", "Interval", "number", None),
    "step": ("M M", 7, None, "D;"),
    "last": ("yesterday evening", None, []),
    "names": ("v", ["v"], ["a", "b", "c"], 5),
}


def cases(table):
    return [(name, value) for name, values in table.items() for value in values]


def ids(value):
    return (
        value[:20]
        if isinstance(value, str)
        else f"1e{len(str(value)) - 1}"
        if value in (HUGE, 10**30)
        else None
    )


@pytest.mark.parametrize(("name", "value"), cases(PARAMETERS))
def test_a_parameter_that_does_not_fit_is_refused(name, value, parts, path):
    kind, arrays, content = parts
    content["parameters"][name] = value
    refuses(path, kind, arrays, content)


@pytest.mark.parametrize(("name", "value"), cases(FITTED))
def test_a_fact_that_does_not_fit_is_refused(name, value, parts, path):
    kind, arrays, content = parts
    content["fitted"][name] = value
    refuses(path, kind, arrays, content)


@pytest.mark.parametrize(("name", "value"), cases(GEOMETRY))
def test_a_geometry_that_does_not_fit_is_refused(name, value, parts, path):
    kind, arrays, content = parts
    content["fitted"]["geometry"][name] = value
    refuses(path, kind, arrays, content)


@pytest.mark.parametrize(("name", "value"), cases(INDEX))
def test_an_index_that_makes_no_sense_is_refused(name, value, parts, path):
    kind, arrays, content = parts
    content["fitted"]["index"][name] = value
    refuses(path, kind, arrays, content)


@pytest.mark.parametrize("part", ["parameters", "fitted", "fitted/geometry", "fitted/index"])
def test_nothing_may_be_left_out(part, parts, path):
    kind, arrays, content = parts
    holder = content
    for key in part.split("/"):
        holder = holder[key]
    if part == "parameters":  # these have defaults; those that decide on the network do not fit
        holder = {name: holder[name] for name in ("hidden_size",)}
    for name in holder:
        changed = json.loads(json.dumps(content))
        inside = changed
        for key in part.split("/"):
            inside = inside[key]
        del inside[name]
        refuses(path, kind, arrays, changed)


def claims(parameters, geometry, fitted, value, content):
    """Return a description that says the same huge number wherever it is said."""
    changed = json.loads(json.dumps(content))
    changed["parameters"] |= dict.fromkeys(parameters, value)
    changed["fitted"]["geometry"] |= dict.fromkeys(geometry, value)
    changed["fitted"] |= dict.fromkeys(fitted, value)
    return changed


@pytest.mark.parametrize("value", [10**5, HUGE, 10**30])
def test_a_huge_network_is_refused_before_there_is_one(value, parts, regressor_parts, path):
    kind, arrays, content = parts
    table_kind, table_arrays, table_content = regressor_parts
    files = [
        (kind, arrays, claims(["hidden_size"], ["hidden_size"], [], value, content)),
        (kind, arrays, claims(["n_layers"], ["n_layers"], [], value, content)),
        (kind, arrays, claims(["window"], [], ["_window"], value, content)),
    ]
    wide = claims([], ["input_size"], ["n_features_in_"], value, table_content)
    wide["fitted"]["univariate"] = False
    files.append((table_kind, table_arrays, wide))
    many = claims([], ["n_outputs"], ["n_outputs_"], value, table_content)
    files.append((table_kind, table_arrays, many))
    CharLSTM(8, 1, max_iter=0, random_state=0).fit("to be or not to be").save(path)
    char_kind, char_arrays, char_content = read_model(path)
    for name in ("hidden_size", "n_layers", "embedding_size"):
        changed = json.loads(json.dumps(char_content))
        changed["parameters"][name] = value
        files.append((char_kind, char_arrays, changed))
    tracemalloc.start()
    try:
        for file in files:
            refuses(path, *file)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_arrays_that_do_not_fit_are_refused(parts, regressor_parts, path):
    for kind, arrays, content in (parts, regressor_parts):
        for name, array in arrays.items():
            wrong = [None, array[:-1], array[None], array.reshape(-1)[:0]]
            wrong += [array.astype(dtype) for dtype in (np.float16, np.int64)]
            wrong.append(np.full_like(array, np.inf))
            if array.ndim == 2 and array.shape[0] != array.shape[1]:
                wrong.append(array.T)
            for other in wrong:
                changed = {**arrays, name: other}
                if other is None:
                    del changed[name]
                refuses(path, kind, changed, content)
        for name in ("evil", "fitted._evil", "fitted._network", "lstm.7.Wx", "fitted.hidden_size"):
            refuses(path, kind, {**arrays, name: np.zeros(3)}, content, match="other arrays")
        refuses(path, kind, {}, content)


@pytest.mark.parametrize(
    "kind", ["LSTMClassifier", "CharLSTM", "LSTM", "Evil", "", "os", "__init__"]
)
def test_a_file_of_another_class_is_refused(kind, parts, path):
    refuses(path, kind, *parts[1:])


@pytest.mark.parametrize("kind", [None, 5, ["LSTMRegressor"], {"a": 1}])
def test_a_class_that_is_no_name_is_refused(kind, parts, path):
    refuses(path, kind, *parts[1:])


def test_nothing_but_numbers_and_names_is_in_a_file(parts, path):
    kind, arrays, content = parts
    assert kind == "LSTMForecaster"
    assert set(content) == {"parameters", "fitted"}
    assert {array.dtype.kind for array in arrays.values()} == {"f"}
    with safe_open(path, framework="numpy") as file:
        assert set(file.metadata()) == {"numlstm"}
