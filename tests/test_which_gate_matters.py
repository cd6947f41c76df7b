"""The script of the ablation trains every row of its table, and gates it holds open stay open."""

import numpy as np
import pytest
from scripts import load_script


@pytest.fixture(scope="module")
def script():
    return load_script("examples/which_gate_matters.py")


def test_the_table_has_every_row(script, capsys, monkeypatch):
    monkeypatch.setattr(script, "TIMESTEPS", 5)
    script.main(["--seeds", "1", "--steps", "2"])
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["median", "best", "worst"]
    assert [row[:24].strip() for row in rows] == list(script.ABLATIONS)
    assert all(0 < float(figure) < 5 for row in rows for figure in row[24:].split())


@pytest.mark.parametrize("gate", ["input", "forget", "output"])
def test_a_gate_that_is_held_open_stays_open(script, gate):
    model = script.Adder(gate, None, 0)
    for seed in range(3):
        model.step(*script.batch(8, np.random.RandomState(seed)))
    X, _ = script.batch(4, np.random.RandomState(9))
    trace = model.lstm.trace(X)
    assert (np.abs(getattr(trace, gate[0]) - 1) < 1e-6).all()
    others = [name for name in "ifo" if name != gate[0]]
    assert all(np.ptp(getattr(trace, name)) > 1e-3 for name in others)


def test_the_gradients_are_those_of_the_loss(script):
    model = script.Adder(None, None, 0)
    X, y = script.batch(4, np.random.RandomState(0))
    model.step(X, y)  # so that the head is not zero
    grads, eps = model.gradients(X, y), 1e-2
    for name, index in (
        ("Wx", (1, 3)),
        ("Wh", (2, 50)),
        ("b", (20,)),
        ("Wy", (4, 0)),
        ("by", (0,)),
    ):
        losses = []
        for move in (eps, -2 * eps):
            model.arrays[name][index] += move
            model._load()
            losses.append(((model.predict(X) - y) ** 2).mean())
        model.arrays[name][index] += eps
        expected = (losses[0] - losses[1]) / (2 * eps)
        assert abs(grads[name][index] - expected) < 2e-3 * max(1, abs(expected)), name
