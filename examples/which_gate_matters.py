"""Which gate matters? The adding problem learnt without one gate, or with a variant of the LSTM.

    python examples/which_gate_matters.py

The question and the way to ask it are those of Greff et al. (2017): take one part away, or add one,
leave all else as it was, train again. A gate is taken away by holding it open, at 1. Here the task
is to add two marked numbers among 40 (Hochreiter & Schmidhuber 1997): who always answers the mean
has a mean squared error of 1/6, 0.167.

Everything is done by hand, `LSTM.forward` and `LSTM.backward` with a linear head and Adam, because
the estimators train the plain LSTM only. The table is printed row by row, in a few minutes.
"""

import argparse

import numpy as np

from numlstm import LSTM, LSTMVariant
from numlstm.datasets import make_adding_problem
from numlstm.nn.reference import adam_step, clip_by_global_norm

TIMESTEPS, UNITS, BATCH, RATE, CLIP_NORM = 40, 16, 32, 5e-3, 1.0
OPEN = 30.0  # a bias with which a gate is 1 to within rounding
GATES = {"input": 0, "forget": 1, "output": 3}  # places in i, f, g, o

# Name -> gate held open, variant.
ABLATIONS = {
    "plain LSTM": (None, None),
    "no input gate": ("input", None),
    "no forget gate": ("forget", None),
    "no output gate": ("output", None),
    "coupled gates": (None, LSTMVariant(coupled_gates=True)),
    "peepholes": (None, LSTMVariant(peepholes=True)),
    "cell clip 1": (None, LSTMVariant(cell_clip=1.0)),
    "projection to 8": (None, LSTMVariant(proj_size=8)),
    "recurrent dropout 0.1": (None, LSTMVariant(recurrent_dropout=0.1)),
    "layer norm": (None, LSTMVariant(layer_norm=True)),
    "zoneout 0.1, 0.05": (None, LSTMVariant(zoneout_cell=0.1, zoneout_hidden=0.05)),
}


class Adder:
    """An LSTM and a linear head on its last output."""

    def __init__(self, held_open, variant, seed):
        self.lstm = LSTM(2, UNITS, variant=variant, random_state=seed)
        (weights,) = self.lstm.weights
        arrays = {name: np.array(a) for name, a in weights._asdict().items() if a is not None}
        n_features = len(arrays["Wh"])
        arrays |= {"Wy": np.zeros((n_features, 1), np.float32), "by": np.zeros(1, np.float32)}
        self.kind, self.arrays = type(weights), arrays
        self.columns = slice(0, 0)
        if held_open is not None:
            self.columns = slice(GATES[held_open] * UNITS, (GATES[held_open] + 1) * UNITS)
        for name, value in (("Wx", 0), ("Wh", 0), ("b", OPEN)):
            arrays[name][..., self.columns] = value
        self.moments = {name: (np.zeros_like(a), np.zeros_like(a)) for name, a in arrays.items()}
        self.steps = 0
        self._load()

    def _load(self):
        """Hand the arrays to the LSTM."""
        weights = {name: a for name, a in self.arrays.items() if name not in ("Wy", "by")}
        self.lstm.weights = [self.kind(**weights)]

    def gradients(self, X, y):
        """Return the gradient of the mean squared error with respect to each array."""
        outputs, _ = self.lstm.forward(X)
        last = outputs[:, -1]
        d_prediction = 2 * (self._head(last) - y) / len(y)
        d_outputs = np.zeros_like(outputs)
        d_outputs[:, -1] = d_prediction @ self.arrays["Wy"].T
        (layer,) = self.lstm.backward(d_outputs).weights
        grads = {name: d for name, d in layer._asdict().items() if d is not None}
        for name in ("Wx", "Wh", "b"):
            grads[name][..., self.columns] = 0
        return grads | {"Wy": last.T @ d_prediction, "by": d_prediction.sum(axis=0)}

    def step(self, X, y):
        """Take one step of Adam."""
        self.steps += 1
        grads = self.gradients(X, y)
        clipped, _ = clip_by_global_norm(list(grads.values()), CLIP_NORM)
        for name, d in zip(grads, clipped, strict=True):
            self.arrays[name], *self.moments[name] = adam_step(
                self.arrays[name], d, *self.moments[name], self.steps, learning_rate=RATE
            )
        self._load()

    def predict(self, X):
        """Return the sums, (N, 1)."""
        return self._head(self.lstm(X)[0][:, -1])

    def _head(self, last):
        return last @ self.arrays["Wy"] + self.arrays["by"]


def batch(n, rng):
    """Return n fresh problems in float32."""
    X, y = make_adding_problem(n, TIMESTEPS, random_state=rng)
    return X.astype(np.float32), y[:, None].astype(np.float32)


def error(held_open, variant, seed, n_steps):
    """Return the mean squared error on unseen problems after training."""
    rng, model = np.random.RandomState(seed), Adder(held_open, variant, seed)
    for _ in range(n_steps):
        model.step(*batch(BATCH, rng))
    X, y = batch(2000, np.random.RandomState(2**32 - 1))
    return float(np.mean((model.predict(X) - y) ** 2))


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Which gate matters?")
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0 on")
    parser.add_argument("--steps", type=int, default=2000, help="minibatches of 32")
    options = parser.parse_args(arguments)

    print(f"{'':24}{'median':>10}{'best':>10}{'worst':>10}")
    for name, (held_open, variant) in ABLATIONS.items():
        errors = [error(held_open, variant, seed, options.steps) for seed in range(options.seeds)]
        figures = np.median(errors), min(errors), max(errors)
        print(f"{name:24}" + "".join(f"{figure:10.4f}" for figure in figures), flush=True)


if __name__ == "__main__":
    main()
