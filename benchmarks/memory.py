"""Section `memory`: what a training step needs beyond the weights and the data it is given.

Each side runs in a process of its own. It makes the layer, X and the gradient of the outputs, and
runs one training step of two sequences of two time steps, so that all code is loaded and compiled;
then three training steps at the full size. The figure is the highest resident memory during these
(VmHWM, set back before them) less the resident memory before them: the tape, the workspaces, the
outputs and the gradients. Not ru_maxrss: that of a child process begins with its parent's.
"""

import argparse
import json
from pathlib import Path

from cases import Case, Task, make_task
from processes import answer_of

CASE = Case(64, 100, 128, 256)
COLUMNS = [
    ("ours MB", "mb", ".1f"),
    ("torch MB", "torch_mb", ".1f"),
    ("ours / torch", "ratio", ".2f"),
]


def memory(settings):
    """Yield the one row."""
    if not Path("/proc/self/clear_refs").exists():
        print("no /proc: memory is not measured", flush=True)
        return
    mb, torch_mb = (answer_of(__file__, side)["mb"] for side in ("numlstm", "pytorch"))
    yield {"name": CASE.name, "mb": mb, "torch_mb": torch_mb, "ratio": mb / torch_mb}


def resident(key):
    """Return a line of this process's status, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/self/status has no {key}")


def reset_peak():
    """Set VmHWM back to what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")


def _small(task):
    """Return the task cut to two sequences of two steps."""
    X, upstream = (a[:2, :2].copy() for a in (task.X, task.upstream))
    return Task(task.case._replace(B=2, T=2), task.lstm, X, None, upstream)


def measure(side):
    """Return the MB of a training step of one side, in this process."""
    task = make_task(CASE)
    make = SIDES[side]()
    make(_small(task)).train()
    contender = make(task)
    reset_peak()
    before = resident("VmRSS")
    for _ in range(3):
        contender.train()
    return resident("VmHWM") - before


def _numlstm():
    from ours import Ours

    return Ours


def _pytorch():
    import torch
    from pytorch import THREADS, Torch

    torch.set_num_threads(THREADS)
    return Torch


SIDES = {"numlstm": _numlstm, "pytorch": _pytorch}  # each loads its own library only

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure one side in this process.")
    parser.add_argument("side", choices=list(SIDES))
    print(json.dumps({"mb": measure(parser.parse_args().side)}))
