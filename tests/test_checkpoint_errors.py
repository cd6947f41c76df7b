"""Checkpoints that `CharLSTM` must not go on from, and disks that are full."""

import itertools

import numpy as np
import pytest
from test_checkpoint import HELD, TEXT, char_lstm, outcome, stop_after

from numlstm.persistence import read_model, write_model
from numlstm.training import checkpoint

CHANGES = {
    "hidden_size": 6, "n_layers": 1, "embedding_size": None, "seq_length": 9, "dropout": 0.2,
    "forget_bias": 0.5, "solver": "sgd", "learning_rate": "step", "learning_rate_init": 0.02,
    "alpha": 0.1, "batch_size": 5, "max_iter": 5, "clip_norm": None, "early_stopping": True,
    "n_iter_no_change": 9, "tol": 0.1, "random_state": 1, "dtype": "float64",
}  # fmt: skip


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    path = tmp_path_factory.mktemp("stopped") / "c"
    stop_after(path, 7, HELD)
    return path


@pytest.mark.parametrize("name", CHANGES)
def test_other_parameters_are_refused(stopped, name):
    before = stopped.read_bytes()
    model = char_lstm().set_params(**{name: CHANGES[name]})
    with pytest.raises(ValueError, match=f"another training: {name} was .*Remove it to start anew"):
        model.fit(TEXT, HELD, checkpoint=stopped)
    assert stopped.read_bytes() == before


@pytest.mark.parametrize(
    ("texts", "what"),
    [
        ((TEXT[:-1], HELD), "text"),
        ((TEXT[1:] + "t", HELD), "text"),
        ((TEXT, HELD[:-1]), "validation text"),
        ((TEXT,), "validation text"),
        ((TEXT.replace("c", "k"), HELD.replace("c", "k")), "(text|vocabulary)"),
    ],
)
def test_other_texts_are_refused(stopped, texts, what):
    with pytest.raises(ValueError, match=f"another training: {what} was"):
        char_lstm().fit(*texts, checkpoint=stopped)


def test_other_files_are_refused(stopped, tmp_path):
    path, whole = tmp_path / "c", stopped.read_bytes()
    for content in (b"", b"text", whole[:-1], whole[: len(whole) // 2], whole + b"\0"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="not a model that can be read"):
            char_lstm().fit(TEXT, HELD, checkpoint=path)
        assert path.read_bytes() == content
    char_lstm(max_iter=0).fit(TEXT).save(path)
    with pytest.raises(ValueError, match="holds a CharLSTM, not a text checkpoint"):
        char_lstm().fit(TEXT, HELD, checkpoint=path)
    with pytest.raises(OSError):
        char_lstm().fit(TEXT, HELD, checkpoint=tmp_path)
    with pytest.raises(OSError):
        char_lstm().fit(TEXT, HELD, checkpoint=tmp_path / "missing" / "c")


@pytest.mark.parametrize("key", ["identity", "rng", "steps", "epoch", "total", "history"])
@pytest.mark.parametrize("value", [None, "x", [1]])
def test_a_whole_file_of_nonsense_is_refused(stopped, tmp_path, key, value):
    kind, arrays, content = read_model(stopped)
    write_model(tmp_path / "c", kind, arrays, {**content, key: value})
    with pytest.raises(ValueError, match="c holds a text checkpoint that makes no sense"):
        char_lstm().fit(TEXT, HELD, checkpoint=tmp_path / "c")
    del content[key]
    write_model(tmp_path / "c", kind, arrays, content)
    with pytest.raises(ValueError, match="c holds a text checkpoint that makes no sense"):
        char_lstm().fit(TEXT, HELD, checkpoint=tmp_path / "c")


MT = "MT19937"
NONSENSE = [
    ({"rng": [MT, 625, 0, 0.0]}, "rng must be from 0 to 624, got 625"),
    ({"rng": [MT, -1, 0, 0.0]}, "rng must be from 0 to 624, got -1"),
    ({"rng": ["PCG64", 1, 0, 0.0]}, ""),
    ({"epoch": 5}, "epoch must be from 0 to 4, got 5"),
    ({"position": -1}, "position must be from 0 to .*, got -1"),
    ({"position": 10**6}, "position must be from 0 to .*, got 1000000"),
    ({"position": 3}, "steps, epoch, position, total and count do not belong together"),
    ({"epoch": 1}, "do not belong together"),
    ({"count": 0}, "do not belong together"),
    ({"total": float("nan")}, "do not belong together"),
]


@pytest.mark.parametrize(("change", "what"), NONSENSE)
def test_a_state_that_cannot_be_is_refused(stopped, tmp_path, change, what):
    kind, arrays, content = read_model(stopped)
    write_model(tmp_path / "c", kind, arrays, content | change)
    with pytest.raises(
        ValueError, match=f"c holds a text checkpoint that makes no sense: .*{what}"
    ):
        char_lstm().fit(TEXT, HELD, checkpoint=tmp_path / "c")


def test_a_dtype_of_another_name_is_the_same(stopped, tmp_path):
    stop_after(tmp_path / "c", 7, dtype="float64")
    model = char_lstm(dtype=np.float64).fit(TEXT, checkpoint=tmp_path / "c")
    assert outcome(model) == outcome(char_lstm(dtype="float64").fit(TEXT))


@pytest.mark.parametrize("seed", [None, np.random.RandomState(0)])
def test_a_checkpoint_needs_a_seed(seed, tmp_path):
    with pytest.raises(ValueError, match="a checkpoint needs an integer random_state, got"):
        char_lstm(random_state=seed).fit(TEXT, checkpoint=tmp_path / "c")
    char_lstm(random_state=np.int64(3), max_iter=1).fit(TEXT, checkpoint=tmp_path / "c")


@pytest.mark.parametrize(("steps", "error"), [(0, ValueError), (2.5, TypeError), (None, TypeError)])
def test_checkpoint_steps_must_be_positive(steps, error, tmp_path):
    with pytest.raises(error, match="checkpoint_steps must be an integer of at least 1"):
        char_lstm().fit(TEXT, checkpoint=tmp_path / "c", checkpoint_steps=steps)


def test_a_full_disk_leaves_the_last_file(tmp_path, monkeypatch):
    real, calls = checkpoint.write_model, itertools.count(1)

    def write_model(*args):
        if next(calls) == 4:
            raise OSError(28, "No space left on device")
        return real(*args)

    monkeypatch.setattr(checkpoint, "write_model", write_model)
    with pytest.raises(OSError, match="No space left"):
        char_lstm().fit(TEXT, checkpoint=tmp_path / "c", checkpoint_steps=5)
    monkeypatch.undo()
    assert read_model(tmp_path / "c")[2]["steps"] == 10
    expected = outcome(char_lstm().fit(TEXT))
    assert outcome(char_lstm().fit(TEXT, checkpoint=tmp_path / "c")) == expected
