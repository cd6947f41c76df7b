"""What the project set out to reach, and whether a run reached it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Criterion(NamedTuple):
    """One figure and its target.

    Attributes
    ----------
    text : str
    sections : tuple of str
        Whose rows it looks at.
    worst : callable
        Takes the rows of each section; returns the figure, or None where there is no such row, and
        the name of the row that it comes from.
    target : float
    at_least : bool
        Else at most.
    """

    text: str
    sections: tuple
    worst: Callable
    target: float
    at_least: bool = True


def least(key, where=lambda row: True):
    """Return a function that picks the row with the smallest figure."""
    return lambda *sections: _pick(min, key, where, sections)


def most(key, where=lambda row: True):
    """Return a function that picks the row with the largest figure."""
    return lambda *sections: _pick(max, key, where, sections)


def _pick(choose, key, where, sections):
    rows = [row for rows in sections for row in rows if where(row)]
    if not rows:
        return None, ""
    row = choose(rows, key=lambda row: row[key])
    details = [row[key] for key in ("work", "kind") if key in row]
    return float(row[key]), ", ".join([row["name"], *details])


def mean(numerator, denominator):
    """Return a function that takes the geometric mean of a ratio over all rows."""

    def geometric(rows):
        ratios = [row[numerator] / row[denominator] for row in rows]
        return float(np.exp(np.mean(np.log(ratios)))), f"mean of {len(rows)}"

    return geometric


def _ragged_ratio(training, inference):
    """Return the smaller ratio to PyTorch of ragged training and ragged inference."""
    ratios = [
        (row[f"{work}_torch_ms"] / row[f"{work}_ms"], name)
        for work, name, rows in (("train", "training", training), ("infer", "inference", inference))
        for row in rows
        if "lengths" in row["options"]
    ]
    return min(ratios)


def _named(start):
    return lambda row: row["name"].startswith(start)


def _large(row):
    B, _, _, H = row["shape"]
    return B >= 32 and H >= 256


def _extreme(row):
    return row["kind"].startswith(("saturated", "denormal"))


CRITERIA = [
    Criterion("training: PyTorch / ours, every row", ("training",), least("train_ratio"), 1.0),
    Criterion(
        "training: geometric mean", ("training",), mean("train_torch_ms", "train_ms"), 1.5
    ),
    Criterion(
        "training: share of the peak, H >= 256 and B >= 32", ("training",),
        least("train_share", _large), 0.75,
    ),
    Criterion(
        "inference: faster of both / ours, every row", ("inference",), least("infer_ratio"), 1.0
    ),
    Criterion(
        "inference: geometric mean over PyTorch", ("inference",),
        mean("infer_torch_ms", "infer_ms"), 1.3,
    ),
    Criterion(
        "ragged: packed sequences / ours", ("training", "inference"), _ragged_ratio, 1.5
    ),
    Criterion(
        "step: onnxruntime / ours", ("step",), least("ort_ratio", _named("1 x 128")), 1.0
    ),
    *(
        Criterion(
            f"generation {size}: ours / PyTorch", ("generation",), least("ratio", _named(size)),
            target,
        )
        for size, target in (("1 x 128", 25), ("2 x 256", 3), ("2 x 512", 2))
    ),
    Criterion(
        "sine-wave epoch: PyTorch / ours, every H", ("epochs",), least("ratio", _named("sine")), 2.0
    ),
    Criterion(
        "text epoch: PyTorch / ours, both sizes", ("epochs",), least("ratio", _named("text")), 1.3
    ),
    Criterion("two threads: speedup, H >= 128 and B >= 32", ("threads",), least("speedup"), 1.8),
    Criterion("same bits on one and two threads", ("threads",), least("same_bits"), 1.0),
    Criterion(
        "ten times the steps: time", ("growth",), most("factor", lambda row: row["axis"] == "T"),
        10.5, at_least=False,
    ),
    Criterion(
        "denormal or saturated: time", ("numbers",), most("factor", _extreme), 1.1, at_least=False
    ),
    Criterion(
        "peak memory: ours / PyTorch's", ("memory",), most("ratio"), 1.0, at_least=False
    ),
    *(
        Criterion(
            f"first fit, {name} cache: s", ("start",), most("seconds", _named(name)), target,
            at_least=False,
        )
        for name, target in (("empty", 12), ("warm", 3))
    ),
]  # fmt: skip


def judge(results):
    """Return a row for each criterion.

    Parameters
    ----------
    results : dict of str to list of dict
        The rows of each section that ran.

    Returns
    -------
    list of dict
        name, target, figure, row and met; the last three None where it was not measured.
    """
    return [_judge(criterion, results) for criterion in CRITERIA]


def _judge(criterion, results):
    figure, row = None, ""
    if all(results.get(section) for section in criterion.sections):
        figure, row = criterion.worst(*(results[section] for section in criterion.sections))
    met = None
    if figure is not None:
        met = figure >= criterion.target if criterion.at_least else figure <= criterion.target
    return {
        "name": criterion.text, "at_least": criterion.at_least, "target": criterion.target,
        "figure": figure, "row": row, "met": met,
    }  # fmt: skip


def lines(judged):
    """Return the criteria as lines of text."""
    yield f"\n{'criterion':<52}{'target':>10}{'measured':>10}"
    for row in judged:
        target = f"{'>=' if row['at_least'] else '<='} {row['target']:g}"
        figure = "-" if row["figure"] is None else f"{row['figure']:.2f}"
        verdict = {None: "not measured", True: "met", False: "NOT met"}[row["met"]]
        where = f" ({row['row']})" if row["row"] else ""
        yield f"{row['name']:<52}{target:>10}{figure:>10}  {verdict}{where}"
    met = [row["met"] for row in judged]
    yield f"{met.count(True)} met, {met.count(False)} not met, {met.count(None)} not measured"
