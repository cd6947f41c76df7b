"""Fit and predict 500 times in one process, and see whether its memory grows.

Run as ``python benchmarks/soak.py``. It ends with exit code 1 if the resident memory is ever more
than 5 % above that after the first 50 rounds. What the C library's allocator has been given back
but keeps for later is handed to the system first: it says nothing of what the package holds.
"""

import argparse
import ctypes
import gc
import resource
import sys
import tempfile
from pathlib import Path

import numpy as np

import numlstm
from numlstm import CharLSTM, LSTMClassifier, LSTMForecaster, LSTMRegressor

WARM, ALLOWED = 50, 0.05


def resident():
    """Return the resident memory of this process in bytes."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def options(rng):
    return {
        "hidden_size": int(rng.choice([1, 5, 16, 33, 64])),
        "n_layers": int(rng.integers(1, 3)),
        "dtype": str(rng.choice(["float32", "float64"])),
        "max_iter": int(rng.integers(1, 4)),
        "random_state": int(rng.integers(1000)),
    }


def sequence_round(kind, rng):
    """Fit and use a regressor or classifier on arrays or ragged lists, per sequence or step."""
    n, T, D = rng.integers(2, 150), rng.integers(1, 60), rng.integers(1, 20)
    X = [rng.normal(size=(rng.integers(1, T + 1), D)) for _ in range(n)]
    if rng.integers(2):
        X = rng.normal(size=(n, T, D))
    per_step = rng.integers(2)
    y = [x.sum(axis=1) if per_step else x.sum() for x in X]
    if kind is LSTMClassifier:
        y = [np.where(np.asarray(v) > 0, "up", "down") for v in y]
        y = y if per_step else np.array(y)
    if per_step and kind is LSTMRegressor and isinstance(X, np.ndarray):
        y = np.stack(y)[:, :, None]
    solver = str(rng.choice(["adam", "sgd", "lbfgs"]))
    model = kind(**options(rng), solver=solver, bidirectional=bool(rng.integers(2))).fit(X, y)
    model.predict(X)
    if solver != "lbfgs":
        model.partial_fit(X, y)
    if not model.bidirectional:
        model.predict_step(np.zeros((3, D)))
    model.trace(X[:2])
    model.input_gradients(X[:2])
    return model


def series_round(rng):
    y = rng.normal(size=int(rng.integers(80, 400))).cumsum()
    window, horizon = int(rng.integers(2, 40)), int(rng.integers(1, 12))
    model = LSTMForecaster(window, horizon, **options(rng)).fit(y)
    model.predict(2 * horizon)
    return model


def text_round(rng):
    text = "".join(rng.choice(list("abcdefgh \n"), int(rng.integers(200, 3000))))
    model = CharLSTM(**options(rng) | {"max_iter": 1}, embedding_size=8).fit(text)
    model.generate(100, random_state=0)
    model.score(text)
    return model


def play(rng, path):
    """Do one round of a kind drawn at random, with a save and a load now and then."""
    k = rng.integers(6)
    if k < 4:
        model = sequence_round((LSTMRegressor, LSTMClassifier)[k % 2], rng)
    else:
        model = series_round(rng) if k == 4 else text_round(rng)
    if rng.integers(3) == 0:
        model.save(path)
        numlstm.load(path)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(arguments)
    rng, seen = np.random.default_rng(arguments.seed), []
    with tempfile.TemporaryDirectory() as folder:
        for k in range(1, arguments.rounds + 1):
            play(rng, Path(folder) / "model.safetensors")
            if k % WARM == 0:
                seen.append(resident())
                growth = seen[-1] / seen[0] - 1
                print(f"{k:4d} rounds: {seen[-1] / 1e6:7.1f} MB, {growth:+.1%}", flush=True)
    return int(max(seen) > (1 + ALLOWED) * seen[0])


if __name__ == "__main__":
    sys.exit(main())
