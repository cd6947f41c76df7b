"""Sections `threads` and `growth`: two threads against one; ten times the work."""

from cases import CASES, Case, make_task
from ours import THREADS, Ours
from timing import Side, paired

from numlstm.kernels._threads import thread_limit

GROWTH = [  # what grows, by ten, and from where
    ("T", Case(64, 100, 64, 128)),
    ("T", Case(32, 100, 64, 64)),
    ("T", Case(1, 100, 64, 128)),
    ("B", Case(10, 100, 64, 128)),
    ("H", Case(64, 50, 64, 64)),
]

THREAD_COLUMNS = [
    ("work", "work", ""),
    ("1 thread ms", "one_ms", ".2f"),
    ("2 threads ms", "two_ms", ".2f"),
    ("speedup", "speedup", ".2f"),
    ("the tile's", "tile_speedup", ".2f"),
    ("same bits", "same_bits", ""),
]
GROWTH_COLUMNS = [
    ("work", "work", ""),
    ("ms", "ms", ".2f"),
    ("ten times ms", "tenfold_ms", ".2f"),
    ("time x", "factor", ".2f"),
    ("arithmetic x", "work_factor", ".1f"),
]


def works(task):
    """Return what can be done with the layer, by name."""
    return {"training": Ours(task).train, "inference": Ours(task).infer}


def threads(settings):
    """Yield two rows for each case with at least 128 units and 32 sequences.

    In turns with the register tile alone, which shares nothing but the machine.
    """
    peak = settings.peak
    for case in CASES:
        if case.H < 128 or case.B < 32:
            continue
        task = make_task(case)
        same = _bits(task, 1) == _bits(task, THREADS)
        for work, run in works(task).items():
            sides = [
                Side(side, around=lambda n=n: thread_limit(n))
                for side in (run, peak.multiply)
                for n in (1, THREADS)
            ]
            one, two, tile_one, tile_two = paired(*sides, seconds=settings.seconds)
            yield {
                "name": case.name, "work": work, "one_ms": one * 1e3, "two_ms": two * 1e3,
                "speedup": one / two, "tile_speedup": tile_one / tile_two, "same_bits": same,
            }  # fmt: skip


def _bits(task, n_threads):
    """Return the bytes of the outputs and of all gradients, computed on so many threads."""
    ours = Ours(task)
    with thread_limit(n_threads):
        outputs, gradients = ours.infer(), ours.train()
    arrays = [outputs, gradients.X, *gradients.state, *(a for w in gradients.weights for a in w)]
    return [array.tobytes() for array in arrays]


def growth(settings):
    """Yield two rows for each case: its time, and that with ten times the steps, rows or units."""
    for axis, case in GROWTH:
        tenfold = case._replace(**{axis: 10 * getattr(case, axis)})
        tasks = make_task(case), make_task(tenfold)
        for work in works(tasks[0]):
            ms, tenfold_ms = paired(
                *(works(task)[work] for task in tasks), seconds=settings.seconds
            )
            yield {
                "name": f"{case.name}: {axis} x 10", "axis": axis, "work": work,
                "ms": ms * 1e3, "tenfold_ms": tenfold_ms * 1e3, "factor": tenfold_ms / ms,
                "work_factor": tasks[1].gflop / tasks[0].gflop,
            }  # fmt: skip
