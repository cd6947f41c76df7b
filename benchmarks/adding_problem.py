"""The adding problem: two marked numbers in 100, 8 units, Adam on fresh batches.

    python benchmarks/adding_problem.py

It asks a network to keep a number for up to 99 steps (Hochreiter & Schmidhuber 1997). Who always
answers the mean has a mean squared error of 1/6; the target is one below 0.005 for four seeds of
five. One seed takes a quarter of a minute on two cores.
"""

import argparse
import time

import numpy as np

from numlstm.data.sequences import from_array
from numlstm.datasets import make_adding_problem
from numlstm.nn.memory import Workspace
from numlstm.nn.network import SequenceNetwork
from numlstm.training.optimizer import Optimizer
from numlstm.training.problem import Problem, accumulate, part_of, predict

TIMESTEPS, UNITS, BATCH = 100, 8, 32
RATE, HALVED_EVERY, CLIP_NORM = 5e-3, 1500, 1.0
TARGET = 0.005
TEST_SEED = 2**32 - 1  # of no training run


def batch(n, random_state):
    """Return n fresh sequences as a problem for the training loop."""
    X, y = make_adding_problem(n, TIMESTEPS, random_state=random_state)
    sequences = from_array(X.astype(np.float32))
    return Problem(sequences, y[:, None].astype(np.float32), np.ones(n))


def train(seed, steps):
    """Return a network trained on a fresh batch in every step."""
    rng = np.random.RandomState(seed)
    network = SequenceNetwork(2, UNITS, 1)
    network.initialise(1.0, rng)
    optimizer = Optimizer("adam", network.parameters, CLIP_NORM)
    rows = np.arange(BATCH)
    for step in range(steps):
        network.gradient.fill(0)
        problem = batch(BATCH, rng)
        accumulate(network, problem, part_of(problem, rows), 1 / BATCH, "squared_error")
        optimizer.step(network.gradient, RATE * 0.5 ** (step // HALVED_EVERY))
    return network


def measure(network):
    """Return the mean squared error on 10,000 sequences that no training saw."""
    test = batch(10_000, TEST_SEED)
    out = predict(network, test.sequences, Workspace(network.dtype))
    return float(np.mean((out - test.targets) ** 2))


def main():
    parser = argparse.ArgumentParser(description="Train an LSTM on the adding problem.")
    parser.add_argument("--seeds", type=int, default=5, help="how many, from 0 on")
    parser.add_argument("--steps", type=int, default=8000)
    arguments = parser.parse_args()

    print("seed    test MSE    seconds")
    errors = []
    for seed in range(arguments.seeds):
        start = time.perf_counter()
        errors.append(measure(train(seed, arguments.steps)))
        print(f"{seed:4}    {errors[-1]:8.5f}    {time.perf_counter() - start:7.1f}", flush=True)
    good = sum(error < TARGET for error in errors)
    print(f"{good} of {len(errors)} seeds below {TARGET}")


if __name__ == "__main__":
    main()
