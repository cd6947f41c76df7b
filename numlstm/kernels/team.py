"""Workers that meet at a barrier in the middle of a kernel.

A parallel loop promises that each piece is run, not that all run at the same time: a pool may be
short of threads, or the system of cores. So workers first report; if one does not within about a
millisecond, whoever gives up first does all the work alone and the others are sent home. Either way
the result has the same bits.
"""

import numpy as np
from numba import config

from numlstm.kernels._jit import helper

if not config.DISABLE_JIT:  # without the compiler there is one worker, which meets nobody
    from numlstm.kernels._atomics_llvm import (
        call_line,
        call_line_to_write,
        fetch_add,
        give_way,
        load_acquire,
        relax,
        store_release,
        swap_if_zero,
    )

# Counters, two cache lines apart: who reported, what was decided, how much the first worker has
# made known, and of each worker how often it came to a meeting.
ARRIVED, DECISION, KNOWN, MEETINGS, APART = 0, 16, 32, 48, 16
PATIENCE = 20_000  # rounds of waiting for the others to report
SPINS = 2_000  # rounds at a barrier before the core is offered to others
LINE = 64  # bytes that pass from core to core at once


def new_team(n_workers):
    """Return the counters of a team of up to `n_workers` that has not met."""
    return np.zeros(MEETINGS + n_workers * APART, np.int64)


@helper
def own_share(count, worker, n_workers):
    """Return the first and the last + 1 of a worker's share of `count` things."""
    return count * worker // n_workers, count * (worker + 1) // n_workers


@helper
def join(team, worker, n_workers):
    """Report; return the size of the team: n_workers, or 1 to do all alone, or 0 to go home."""
    if n_workers == 1:
        return 1
    fetch_add(team, ARRIVED, 1)
    for _ in range(PATIENCE):
        if load_acquire(team, ARRIVED) == n_workers:
            swap_if_zero(team, DECISION, n_workers)
        if load_acquire(team, DECISION) != 0:
            break
        relax()
    alone = -1 - worker
    swap_if_zero(team, DECISION, alone)
    decision = load_acquire(team, DECISION)
    if decision == n_workers:
        return n_workers
    return 1 if decision == alone else 0


@helper
def wait_for(team, counter, value):
    """Wait until a counter has reached a value; what its writer wrote before is then visible."""
    spins = 0
    while load_acquire(team, counter) < value:
        relax()
        spins += 1
        if spins == SPINS:
            give_way()
            spins = 0


@helper
def meet(team, worker, n_workers):
    """Wait until every worker of the team is here; what they wrote before is then visible.

    Each counts for itself and looks at the others: one counter for all would pass from core to core
    as often as there are workers.
    """
    if n_workers == 1:
        return
    own = MEETINGS + worker * APART
    count = team[own] + 1
    store_release(team, own, count)
    for other in range(n_workers):
        if other != worker:
            wait_for(team, MEETINGS + other * APART, count)


@helper
def make_known(team, k, number):
    """Tell the others, as their first worker, the k-th of the numbers they wait for.

    It travels in the counter itself: a number beside it would be a second line of memory to fetch.
    """
    store_release(team, KNOWN, ((k + 1) << 32) + number)


@helper
def learn(team, k):
    """Wait for the k-th number, in 0 .. 2**32 - 1, of the first worker and return it."""
    wait_for(team, KNOWN, (k + 1) << 32)
    return load_acquire(team, KNOWN) & 0xFFFFFFFF


@helper
def will_read(array, first, stop, n_workers):
    """Call elements first .. stop, which others have just written, all at once to this core."""
    if n_workers > 1:
        for k in range(first, stop, LINE // array.itemsize):
            call_line(array, k)


@helper
def will_write(array, first, stop, team, worker, n_workers):
    """Take elements first .. stop, and this worker's counter, from the cores that have read them.

    Done at the start of a step it hides what a store would wait for at its end. With `will_read`,
    a character of a model with 128 units takes 1.5 instead of 2.2 microseconds.
    """
    if n_workers > 1:
        for k in range(first, stop, LINE // array.itemsize):
            call_line_to_write(array, k)
        call_line_to_write(team, MEETINGS + worker * APART)
