"""The reference and the LSTM give what TensorFlow, PyTorch and Keras gave: see golden/README.md."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from numlstm import LSTM, LSTMState, interop
from numlstm.nn import reference
from numlstm.nn.gradcheck import check_gradients, numerical_gradient, relative_error

FOLDER = Path(__file__).parent / "golden"
FILES = sorted(path.stem for path in FOLDER.glob("*.npz"))


@dataclass
class Case:
    """A golden file in our own layout, which is written out here without numlstm.interop."""

    source: object  # what the converter of numlstm.interop takes
    weights: list
    d_weights: list
    inputs: tuple  # X, h0, c0
    results: tuple  # outputs, h, c
    upstream: tuple  # gradients of the results
    gradients: tuple  # dX, dh0, dc0
    lengths: np.ndarray | None = None
    bidirectional: bool = False
    forget_bias: float = 0.0
    n_layers: int = 1


def read(name):
    with np.load(FOLDER / f"{name}.npz") as file:
        return globals()["read_" + name.partition("_")[0]](dict(file))


def read_tf1(d):
    def pairs(kind):
        arrays = [value for key, value in sorted(d.items()) if key.startswith(kind) and ":" in key]
        return list(zip(arrays[::2], arrays[1::2], strict=True))

    def ours(kernel, bias, forget_bias):
        H = len(bias) // 4
        columns = np.r_[0:H, 2 * H : 3 * H, H : 2 * H, 3 * H : 4 * H]
        added = np.repeat([0, forget_bias, 0, 0], H)
        return kernel[:-H, columns], kernel[-H:, columns], bias[columns] + added

    n_layers = len(pairs("w"))
    names = ("h", "c") if n_layers == 1 else ("h0", "h1", "c0", "c1")
    h, c = np.array([d[name] for name in names]).reshape(2, n_layers, *d[names[0]].shape)
    zeros = np.zeros_like(h)
    return Case(
        source=pairs("w"),
        weights=[ours(*pair, d["forget_bias"]) for pair in pairs("w")],
        d_weights=[ours(*pair, 0) for pair in pairs("grad")],
        inputs=(d["x"], zeros, zeros),
        results=(d["outputs"], h, c),
        upstream=(d["upstream"], *((-np.sin(h), np.cos(c)) if n_layers == 1 else (zeros, zeros))),
        gradients=(d["grad_x"],),
        lengths=d.get("lengths"),
        forget_bias=d["forget_bias"],
        n_layers=n_layers,
    )


def read_torch(d):
    source = {key[2:]: value for key, value in d.items() if key.startswith("w:")}
    runs = [name.removeprefix("weight_ih") for name in source if name.startswith("weight_ih")]

    def ours(prefix, bias):
        kinds = ("weight_ih", "weight_hh")
        return [
            (*(d[prefix + kind + run].T for kind in kinds), bias(prefix + "bias_ih" + run))
            for run in runs
        ]

    return Case(
        source=source,
        weights=ours("w:", lambda name: d[name] + d[name.replace("_ih", "_hh")]),
        d_weights=ours("grad:", lambda name: d[name]),
        inputs=(d["x"], d["h0"], d["c0"]),
        results=(d["outputs"], d["h"], d["c"]),
        upstream=(d["d_outputs"], d["d_h"], d["d_c"]),
        gradients=(d["grad_x"], d["grad_h0"], d["grad_c0"]),
        lengths=d.get("lengths"),
        bidirectional="_l0_reverse" in runs,
        n_layers=1 + max(int(run[2]) for run in runs),
    )


def read_keras(d):
    weights = [(d["kernel"], d["recurrent_kernel"], d["bias"])]
    zeros = np.zeros((1, len(d["x"]), len(d["recurrent_kernel"])), d["x"].dtype)
    results = (d["outputs"], d["outputs"][None, :, -1])
    return Case(weights, weights, [], (d["x"], zeros, zeros), results, (), ())


def tolerance(case):
    return 1e-10 if case.inputs[0].dtype == np.float64 else 1e-5


def assert_same(actual, expected, tolerance):
    """Compare arrays pairwise; what a file does not hold is not compared."""
    for a, b in zip(actual, expected, strict=False):
        assert relative_error(a, b) < tolerance


def assert_same_weights(actual, expected, tolerance):
    assert len(actual) == len(expected)
    for a, b in zip(actual, expected, strict=True):
        assert_same(a, b, tolerance)


def test_no_file_is_missing():
    assert len(FILES) == 8


@pytest.mark.parametrize("name", FILES)
def test_reference(name):
    case = read(name)
    *results, tape = reference.stack_forward(
        case.inputs[0],
        case.weights,
        *case.inputs[1:],
        n_layers=case.n_layers,
        bidirectional=case.bidirectional,
        lengths=case.lengths,
    )
    assert_same(results, case.results, tolerance(case))
    if case.upstream:
        *gradients, d_weights = reference.stack_backward(*case.upstream, tape)
        assert_same(gradients, case.gradients, tolerance(case))
        assert_same_weights(d_weights, case.d_weights, tolerance(case))


def convert(name, case, dtype=None):
    """Return the LSTM that numlstm.interop makes of a golden file."""
    if name.startswith("tf1"):
        return interop.from_tf1(case.source, forget_bias=case.forget_bias, dtype=dtype)
    convert = interop.from_torch if name.startswith("torch") else interop.from_keras
    return convert(case.source, dtype=dtype)


@pytest.mark.kernel
@pytest.mark.parametrize("name", FILES)
def test_converted_weights(name):
    case = read(name)
    lstm = convert(name, case)
    for actual, expected in zip(lstm.weights, case.weights, strict=True):
        for a, b in zip(actual, expected, strict=True):
            np.testing.assert_array_equal(a, b)
    assert lstm.bidirectional == case.bidirectional
    assert lstm.dtype == case.inputs[0].dtype


@pytest.mark.kernel
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-5)])
def test_lstm(name, dtype, tolerance):
    case = read(name)
    if name.startswith("keras"):
        tolerance = 1e-5
    lstm = convert(name, case, dtype)
    X, *state = case.inputs
    outputs, final = lstm.forward(X, lengths=case.lengths, state=LSTMState(*state))
    assert_same([outputs, *final], case.results, tolerance)
    if case.upstream:
        d_outputs, *d_state = case.upstream
        gradients = lstm.backward(d_outputs, LSTMState(*d_state))
        assert_same([gradients.X, *gradients.state], case.gradients, tolerance)
        assert_same_weights(gradients.weights, case.d_weights, tolerance)


# The LSTM against central differences --------------------------------------------------------


def test_numerical_gradient(rng):
    x = rng.normal(size=(2, 3))
    before = x.copy()
    gradient = numerical_gradient(lambda x: (x**3).sum(), x)
    np.testing.assert_allclose(gradient, 3 * x**2, rtol=0, atol=1e-8)
    np.testing.assert_array_equal(x, before)
    assert numerical_gradient(np.sin, np.array(0.0)).shape == ()


@pytest.mark.parametrize(("x", "got"), [(np.zeros(2, np.float32), "float32"), ([1.0], "list")])
def test_numerical_gradient_refuses_all_but_float64(x, got):
    with pytest.raises(ValueError, match=f"float64 array, got {got}"):
        numerical_gradient(np.sum, x)


def test_relative_error():
    assert relative_error([8.0, 0.5], [10.0, 0.0]) == 0.2
    assert relative_error([0.0, 0.0], [0.0, 0.0]) == relative_error([], []) == 0
    assert relative_error([0.0], [-3.0]) == 1
    assert np.isnan([relative_error([np.nan], [1.0]), relative_error([1.0], [np.inf])]).all()
    with pytest.raises(ValueError, match=r"\(1,\) and \(1, 1\)"):
        relative_error([1.0], [[1.0]])


@pytest.mark.kernel
def test_check_gradients(rng):
    lstm = LSTM(2, 3, n_layers=2, bidirectional=True, dtype="float64", random_state=0)
    X, before = rng.normal(size=(2, 3, 2)), lstm.weights
    errors = check_gradients(
        lstm, X, lengths=[3, 2], state=LSTMState(*rng.normal(size=(2, 4, 2, 3)))
    )
    assert list(errors)[:6] == ["X", "h0", "c0", "Wx_l0", "Wh_l0", "b_l0"]
    assert len(errors) == 3 + 4 * 3
    assert max(errors.values()) < 1e-7
    assert_same_weights(lstm.weights, before, 1e-300)


@pytest.mark.kernel
def test_check_gradients_finds_a_wrong_gradient(rng):
    class Wrong(LSTM):
        def backward(self, d_outputs, d_state=None):
            gradients = super().backward(d_outputs, d_state)
            gradients.weights[0].b[-1] *= 1.01
            return gradients

    errors = check_gradients(
        Wrong(1, 2, dtype="float64", random_state=0), rng.normal(size=(2, 3, 1))
    )
    assert [name for name, error in errors.items() if error > 1e-5] == ["b_l0"]


@pytest.mark.kernel
def test_check_gradients_refuses_float32():
    with pytest.raises(ValueError, match="float64 LSTM, got float32"):
        check_gradients(LSTM(1, 2), np.zeros((1, 1, 1)))
