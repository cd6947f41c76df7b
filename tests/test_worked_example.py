"""The book's example, H = 2, D = 1, T = 3: the same on every page, and the same compiled."""

import re
from pathlib import Path

import numpy as np
import pytest
from test_reference import BACKWARD, FORWARD, assert_twelve_digits, book_example

from numlstm import LSTM, LSTMState
from numlstm.nn.gradcheck import check_gradients

BOOK = Path(__file__).parents[1] / "book"
CELL = re.compile(r"^```\{code-cell\} ipython3\n:tags: \[worked-example\]\n(.*?)^```$", re.M | re.S)
CHAPTERS = ("02_cell", "03_backward", "04_through_time", "05_gradient_checks", "12_moving")


def layer(dtype="float64"):
    e = book_example()
    return LSTM.from_weights([(e.Wx, e.Wh, e.b)], dtype=dtype), e


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_chapter_types_the_same_example(chapter):
    (cell,) = CELL.findall((BOOK / f"{chapter}.md").read_text(encoding="utf-8"))
    typed = {"np": np}
    exec(cell, typed)
    arrays = {name: value for name, value in typed.items() if isinstance(value, np.ndarray)}
    expected = vars(book_example())
    assert arrays.keys() >= {"Wx", "Wh", "b", "X", "h0", "c0"}
    for name, value in arrays.items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


@pytest.mark.kernel
def test_the_compiled_layer_computes_the_example():
    lstm, e = layer()
    outputs, state = lstm(e.X, state=LSTMState(e.h0[None], e.c0[None]))
    trace = lstm.trace(e.X)
    for name, expected in FORWARD.items():
        assert_twelve_digits(getattr(trace, name)[0, 0], expected)
    assert_twelve_digits(outputs[0], FORWARD["h"])
    assert_twelve_digits([state.h[0, 0], state.c[0, 0]], [FORWARD["h"][-1], FORWARD["c"][-1]])


@pytest.mark.kernel
def test_the_compiled_layer_differentiates_the_example():
    lstm, e = layer()
    lstm.forward(e.X)
    gradients = lstm.backward(e.d_outputs)
    (weights,) = gradients.weights
    found = {"dX": gradients.X, "dh0": gradients.state.h[0], "dc0": gradients.state.c[0]}
    found |= {f"d{name}": array for name, array in weights._asdict().items()}
    assert found.keys() == BACKWARD.keys()
    for name, expected in BACKWARD.items():
        assert_twelve_digits(found[name], expected)


@pytest.mark.kernel
def test_the_gradients_of_the_example_are_differences():
    lstm, e = layer()
    assert max(check_gradients(lstm, e.X).values()) < 1e-7
