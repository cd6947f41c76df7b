"""Compiling what something is about to launch, before it does.

A first fit with an empty cache is mostly compiling, kernel by kernel as they are called, on one
core while the others idle. Known in advance, the kernels can be compiled side by side.
"""

import numba
import numpy as np
from numba import config
from numba._dispatcher import compute_fingerprint
from numba.core.registry import CPUDispatcher

from numlstm.kernels._jit import CACHE_FOLDER, is_cached
from numlstm.kernels._threads import available_threads, rehearse, start
from numlstm.kernels._two_processes import Task, compile_in_two_processes


def compile_ahead(function, *args):
    """Compile what a function launches, on two cores if there are two.

    Parameters
    ----------
    function : callable
        It launches the same kernels whatever is in its arrays, and what it does besides is of no
        effect: it is called here with no kernel running.
    *args
        Its arguments.
    """
    if config.DISABLE_JIT or CACHE_FOLDER is None:
        return
    with np.errstate(all="ignore"):
        noted = rehearse(function, *args)
    # Most fits of a search need nothing new: `typeof` takes 100 us for a forward pass.
    new = {(k, compute_fingerprint(given), n > 1): given for k, given, n in noted if n > 0}
    new = {key: given for key, given in new.items() if key not in _seen}
    missing = [each for each in _kernels_of(new) if not is_cached(*each)]
    if len(missing) > 1 and available_threads() > 1:
        # Begun last, a large one would keep the other process waiting.
        missing.sort(key=lambda each: -_length(each[0], set()))
        tasks = [Task(k.__module__, k.__qualname__, kinds) for k, kinds in missing]
        compile_in_two_processes(tasks)
    _seen.update(new)


_seen = set()  # (kernel, fingerprint of its arguments, on several threads) looked at before


def _kernels_of(launches):
    """Return pairs (kernel, its arguments' types), each once; on threads `start` is one as well."""
    needed = {}  # for its order
    for (chunk, _, on_threads), given in launches.items():
        if on_threads:
            needed[start, (numba.typeof((0, *given)), numba.types.int64)] = None
        needed[chunk, tuple(numba.typeof(a) for a in (*given, 0, 0))] = None
    return list(needed)


def _length(function, seen):
    """Return the bytes of Python's code of a kernel and its helpers: long ones compile for long."""
    if function in seen:
        return 0
    seen.add(function)
    code, names = function.py_func.__code__, function.py_func.__globals__
    called = (names.get(name) for name in code.co_names)
    helpers = (each for each in called if isinstance(each, CPUDispatcher))
    return len(code.co_code) + sum(_length(each, seen) for each in helpers)
