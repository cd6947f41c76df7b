"""Sequences of different lengths: who shares a batch, what is computed, in which order it ends."""

import numpy as np
import pytest

from numlstm import LSTMRegressor
from numlstm.nn import stack
from numlstm.training import loop, problem, step
from numlstm.training.problem import PASS_ROWS

SIZE = 8


def make(**options):
    usual = {"hidden_size": 4, "max_iter": 2, "n_threads": 1, "random_state": 0, "batch_size": SIZE}
    return LSTMRegressor(**usual | {"dtype": "float64"} | options)


@pytest.fixture
def X(rng):
    return [rng.normal(size=(n, 2)) for n in rng.integers(1, 40, 300)]


@pytest.fixture
def y(X):
    return np.array([x.sum() for x in X])


@pytest.fixture
def epochs(monkeypatch):
    """The batches of every epoch, as they are drawn."""
    seen, real = [], loop.batches

    def batches(*args):
        seen.append(real(*args))
        return seen[-1]

    monkeypatch.setattr(loop, "batches", batches)
    return seen


def padded(lengths, epoch):
    """Count the steps that a rectangle around each batch would have."""
    return sum(lengths[rows].max() * len(rows) for rows in epoch)


def test_a_batch_holds_sequences_of_similar_length(X, y, epochs):
    model = make().fit(X, y)
    lengths = model_lengths(X, y)
    for epoch in epochs:
        assert np.array_equal(np.sort(np.concatenate(epoch)), np.arange(300))
        assert sorted(map(len, epoch))[1:] == [SIZE] * (300 // SIZE)
        assert padded(lengths, epoch) < 1.15 * lengths.sum()
    assert padded(lengths, np.split(np.arange(300), range(SIZE, 300, SIZE))) > 1.5 * lengths.sum()
    firsts = [[lengths[rows].mean() for rows in epoch] for epoch in epochs]
    assert firsts[0] != firsts[1]
    assert abs(np.corrcoef(firsts[0], np.arange(len(firsts[0])))[0, 1]) < 0.5  # no short ones first
    assert (np.diff(firsts[0][: loop.POOL]) < 0).any()  # nor within a pool
    assert model.t_ == 2 * len(epochs[0])


def model_lengths(X, y):
    """Return the lengths in the order of rows that training uses."""
    found = []
    real = loop.train
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "numlstm.estimators.base.train",
            lambda network, task, *rest: found.append(task) or real(network, task, *rest),
        )
        make(max_iter=0).fit(X, y)
    return found[0].sequences.lengths


def test_pools_are_random(X, y, epochs):
    make(batch_size=2, max_iter=2).fit(X, y)
    together = [{tuple(sorted(rows)) for rows in epoch} for epoch in epochs]
    assert len(together[0] & together[1]) < 15  # of 150 pairs


def test_the_order_given_is_kept_without_shuffle(X, y, epochs):
    make(shuffle=False, max_iter=1).fit(X, y)
    assert np.array_equal(np.concatenate(epochs[0]), np.arange(300))


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("per_step", [False, True])
def test_results_come_in_the_order_of_the_input(X, y, solver, per_step, monkeypatch):
    monkeypatch.setattr(problem, "PASS_ROWS", 64)  # several passes over the 300
    y = [x.cumsum(axis=0) for x in X] if per_step else y
    model = make(solver=solver).fit(X, y)
    together = model.predict(X)
    for k in (0, 7, 150, 299):
        np.testing.assert_allclose(model.predict([X[k]])[0], together[k], rtol=1e-9, atol=1e-12)
    backwards = model.predict(X[::-1])[::-1]
    for a, b in zip(together, backwards, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_no_work_is_done_past_the_end_of_a_sequence(X, y, monkeypatch):
    """Every kernel of the layers is told how many rows still run at each step."""
    steps = {}

    def watch(name):
        real = getattr(stack, name)

        def watched(*args, **options):
            active = next(a for a in args if isinstance(a, np.ndarray) and a.dtype == np.int64)
            what = args[0].__name__ if name == "launch" else name
            steps.setdefault(what, []).append(int(active[:-1].sum()))
            return real(*args, **options)

        monkeypatch.setattr(stack, name, watched)

    watch("launch")
    watch("add_weight_gradients")
    monkeypatch.setattr(step, "compile_ahead", lambda *_: None)  # would launch them once more
    make(max_iter=1).fit(X, y)
    total = sum(len(x) for x in X)
    forward = steps.pop("lstm_forward_chunk")
    assert sum(forward) == total
    assert sum(steps["lstm_backward_chunk"]) == sum(steps["add_weight_gradients"]) == total
    steps.clear()
    make(max_iter=0).fit(X, y).predict(X)
    assert sum(steps["lstm_forward_chunk"]) == total
    assert len(steps["lstm_forward_chunk"]) == -(-300 // PASS_ROWS)
