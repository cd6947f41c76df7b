"""Section `start`: a small first fit, from the start of the process to its end.

With an empty kernel cache everything is compiled; with a warm one it is loaded.
"""

import functools
import tempfile

import numpy as np
from processes import run_python
from timing import timed

RUNS = 3
OURS = """
import numpy as np
from numlstm import LSTMRegressor
X = np.random.default_rng(0).uniform(size=(100, 10, 1))
LSTMRegressor(8, max_iter=5).fit(X, X.sum(axis=(1, 2)))
"""
TORCH = """
import torch
X = torch.rand(100, 10, 1)
y = X.sum(dim=(1, 2))[:, None]
lstm, dense = torch.nn.LSTM(1, 8, batch_first=True), torch.nn.Linear(8, 1)
optimizer = torch.optim.Adam([*lstm.parameters(), *dense.parameters()])
for _ in range(5):
    for rows in torch.randperm(100).split(32):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(dense(lstm(X[rows])[0][:, -1]), y[rows]).backward()
        optimizer.step()
"""

COLUMNS = [("s", "seconds", ".2f")]


def start(settings):
    """Yield a row for each way to start."""
    cold, warm, theirs = [], [], []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as folder:
            first_fit = functools.partial(run_python, "-c", OURS, NUMBA_CACHE_DIR=folder)
            cold.append(timed(first_fit))
            warm.append(timed(first_fit))
        theirs.append(timed(lambda: run_python("-c", TORCH)))
    for name, runs in (("empty cache", cold), ("warm cache", warm), ("PyTorch", theirs)):
        yield {"name": name, "seconds": float(np.median(runs)), "runs": runs}
