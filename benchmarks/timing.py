"""How long several ways of doing one thing take: in turns, so that they share the machine's moods.

Threads of a side spin for a while after its last call: GNU OpenMP's up to 15 ms, onnxruntime's 50,
and twice as long where they have to share a core with the next side's threads, which they slow
down to half. So a side waits until all threads sleep; then come untimed calls, then the timed ones.
"""

import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np

PAUSE, IDLE = 0.005, 0.1  # seconds between looks, and the share of a core that counts as sleep
SETTLE = 0.1  # seconds of untimed calls before the timed ones
TURN = 0.05  # seconds of timed calls, at most


class Side(NamedTuple):
    """One way of doing the thing.

    Attributes
    ----------
    run : callable
        What is timed.
    warm : callable or None
        What is called untimed before; `run` itself by default.
    around : callable
        Returns a context that holds during the calls and whose cost is not measured.
    calls : int
        How often `run` does the thing.
    """

    run: Callable
    warm: Callable | None = None
    around: Callable = nullcontext
    calls: int = 1


def timed(function):
    """Return the seconds of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def paired(*sides, seconds, rounds=5):
    """Return the median seconds of each side, called in turns.

    Parameters
    ----------
    *sides : Side or callable
    seconds : float
        How long to go on, for each side.
    rounds : int
        Turns of each side at least, however long they take.
    """
    sides = [side if isinstance(side, Side) else Side(side) for side in sides]
    share = min(TURN, seconds / 10)
    times, done = [[] for _ in sides], 0
    for side in sides:
        with side.around():
            _repeat(side.warm or side.run, share)  # compiles, allocates
    end = time.perf_counter() + seconds * len(sides)
    while done < rounds or time.perf_counter() < end:
        for side, found in zip(sides, times, strict=True):
            found += turn(side, share)
        done += 1
    return [float(np.median(found)) / side.calls for side, found in zip(sides, times, strict=True)]


def turn(side, share):
    """Return the times of calls for about `share` seconds, after untimed ones."""
    wait_for_sleep()
    with side.around():
        _repeat(side.warm or side.run, SETTLE)
        return _repeat(side.run, share)


def wait_for_sleep():
    """Wait until no thread of this process spins any more."""
    before = time.process_time()
    time.sleep(PAUSE)
    while (now := time.process_time()) - before > IDLE * PAUSE:
        before = now
        time.sleep(PAUSE)


def _repeat(function, seconds):
    times = [timed(function)]
    while sum(times) < seconds:
        times.append(timed(function))
    return times


def fastest(named_sides, seconds):
    """Return (name, side) of the fastest of several, each tried for so many seconds."""
    times = paired(*named_sides.values(), seconds=seconds, rounds=3)
    return list(named_sides.items())[int(np.argmin(times))]
