"""Launches that were noted once and run again, one after the other, without the Python between.

After a kernel, which has emptied the caches, each line of Python is slow: on one machine (Zen 3)
it made a tenth of a training step of 12 ms. The arguments are kept as the kernels read them, so
running them again neither looks at nor converts a Python object.
"""

import itertools
from functools import partial

import numpy as np
from numba import types
from numba.extending import intrinsic

from numlstm.kernels._cores_llvm import current_core
from numlstm.kernels._jit import kernel
from numlstm.kernels._threads import (
    address_of,
    call_work,
    on_threads,
    run_workers,
    work_function,
)

ROOM = 1024  # elements of int64 for the arguments of a call; a forward pass needs about 200


@intrinsic
def put_at(typingctx, args, place):
    """Store a tuple at an address, where there is room for ROOM numbers."""

    def codegen(context, builder, sig, values):
        kind = values[0].type
        if context.get_abi_sizeof(kind) > 8 * ROOM:
            raise TypeError("a kernel has more arguments than a recorded call has room for")
        builder.store(values[0], builder.inttoptr(values[1], kind.as_pointer()))
        return context.get_dummy_value()

    return types.void(args, types.int64), codegen


@kernel
def keep(args, place):
    """Store (address of a chunk kernel, *arguments) at a place; return who can call it there."""
    put_at(args, place)
    return work_function(args)


@kernel
def run_alone(works, places):
    """Run calls one after the other, each with one worker."""
    for k in range(works.shape[0]):
        call_work(works[k], places[k], 0, 1)


@kernel
def run_shared(works, places, sizes):
    """Run calls one after the other, each with its number of workers."""
    core = current_core()
    for k in range(works.shape[0]):
        if sizes[k] > 1:
            run_workers(works[k], places[k], core, sizes[k])
        else:
            call_work(works[k], places[k], 0, 1)


class Calls:
    """Launches without anything between them.

    Parameters
    ----------
    noted : list of (chunk, arguments, workers)
        What `noting` noted. The arrays among the arguments stay where they are; the other arguments
        are those of now, and so are the numbers of workers.
    """

    def __init__(self, noted):
        self._kept = noted  # the arrays live as long as their addresses are used
        self._room = np.zeros((len(noted), ROOM), np.int64)
        self._places = np.array([row.ctypes.data for row in self._room])
        self._works = np.array([
            keep((address_of(chunk, args), *args), place)
            for (chunk, args, _), place in zip(noted, self._places, strict=True)
        ])  # fmt: skip
        self._sizes = np.array([n for _, _, n in noted])
        self._most = int(self._sizes.max())

    def __call__(self):
        """Run them."""
        calls, n = (self._works, self._places), self._most
        if n == 1 or not on_threads(n, run_shared, *calls, self._sizes):
            run_alone(*calls)


def recorded(noted):
    """Return functions that, called in turn, do what was noted once more."""
    functions = []
    for is_launch, group in itertools.groupby(noted, key=lambda step: step[2] > 0):
        group = list(group)
        functions += [Calls(group)] if is_launch else [partial(f, *args) for f, args, _ in group]
    return functions
