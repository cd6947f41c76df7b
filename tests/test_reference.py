"""The reference is right: by hand arithmetic, by numerical gradients, by what must not matter."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import expit, log_softmax

from numlstm.nn import reference
from numlstm.nn.gradcheck import numerical_gradient, relative_error


def book_example():
    """The book's example: H = 2, D = 1, T = 3; the loss is the sum of the last outputs."""
    return SimpleNamespace(
        #    gate:   i         f         g          o
        Wx=np.array([[1.0, 0.5, 0.0, -1.0, 1.0, -0.5, 0.5, 0.0]]),
        Wh=np.array(
            [
                [0.5, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, -0.5],
                [0.0, -1.0, 0.0, 0.5, -0.5, 0.0, 1.0, 0.5],
            ]
        ),
        b=np.array([0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]),
        X=np.array([[[1.0], [2.0], [-1.0]]]),
        h0=np.zeros((1, 2)),
        c0=np.zeros((1, 2)),
        d_outputs=np.array([[[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]]]),
    )


# The twelve digits below were computed with 40, by a program that shares nothing with the package.
# Step 1: x = 1 and h = c = 0, so a = Wx + b = (1, 0.5 | 1, 0 | 1, -0.5 | 0.5, 0). Unit 0:
#   i = sigmoid(1) = 0.731059   g = tanh(1) = 0.761594   o = sigmoid(0.5) = 0.622459
#   c = f * 0 + i g = 0.731059 * 0.761594 = 0.556770
#   h = o tanh(c) = 0.622459 * 0.505581 = 0.314701
# Step 2: x = 2, h = (0.314701, -0.139985). Unit 0:
#   a_i = 2 * 1 + 0.314701 * 0.5 = 2.157351            i = 0.896354
#   a_f = 0.314701 * 1 + 1 = 1.314701                  f = 0.788299
#   a_g = 2 * 1 - 0.139985 * -0.5 = 2.069992           g = 0.968653
#   a_o = 2 * 0.5 - 0.139985 * 1 = 0.860015            o = 0.702664
#   c = 0.788299 * 0.556770 + 0.896354 * 0.968653 = 0.438901 + 0.868256 = 1.307157
#   h = 0.702664 * 0.863558 = 0.606788
# Step 3: x = -1, h = (0.606788, -0.213267), in the same way.
FORWARD = {  # gate or state: step 1, step 2, step 3, each (unit 0, unit 1)
    "i": [
        [0.731058578630, 0.622459331202],
        [0.896353662000, 0.757676852485],
        [0.332565183518, 0.428803915215],
    ],
    "f": [
        [0.731058578630, 0.500000000000],
        [0.788298753169, 0.255404527294],
        [0.832965006303, 0.869138890002],
    ],
    "g": [
        [0.761594155956, -0.462117157260],
        [0.968652955575, -0.594953453753],
        [-0.713052485903, 0.802924171929],
    ],
    "o": [
        [0.622459331202, 0.500000000000],
        [0.702663825237, 0.443407799043],
        [0.328877314361, 0.398905469375],
    ],
    "c": [
        [0.556769941146, -0.287649136645],
        [1.307156674344, -0.524249351986],
        [0.851679336652, -0.111348471325],
    ],
    "h": [
        [0.314701078657, -0.139984823040],
        [0.606788298482, -0.213267183714],
        [0.227565268525, -0.044234850150],
    ],
}
# Step 3, unit 0: dh = 1, no dc from later, tanh(c) = 0.691946.
#   dc = dh o (1 - tanh(c)^2) = 0.328877 * 0.521211 = 0.171414
#   da_i = dc g i (1 - i) = 0.171414 * -0.713052 * 0.332565 * 0.667435 = -0.027130
#   da_f = dc c_2 f (1 - f) = 0.171414 * 1.307157 * 0.832965 * 0.167035 = 0.031175
#   da_g = dc i (1 - g^2) = 0.171414 * 0.332565 * 0.491556 = 0.028022
#   da_o = dh tanh(c) o (1 - o) = 0.691946 * 0.328877 * 0.671123 = 0.152724
# Step 2, unit 0: dh = da Wh[0] = 0.5 * -0.027130 + 0.031175 + 0.060030 - 0.5 * -0.026589
#   = 0.090934, and dc = 0.171414 * 0.832965 (f of step 3) + dh o (1 - tanh(c)^2)
#   = 0.142782 + 0.090934 * 0.702664 * 0.254268 = 0.159029
# dX of step 3 = da Wx = -0.027130 + 0.5 * 0.077485 + 0.023493 + 0.028022 - 0.5 * 0.060030
#   + 0.5 * 0.152724 = 0.109474
BACKWARD = {
    "dX": [[[0.078396475440], [-0.055486373502], [0.109473883032]]],
    "dh0": [[0.070741610388, 0.000609369286]],
    "dc0": [[0.158628264906, 0.054270678671]],
    "dWx": [
        [0.088243816712, -0.166779717443, -0.001622481300, -0.015321812692]
        + [0.056191428949, 0.340416762392, -0.096417946064, 0.015274727232]
    ],
    "dWh": [
        [-0.011958569113, 0.034820828793, 0.023566890687, -0.020362631266]
        + [0.019771705398, 0.091075041056, 0.097834376402, -0.017485916645],
        [0.003782638569, -0.011099957318, -0.008717116082, 0.007726962329]
        + [-0.007207562646, -0.037111566439, -0.034867709407, 0.006271947142],
    ],
    "db": [0.019671907032, 0.026943176642, 0.045951574854, -0.042900057049]
    + [0.103438451848, 0.286820125376, 0.192624086815, -0.033608343178],
}


def assert_twelve_digits(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=5.1e-13)


def test_book_worked_example():
    e = book_example()
    outputs, h, c, tape = reference.lstm_forward(e.X, e.Wx, e.Wh, e.b, e.h0, e.c0)
    for t, step in enumerate(tape.steps):
        for name, gate in zip("ifgo", step.gates, strict=True):
            assert_twelve_digits(gate[0], FORWARD[name][t])
    assert_twelve_digits(outputs[0], FORWARD["h"])
    assert_twelve_digits([step.c[0] for step in tape.steps[1:]] + [c[0]], FORWARD["c"])
    np.testing.assert_array_equal(h, outputs[:, -1])
    gradients = reference.lstm_backward(e.d_outputs, np.zeros((1, 2)), np.zeros((1, 2)), tape)
    for gradient, (name, expected) in zip(gradients, BACKWARD.items(), strict=True):
        assert gradient.shape == np.shape(expected), name
        assert_twelve_digits(gradient, expected)


# Every gradient, against central differences -------------------------------------------------

N, T, D, H = 3, 4, 2, 3
LENGTHS = np.array([4, 1, 3])


def random_weights(rng, n_layers=1, directions=1):
    sizes = [D] * directions + [H * directions] * (directions * (n_layers - 1))
    return [tuple(rng.normal(size=(*rows, 4 * H)) for rows in ((d,), (H,), ())) for d in sizes]


def assert_gradients(forward, backward, arguments, rng):
    """Check backward's gradients of sum(random * result) over all float results of forward."""
    results = forward(*arguments)
    upstream = [rng.normal(size=part.shape) for part in results[:3]]
    analytic = backward(*upstream, results[3])
    for k, argument in enumerate(arguments):

        def loss(value, k=k):
            changed = [*arguments[:k], value, *arguments[k + 1 :]]
            parts = forward(*changed)[:3]
            return sum(np.vdot(d, part) for d, part in zip(upstream, parts, strict=True))

        assert relative_error(analytic[k], numerical_gradient(loss, argument)) < 1e-7


def test_gradients_of_one_step(rng):
    ((Wx, Wh, b),) = random_weights(rng)
    x, h, c = rng.normal(size=(N, D)), rng.normal(size=(N, H)), rng.normal(size=(N, H))
    upstream = rng.normal(size=(2, N, H))
    _, _, gates = reference.lstm_step(x, h, c, Wx, Wh, b)
    analytic = reference.lstm_step_backward(*upstream, x, h, c, gates, Wx, Wh)
    arguments = [x, h, c, Wx, Wh, b]
    for k, argument in enumerate(arguments):

        def loss(value, k=k):
            h, c, _ = reference.lstm_step(*arguments[:k], value, *arguments[k + 1 :])
            return np.vdot(upstream[0], h) + np.vdot(upstream[1], c)

        assert relative_error(analytic[k], numerical_gradient(loss, argument)) < 1e-7


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_of_one_layer(rng, lengths, reverse):
    def forward(X, h0, c0, Wx, Wh, b):
        return reference.lstm_forward(X, Wx, Wh, b, h0, c0, lengths, reverse)

    X, state = rng.normal(size=(N, T, D)), rng.normal(size=(2, N, H))
    arguments = [X, *state, *random_weights(rng)[0]]
    assert_gradients(forward, reference.lstm_backward, arguments, rng)


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("dropout", [False, True])
def test_gradients_of_two_layers(rng, bidirectional, lengths, dropout):
    n_layers, directions = 2, 1 + bidirectional
    masks = [rng.integers(0, 2, (N, T, H * directions)) * 2.0] if dropout else None

    def forward(X, h0, c0, *flat):
        weights = [flat[k : k + 3] for k in range(0, len(flat), 3)]
        options = {"n_layers": n_layers, "bidirectional": bidirectional}
        return reference.stack_forward(X, weights, h0, c0, **options, lengths=lengths, masks=masks)

    def backward(*arguments):
        *gradients, d_weights = reference.stack_backward(*arguments)
        return [*gradients, *(array for layer in d_weights for array in layer)]

    weights = random_weights(rng, n_layers, directions)
    X, state = rng.normal(size=(N, T, D)), rng.normal(size=(2, n_layers * directions, N, H))
    arguments = [X, *state, *(array for layer in weights for array in layer)]
    assert_gradients(forward, backward, arguments, rng)


# What must not matter ------------------------------------------------------------------------


@pytest.mark.parametrize("reverse", [False, True])
def test_a_padded_batch_equals_its_rows_one_by_one(rng, reverse):
    """The single rows are flipped in time here, so this also says what reverse means."""
    weights, X, state = (
        random_weights(rng)[0],
        rng.normal(size=(N, T, D)),
        rng.normal(size=(2, N, H)),
    )
    X[np.arange(T) >= LENGTHS[:, None]] = np.nan
    outputs, h, c, tape = reference.lstm_forward(X, *weights, *state, LENGTHS, reverse)
    flip = slice(None, None, -1 if reverse else 1)
    for n, length in enumerate(LENGTHS):
        row = X[n : n + 1, :length][:, flip]
        alone = reference.lstm_forward(row, *weights, *state[:, n : n + 1])
        np.testing.assert_allclose(outputs[n, :length], alone[0][0, flip], rtol=1e-12)
        np.testing.assert_allclose([h[n], c[n]], [alone[1][0], alone[2][0]], rtol=1e-12)
        assert not outputs[n, length:].any()
    dX, *others = reference.lstm_backward(np.ones_like(outputs), h, c, tape)
    assert not dX[np.arange(T) >= LENGTHS[:, None]].any()
    assert all(np.isfinite(array).all() for array in others)


def test_chunks_with_carried_state_equal_the_whole(rng):
    weights, X, state = (
        random_weights(rng)[0],
        rng.normal(size=(N, T, D)),
        rng.normal(size=(2, N, H)),
    )
    whole, *final, _ = reference.lstm_forward(X, *weights, *state)
    parts = []
    for t in range(T):
        part, *state, _ = reference.lstm_forward(X[:, t : t + 1], *weights, *state)
        parts.append(part)
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
    np.testing.assert_array_equal(state, final)


def test_float32_stays_float32(rng):
    arrays = [rng.normal(size=(N, T, D)), *random_weights(rng)[0], *rng.normal(size=(2, N, H))]
    arrays = [array.astype(np.float32) for array in arrays]
    outputs, h, c, tape = reference.lstm_forward(*arrays, LENGTHS, True)
    results = [outputs, h, c, *reference.lstm_backward(outputs, h, c, tape)]
    assert {array.dtype for array in results} == {np.dtype(np.float32)}


# Losses, Adam, clipping ----------------------------------------------------------------------


def test_sigmoid_neither_overflows_nor_rounds_to_zero():
    x = np.array([-1e4, -700.0, -40.0, -1.0, 0.0, 1.0, 40.0, 1e4])
    np.testing.assert_allclose(reference.sigmoid(x), expit(x), rtol=1e-15)


def test_softmax_cross_entropy(rng):
    logits, labels = rng.normal(size=(N, 4)) * 300, np.array([0, 3, 3])
    loss, gradient = reference.softmax_cross_entropy(logits, labels)
    np.testing.assert_allclose(loss, -log_softmax(logits, axis=1)[np.arange(N), labels].mean())
    logits /= 300
    gradient = reference.softmax_cross_entropy(logits, labels)[1]
    numerical = numerical_gradient(lambda z: reference.softmax_cross_entropy(z, labels)[0], logits)
    assert relative_error(gradient, numerical) < 1e-8


def test_squared_error(rng):
    loss, gradient = reference.squared_error(np.array([[1.0, 2.0]]), np.array([[0.0, 4.0]]))
    assert loss == (1**2 + 2**2) / 2
    np.testing.assert_array_equal(gradient, [[1.0, -2.0]])


def test_adam_by_hand():
    p, m, v = np.array([1.0]), np.zeros(1), np.zeros(1)
    options = {"learning_rate": 0.5, "beta1": 0.5, "beta2": 0.75, "eps": 0.0}
    # m = 0.5 * 4 = 2, m_hat = 2 / 0.5 = 4; v = 0.25 * 16 = 4, v_hat = 4 / 0.25 = 16; p = 1 - 0.5
    p, m, v = reference.adam_step(p, np.array([4.0]), m, v, 1, **options)
    np.testing.assert_array_equal([p, m, v], [[0.5], [2.0], [4.0]])
    # m = 1 + 0.5 * 2 = 2, m_hat = 2 / 0.75; v = 3 + 0.25 * 4 = 4, v_hat = 4 / 0.4375
    p, m, v = reference.adam_step(p, np.array([2.0]), m, v, 2, **options)
    np.testing.assert_array_equal([m, v], [[2.0], [4.0]])
    np.testing.assert_allclose(p, 0.5 - 0.5 * (2 / 0.75) / np.sqrt(4 / 0.4375), rtol=1e-15)


@pytest.mark.parametrize(("max_norm", "scale"), [(10.0, 1.0), (5.0, 1.0), (2.5, 0.5)])
def test_clip_by_global_norm(max_norm, scale):
    clipped, norm = reference.clip_by_global_norm([np.array([3.0]), np.array([[4.0]])], max_norm)
    assert norm == 5
    assert [array.item() for array in clipped] == [3 * scale, 4 * scale]
