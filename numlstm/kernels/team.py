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
        fetch_add,
        give_way,
        load_acquire,
        relax,
        swap_if_zero,
    )

# Counters, a cache line or two apart: who reported, what was decided, how often all met.
ARRIVED, DECISION, MEETINGS, SIZE = 0, 16, 32, 48
PATIENCE = 20_000  # rounds of waiting for the others to report
SPINS = 2_000  # rounds at a barrier before the core is offered to others


def new_team():
    """Return the counters of a team that has not met."""
    return np.zeros(SIZE, np.int64)


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
def meet(team, n_workers):
    """Wait until every worker of the team is here; what they wrote before is then visible."""
    if n_workers == 1:
        return
    target = (fetch_add(team, MEETINGS, 1) // n_workers + 1) * n_workers
    spins = 0
    while load_acquire(team, MEETINGS) < target:
        relax()
        spins += 1
        if spins == SPINS:
            give_way()
            spins = 0
