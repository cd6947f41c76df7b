"""Section `numbers`: extreme values, float64, and vectors of 8 lanes, against the ordinary.

Saturated: gates far out, where exp overflows or gives denormals. Denormal: numbers below 1.2e-38,
which a processor may take a hundred cycles for; as inputs, as carried state, as gradients (those
vanish over time in practice). Each is timed in turns with the same call on ordinary numbers.
"""

import argparse
import json

import numpy as np
from cases import Case, make_task
from ours import THREADS, Ours
from processes import answer_of
from timing import paired

from numlstm import LSTM, LSTMState
from numlstm.kernels._threads import thread_limit
from numlstm.nn.weights import vector_lanes

CASES = [Case(64, 50, 64, 128), Case(64, 50, 128, 256), Case(1, 100, 64, 128)]
DENORMAL, FAR = 1e-40, 100.0  # factors of ordinary numbers
# What is scaled: X, the state, the gradient of the outputs, the weights.
KINDS = {
    "saturated inputs": (FAR, 1, 1, 1),
    "saturated weights": (1, 1, 1, FAR),
    "denormal inputs": (DENORMAL, 1, 1, 1),
    "denormal state": (0, DENORMAL, 1, 1),
    "denormal gradients": (1, 1, DENORMAL, 1),
    "denormal everything": (DENORMAL, DENORMAL, DENORMAL, 1),
}
WIDTHS = {"native": "", "8 lanes": "32"}  # values of NUMLSTM_VECTOR_BYTES
WIDTH_ROUNDS = 3

COLUMNS = [
    ("work", "work", ""),
    ("numbers", "kind", ""),
    ("ordinary ms", "base_ms", ".3f"),
    ("ms", "ms", ".3f"),
    ("time x", "factor", ".2f"),
]


def numbers(settings):
    """Yield the rows of all kinds."""
    yield from extremes(settings)
    yield from steps(settings)
    yield from doubles(settings)
    yield from widths(settings)


def _row(name, work, kind, base, seconds):
    return {
        "name": name, "work": work, "kind": kind, "base_ms": base * 1e3, "ms": seconds * 1e3,
        "factor": seconds / base,
    }  # fmt: skip


def extremes(settings):
    """Yield rows for whole sequences of extreme values."""
    for case in CASES:
        ordinary = _works(case, 1, 1, 1, 1)
        for kind, factors in KINDS.items():
            extreme = _works(case, *factors)
            for work in ordinary:
                if work == "inference" and kind == "denormal gradients":
                    continue  # sees none
                times = paired(ordinary[work], extreme[work], seconds=settings.seconds / 2)
                yield _row(case.name, work, kind, *times)


def _scaled_lstm(lstm, factor):
    """Return a copy with scaled weights and the same biases."""
    weights = [w._replace(Wx=w.Wx * factor, Wh=w.Wh * factor) for w in lstm.weights]
    return LSTM.from_weights(weights)


def _works(case, x, s, d, w):
    """Return training and inference on X, a state, gradients and weights times these factors."""
    task = make_task(case)
    lstm, X, upstream = _scaled_lstm(task.lstm, w), task.X * np.float32(x), task.upstream
    upstream = upstream * np.float32(d)
    one = np.full((1, case.B, case.H), s, np.float32)
    state = LSTMState(one / 2, one)

    def train():
        lstm.forward(X, state=state)
        lstm.backward(upstream)

    return {"training": train, "inference": lambda: lstm(X, state=state)}


def steps(settings):
    """Yield rows for single steps from a denormal state."""
    lstm, ones = LSTM(64, 128, random_state=0), np.ones((1, 1, 128), np.float32)
    zero = np.zeros((1, 64), np.float32)
    ordinary, denormal = (
        LSTMState(ones * np.float32(k), ones * np.float32(k)) for k in (1, DENORMAL)
    )
    base, seconds = paired(
        lambda: lstm.step(zero, ordinary), lambda: lstm.step(zero, denormal),
        seconds=settings.seconds,
    )  # fmt: skip
    yield _row("1 x 128", "step", "denormal state", base, seconds)


def doubles(settings):
    """Yield rows for float64."""
    for case in CASES:
        single, double = (Ours(make_task(case, dtype)) for dtype in ("float32", "float64"))
        for work, pair in (
            ("training", (single.train, double.train)),
            ("inference", (single.infer, double.infer)),
        ):
            yield _row(case.name, work, "float64", *paired(*pair, seconds=settings.seconds / 2))


def widths(settings):
    """Yield rows for vectors of 8 lanes; each width in processes of its own, in turns."""
    runs = {name: [] for name in WIDTHS}
    for _ in range(WIDTH_ROUNDS):
        for name, value in WIDTHS.items():
            runs[name].append(answer_of(__file__, settings.seconds / 6, NUMLSTM_VECTOR_BYTES=value))
    lanes = runs["8 lanes"][0]["lanes"]
    for k, (name, work, _) in enumerate(runs["native"][0]["times"]):
        base, seconds = (
            float(np.median([run["times"][k][2] for run in runs[name]])) for name in WIDTHS
        )
        yield _row(name, work, f"{lanes} lanes", base, seconds)


def measure_here(seconds):
    """Return the times of this process's vector width."""
    times = []
    for case in CASES:
        ours = Ours(make_task(case))
        for work, run in (("training", ours.train), ("inference", ours.infer)):
            times.append((case.name, work, *paired(run, seconds=seconds)))
    return {"lanes": vector_lanes(np.float32), "times": times}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure one vector width in this process.")
    parser.add_argument("seconds", type=float)
    with thread_limit(THREADS):
        print(json.dumps(measure_here(parser.parse_args().seconds)))
