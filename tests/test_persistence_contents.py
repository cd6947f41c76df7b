"""Whole files of nonsense: a clear error each, and no memory taken."""

import copy
import tracemalloc

import numpy as np
import pytest
from test_char_errors import BAD_PARAMETERS
from test_persistence import char_lstm, lstm

import numlstm
from numlstm import persistence
from numlstm.persistence import read_model, write_model


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def parts_of(make, path, **options):
    make(**options).save(path)
    return read_model(path)


def refuses(path, kind, arrays, content, match="model.safetensors"):
    write_model(path, kind, arrays, content)
    with pytest.raises(ValueError, match=match) as caught:
        numlstm.load(path)
    assert path.name in str(caught.value)


@pytest.mark.parametrize("make", [char_lstm, lstm])
def test_arrays_that_do_not_fit_are_refused(make, path):
    kind, arrays, content = parts_of(make, path, n_layers=2)
    for name, array in arrays.items():
        wrong = [array[None], array.reshape(-1)[:0], np.zeros((), array.dtype)]
        wrong += [] if (kind, name) == ("LSTM", "0.Wx") else [array[:-1]]  # that reads less input
        wrong += [array.astype(dtype) for dtype in ("float16", "float64", "int64", "bool")]
        wrong += [np.full_like(array, value) for value in (np.nan, np.inf, -np.inf)]
        wrong += [array.T] if array.T.shape != array.shape else []
        for other in wrong:
            refuses(path, kind, {**arrays, name: other}, content)
        refuses(path, kind, {k: a for k, a in arrays.items() if k != name}, content)
        refuses(path, kind, {**arrays, f"{name}x": array}, content)
    refuses(path, kind, {}, content)
    refuses(path, kind, {**arrays, "2.b": np.zeros(20), "a": np.zeros(3)}, content)
    write_model(path, kind, arrays, content)
    numlstm.load(path)


@pytest.mark.parametrize(
    "kind", ["CharLSTM", "LSTM", "LSTMRegressor", "os.system", "eval", "", "é"]
)
@pytest.mark.parametrize("make", [char_lstm, lstm])
def test_another_class_is_refused(make, kind, path):
    own, arrays, content = parts_of(make, path)
    if kind != own:
        refuses(path, kind, arrays, content)


@pytest.mark.parametrize(("name", "value"), [bad[:2] for bad in BAD_PARAMETERS])
def test_a_parameter_out_of_range_is_refused(name, value, path):
    kind, arrays, content = parts_of(char_lstm, path)
    content["parameters"][name] = value
    refuses(path, kind, arrays, content, match=f"makes no sense: .*{name}")


HUGE = (30_000, 10**9, 10**18, 10**400)


@pytest.mark.parametrize("value", HUGE, ids=lambda v: f"{len(str(v))} digits")
def test_a_short_file_that_claims_a_huge_network_takes_no_memory(value, path):
    kind, arrays, content = parts_of(char_lstm, path)
    layers = parts_of(lstm, path)
    wide = 4 * min(value, 10**6)
    claim = {"0.Wx": (1, wide), "0.Wh": (1, wide), "0.b": (wide,)}
    tracemalloc.start()
    for name in ("hidden_size", "n_layers", "embedding_size"):
        changed = copy.deepcopy(content)
        changed["parameters"][name] = value
        refuses(path, kind, arrays, changed)
    everything = copy.deepcopy(content)
    everything["fitted"]["vocabulary"] = [chr(k) for k in range(50_000)]
    everything["parameters"]["hidden_size"] = 2000
    refuses(path, kind, arrays, everything)
    zeros = {key: np.zeros(shape, np.float32) for key, shape in claim.items()}
    refuses(path, "LSTM", zeros, layers[2])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6 + 12 * 4 * wide  # what it takes to write and read these arrays themselves


JUNK = [
    None, True, -1, 0, 1, 2**63, 10**400, 0.5, -1e308, 1e400, float("nan"), "", "x", "\ud800", [],
    [1], ["a", "b"], [[]], {}, {"a": 1}, {"__class__": "os"}, "__import__('os')",
]  # fmt: skip


def nodes(value, at=()):
    """Yield the path of everything inside a description."""
    inside = value.items() if isinstance(value, dict) else ()
    inside = enumerate(value) if isinstance(value, list) else inside
    for key, part in inside:
        yield (*at, key)
        yield from nodes(part, (*at, key))


@pytest.mark.parametrize("make", [char_lstm, lstm])
def test_junk_in_any_place_of_a_description(make, path, monkeypatch):
    """It is refused, or the model works: a part that it does not depend on."""
    monkeypatch.setattr(persistence.os, "fsync", lambda handle: None)
    kind, arrays, content = parts_of(make, path)
    accepted = set()
    for place in nodes(content):
        for junk in (*JUNK, ...):
            changed = copy.deepcopy(content)
            holder = changed
            for key in place[:-1]:
                holder = holder[key]
            if junk is ...:
                del holder[place[-1]]
            else:
                holder[place[-1]] = junk
            write_model(path, kind, arrays, changed)
            try:
                model = numlstm.load(path)
            except ValueError as error:
                assert path.name in str(error)
                continue
            accepted.add(place[:2][-1])
            if make is char_lstm:
                assert len(model.vocabulary_) == len(arrays["dense.b"])
                assert len(model.generate(3, random_state=0)) == 3
                model.save(path)
            else:
                model(np.zeros((1, 2, 3)))
    if make is lstm:
        # None is what stands there; masks may begin with any seed, at any place.
        assert accepted == {"variant", 0, 1}
    else:
        facts = {"loss_curve", "validation_scores", "vocabulary"}
        assert accepted <= facts | set(content["parameters"])
        assert "hidden_size" not in accepted
