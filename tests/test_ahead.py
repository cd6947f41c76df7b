"""Kernels that a first fit needs are known before it and compiled in two processes."""

import gc
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import numba
import numpy as np
import pytest
from numba import config
from numba.core.registry import CPUDispatcher

from numlstm import CharLSTM, LSTMRegressor, LSTMVariant
from numlstm.kernels import _ahead, _jit, _threads, _two_processes, layout, optimizers
from numlstm.kernels._ahead import compile_ahead
from numlstm.kernels._threads import launch, then
from numlstm.kernels._two_processes import Task, compile_in_two_processes

pytestmark = pytest.mark.skipif(
    config.DISABLE_JIT or _jit.CACHE_FOLDER is None, reason="nothing is compiled, or cached"
)

FITS = {
    "regressor": lambda: LSTMRegressor(4, max_iter=2, batch_size=8, random_state=0),
    "two layers": lambda: LSTMRegressor(
        4, n_layers=2, bidirectional=True, dropout=0.3, max_iter=2, random_state=0
    ),
    "penalty": lambda: LSTMRegressor(4, alpha=0.1, solver="sgd", max_iter=2, random_state=0),
    "variant": lambda: LSTMRegressor(
        4, variant=LSTMVariant(recurrent_dropout=0.3), max_iter=2, random_state=0
    ),
    "lbfgs": lambda: LSTMRegressor(4, solver="lbfgs", max_iter=2, random_state=0),
}
TEXT = "to be, or not to be, that is the question. " * 8


def fit_table(model):
    X = np.random.default_rng(0).normal(size=(20, 6, 2))
    return model.fit(X, X[:, :, 0].sum(axis=1))._network.parameters


def fit_ragged(model):
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(n, 2)) for n in (3, 6, 6, 2, 9)]
    return model.fit(X, X)._network.parameters


def fit_text(**options):
    model = CharLSTM(8, max_iter=1, batch_size=4, seq_length=16, random_state=0, **options)
    return model.fit(TEXT)._network.parameters


ALL = {name: (lambda make=make: fit_table(make())) for name, make in FITS.items()}
ALL["ragged"] = lambda: fit_ragged(FITS["two layers"]())
ALL["ragged variant"] = lambda: fit_ragged(FITS["variant"]())
ALL["text"] = fit_text
ALL["embedding"] = lambda: fit_text(embedding_size=3, n_layers=2, dropout=0.2, alpha=0.1)


@pytest.fixture
def nothing_cached(monkeypatch):
    """Take everything for missing, and two cores for given; return what would be compiled."""
    asked = []
    monkeypatch.setattr(_ahead, "is_cached", lambda *_: False)
    monkeypatch.setattr(_ahead, "available_threads", lambda: 2)
    monkeypatch.setattr(_ahead, "_seen", set())
    monkeypatch.setattr(_ahead, "compile_in_two_processes", asked.extend)
    return asked


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("work", [None, 1], ids=["one thread", "two threads"])
def test_all_that_a_fit_launches_is_known_before_it(monkeypatch, nothing_cached, name, work):
    if work:
        monkeypatch.setattr(_threads, "WORK_PER_THREAD", work)
    launched, real = set(), _threads._note

    def note(chunk, args, n):
        only_noted = real(chunk, args, n)
        if n and not only_noted:
            launched.add((chunk.__name__, tuple(numba.typeof(a) for a in (*args, 0, 0))))
        return only_noted

    monkeypatch.setattr(_threads, "_note", note)
    before = set(_threads.start.overloads)
    ALL[name]()
    launched |= {("start", kinds) for kinds in set(_threads.start.overloads) - before}
    known = {(task.name, task.kinds) for task in nothing_cached}
    missed = {each for each in launched if each not in known}
    assert not missed, f"{sorted(name for name, _ in missed)} are compiled one after the other"
    for task in nothing_cached:
        assert isinstance(getattr(sys.modules[task.module], task.name), CPUDispatcher)
    assert pickle.loads(pickle.dumps(nothing_cached)) == nothing_cached


@pytest.mark.parametrize("name", ALL)
def test_looking_ahead_changes_no_fit(monkeypatch, nothing_cached, name):
    looked = ALL[name]()
    assert nothing_cached
    for module in ("step", "lbfgs", "char_loop"):
        monkeypatch.setattr(f"numlstm.training.{module}.compile_ahead", lambda *_: None)
    np.testing.assert_array_equal(looked, ALL[name]())


def test_what_is_only_looked_at_does_not_run(nothing_cached):
    x, ran = np.ones(8), []

    def function():
        launch(optimizers.global_norm, x, np.zeros(1), np.zeros(optimizers.N_NUMBERS), work=0)
        then(ran.append, 1)

    for _ in range(2):
        compile_ahead(function)
    assert not ran
    assert not nothing_cached, "one kernel is not worth a process"
    function()
    assert ran == [1]


@pytest.mark.parametrize("reason", ["cached", "one thread", "no folder"])
def test_no_process_is_started_for_nothing(monkeypatch, nothing_cached, reason):
    if reason == "cached":
        monkeypatch.setattr(_ahead, "is_cached", lambda *_: True)
    elif reason == "one thread":
        monkeypatch.setattr(_ahead, "available_threads", lambda: 1)
    else:
        monkeypatch.setattr(_ahead, "CACHE_FOLDER", None)
    fit_table(FITS["regressor"]())
    assert not nothing_cached


def test_the_longest_kernels_are_begun_first(nothing_cached):
    fit_table(FITS["regressor"]())
    assert {task.name for task in nothing_cached[:2]} == {
        "lstm_forward_chunk",
        "lstm_backward_chunk",
    }


def test_ctrl_c_in_a_rehearsal_leaves_launches_alone(nothing_cached):
    ran = []

    def function():
        then(ran.append, 1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compile_ahead(function)
    then(ran.append, 2)
    assert ran == [2]


def test_a_damaged_index_is_no_cache(tmp_path, monkeypatch):
    kernel, kinds = optimizers.global_norm, (numba.float32[::1],) * 2
    (tmp_path / "index").write_bytes(b"nothing that pickle knows")
    monkeypatch.setattr(kernel._cache._cache_file, "_index_path", str(tmp_path / "index"))
    assert not _jit.is_cached(kernel, kinds)


# Two processes -------------------------------------------------------------------------------


class Noted:
    """A task that a process notes as its own in a file."""

    def __init__(self, folder, number):
        self.path = Path(folder, f"done-{number}")

    def do(self):
        self.path.write_text(str(os.getpid()))


class Patient(Noted):
    """One that waits, in the process that makes it, until another process has done a task."""

    def __init__(self, folder, number):
        super().__init__(folder, number)
        self.maker = os.getpid()

    def do(self):
        while os.getpid() == self.maker and not list(self.path.parent.glob("done-*")):
            time.sleep(0.01)
        super().do()


class Interrupted:
    """A task during which Ctrl-C is pressed."""

    def do(self):
        raise KeyboardInterrupt


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    """Twenty tasks; the second process finds this file."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))
    return [Noted(tmp_path, k) for k in range(20)]


def workers(tasks):
    return {task.path.read_text() for task in tasks}


def test_every_task_is_done_once_by_two_processes(tasks, tmp_path):
    tasks[0] = Patient(tmp_path, 0)
    compile_in_two_processes(tasks)
    assert len(workers(tasks)) == 2
    assert str(os.getpid()) in workers(tasks)


@pytest.mark.parametrize("command", ["raise SystemExit(3)", "import os; os.abort()", "while 1: 0"])
def test_a_second_process_that_fails_leaves_all_to_the_first(tasks, monkeypatch, command):
    monkeypatch.setattr(_two_processes, "COMMAND", command)
    monkeypatch.setattr(_two_processes, "PATIENCE", 0.5)
    compile_in_two_processes(tasks)
    assert workers(tasks) == {str(os.getpid())}


def test_another_cache_is_not_filled(tasks, tmp_path, monkeypatch):
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / _two_processes.TASKS).write_bytes(pickle.dumps(("another", tasks)))
    monkeypatch.setattr(sys, "argv", ["", str(folder)])
    _two_processes.serve()
    assert not list(tmp_path.glob("done-*"))
    (folder / _two_processes.TASKS).write_bytes(pickle.dumps((str(_jit.CACHE_FOLDER), tasks)))
    (folder / "3").touch()  # the other process has begun with it
    _two_processes.serve()
    assert len(list(tmp_path.glob("done-*"))) == len(tasks) - 1


@pytest.mark.parametrize("python", [None, "", "/usr/bin/blender", "/opt/python_trainer"])
def test_a_program_that_embeds_python_is_not_started_again(tasks, monkeypatch, tmp_path, python):
    monkeypatch.setattr(sys, "executable", python)
    monkeypatch.setattr(sys, "frozen", python == "/opt/python_trainer", raising=False)
    compile_in_two_processes(tasks)
    assert not list(tmp_path.glob("done-*"))


def test_without_processes_kernels_are_compiled_when_called(tasks, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no more processes")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    compile_in_two_processes(tasks)
    assert not any(task.path.exists() for task in tasks)


def test_nothing_is_waited_for_where_nothing_is_left(tasks, monkeypatch):
    monkeypatch.setattr(_two_processes, "COMMAND", "while 1: 0")
    monkeypatch.setattr(_two_processes, "PATIENCE", "no number of seconds: to wait is an error")
    compile_in_two_processes(tasks)
    assert workers(tasks) == {str(os.getpid())}


def test_ctrl_c_ends_the_second_process_too(tasks, monkeypatch):
    started, real = [], subprocess.Popen

    def popen(*args, **options):
        started.append(real(*args, **options))
        return started[0]

    monkeypatch.setattr(subprocess, "Popen", popen)
    monkeypatch.setattr(_two_processes, "COMMAND", "while 1: 0")
    with pytest.raises(KeyboardInterrupt):
        compile_in_two_processes([tasks[0], Interrupted()])
    assert started[0].returncode is not None
    folder = started[0].args[-1]
    assert not Path(folder).exists()


def child_compiles():
    """Compile small kernels beside a second process; both leave them in the cache."""
    rest = [numba.typeof(np.zeros(1))] * 2 + [numba.int64] * 2
    tasks = [
        Task(optimizers.__name__, "global_norm", (numba.typeof(np.zeros(1, dtype)), *rest))
        for dtype in ("float64", "float32")
    ]
    done, real = [], Task.do

    def do(task):
        if not done:  # let the second process have the other
            while not any(Path(folder).rglob("optimizers.global_norm-*.nbc")):
                time.sleep(0.05)
        done.append(task)
        real(task)

    folder, Task.do = os.environ["NUMBA_CACHE_DIR"], do
    compile_in_two_processes(tasks)
    assert len(done) == 1
    for task in tasks:
        assert _jit.is_cached(optimizers.global_norm, task.kinds)
        optimizers.global_norm.compile(task.kinds)
    assert sum(optimizers.global_norm.stats.cache_misses.values()) == 1


def test_the_second_process_fills_the_cache_of_the_first(tmp_path):
    program = f"import sys; sys.path.append({str(Path(__file__).parent)!r}); "
    done = subprocess.run(
        [sys.executable, "-c", program + "import test_ahead as t; t.child_compiles()"],
        env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}, capture_output=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("enabled", [True, False])
def test_compiling_leaves_the_garbage_collector_as_it_was(monkeypatch, enabled):
    kernel, kinds, seen = layout.transpose_panels_chunk, (numba.boolean,) * 6, []
    load = kernel._cache.load_overload

    def load_overload(*args):
        seen.append(gc.isenabled())
        return load(*args)

    monkeypatch.setattr(kernel._cache, "load_overload", load_overload)
    try:
        (gc.enable if enabled else gc.disable)()
        with pytest.raises(AttributeError):  # bool has no lanes
            kernel.compile(kinds)
        assert seen == [False]
        assert gc.isenabled() is enabled
    finally:
        gc.enable()
