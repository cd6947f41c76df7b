"""The second program of the BasicLSTMCell tutorial, as `examples/sine_wave.py` does it."""

import re

import numpy as np
import pytest
from scripts import load_script

from numlstm.kernels._threads import thread_limit


@pytest.fixture
def example():
    return load_script("examples/sine_wave.py")


def test_windows(example):
    (X_train, y_train), (X_test, y_test) = example.make_windows()
    assert X_train.shape == (8365, 50) and X_test.shape == (3585, 50)
    assert len(y_train) == 8365 and len(y_test) == 3585
    steps = np.arange(51)
    for k, X, y in ((0, X_train, y_train), (8365, X_test, y_test)):
        expected = np.sin(2 * np.pi * (k + steps) / 100)
        np.testing.assert_allclose(np.r_[X[0], y[0]], expected, atol=1e-12)


def test_two_units_beat_the_tutorial(example, tmp_path, capsys):
    assert {model.hidden_size for model in example.models().values()} == {2}
    picture = tmp_path / "wave.png"
    with thread_limit(1):  # two would be faster, but not where something else runs beside
        example.main(["--plot", str(picture)])
    printed = capsys.readouterr().out
    figures = [float(rmse) for rmse in re.findall(r"^ +(0\.\d+) ", printed, re.MULTILINE)]
    tutorial, adam, lbfgs = figures
    assert tutorial == 0.027
    assert adam < 0.1
    assert lbfgs <= 0.01
    assert picture.read_bytes().startswith(b"\x89PNG")
