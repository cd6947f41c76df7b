"""A few rows through all layers by one compiled call: streams, and sequences that are short."""

import threading
import time

import numpy as np

from numlstm.kernels import _threads
from numlstm.kernels._threads import launch
from numlstm.kernels.stepping import run_row_chunk, run_steps
from numlstm.kernels.team import new_team
from numlstm.nn.memory import aligned_zeros
from numlstm.nn.stack import work_of_pass
from numlstm.nn.weights import LSTMState

MAX_ROWS = 8  # beyond that the general route is faster
WEIGHTS_PER_WORKER = 1_500_000  # of a row that workers share: 60 us of reading
AWAKE = 1e-4  # seconds; OpenMP's threads spin twice as long before they sleep, see `start_pool`
WORTH_WAKING = 8  # calls that follow each other so closely before threads are woken, 0.05 to 1.3 ms


class AtOnce:
    """The way of small calls, with the bits of the general one.

    At 7 x 33 x 5 x 50 it takes half the time of the general one, whose other half is Python's: 0.13
    against 0.29 ms (Zen 3).

    Parameters
    ----------
    stack : LSTMStack
        Of one direction.
    parameters : array
        The packed weights.
    """

    def __init__(self, stack, parameters):
        self._stack, self._parameters = stack, parameters
        self._places = stack.layout.places()
        self._products = max(stack.products(panels) for panels in stack.layout.views(parameters))
        self._shares = min(parameters.size // WEIGHTS_PER_WORKER, stack.shares)
        self._local = threading.local()

    def __call__(self, X, state):
        """Return outputs and state as `LSTM` does.

        Or None where threads would help, or the arguments need a closer look.
        """
        if type(X) is not np.ndarray or X.ndim != 3:
            return None
        stack, dtype, (N, T, D) = self._stack, self._stack.dtype, X.shape
        if not 0 < N <= MAX_ROWS or not T or D != stack.input_size:
            return None
        if work_of_pass(self._products, T, N) >= _threads.WORK_PER_THREAD:
            return None
        shape = (stack.n_layers, N, stack.hidden_size)
        zeros, room = self._room(N)
        if state is None:
            state = zeros
        elif not (
            isinstance(state, LSTMState)
            and _is_ready(state.h, shape, dtype)
            and _is_ready(state.c, shape, dtype)
        ):
            return None
        if not _is_ready(X, X.shape, dtype):
            return None
        outputs = np.empty((N, T, stack.hidden_size), dtype)
        new = LSTMState(np.empty(shape, dtype), np.empty(shape, dtype))
        if N == 1 and self._shares > 1:
            return self._share(X, state, room, outputs, new)
        if not run_steps(self._parameters, self._places, X, *state, *room, outputs, *new):
            return None
        return outputs, new

    def _share(self, X, state, room, outputs, new):
        """Run one row: on several threads where many calls follow each other closely."""
        ended, close = getattr(self._local, "calls", (0.0, 0))
        close = close + 1 if time.perf_counter() - ended < AWAKE else 0
        shares = self._shares if close >= WORTH_WAKING and _threads.stay_awake() else 1
        done, (h, c, gates, _) = np.zeros(1, np.int64), room
        launch(
            run_row_chunk, self._parameters, self._places, X, *state, h, c, gates, outputs, *new,
            done, new_team(shares), work=shares * _threads.WORK_PER_THREAD, at_most=shares,
        )  # fmt: skip
        self._local.calls = time.perf_counter(), close
        return (outputs, new) if done[0] else None

    def _room(self, n_rows):
        """Return this thread's zeros, as a state, and its arrays to work in."""
        found = getattr(self._local, "room", None)
        if found is None or found[0].h.shape[1] != n_rows:
            stack = self._stack
            n, H, Hp, W = stack.n_layers, stack.hidden_size, stack.Hp, 4 * stack.lanes
            zeros = LSTMState(*(aligned_zeros((n, n_rows, H), stack.dtype) for _ in "hc"))
            few = n_rows > 1 and 0 < H % stack.lanes <= stack.lanes // 4
            tail = (max(D for _, _, D in self._places) + H + 1) * stack.lanes if few else 0
            shapes = (
                (n, 2, n_rows, Hp),
                (n, n_rows, Hp),
                (max(2, 2 * self._shares), 1, n_rows, W),
                (n, tail),
            )
            found = self._local.room = zeros, [aligned_zeros(s, stack.dtype) for s in shapes]
        return found


def _is_ready(array, shape, dtype):
    """Return whether a kernel can read an array as it is: without compiling anew, for one."""
    return (
        type(array) is np.ndarray
        and array.dtype == dtype
        and array.shape == shape
        and array.flags.carray
    )
