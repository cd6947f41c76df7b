"""Training of `CharLSTM` killed or interrupted at any moment ends as if nothing had happened."""

import contextlib
import io
import itertools
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from numlstm import CharLSTM
from numlstm.nn.char_network import CharNetwork
from numlstm.persistence import read_model
from numlstm.training import char_loop
from numlstm.training.history import History
from numlstm.training.optimizer import Optimizer

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


# --- killed -----------------------------------------------------------------------------------

LONG = {"max_iter": 30}


def child_killed(path, wheres):
    """Train in a process that is killed, again and again; say after each which step the file holds.

    The processes are forks of this one, which has loaded the kernels: they train at once. `wheres`
    names the calls in which they kill themselves in their fifth write; "-" is killed at a random
    moment of about an epoch.
    """
    char_lstm(max_iter=1).fit(TEXT, HELD, checkpoint=f"{path}.first", checkpoint_steps=3)
    moments = random.Random(1)
    for where in wheres.split():
        n, seconds = moments.randrange(15), moments.uniform(1e-4, 0.005)
        pid = os.fork()
        if not pid:
            try:
                if where == "-":
                    die_soon_after(n, seconds)
                else:
                    die_while_writing(where)
                char_lstm(**LONG).fit(TEXT, HELD, checkpoint=path, checkpoint_steps=3)
            finally:
                os._exit(1)
        _, status = os.waitpid(pid, 0)
        assert os.WIFSIGNALED(status), "it was done already: make it longer"
        print(read_model(path)[2]["steps"] if os.path.exists(path) else -1)  # whole, or it raises


def die_soon_after(n, seconds):
    """Let the system kill this process some time after its n-th write, wherever it then is.

    The alarm is the process's own: another process that watched the file could be late for it.
    """
    writes, real = itertools.count(1), os.replace

    def replace(*args):
        real(*args)
        if next(writes) == n:
            signal.setitimer(signal.ITIMER_REAL, seconds)

    os.replace = replace
    if n == 0:
        signal.setitimer(signal.ITIMER_REAL, seconds)


def die_while_writing(where):
    """Let this process die half-way through the data, before they are on disk, or not yet named."""
    calls, real = itertools.count(1), getattr(os, where, None)

    def die(*_):
        if next(calls) == 5:
            os.kill(os.getpid(), signal.SIGKILL)

    class Halfway(io.FileIO):
        def write(self, data):
            super().write(data[: len(data) // 2])
            die()
            return super().write(data[len(data) // 2 :])

    if where == "fdopen":
        os.fdopen = Halfway
    elif real:
        setattr(os, where, lambda *args: (die(), real(*args))[1])


def killed(path, wheres):
    """Return what `child_killed` says."""
    program = "import sys; sys.path.insert(0, sys.argv[1]); import test_checkpoint as t; "
    program += "t.child_killed(*sys.argv[2:])"
    done = subprocess.run(
        [sys.executable, "-c", program, str(Path(__file__).parent), str(path), wheres],
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [int(line) for line in done.stdout.split()]


@pytest.fixture(scope="module")
def uninterrupted():
    return outcome(char_lstm(**LONG).fit(TEXT, HELD))


def test_killed_at_ten_random_moments_it_ends_with_the_same_bits(tmp_path, uninterrupted):
    steps = killed(tmp_path / "c", 10 * "- ")
    assert len(steps) == 10 and steps == sorted(steps) and len(set(steps)) > 3
    model = char_lstm(**LONG).fit(TEXT, HELD, checkpoint=tmp_path / "c")
    assert outcome(model) == uninterrupted
    assert not (tmp_path / "c").exists()


def test_killed_in_the_middle_of_a_write_the_last_file_is_whole(tmp_path, uninterrupted):
    # The first write of the first process comes before its first step; each calls fsync twice.
    assert killed(tmp_path / "c", "fdopen replace fsync fdopen") == [9, 21, 27, 39]
    assert len(list(tmp_path.glob(".c.*"))) == 1  # what the last of them was writing
    model = char_lstm(**LONG).fit(TEXT, HELD, checkpoint=tmp_path / "c")
    assert outcome(model) == uninterrupted
    assert os.listdir(tmp_path) == []


# --- interrupted ------------------------------------------------------------------------------


class Interrupt:
    """Raise KeyboardInterrupt at the n-th line that the training runs, wherever that is."""

    CODE = {
        char_loop.TextTrainer.step.__code__, char_loop.TextTrainer.end_epoch.__code__,
        char_loop.mean_loss.__code__, Optimizer.step.__code__, History.record.__code__,
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
    for n in range(1, lines.count + 1, 11):
        with Interrupt(n), contextlib.suppress(KeyboardInterrupt):  # in the first step it is raised
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
    monkeypatch.setattr(char_loop, "compile_ahead", lambda *_: None)  # would call it once more
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
