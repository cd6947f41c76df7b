"""Files of saved models: exact, whole, nothing but data; others are refused."""

import json
import os
import pickle
import resource
import stat
import struct
import zipfile

import joblib
import numpy as np
import pytest
from safetensors.numpy import save_file

import numlstm
from numlstm import LSTM, CharLSTM, persistence

TEXT = "a small text, é \U0001f600\n" * 6
CHARS = {
    "plain": {},
    "one-hot": {"embedding_size": None, "n_layers": 3},
    "float64": {"dtype": np.float64, "learning_rate": "cosine", "clip_norm": None, "verbose": 0},
    "early stopping": {"early_stopping": True, "hidden_size": 17, "embedding_size": 9},
    "not trained": {"max_iter": 0, "hidden_size": np.int64(1), "alpha": np.float32(0.5)},
    "unseeded": {"random_state": np.random.RandomState(3)},
}
LAYERS = {
    "plain": {},
    "bidirectional": {"bidirectional": True, "n_layers": 3},
    "float64": {"dtype": "float64", "n_layers": 2, "forget_bias": 0.5},
}


def char_lstm(**options):
    small = {"hidden_size": 5, "n_layers": 1, "embedding_size": 3, "seq_length": 8}
    small |= {"batch_size": 2, "max_iter": 2, "random_state": 0}
    return CharLSTM(**small | options).fit(TEXT)


def lstm(**options):
    return LSTM(3, 5, random_state=0, **options)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


# --- the same again ---------------------------------------------------------------------------


def through_a_file(model, path):
    model.save(path)
    return numlstm.load(path)


def through_joblib(model, path):
    joblib.dump(model, path)
    return joblib.load(path)


def through_pickle(model, path):
    return pickle.loads(pickle.dumps(model))


@pytest.mark.parametrize("through", [through_a_file, through_joblib, through_pickle])
@pytest.mark.parametrize("name", CHARS)
def test_a_char_lstm_comes_back_exactly(name, through, path):
    model = char_lstm(**CHARS[name])
    again = through(model, path)
    assert type(again) is CharLSTM
    expected = model.get_params() | {"random_state": again.random_state}
    expected |= {"dtype": "float64"} if name == "float64" and through is through_a_file else {}
    assert again.get_params() == expected
    if name != "unseeded":
        assert again.random_state == 0 and again.generate(40) == model.generate(40)
    elif through is through_a_file:
        assert again.random_state is None
    for attribute in ("vocabulary_", "loss_", "loss_curve_", "validation_scores_", "best_loss_",
                      "best_validation_score_", "n_iter_"):  # fmt: skip
        assert getattr(again, attribute) == getattr(model, attribute)
    arrays, theirs = model._network.get_weights(), again._network.get_weights()
    assert arrays.keys() == theirs.keys()
    for key, array in arrays.items():
        assert array.dtype == theirs[key].dtype and array.tobytes() == theirs[key].tobytes()
    assert np.array_equal(again.surprisal(TEXT), model.surprisal(TEXT))
    again.set_params(early_stopping=False).partial_fit(TEXT)
    assert again.n_iter_ == model.n_iter_ + 1


@pytest.mark.parametrize("through", [through_a_file, through_joblib, through_pickle])
@pytest.mark.parametrize("name", LAYERS)
def test_an_lstm_comes_back_exactly(name, through, path, rng):
    model, X = lstm(**LAYERS[name]), rng.normal(size=(4, 6, 3))
    again = through(model, path)
    assert repr(again) == repr(model)
    for ours, theirs in zip(model.weights, again.weights, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert a.dtype == b.dtype and a.tobytes() == b.tobytes()
    assert np.array_equal(again(X)[0], model(X)[0])


@pytest.mark.parametrize("make", [char_lstm, lstm])
def test_a_file_is_one_and_the_same_each_time(make, path):
    make().save(path)
    assert [p.name for p in path.parent.iterdir()] == ["model.safetensors"]
    first = path.read_bytes()
    numlstm.load(path).save(path)
    assert path.read_bytes() == first
    make().save(str(path))
    assert path.read_bytes() == first
    assert type(numlstm.load(str(path))) is type(make())


def test_a_file_can_be_read_by_whom_the_umask_allows(path):
    before = os.umask(0o027)
    try:
        lstm().save(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def test_parameters_changed_after_the_fit_do_not_spoil_a_file(path):
    model = char_lstm()
    text = model.generate(30)
    model.set_params(hidden_size=99, embedding_size=None, n_layers=2, dtype="float64", tol=0.5)
    again = through_a_file(model, path)
    assert (again.hidden_size, again.embedding_size, again.n_layers) == (5, 3, 1)
    assert (again.dtype, again.tol) == ("float32", 0.5)
    assert again.generate(30) == text


# --- the old file or the new one --------------------------------------------------------------


def fails(error):
    def fail(*args, **options):
        raise error

    return fail


@pytest.mark.parametrize("where", ["fsync", "replace", "chmod", "fdopen"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("before", [None, b"an older file"])
def test_a_failing_write_leaves_what_was_there(where, error, before, path, monkeypatch):
    if before:
        path.write_bytes(before)
    model = lstm()
    monkeypatch.setattr(persistence.os, where, fails(error))
    with pytest.raises(type(error)):
        model.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == before if before else not path.exists()
    assert len(list(path.parent.iterdir())) == bool(before)
    model.save(path)
    assert repr(numlstm.load(path)) == repr(model)


def test_a_file_that_grows_too_large_leaves_what_was_there(path):
    """The system itself refuses the second half of the write."""
    lstm().save(path)
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError):
            LSTM(64, 64).save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 1


@pytest.mark.parametrize("make", [char_lstm, lstm])
def test_places_that_cannot_be_written_or_read(make, tmp_path):
    model, folder = make(), tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(FileNotFoundError):
        model.save(tmp_path / "missing" / "model")
    with pytest.raises(OSError):
        model.save(folder)
    assert list(tmp_path.iterdir()) == [folder] and not list(folder.iterdir())
    with pytest.raises(FileNotFoundError):
        numlstm.load(tmp_path / "missing")
    with pytest.raises(IsADirectoryError):
        numlstm.load(folder)


# --- other files ------------------------------------------------------------------------------


class Evil:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def write_zip(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("data.pkl", pickle.dumps(Evil(str(path) + ".ran")))


OTHER_FILES = {
    "pickle": lambda p: p.write_bytes(pickle.dumps(Evil(str(p) + ".ran"))),
    "old pickle": lambda p: p.write_bytes(pickle.dumps(Evil(str(p) + ".ran"), protocol=0)),
    "joblib": lambda p: joblib.dump(Evil(str(p) + ".ran"), p),
    "zip": write_zip,
    "npz": lambda p: np.savez(p.open("wb"), a=np.zeros(3)),
    "npy": lambda p: np.save(p.open("wb"), np.array([Evil(str(p) + ".ran")], object)),
    "JSON": lambda p: p.write_text(json.dumps({"numlstm": {"version": 1, "class": "LSTM"}})),
    "Python": lambda p: p.write_text(f"open({str(p) + '.ran'!r}, 'w')\n" * 9),
    "safetensors": lambda p: save_file({"a": np.zeros(3)}, p),
    "PyTorch's": lambda p: save_file({"a": np.zeros(3)}, p, metadata={"format": "pt"}),
    "empty": lambda p: p.write_bytes(b""),
    "zeros": lambda p: p.write_bytes(bytes(4096)),
    "ones": lambda p: p.write_bytes(b"\xff" * 4096),
    "deep": lambda p: p.write_bytes(struct.pack("<Q", 200_000) + b"[" * 200_000),
    "huge header": lambda p: p.write_bytes(struct.pack("<Q", 99_999_999) + b"{}" * 99),
    "null device": lambda p: p.symlink_to("/dev/null"),
}


@pytest.mark.parametrize("name", OTHER_FILES)
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_other_files_are_refused_and_nothing_runs(name, path):
    OTHER_FILES[name](path)
    with pytest.raises(ValueError, match="model.safetensors is not a model that can be read"):
        numlstm.load(path)
    assert [p.name for p in path.parent.iterdir()] == ["model.safetensors"]


def build(header, body=b""):
    data = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(data)) + data + body


@pytest.mark.parametrize(
    "dtype", ["F8_E4M3", "F8_E5M2", "F8_E8M0", "BF16", "F16", "I64", "BOOL", "C64"]
)
def test_odd_types_are_refused(dtype, path):
    width = {"F8": 1, "BO": 1, "BF": 2, "F1": 2}.get(dtype[:2], 8)
    text = json.dumps({"version": 1, "class": "LSTM", "bidirectional": False})
    outer = json.dumps({"sha256": "0" * 64, "content": text})
    tensor = {"dtype": dtype, "shape": [3], "data_offsets": [0, 3 * width]}
    path.write_bytes(build({"__metadata__": {"numlstm": outer}, "0.b": tensor}, bytes(3 * width)))
    with pytest.raises(ValueError, match="is not a model that can be read"):
        numlstm.load(path)
