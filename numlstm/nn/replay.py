"""Steps of training that repeat: noted once, and from then on run without their Python."""

import numpy as np
from numba import config

from numlstm.kernels._recorded import recorded
from numlstm.kernels._threads import available_threads, noting

WORTH = 8  # calls alike before one is noted
# Before the first of all is noted in a process, which compiles something for each kernel (2 s) or
# loads it from the cache (0.1 s): a short fit is over before that pays.
WORTH_FIRST = 64
KINDS = 4  # of calls that are noted, at most: whole batches, the last one of an epoch
COUNTED = 64  # kinds of call


class Replay:
    """Calls a function that does nothing but launch kernels; after some calls alike, they alone."""

    is_first = True  # until one was noted in this process

    def __init__(self):
        self._counts, self._noted = {}, {}

    def __call__(self, function, key, *inputs):
        """Do what ``function(*inputs)`` does.

        Parameters
        ----------
        function : callable
            Whatever it does besides `launch` and `then` must be the same in each call with this
            key, and of no effect once done.
        key : hashable
            All that makes calls differ except the inputs' values.
        *inputs : array
            Of one shape and dtype for each key.
        """
        key = key, available_threads(), tuple((a.shape, a.dtype.char) for a in inputs)
        if key in self._noted:
            own, steps = self._noted[key]
            for copy, given in zip(own, inputs, strict=True):
                np.copyto(copy, given)
            for step in steps:
                step()
            return
        if len(self._counts) == COUNTED:
            self._counts.clear()
        self._counts[key] = self._counts.get(key, 0) + 1
        worth = WORTH_FIRST if Replay.is_first else WORTH
        if self._counts[key] < worth or len(self._noted) == KINDS or config.DISABLE_JIT:
            function(*inputs)
            return
        own = [given.copy() for given in inputs]
        with noting() as noted:
            function(*own)
        self._noted[key], Replay.is_first = (own, recorded(noted)), False
