"""Which route a kernel takes: its serial form, or a parallel shell around the same chunks.

Both routes give the same bits, so the choice may depend on the moment. The serial route is taken
* when one thread was asked for, or another Python thread is inside a parallel kernel: Numba's
  ``workqueue`` layer aborts the process when entered twice, and two at once would only crowd the
  cores;
* in a process that was forked: GNU OpenMP kills a child that enters a pool started by its parent.
"""

import functools
import os
import threading
from contextlib import contextmanager

import numba
import numpy as np
from llvmlite import ir
from numba import config, prange, types
from numba._dispatcher import compute_fingerprint
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.ufunc import parallel

from numlstm.kernels._cores_llvm import current_core, leave_core
from numlstm.kernels._jit import kernel, parallel_kernel

# About 0.15 ms of products. Less gains little on a free machine (64 x 50 x 1 x 32: 0.60 against
# 0.71 ms a training step) and loses much on a busy one (1.2 ms).
WORK_PER_THREAD = 16_000_000

MOST_THREADS = config.NUMBA_NUM_THREADS  # workers of any kernel

_busy = threading.Lock()
_forked = False
_local = threading.local()


def _after_fork():
    global _forked
    _forked = True  # nobody asks for `_busy` then, which a thread may hold that was not forked


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _environment_limit():
    """Return the limit of OMP_NUM_THREADS and, unless NUMBA_NUM_THREADS is set, the cgroup's."""
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
    return min(threads_of_numba(), _default_limit())


@functools.cache
def _default_limit():
    return _environment_limit()


def threads_of_numba():
    """Return what `numba.get_num_threads` does, without its locks.

    They take 46 us after a pass, which has emptied the caches of what they need (Zen 3).
    """
    start_pool()
    return parallel._get_num_threads()


@functools.cache
def start_pool():
    """Start Numba's threads, and have those of GNU OpenMP sleep soon while they wait.

    By default they spin for 300,000 rounds, 6 to 15 ms: on a machine with other work every meeting
    of threads then waits for a time slice. 10,000 rounds, 0.2 ms, bridge the Python between two
    kernels; to wake a thread that sleeps takes 30 us. The variable is read once, when the library
    is loaded, and is put back after that.
    """
    chosen = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & set(os.environ)
    if not chosen:
        os.environ["GOMP_SPINCOUNT"] = "10000"
    try:
        numba.get_num_threads()
    finally:
        if not chosen:
            del os.environ["GOMP_SPINCOUNT"]


@functools.cache
def stay_awake():
    """Return whether threads that have ended a kernel wait for the next one for a while, awake.

    Those of OpenMP do, unless the environment has them sleep.
    """
    start_pool()
    chosen = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME"} & set(os.environ)
    return not config.DISABLE_JIT and numba.threading_layer() == "omp" and not chosen


@contextmanager
def thread_limit(n_threads):
    """Limit kernels called from this Python thread to `n_threads`; None changes nothing."""
    before = getattr(_local, "limit", None)
    _local.limit = before if n_threads is None else n_threads
    try:
        yield
    finally:
        _local.limit = before


def n_workers(work, at_most=2**31):
    """Return how many workers `launch` cuts a call into, if the threads are free."""
    wanted = min(at_most, MOST_THREADS, int(work) // WORK_PER_THREAD + 1)
    # Small calls do not ask how many threads there are: Numba's answer takes up to 20 us.
    return min(wanted, available_threads()) if wanted > 1 else 1


def launch(chunk, *args, work, at_most=2**31):
    """Run every worker's share of a chunk kernel, on as many threads as are free.

    Parameters
    ----------
    chunk : kernel
        Called as ``chunk(*args, worker, n_workers)``; does one worker's share.
    *args
        Its other arguments.
    work : int
        Multiply-adds of the whole call, roughly. Small calls stay on one thread.
    at_most : int
        Number of pieces the work can be cut into.
    """
    n = n_workers(work, at_most)
    if _note(chunk, args, n):
        return
    if n == 1 or not on_threads(n, _start_chunk, chunk, args, n):
        chunk(*args, 0, 1)


def _start_chunk(chunk, args, n):
    start((address_of(chunk, args), *args), n)


def on_threads(n, function, *args):
    """Call a function while Numba uses n threads; return False, not calling it, if they are busy.

    All that can fail or be interrupted, compiling too, belongs into the function: here the threads
    are given back whatever happens.
    """
    before = threads_of_numba()
    if not _busy.acquire(blocking=False):
        return False
    try:
        if n != before:
            numba.set_num_threads(n)
        function(*args)
    finally:
        if n != before:
            numba.set_num_threads(before)
        _busy.release()
    return True


@contextmanager
def noting():
    """Yield a list to which this Python thread's calls of `launch` and `then` are added.

    Each is (function, arguments, workers), with 0 workers for `then`.
    """
    _local.noted, _local.runs = [], True
    try:
        yield _local.noted
    finally:
        _local.noted = None


def rehearse(function, *args):
    """Call a function with nothing launched; return what `noting` would have noted.

    No context manager: were Ctrl-C to keep it from ending, nothing would be launched ever after.
    """
    noted = []
    try:
        _local.noted, _local.runs = noted, False
        function(*args)
    finally:
        _local.noted = None
    return noted


def _note(function, args, n):
    """Note a call if that is wanted; return whether this is all that is to be done."""
    if getattr(_local, "noted", None) is None:
        return False
    _local.noted.append((function, args, n))
    return not _local.runs


def then(function, *args):
    """Call a Python function between two launches, such that `noting` sees it."""
    if not _note(function, args, 0):
        function(*args)


_addresses = {}


def address_of(chunk, args):
    """Return the machine address of a chunk kernel compiled for these arguments.

    The arguments' types are told by the fingerprint that Numba's own dispatcher uses: `typeof`
    takes 4 us an array, 100 us for a forward pass.
    """
    key = chunk, compute_fingerprint(args)
    address = _addresses.get(key)
    if address is None:
        kinds = tuple(numba.typeof(a) for a in (*args, 0, 0))
        chunk.compile(kinds)
        compiled = chunk.overloads[kinds]
        address = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
        _addresses[key] = address
    return address


_WORK = ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * 3)


@intrinsic
def put_on_stack(typingctx, args):
    """Store a tuple in the caller's frame and return the address."""

    def codegen(context, builder, sig, values):
        slot = cgutils.alloca_once_value(builder, values[0])
        return builder.ptrtoint(slot, ir.IntType(64))

    return types.int64(args), codegen


@intrinsic
def work_function(typingctx, args):
    """Return the address of a function ``work(place, worker, n_workers)`` for such arguments.

    It reads (address, *arguments) at a place in memory and calls the chunk kernel at that address
    as ``chunk(*arguments, worker, n_workers)``.
    """

    def codegen(context, builder, sig, values):
        module, convention = builder.module, context.call_conv
        name = module.get_unique_name("numlstm_work")
        function = ir.Function(module, _WORK, name)
        function.linkage = "internal"
        inner = ir.IRBuilder(function.append_basic_block("entry"))
        place, worker, n_workers = function.args
        kind = values[0].type
        address, *given = cgutils.unpack_tuple(
            inner, inner.load(inner.inttoptr(place, kind.as_pointer()))
        )
        kinds = [*sig.args[0].types[1:], types.int64, types.int64]
        pointer = inner.inttoptr(
            address, convention.get_function_type(types.none, kinds).as_pointer()
        )
        convention.call_function(inner, pointer, types.none, kinds, [*given, worker, n_workers])
        inner.ret_void()
        return builder.ptrtoint(function, ir.IntType(64))

    return types.int64(args), codegen


@intrinsic
def call_work(typingctx, work, place, worker, n_workers):
    """Call the work function at an address."""

    def codegen(context, builder, sig, values):
        pointer = builder.inttoptr(values[0], _WORK.as_pointer())
        builder.call(pointer, values[1:])
        return context.get_dummy_value()

    i = types.int64
    return types.void(i, i, i, i), codegen


@parallel_kernel
def run_workers(work, place, core, n_workers):
    """Call a work function for every worker: the one parallel shell around all chunk kernels.

    It sees addresses only. A shell that names its chunk is compiled with a copy of the chunk's body
    five times over: 8 s instead of 2 s for the forward pass.

    `core` is the caller's; the caller is the first worker.
    """
    for worker in prange(n_workers):
        if worker > 0:
            leave_core(core)
        call_work(work, place, np.int64(worker), n_workers)


@kernel
def start(args, n_workers):
    """Run the chunk kernel at address args[0] with arguments args[1:] on n_workers threads."""
    run_workers(work_function(args), put_on_stack(args), current_core(), n_workers)
