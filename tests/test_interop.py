"""Converters: there and back exactly, each layout against its system's own equations, refusals."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.special import expit

from numlstm import LSTM, interop

N, T, D, H = 3, 4, 2, 3


def random_lstm(n_layers=2, bidirectional=False, dtype="float32", seed=0):
    """Return an LSTM without a zero in its biases."""
    options = {"n_layers": n_layers, "bidirectional": bidirectional, "dtype": dtype}
    lstm = LSTM(D, H, **options, random_state=seed)
    rng = np.random.default_rng(seed)
    lstm.weights = [w._replace(b=rng.normal(size=w.b.shape)) for w in lstm.weights]
    return lstm


def assert_same_weights(a, b):
    assert (a.bidirectional, a.n_layers, a.dtype) == (b.bidirectional, b.n_layers, b.dtype)
    for ours, theirs in zip(a.weights, b.weights, strict=True):
        for left, right in zip(ours, theirs, strict=True):
            assert_array_equal(left, right)


# There and back ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("n_layers", [1, 2])
def test_there_and_back(n_layers, bidirectional, dtype):
    lstm = random_lstm(n_layers, bidirectional, dtype)
    assert_same_weights(interop.from_torch(interop.to_torch(lstm)), lstm)
    layers = interop.to_keras(lstm)
    assert_same_weights(interop.from_keras(layers, bidirectional=bidirectional), lstm)
    flat = [array for layer in layers for array in layer]
    assert_same_weights(interop.from_keras(flat, bidirectional=bidirectional), lstm)
    if not bidirectional:
        layers = interop.to_tf1(lstm, forget_bias=0)
        assert_same_weights(interop.from_tf1(layers, forget_bias=0), lstm)


@pytest.mark.parametrize("value", ["1", 1e300, np.nan])
def test_tf1_forget_bias_must_be_a_number(value):
    lstm = LSTM(1, 1)
    for call in (interop.to_tf1, lambda _, b: interop.from_tf1(interop.to_tf1(lstm), b)):
        with pytest.raises((TypeError, ValueError), match="forget_bias must be a number in"):
            call(lstm, value)


def test_tf1_forget_bias_is_taken_out_and_put_back():
    lstm = random_lstm(1)
    lstm.weights = [w._replace(b=np.full(4 * H, 0.25)) for w in lstm.weights]
    ((_, bias),) = interop.to_tf1(lstm, forget_bias=1.5)
    assert_array_equal(bias, np.repeat([0.25, 0.25, -1.25, 0.25], H))  # i, j, f, o
    assert_same_weights(interop.from_tf1(interop.to_tf1(lstm)), lstm)
    np.testing.assert_allclose(
        interop.from_tf1(interop.to_tf1(random_lstm())).weights[0].b,
        random_lstm().weights[0].b,
        atol=np.finfo(np.float32).eps,
    )


def test_what_comes_out_is_writable_contiguous_and_a_copy():
    lstm = random_lstm()
    before = lstm.weights
    torch_arrays = list(interop.to_torch(lstm).values())
    pairs = [*interop.to_tf1(lstm), *interop.to_keras(lstm)]
    for array in [*torch_arrays, *(array for group in pairs for array in group)]:
        assert array.flags.c_contiguous
        assert array.dtype == np.float32
        array[...] = 7
    for a, b in zip(lstm.weights, before, strict=True):
        assert_array_equal(a.Wx, b.Wx)


def test_dtype_is_that_of_the_weights_unless_named():
    lstm = random_lstm(1, dtype="float64")
    assert interop.from_torch(interop.to_torch(lstm)).dtype == np.float64
    assert interop.from_torch(interop.to_torch(lstm), dtype="float32").dtype == np.float32
    assert interop.from_tf1(interop.to_tf1(lstm), dtype="float32").dtype == np.float32
    assert interop.from_keras(interop.to_keras(lstm), dtype="float32").dtype == np.float32


# Each system's own equations, one row at a time ----------------------------------------------


def tf1_cell(x, h, c, kernel, bias, forget_bias):
    """Follow tensorflow/python/ops/rnn_cell_impl.py, BasicLSTMCell.call."""
    i, j, f, o = np.split(np.concatenate([x, h]) @ kernel + bias, 4)
    c = c * expit(f + forget_bias) + expit(i) * np.tanh(j)
    return np.tanh(c) * expit(o), c


def torch_cell(x, h, c, weight_ih, weight_hh, bias_ih, bias_hh):
    """Follow the equations in the documentation of torch.nn.LSTM."""
    gates = weight_ih @ x + bias_ih + weight_hh @ h + bias_hh
    i, f, g, o = gates.reshape(4, -1)
    c = expit(f) * c + expit(i) * np.tanh(g)
    return expit(o) * np.tanh(c), c


def keras_cell(x, h, c, kernel, recurrent_kernel, bias):
    """Follow keras/src/layers/rnn/lstm.py, LSTMCell.call."""
    i, f, g, o = np.split(x @ kernel + h @ recurrent_kernel + bias, 4)
    c = expit(f) * c + expit(i) * np.tanh(g)
    return expit(o) * np.tanh(c), c


def run(cell, X, layers):
    """Return the outputs (N, T, H) of cells on top of each other, from the zero state."""
    for arrays in layers:
        outputs = np.zeros((N, T, H))
        for n in range(N):
            h, c = np.zeros(H), np.zeros(H)
            for t in range(T):
                h, c = cell(X[n, t], h, c, *arrays)
                outputs[n, t] = h
        X = outputs
    return X


def assert_same_outputs(lstm, X, expected):
    np.testing.assert_allclose(lstm(X)[0], expected, rtol=0, atol=1e-13)


@pytest.mark.kernel
@pytest.mark.parametrize("forget_bias", [0.0, 1.0, -2.5])
def test_tf1_layout(rng, forget_bias):
    X = rng.normal(size=(N, T, D))
    layers = [(rng.normal(size=(d + H, 4 * H)), rng.normal(size=4 * H)) for d in (D, H)]
    expected = run(tf1_cell, X, [(*layer, forget_bias) for layer in layers])
    lstm = interop.from_tf1(layers, forget_bias=forget_bias)
    assert_same_outputs(lstm, X, expected)
    back = interop.to_tf1(lstm, forget_bias=forget_bias)
    assert_same_outputs(lstm, X, run(tf1_cell, X, [(*layer, forget_bias) for layer in back]))


@pytest.mark.kernel
def test_torch_layout(rng):
    X = rng.normal(size=(N, T, D))
    kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    layers = [[rng.normal(size=(4 * H, *s)) for s in ((d,), (H,), (), ())] for d in (D, H)]
    state_dict = {
        f"{kind}_l{k}": array
        for k, layer in enumerate(layers)
        for kind, array in zip(kinds, layer, strict=True)
    }
    lstm = interop.from_torch(state_dict)
    assert_same_outputs(lstm, X, run(torch_cell, X, layers))
    back = interop.to_torch(lstm)
    assert list(back) == list(state_dict)
    assert_same_outputs(
        lstm, X, run(torch_cell, X, [[back[f"{kind}_l{k}"] for kind in kinds] for k in range(2)])
    )


@pytest.mark.kernel
def test_keras_layout(rng):
    X = rng.normal(size=(N, T, D))
    layers = [[rng.normal(size=(*s, 4 * H)) for s in ((d,), (H,), ())] for d in (D, H)]
    lstm = interop.from_keras(layers)
    assert_same_outputs(lstm, X, run(keras_cell, X, layers))
    assert_same_outputs(lstm, X, run(keras_cell, X, interop.to_keras(lstm)))


# What else is understood ---------------------------------------------------------------------


class Tensor:
    """A tensor that wants gradients, as NumPy meets it."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")

    def detach(self):
        return Detached(self.array)


class Detached(np.ndarray):
    """A tensor that no longer wants them: an array with the methods of one."""

    def __new__(cls, array):
        return array.view(cls)

    def cpu(self):
        return self


def test_torch_tensors_prefixes_and_other_modules():
    lstm = random_lstm(2, bidirectional=True)
    state_dict = {"model.lstm." + k: Tensor(v) for k, v in interop.to_torch(lstm).items()}
    state_dict |= {"model.head.weight": Tensor(np.ones(1)), "model.head.bias": Tensor(np.ones(1))}
    assert_same_weights(interop.from_torch(state_dict), lstm)


def test_torch_real_module():
    torch = pytest.importorskip("torch")
    module = torch.nn.LSTM(D, H, num_layers=2, bidirectional=True)
    lstm = interop.from_torch(module.state_dict())
    assert_same_weights(interop.from_torch(dict(module.named_parameters())), lstm)
    back = {name: torch.from_numpy(array) for name, array in interop.to_torch(lstm).items()}
    assert list(back) == list(module.state_dict())
    module.load_state_dict(back)
    rounded = module.bfloat16().state_dict()
    b = rounded["bias_ih_l0"].float() + rounded["bias_hh_l0"].float()
    assert_array_equal(interop.from_torch(rounded).weights[0].b, b)


def test_without_bias_it_is_zero():
    lstm = random_lstm()
    weights = {k: v for k, v in interop.to_torch(lstm).items() if k.startswith("weight")}
    matrices = [layer[:2] for layer in interop.to_keras(lstm)]
    flat = [array for layer in matrices for array in layer]
    lstm.weights = [w._replace(b=np.zeros(4 * H)) for w in lstm.weights]
    assert_same_weights(interop.from_torch(weights), lstm)
    assert_same_weights(interop.from_keras(matrices), lstm)
    assert_same_weights(interop.from_keras(flat), lstm)


# Refusals say what came and what was expected ------------------------------------------------


def ones(*shapes):
    return tuple(np.ones(shape) for shape in shapes)


CELL = ones((D + H, 4 * H), (4 * H,))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "at least one"),
        ([CELL + CELL], r"layer 0: expected \(kernel, bias\), .* got 4 items"),
        ([ones((5, 12), (3, 4))], r"layer 0: bias must have shape \(4 \* units,\), got \(3, 4\)"),
        ([ones((5, 12), (10,))], r"layer 0: bias must .* got \(10,\)"),
        ([ones((3, 12), (12,))], r"shape \(input size \+ 3, 12\), got \(3, 12\)"),
        ([ones((5, 16), (12,))], r"layer 0: kernel must have shape .*12\), got \(5, 16\)"),
        ([CELL, ones((7, 16), (16,))], "layer 1: all layers must have the 3 units of layer 0"),
        (
            [CELL, CELL],
            r"layer 1: kernel must have shape \(3 inputs \+ 3 units, 12\), got \(5, 12\)",
        ),
    ],
)
def test_from_tf1_refuses(layers, message):
    with pytest.raises(ValueError, match=message):
        interop.from_tf1(layers)


def test_to_tf1_refuses_two_directions():
    with pytest.raises(ValueError, match="bidirectional.*one direction"):
        interop.to_tf1(random_lstm(1, bidirectional=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.clear(), "weight_ih_l0 .* got no names at all"),
        (lambda d: d.pop("weight_hh_l1"), "expected weight_hh_l1 too"),
        (lambda d: d.pop("bias_hh_l0"), "expected bias_hh_l0 too"),
        (lambda d: [d.pop(name) for name in list(d) if "l0" in name], "expected weight_ih_l0, "),
        (lambda d: d.update(weight_ih_l0=np.ones(12)), r"weight_ih_l0 must have two axes.*\(12,\)"),
        (lambda d: d.update(weight_ih_l1=np.ones((12, 2))), r"\(12, 3\) .* got \(12, 2\)"),
        (lambda d: d.update(weight_hh_l0=np.ones((9, 3))), r"\(12, 3\) .* got \(9, 3\)"),
        (lambda d: d.update(bias_ih_l1=np.ones(9)), r"bias_ih_l1 must .*\(12,\) .* got \(9,\)"),
        (lambda d: d.update(weight_hr_l0=np.ones((2, 3))), "expected weight_hr_l1 too"),
        (
            lambda d: d.update(weight_ih_l1_reverse=np.ones((12, 3))),
            "got weight_ih_l1_reverse, exp",
        ),
        (lambda d: d.update({"other.bias_ih_l0": np.ones(12)}), "got 2, .*'', 'other.'"),
    ],
)
def test_from_torch_refuses(change, message):
    state_dict = interop.to_torch(random_lstm())
    change(state_dict)
    with pytest.raises(ValueError, match=message):
        interop.from_torch(state_dict)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "1 times per layer, got it 0 times"),
        ([ones((2, 12))], "weights 0: expected .* got 1 items"),
        ([ones((12,), (3, 12), (12,))], r"must have two axes, got shapes \(12,\) and \(3, 12\)"),
        ([ones((2, 12), (3, 9), (12,))], r"recurrent_kernel must .*\(3, 12\) .* got \(3, 9\)"),
        ([ones((2, 9), (3, 9), (9,))], r"kernel must .*\(2, 12\) .* 3 units, got \(2, 9\)"),
        ([ones((2, 12), (3, 12), (2, 12))], r"bias must .*\(12,\) .* got \(2, 12\)"),
        ([ones((2, 12), (3, 12), (12,))] * 2, r"weights 1: kernel must .*\(3, 12\)"),
    ],
)
def test_from_keras_refuses(layers, message):
    with pytest.raises(ValueError, match=message):
        interop.from_keras(layers)


def test_from_keras_refuses_a_missing_direction():
    with pytest.raises(ValueError, match="2 times per layer, got it 1 times"):
        interop.from_keras(interop.to_keras(random_lstm(1)), bidirectional=True)
