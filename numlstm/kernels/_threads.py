"""Which route a kernel takes: its serial form, or a parallel shell around the same chunks.

Both routes give the same bits, so the choice may depend on the moment. The serial route is taken
* when one thread was asked for, or another Python thread is inside a parallel kernel: Numba's
  ``workqueue`` layer aborts the process when entered twice, and two at once would only crowd the
  cores;
* in a process that was forked: GNU OpenMP kills a child that enters a pool started by its parent.
"""

import os
import threading
from contextlib import contextmanager

import numba
from numba import config

_busy = threading.Lock()
_forked = False
_local = threading.local()


def _after_fork():
    global _busy, _forked
    _busy, _forked = threading.Lock(), True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _environment_limit():
    """Return the limit set by OMP_NUM_THREADS or, unless NUMBA_NUM_THREADS is set, by the cgroup."""
    limit = os.environ.get("OMP_NUM_THREADS", "")
    limit = int(limit) if limit.isdecimal() and int(limit) > 0 else config.NUMBA_NUM_THREADS
    if "NUMBA_NUM_THREADS" not in os.environ:
        from joblib import cpu_count

        limit = min(limit, cpu_count())
    return limit


def available_threads():
    """Return how many threads a kernel may use when called from this Python thread now."""
    if _forked or config.DISABLE_JIT:
        return 1
    wanted = getattr(_local, "limit", None)
    if wanted is not None:
        return min(wanted, config.NUMBA_NUM_THREADS)
    return min(numba.get_num_threads(), _default_limit())


def _default_limit():
    global _limit
    if _limit is None:
        _limit = _environment_limit()
    return _limit


_limit = None


@contextmanager
def thread_limit(n_threads):
    """Limit kernels called from this Python thread to `n_threads`; None leaves things as they are."""
    before = getattr(_local, "limit", None)
    _local.limit = before if n_threads is None else n_threads
    try:
        yield
    finally:
        _local.limit = before


def launch(serial, parallel, *args, at_most=2**31):
    """Run ``serial(*args, 0, 1)``, or ``parallel(*args, n)`` where n threads are free.

    Parameters
    ----------
    serial : kernel
        Called as ``serial(*args, worker, n_workers)``; does one worker's share.
    parallel : kernel
        Called as ``parallel(*args, n_workers)``; runs `serial` for every worker.
    *args
        Arguments of both.
    at_most : int
        Number of pieces the work can be cut into.
    """
    n = min(available_threads(), at_most)
    if n <= 1 or not _busy.acquire(blocking=False):
        serial(*args, 0, 1)
        return
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(n)
        parallel(*args, n)
    finally:
        numba.set_num_threads(before)
        _busy.release()
