"""Workers that meet inside a kernel: all of them, or one that does the work alone."""

import threading

import numpy as np
import pytest
from numba import config

from numlstm.kernels import team as teams
from numlstm.kernels._jit import kernel
from numlstm.kernels.team import new_team

needs_threads = pytest.mark.skipif(
    bool(config.DISABLE_JIT), reason="without the compiler there are no atomics, and one worker"
)


@kernel
def join(team, worker, n_workers):
    """Report, as a kernel would: Python cannot call a helper."""
    return teams.join(team, worker, n_workers)


@kernel
def meet(team, worker, n_workers):
    """Meet, as a kernel would."""
    teams.meet(team, worker, n_workers)


def at_once(n, function):
    """Return what a function returns for 0 .. n - 1, each in a Python thread of its own."""
    out = [None] * n

    def run(k):
        out[k] = function(k)

    threads = [threading.Thread(target=run, args=(k,), daemon=True) for k in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    return out


@pytest.mark.kernel
def test_a_single_worker_waits_for_nobody():
    team = new_team(1)
    assert join(team, 0, 1) == 1
    meet(team, 0, 1)
    assert not team.any()


@needs_threads
def test_whoever_gives_up_first_works_alone_and_late_ones_go_home():
    team = new_team(3)
    assert join(team, 2, 3) == 1
    assert join(team, 0, 3) == 0
    assert join(team, 1, 3) == 0  # although all three have come by now


@needs_threads
def test_all_who_come_in_time_are_a_team():
    join(new_team(2), 0, 2)  # compiled before the others wait for it
    for _ in range(20):
        team = new_team(2)
        sizes = sorted(at_once(2, lambda k, team=team: join(team, k, 2)))
        assert sizes in ([2, 2], [0, 1])  # the second on a machine that is busy for long


@kernel
def relay(team, values, worker, n_workers, rounds):
    """Each round adds what the neighbour wrote in the round before."""
    for k in range(rounds):
        values[k + 1, worker] = 2 * values[k, (worker + 1) % n_workers] + worker
        meet(team, worker, n_workers)


@needs_threads
def test_what_others_wrote_before_a_meeting_is_seen_after_it():
    n, rounds = 3, 200
    team, values = new_team(n), np.zeros((rounds + 1, n), np.uint64)
    relay(new_team(1), values.copy(), 0, 1, 1)
    at_once(n, lambda k: relay(team, values, k, n, rounds))
    expected = [0] * n
    for _ in range(rounds):
        expected = [(2 * expected[(k + 1) % n] + k) % 2**64 for k in range(n)]
    assert values[-1].tolist() == expected
