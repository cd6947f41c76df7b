"""The same bits for any number of threads, from several Python threads, and after a fork.

How many threads there are is fixed when a process starts, so each test runs a function of this
file, a `child_`, in a process of its own.
"""

import hashlib
import importlib.util
import multiprocessing
import os
import subprocess
import sys
import threading
from contextlib import nullcontext
from pathlib import Path

import numba
import numpy as np
import pytest
from test_lstm_kernels import assert_identical, make_problem, run

from numlstm.kernels import _threads
from numlstm.nn import char_network, stack
from numlstm.nn.weights import vector_lanes

SHAPES = [  # (N, T, D, H), options
    ((1, 3, 2, 3), {"dtype": "float32"}),
    ((2, 4, 3, 17), {"dtype": "float64", "lengths": "mixed"}),
    ((3, 5, 4, 20), {"dtype": "float32", "n_layers": 2, "bidirectional": True}),
    ((5, 6, 1, 33), {"dtype": "float64", "n_layers": 2, "lengths": "rising"}),
    ((13, 4, 33, 16), {"dtype": "float32", "bidirectional": True, "lengths": "mixed"}),
    ((64, 12, 9, 40), {"dtype": "float64", "n_layers": 3, "bidirectional": True}),
    ((1, 9, 12, 150), {"dtype": "float32", "n_layers": 2}),
    ((1, 70, 5, 90), {"dtype": "float64", "bidirectional": True}),
    ((150, 7, 20, 65), {"dtype": "float32", "lengths": "one long", "state": False}),
]
# The kernels of a forward and a backward pass. A worker of the passes owns rows of the batch, or,
# where there is one row, pairs of panels of its units.
PASSES = {"lstm_forward_chunk", "lstm_backward_chunk"}
ROW_PASSES = {"lstm_forward_row_chunk", "lstm_backward_row_chunk"}
OTHERS = {"weight_gradients_chunk", "transpose_panels_chunk", "unpack_panels_chunk"}


def start_child(name, module="test_threads", **environment):
    """Run a function of a test file in a fresh process; it must end without an error, in time."""
    inherited = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    environment = inherited | {"NUMBA_NUM_THREADS": "4"} | environment
    program = f"import sys; sys.path.insert(0, sys.argv[1]); import {module} as t; t.{name}()"
    done = subprocess.run(
        [sys.executable, "-c", program, str(Path(__file__).parent)],
        env={key: value for key, value in environment.items() if value},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}{done.stderr}"


class Spy:
    """Sees which kernels took the parallel route, and on how many threads."""

    def __init__(self, work_per_thread=1):
        self.seen, self._start = [], _threads.start
        _threads.WORK_PER_THREAD, _threads.start = work_per_thread, self.start
        if work_per_thread == 1:
            stack.WEIGHTS_PER_WORKER = char_network.WEIGHTS_PER_WORKER = 1
        self._names = {}
        self._address_of, _threads.address_of = _threads.address_of, self.address_of

    def address_of(self, chunk, args):
        address = self._address_of(chunk, args)
        self._names[address] = chunk.__name__
        return address

    def start(self, args, n_workers):
        self.seen.append((self._names[args[0]], int(n_workers)))
        return self._start(args, n_workers)

    def take(self):
        seen, self.seen = self.seen, []
        return seen


def expected_launches(p, n):
    """Return the kernels, with their number of workers, that run on n threads."""
    passes, shares = PASSES, len(p.X)
    if len(p.X) == 1:
        pair = 2 * vector_lanes(p.lstm.dtype)
        passes, shares = ROW_PASSES, -(-p.lstm.hidden_size // pair)
    expected = {(name, min(n, shares)) for name in passes} | {(name, n) for name in OTHERS}
    return {(name, k) for name, k in expected if k > 1}


class use_threads:
    """As `numlstm.kernels._threads.thread_limit`, through Numba's own switch."""

    def __init__(self, n):
        self.n = n

    def __enter__(self):
        self.before = numba.get_num_threads()
        numba.set_num_threads(self.n)

    def __exit__(self, *_):
        numba.set_num_threads(self.before)


# Numbers of threads --------------------------------------------------------------------------


def child_any_number():
    spy = Spy()
    for shape, options in SHAPES:
        p = make_problem(*shape, **options)
        with _threads.thread_limit(1):
            serial = run(p)
        assert spy.take() == []
        for limit in (_threads.thread_limit, use_threads):
            for n in (1, 2, 3, 4):
                with limit(n):
                    assert _threads.available_threads() == n
                    assert_identical(run(p), serial)
                assert set(spy.take()) == expected_launches(p, n)
        assert _threads.available_threads() == numba.get_num_threads() == 4


def test_any_number_of_threads_gives_the_same_bits():
    start_child("child_any_number")


def child_whole_fits():
    from numlstm import CharLSTM, LSTMRegressor

    spy, rng = Spy(), np.random.default_rng(0)
    X = rng.normal(size=(20, 5, 3))
    usual = {"hidden_size": 18, "n_layers": 2, "max_iter": 2, "dropout": 0.2, "random_state": 0}
    for make, data in (
        (lambda n: LSTMRegressor(**usual, bidirectional=True, n_threads=n), (X, X.sum((1, 2)))),
        (
            lambda n: LSTMRegressor(18, solver="lbfgs", max_iter=2, random_state=0, n_threads=n),
            (rng.normal(size=(600, 5, 3)), rng.normal(size=600)),  # more than one pass
        ),
        (
            lambda n: CharLSTM(**usual, batch_size=6, seq_length=9, n_threads=n),
            ("to be or not " * 20,),
        ),
    ):
        fitted = {n: make(n).fit(*data)._network.parameters for n in (1, 2, 4)}
        assert {k for _, k in spy.take()} >= {2, 4}
        for n in (2, 4):
            np.testing.assert_array_equal(fitted[n], fitted[1])


def test_whole_fits_have_the_same_bits_on_one_two_and_four_threads():
    start_child("child_whole_fits")


def child_limits_of_methods():
    from numlstm import LSTMRegressor

    spy, rng = Spy(), np.random.default_rng(0)
    X, y = rng.normal(size=(20, 5, 3)), rng.normal(size=20)
    model = LSTMRegressor(18, max_iter=1, random_state=0)
    methods = {
        "fit": (X, y), "partial_fit": (X, y), "predict": (X,), "score": (X, y), "trace": (X,),
        "input_gradients": (X,), "predict_step": (X[:, 0],),
    }  # fmt: skip
    for n in (1, 2, 3):
        model.set_params(n_threads=n)
        for name, data in methods.items():
            getattr(model, name)(*data)
            assert {k for _, k in spy.take()} == {n} - {1}, (name, n)


def test_every_method_of_an_estimator_keeps_to_its_n_threads():
    start_child("child_limits_of_methods")


def child_written_texts():
    from numlstm import CharLSTM

    spy, text = Spy(), "she sells sea shells. " * 9
    for units, n_layers, dtype in ((70, 2, "float32"), (45, 1, "float64")):
        model = CharLSTM(
            units, n_layers, embedding_size=5, batch_size=2, seq_length=9, max_iter=1, dtype=dtype,
            random_state=0,
        ).fit(text)  # fmt: skip
        found = {}
        for n in (1, 2, 3, 4):
            model.n_threads = n
            spy.take()
            written = model.generate(60, prompt="she", temperature=2.0, random_state=1)
            found[n] = written, model.surprisal(text).tobytes()
            kernels = {name for name, k in spy.take() if k == n}
            assert n == 1 or kernels >= {"generate_tokens_chunk", "read_tokens_chunk"}
        assert len(set(found.values())) == 1


def test_texts_and_their_surprisal_are_the_same_on_any_number_of_threads():
    start_child("child_written_texts")


def child_nested_limits():
    available = _threads.available_threads
    with _threads.thread_limit(3):
        with _threads.thread_limit(2):
            assert available() == 2
            with _threads.thread_limit(None):
                assert available() == 2
        assert available() == 3
        with pytest.raises(KeyError), _threads.thread_limit(1):
            raise KeyError
        assert available() == 3
        # A limit holds for the Python thread that set it.
        others = []
        other = threading.Thread(target=lambda: others.append(available()))
        other.start()
        other.join()
        assert others == [4]
    with _threads.thread_limit(99):
        assert available() == 4
    assert available() == 4


def test_limits_nest():
    start_child("child_nested_limits")


def child_small_calls():
    spy = Spy(_threads.WORK_PER_THREAD)
    run(make_problem(4, 3, 2, 3))
    assert spy.take() == []
    run(make_problem(64, 40, 64, 64, dtype="float32"))
    assert {name for name, _ in spy.take()} == PASSES | {"weight_gradients_chunk"}
    run(make_problem(1, 300, 4, 40, dtype="float32"))
    assert not {name for name, _ in spy.take()} & ROW_PASSES
    run(make_problem(1, 60, 4, 300, dtype="float32"))
    assert {name for name, _ in spy.take()} > ROW_PASSES


def test_small_calls_stay_on_one_thread_and_large_ones_do_not():
    start_child("child_small_calls")


# Environment ---------------------------------------------------------------------------------


def child_omp_num_threads():
    wanted = int(os.environ["OMP_NUM_THREADS"])
    spy = Spy()
    assert _threads.available_threads() == wanted
    run(make_problem(*SHAPES[-1][0]))
    assert {n for _, n in spy.take()} == {wanted} - {1}
    with _threads.thread_limit(4):  # said by the program itself, it counts for more
        run(make_problem(*SHAPES[-1][0]))
    assert {n for _, n in spy.take()} == {4}


@pytest.mark.parametrize("wanted", ["1", "2"])
def test_omp_num_threads_is_honoured(wanted):
    start_child("child_omp_num_threads", OMP_NUM_THREADS=wanted)


@pytest.mark.parametrize(
    ("value", "limit"), [("3", 3), ("0", 4), ("", 4), ("two", 4), ("-1", 4), ("4,2", 4)]
)
def test_other_values_of_omp_num_threads(value, limit, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    monkeypatch.setenv("NUMBA_NUM_THREADS", "4")
    monkeypatch.setattr(_threads.config, "NUMBA_NUM_THREADS", 4)
    assert _threads._environment_limit() == limit


@pytest.mark.parametrize(("wanted", "limit"), [(None, 2), ("4", 4)])
def test_a_share_of_the_machine_is_respected_unless_more_is_asked_for(wanted, limit, monkeypatch):
    """A cgroup's quota, as in a container, is what joblib looks at and Numba does not."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    if wanted:
        monkeypatch.setenv("NUMBA_NUM_THREADS", wanted)
    monkeypatch.setattr("joblib.cpu_count", lambda: 2)
    monkeypatch.setattr(_threads.config, "NUMBA_NUM_THREADS", 4)
    assert _threads._environment_limit() == limit


# Several callers -----------------------------------------------------------------------------


class CountingLock:
    """A lock that knows how often it was not to be had."""

    def __init__(self):
        self.lock, self.refused = threading.Lock(), 0
        self.release = self.lock.release

    def acquire(self, blocking):
        got = self.lock.acquire(blocking)
        self.refused += not got
        return got


def child_two_python_threads():
    """Each thread has an LSTM to train, and all call one more at the same time."""
    spy, busy = Spy(), CountingLock()
    _threads._busy = busy
    problems = [make_problem(*shape, **options) for shape, options in SHAPES[2:5]]
    shared = problems[-1]

    def passes(p):
        called = shared.lstm(shared.X, lengths=shared.lengths, state=shared.state)[0]
        return run(p) | {"shared": called}

    with _threads.thread_limit(1):
        expected = [passes(p) for p in problems]
    gate, finished = threading.Barrier(len(problems)), []

    def work(p, right):
        gate.wait(30)
        for _ in range(150):
            assert_identical(passes(p), right)
        finished.append(p)

    pairs = zip(problems, expected, strict=True)
    callers = [threading.Thread(target=work, args=pair) for pair in pairs]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(finished) == len(problems)
    assert numba.threading_layer() == os.environ["NUMBA_THREADING_LAYER"]
    assert busy.refused > 0  # Some calls found the pool taken and ran on their own thread;
    assert {name for name, _ in spy.take()} == PASSES | OTHERS  # others had it.


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_python_threads_may_call_at_once(layer):
    if layer == "omp" and importlib.util.find_spec("numba.np.ufunc.omppool") is None:
        pytest.skip("Numba was built without OpenMP")
    start_child("child_two_python_threads", NUMBA_THREADING_LAYER=layer)


def digest(p):
    total = hashlib.sha256()
    for name, array in run(p).items():
        total.update(name.encode() + array.tobytes())
    return total.hexdigest()


def child_fork():
    spy = Spy()
    problems = [make_problem(*shape, **options) for shape, options in SHAPES[2:5]]
    expected = [digest(p) for p in problems]
    assert spy.take() != []
    # As if another Python thread were inside a kernel at that moment.
    for busy in (nullcontext(), _threads._busy):
        with busy, multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.map(digest, problems, chunksize=1) == expected
            assert pool.map(count_parallel_calls, problems, chunksize=1) == [0] * 3
    pid = os.fork()
    if pid == 0:
        os._exit(0 if [digest(p) for p in problems] == expected else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert [digest(p) for p in problems] == expected
    assert spy.take() != []  # the parent is still free to use its threads


def count_parallel_calls(p):
    spy = Spy()
    run(p)
    return len(spy.take())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_may_use_kernels_its_parent_has_used():
    start_child("child_fork")
