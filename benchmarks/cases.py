"""What the layers are measured on: shapes, options, and data for them."""

from typing import NamedTuple

import numpy as np

from numlstm import LSTM

SHORTEST, LONGEST = 10, 100  # of ragged sequences


class Case(NamedTuple):
    """A shape, B sequences of T steps, D inputs and H units, and the options of the layer."""

    B: int
    T: int
    D: int
    H: int
    n_layers: int = 1
    bidirectional: bool = False
    ragged: bool = False

    @property
    def shape(self):
        return [self.B, self.T, self.D, self.H]

    @property
    def options(self):
        """What is unusual about it, for tables and files."""
        options = {}
        if self.n_layers > 1:
            options["n_layers"] = self.n_layers
        if self.bidirectional:
            options["bidirectional"] = True
        if self.ragged:
            options["lengths"] = f"{SHORTEST}..{LONGEST}"
        return options

    @property
    def name(self):
        unusual = [f"{self.n_layers} layers"] if self.n_layers > 1 else []
        unusual += ["bidirectional"] if self.bidirectional else []
        unusual += ["ragged"] if self.ragged else []
        return ", ".join([" x ".join(map(str, self.shape)), *unusual])


ORDINARY = [
    Case(64, 50, 1, 2),
    Case(64, 50, 1, 32),
    Case(64, 50, 1, 128),
    Case(32, 100, 64, 128),
    Case(64, 100, 128, 256),
    Case(128, 50, 64, 512),
    Case(50, 50, 64, 64),
    Case(50, 50, 128, 128),
    Case(50, 50, 256, 256),
    Case(50, 50, 512, 512),
    Case(1, 100, 64, 128),
    Case(1, 1000, 64, 512),
    Case(256, 20, 32, 64),
    Case(7, 33, 5, 50),
]
CASES = [
    *ORDINARY,
    Case(64, 50, 128, 256, n_layers=2),
    Case(64, 50, 64, 128, bidirectional=True),
    Case(64, LONGEST, 128, 256, ragged=True),
]


class Task(NamedTuple):
    """A case with weights and data.

    Attributes
    ----------
    case : Case
    lstm : LSTM
    X : array, (B, T, D)
    lengths : array of int, (B,), or None
    upstream : array, (B, T, H * n_directions)
        Gradient of the loss with respect to the outputs.
    """

    case: Case
    lstm: LSTM
    X: np.ndarray
    lengths: np.ndarray | None
    upstream: np.ndarray

    @property
    def gflop(self):
        """Arithmetic of one forward pass, the products alone; a training step has three times it.

        Steps past the end of a sequence do not count.
        """
        case, total = self.case, 0
        directions = 2 if case.bidirectional else 1
        rows = case.B * case.T if self.lengths is None else int(self.lengths.sum())
        for layer in range(case.n_layers):
            inputs = case.H * directions if layer else case.D
            total += 2 * rows * 4 * case.H * (inputs + case.H) * directions
        return total / 1e9


def make_task(case, dtype="float32"):
    """Return a case with random weights and data."""
    rng = np.random.default_rng(0)
    lstm = LSTM(
        case.D, case.H, n_layers=case.n_layers, bidirectional=case.bidirectional, dtype=dtype,
        random_state=0,
    )  # fmt: skip
    X = rng.standard_normal((case.B, case.T, case.D)).astype(dtype)
    width = case.H * (2 if case.bidirectional else 1)
    upstream = rng.standard_normal((case.B, case.T, width)).astype(dtype)
    lengths = rng.integers(SHORTEST, LONGEST + 1, case.B) if case.ragged else None
    return Task(case, lstm, X, lengths, upstream)
