"""Estimators in worker processes, forked processes and several threads: the same bits, in time.

Each test runs a function of this file, a `child_`, in a process of its own with a time limit: what
must not happen here is that a process hangs or is aborted.
"""

import hashlib
import multiprocessing
import os
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV

from numlstm import LSTMClassifier, LSTMRegressor
from numlstm.kernels import _threads

LIMIT = 200  # seconds; compiling into an empty cache included


def start_child(name, **environment):
    """Run a function of this file in a fresh process; it must end without an error, in time."""
    program = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); "
    program += f"import test_processes as t; t.{name}()"
    inherited = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}{done.stderr}"


def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(48, 6, 3))
    return X, X.sum(axis=(1, 2))


def digest(seed=0):
    """Return a hash of all bits of a fit and of its predictions."""
    X, y = data()
    out = hashlib.sha256()
    for kind, target in ((LSTMRegressor, y), (LSTMClassifier, y > 0)):
        model = kind(20, 2, bidirectional=True, dropout=0.2, max_iter=2, random_state=seed)
        model.fit(X, target)
        out.update(model._network.parameters.tobytes() + model.predict(X).tobytes())
    return out.hexdigest()


def use_threads_always():
    """Send every kernel to the pool of threads, however small its work; return what went there."""
    real, seen = _threads.start, []
    _threads.WORK_PER_THREAD = 1
    _threads.start = lambda args, n: seen.append(n) or real(args, n)
    return seen


# A search with several workers ----------------------------------------------------------------


def threads_of_this_worker(_):
    return _threads.available_threads()


def child_search():
    X, y = data()
    parallel = use_threads_always()

    def search(n_jobs):
        model = LSTMRegressor(8, max_iter=3, random_state=0)
        grid = {"hidden_size": [3, 20], "solver": ["adam", "lbfgs"]}
        return GridSearchCV(model, grid, cv=2, n_jobs=n_jobs, error_score="raise").fit(X, y)

    alone = search(1)
    cores = joblib.cpu_count()
    assert _threads.available_threads() == cores
    assert parallel or cores == 1  # the pool was in use before anything was forked
    # No more threads in all than there are cores, unless each worker has but one.
    for backend, each in (
        ("loky", max(1, cores // 2)),
        ("multiprocessing", 1),
        ("threading", cores),
    ):
        with joblib.parallel_config(backend):
            found = search(2)
            seen = joblib.Parallel(2)(joblib.delayed(threads_of_this_worker)(k) for k in range(4))
        assert seen == [each] * 4, (backend, seen)
        for key in ("mean_test_score", "std_test_score"):
            np.testing.assert_array_equal(found.cv_results_[key], alone.cv_results_[key])
        np.testing.assert_array_equal(found.predict(X), alone.predict(X), backend)


def test_a_search_finds_the_same_with_every_backend():
    start_child("child_search")


# Threads --------------------------------------------------------------------------------------


def child_threads():
    parallel = use_threads_always()
    expected = [digest(seed) for seed in range(2)]
    assert parallel
    gate, found = threading.Barrier(2), {}

    def work(seed):
        gate.wait(60)
        found[seed] = [digest(seed) for _ in range(4)]

    workers = [threading.Thread(target=work, args=[seed]) for seed in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == {seed: [expected[seed]] * 4 for seed in range(2)}
    import numba

    assert numba.threading_layer() == os.environ["NUMBA_THREADING_LAYER"]


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_two_threads_fit_and_predict_at_once(layer):
    pytest.importorskip("numba.np.ufunc." + ("omppool" if layer == "omp" else "workqueue"))
    start_child("child_threads", NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS="2")


def child_one_model():
    X, y = data()
    model = LSTMRegressor(30, max_iter=1, random_state=0).fit(X, y)
    # As long as one compiled call may take, so that those of two threads overlap.
    few = np.random.default_rng(1).normal(size=(3, 5, 200, 3)).astype("float32")
    assert model.lstm_._at_once(few[0], None) is not None

    def answers(k):
        part = X[k::3].repeat(1 + k, axis=0)  # of another size for every thread
        step, state = model.predict_step(part[:, 0])
        steps = [step, *state, *model.predict_step(part[:5, 1].astype("float32"))[1]]
        trace, gradients = model.trace(part), model.input_gradients(part)
        arrays = [model.predict(part), model.predict(list(part)), *steps, *trace, gradients]
        arrays.append(model.lstm_(few[k])[0])
        return b"".join(array.tobytes() for array in arrays)

    expected = [answers(k) for k in range(3)]
    gate, wrong = threading.Barrier(3), []

    def work(k):
        gate.wait(60)
        wrong.extend(k for _ in range(200) if answers(k) != expected[k])

    workers = [threading.Thread(target=work, args=[k]) for k in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong, f"{len(wrong)} of 600 answers were others"


def test_threads_may_share_a_fitted_model():
    start_child("child_one_model")


# Processes ------------------------------------------------------------------------------------


def child_fork():
    parallel, found = use_threads_always(), {}
    for moment in ("before", "after"):
        with multiprocessing.get_context("fork").Pool(2) as pool:
            found[moment] = pool.map(digest, [0, 0])
        expected = digest()
        assert parallel
    assert found == {"before": [expected] * 2, "after": [expected] * 2}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_forks_before_and_after_kernels_ran(layer):
    pytest.importorskip("numba.np.ufunc." + ("omppool" if layer == "omp" else "workqueue"))
    start_child("child_fork", NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS="2")


def child_spawn():
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(digest).result(LIMIT) == digest()


def test_a_spawned_process_gives_the_same_bits():
    start_child("child_spawn")
