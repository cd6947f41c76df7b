"""Training of `CharLSTM` killed or interrupted at any moment ends as if nothing had happened."""

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from numlstm import CharLSTM
from numlstm.nn.char_network import CharNetwork
from numlstm.persistence import read_model
from numlstm.training import char_loop, checkpoint, loop

rng = random.Random(0)
TEXT = "".join(rng.choice(("the ", "cat ", "sat ", "on ", "a ", "mat.\n")) for _ in range(400))
HELD = TEXT[300:500]


def char_lstm(**options):
    given = {"embedding_size": 3, "seq_length": 8, "batch_size": 4, "max_iter": 4, "dropout": 0.3}
    given |= {"learning_rate": "cosine", "learning_rate_init": 0.01, "random_state": 0}
    return CharLSTM(5, 2, **given | options)


def outcome(model):
    """Return all that training leaves behind."""
    optimizer = model._optimizer
    return {
        "weights": model._network.parameters.tobytes(),
        "moments": (optimizer.t, optimizer.m.tobytes(), optimizer.v.tobytes()),
        "curves": (model.loss_curve_, model.validation_scores_, model.best_validation_score_),
        "random": model._rng.random_sample(3).tolist(),
        "text": model.generate(50),
    }


# --- killed -----------------------------------------------------------------------------------

LONG = {"max_iter": 60}


def child_train(path):
    """Train, and say when it begins."""
    real = char_loop.TextTrainer.step

    def step(trainer):
        print("go", flush=True)
        char_loop.TextTrainer.step = real
        return real(trainer)

    char_loop.TextTrainer.step = step
    char_lstm(**LONG).fit(TEXT, HELD, checkpoint=path, checkpoint_steps=3)


def child_killed_while_writing(path, where):
    """Die in the fifth write: half-way through the data, before it is on disk, before the rename."""
    calls = itertools.count(1)

    def die(*_):
        if next(calls) == 5:
            os.kill(os.getpid(), signal.SIGKILL)

    if where == "write":
        real_open = os.fdopen

        def fdopen(handle, mode):
            file = real_open(handle, mode, buffering=0)
            real_write = file.write

            class Halfway:
                fileno, flush = file.fileno, file.flush

                def __enter__(self):
                    return self

                def __exit__(self, *_):
                    file.close()

                def write(self, data):
                    real_write(data[: len(data) // 2])
                    die()
                    real_write(data[len(data) // 2 :])

            return Halfway()

        os.fdopen = fdopen
    else:
        real = getattr(os, where)
        setattr(os, where, lambda *args: (die(), real(*args))[1])
    child_train(path)


def start_child(name, *args):
    program = f"import sys; sys.path.insert(0, sys.argv[1]); import test_checkpoint as t; t.{name}"
    return subprocess.Popen(
        [sys.executable, "-c", f"{program}(*sys.argv[2:])", str(Path(__file__).parent), *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def uninterrupted():
    return outcome(char_lstm(**LONG).fit(TEXT, HELD))


def test_killed_at_ten_random_moments_it_ends_with_the_same_bits(tmp_path, uninterrupted):
    path, moments, steps = tmp_path / "checkpoint", random.Random(1), [0]
    for _ in range(10):
        child = start_child("child_train", str(path))
        assert child.stdout.readline() == "go\n", child.stderr.read()
        time.sleep(moments.uniform(0, 0.15))
        child.kill()
        assert child.wait(60) == -signal.SIGKILL, "it was done already: make it longer"
        child.communicate()
        _, _, saved = read_model(path)  # whole, or this raises
        steps.append(saved["steps"])
    assert steps == sorted(steps)
    assert len(set(steps)) > 5 and any(step % 3 for step in steps) <= 1
    model = char_lstm(**LONG).fit(TEXT, HELD, checkpoint=path)
    assert outcome(model) == uninterrupted
    assert not path.exists()


@pytest.mark.parametrize("where", ["write", "fsync", "replace"])
def test_killed_in_the_middle_of_a_write_the_last_file_is_whole(where, tmp_path, uninterrupted):
    path = tmp_path / "checkpoint"
    child = start_child("child_killed_while_writing", str(path), where)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL, errors
    _, _, saved = read_model(path)
    # The first of five writes comes before the first step; fsync is called twice for each.
    assert saved["steps"] == (3 if where == "fsync" else 9)
    assert outcome(char_lstm(**LONG).fit(TEXT, HELD, checkpoint=path)) == uninterrupted


# --- interrupted ------------------------------------------------------------------------------


class Interrupt:
    """Raise KeyboardInterrupt at the n-th line that the training runs, wherever that is."""

    CODE = {
        char_loop.TextTrainer.step.__code__, char_loop.TextTrainer.end_epoch.__code__,
        char_loop.mean_loss.__code__, loop.Optimizer.step.__code__,
        char_loop.History.record.__code__ if hasattr(char_loop, "History") else None,
    }  # fmt: skip

    def __init__(self, n=None):
        self.n, self.count = n, 0

    def __call__(self, frame, event, _):
        if frame.f_code not in self.CODE:
            return None
        if event == "line":
            self.count += 1
            if self.count == self.n:
                raise KeyboardInterrupt
        return self

    def __enter__(self):
        self.before = sys.gettrace()
        sys.settrace(self)
        return self

    def __exit__(self, *_):
        sys.settrace(self.before)


@pytest.mark.filterwarnings("ignore:interrupted in epoch:RuntimeWarning")
@pytest.mark.parametrize("early_stopping", [False, True])
def test_ctrl_c_at_any_line_then_resumed_ends_with_the_same_bits(tmp_path, early_stopping):
    path = tmp_path / "checkpoint"
    options = {"early_stopping": early_stopping, "max_iter": 2, "seq_length": 40}
    with Interrupt() as lines:
        expected = outcome(char_lstm(**options).fit(TEXT, HELD))
    assert lines.count > 200
    for n in range(1, lines.count + 1, 3):
        with Interrupt(n):
            char_lstm(**options).fit(TEXT, HELD, checkpoint=path, checkpoint_steps=4)
        assert path.exists()
        model = char_lstm(**options).fit(TEXT, HELD, checkpoint=path)
        assert outcome(model) == expected, f"interrupted at line {n} of {lines.count}"
        assert not path.exists()


def test_ctrl_c_within_a_gradient_loses_no_step(tmp_path, monkeypatch):
    real, calls = CharNetwork.loss_and_gradient, itertools.count(1)

    def loss_and_gradient(*args):
        loss = real(*args)
        if next(calls) == 38:
            raise KeyboardInterrupt
        return loss

    monkeypatch.setattr(CharNetwork, "loss_and_gradient", loss_and_gradient)
    with pytest.warns(RuntimeWarning, match="interrupted in epoch 1: the weights .* kept"):
        char_lstm().fit(TEXT, checkpoint=tmp_path / "c")
    assert read_model(tmp_path / "c")[2]["steps"] == 37


def test_a_finished_early_stop_is_not_trained_further(tmp_path, monkeypatch):
    """Killed after the last epoch was written and before the file was removed."""
    options = {"early_stopping": True, "n_iter_no_change": 1, "tol": 0.05, "max_iter": 99}
    path, removed = tmp_path / "c", []
    monkeypatch.setattr("numlstm.estimators.char_lstm.os.remove", removed.append)
    model = char_lstm(**options).fit(TEXT, HELD, checkpoint=path)
    assert removed == [path] and path.exists() and model.n_iter_ < 50
    again = char_lstm(**options).fit(TEXT, HELD, checkpoint=path)
    assert outcome(again) == outcome(model)


def test_on_another_number_of_threads_and_in_another_file(tmp_path):
    expected = outcome(char_lstm().fit(TEXT))
    stop_after(tmp_path / "c", 7)
    os.rename(tmp_path / "c", tmp_path / "d")
    model = char_lstm(n_threads=1, verbose=0).fit(TEXT, checkpoint=str(tmp_path / "d"))
    assert outcome(model) == expected


# --- refused ----------------------------------------------------------------------------------


def stop_after(path, n_steps, held=None, **options):
    """Leave the checkpoint of a training that Ctrl-C ended after some steps."""
    real, calls = char_loop.TextTrainer.step, itertools.count()

    def step(trainer):
        if next(calls) == n_steps:
            raise KeyboardInterrupt
        return real(trainer)

    with pytest.MonkeyPatch.context() as patch, pytest.warns(RuntimeWarning, match="interrupted"):
        patch.setattr(char_loop.TextTrainer, "step", step)
        char_lstm(**options).fit(TEXT, held, checkpoint=path)


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
    from numlstm.persistence import write_model

    kind, arrays, content = read_model(stopped)
    write_model(tmp_path / "c", kind, arrays, {**content, key: value})
    with pytest.raises(ValueError, match="c holds a text checkpoint that makes no sense"):
        char_lstm().fit(TEXT, HELD, checkpoint=tmp_path / "c")
    del content[key]
    write_model(tmp_path / "c", kind, arrays, content)
    with pytest.raises(ValueError, match="c holds a text checkpoint that makes no sense"):
        char_lstm().fit(TEXT, HELD, checkpoint=tmp_path / "c")


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
