"""Every variant of the LSTM: its twin, its gradients, and what it must leave alone."""

import subprocess
import sys

import numpy as np
import pytest
from test_lstm_kernels import TOLERANCE, Problem, assert_identical, assert_same, draw_lengths

from numlstm import LSTM, LSTMState, LSTMVariant
from numlstm.nn import reference_variants as twin
from numlstm.nn.gradcheck import check_gradients
from numlstm.nn.masks import MaskSeed
from numlstm.nn.variant import LSTMVariantWeights, weight_shapes

ALL = {
    "peepholes": True,
    "cell_clip": 0.3,
    "proj_size": 2,
    "proj_clip": 0.1,
    "recurrent_dropout": 0.4,
    "layer_norm": True,
    "zoneout_cell": 0.3,
    "zoneout_hidden": 0.2,
}
VARIANTS = {
    "peepholes": {"peepholes": True},
    "cell clip": {"cell_clip": 0.3},
    "projection": {"proj_size": 2},
    "projection clip": {"proj_size": 3, "proj_clip": 0.1},
    "coupled gates": {"coupled_gates": True},
    "recurrent dropout": {"recurrent_dropout": 0.4},
    "layer norm": {"layer_norm": True},
    "zoneout": {"zoneout_cell": 0.3, "zoneout_hidden": 0.2},
    "all of TensorFlow": {"peepholes": True, "cell_clip": 0.3, "proj_size": 2, "proj_clip": 0.1},
    "all": ALL,
    "all, coupled": ALL | {"coupled_gates": True},
}
SEED = 7
variants = pytest.mark.parametrize("variant", VARIANTS)


def make_problem(
    N, T, D, H, variant, *, n_layers=1, bidirectional=False, lengths="none", dtype="float64"
):
    """Return an LSTM with random weights, whose masks are those of SEED, and all that goes in."""
    variant, directions = LSTMVariant(**VARIANTS[variant]), 2 if bidirectional else 1
    rng, R = np.random.default_rng([N, T, D, H]), variant.proj_size or H

    def normal(*shape):
        return rng.normal(size=shape).astype(dtype)

    weights = [
        LSTMVariantWeights(**{
            name: 0.5 * normal(*shape)
            for name, shape in weight_shapes(variant, n_inputs, H).items()
        })
        for n_inputs in [D] + [directions * R] * (n_layers - 1)
        for _ in range(directions)
    ]  # fmt: skip
    L = n_layers * directions
    return Problem(
        LSTM.from_weights(weights, bidirectional=bidirectional, variant=variant, random_state=SEED),
        normal(N, T, D),
        draw_lengths(lengths, N, T, rng),
        LSTMState(normal(L, N, R), normal(L, N, H)),
        normal(N, T, directions * R),
        LSTMState(normal(L, N, R), normal(L, N, H)),
    )


def run(p):
    """Return all results of training with the first masks of SEED, and of inference."""
    p.lstm._masks = MaskSeed(SEED)
    outputs, final = p.lstm.forward(p.X, lengths=p.lengths, state=p.state)
    gradients = p.lstm.backward(p.d_outputs, p.d_state)
    called, called_final = p.lstm(p.X, lengths=p.lengths, state=p.state)
    results = {"outputs": outputs, "h": final.h, "c": final.c, "dX": gradients.X}
    results |= {"dh0": gradients.state.h, "dc0": gradients.state.c}
    results |= {"call": called, "call h": called_final.h, "call c": called_final.c}
    for k, layer in enumerate(gradients.weights):
        results |= {f"d{n}[{k}]": d for n, d in layer._asdict().items() if d is not None}
    return results


def twin_masks(lstm, N, T):
    """Return the masks of SEED for the twin, layer by layer: rows first, without padding."""
    R, H = lstm._stack.widths
    masks = []
    for m in lstm._stack.draw_masks(MaskSeed(SEED).next_rng(), np.arange(N), T):
        zone_c, zone_h = (
            zone.transpose(1, 0, 2)[..., :width].astype(float) if zone.size else 0.0
            for zone, width in ((m.zone_c, H), (m.zone_h, R))
        )
        masks.append(
            twin.Masks(m.keep[:, :R].astype(float) if m.keep.size else 1.0, zone_c, zone_h)
        )
    return masks


def expectations(variant):
    return twin.Masks(1.0, variant.zoneout_cell, variant.zoneout_hidden)


def twin_forward(p, masks):
    """Run the twin over all layers and directions; return outputs, h, c and the tapes."""
    lstm, directions = p.lstm, 2 if p.lstm.bidirectional else 1
    clip, proj_clip = lstm.variant.cell_clip, lstm.variant.proj_clip
    options = twin.Options(
        np.inf if clip is None else lstm.dtype.type(clip),
        np.inf if proj_clip is None else lstm.dtype.type(proj_clip),
    )
    weights = [
        LSTMVariantWeights(*(None if a is None else a.astype(float) for a in w))
        for w in lstm.weights
    ]
    X, runs = p.X.astype(float), []
    for layer in range(lstm.n_layers):
        layer_runs = [
            twin.variant_forward(
                X, weights[k], p.state.h[k].astype(float), p.state.c[k].astype(float), options,
                masks[k], p.lengths, reverse=k % directions == 1,
            )
            for k in range(layer * directions, (layer + 1) * directions)
        ]  # fmt: skip
        X = np.concatenate([r[0] for r in layer_runs], axis=2)
        runs += layer_runs
    return X, np.stack([r[1] for r in runs]), np.stack([r[2] for r in runs]), [r[3] for r in runs]


def run_twin(p):
    """Return what `run` must return, computed in float64."""
    lstm, (N, T, _) = p.lstm, p.X.shape
    directions, n = 2 if lstm.bidirectional else 1, len(lstm.weights)
    outputs, h, c, tapes = twin_forward(p, twin_masks(lstm, N, T))
    results = {"outputs": outputs, "h": h, "c": c}
    d_out, dh0, dc0 = p.d_outputs.astype(float), np.empty(h.shape), np.empty(c.shape)
    for first in range(n - directions, -1, -directions):
        dX = 0
        for k, dy in enumerate(np.split(d_out, directions, axis=2), first):
            dh, dc = p.d_state.h[k].astype(float), p.d_state.c[k].astype(float)
            dX_k, dh0[k], dc0[k], grads = twin.variant_backward(dy, dh, dc, tapes[k])
            results |= {f"d{name}[{k}]": d for name, d in grads.items()}
            dX = dX + dX_k
        d_out = dX
    called = twin_forward(p, [expectations(lstm.variant)] * n)
    results |= {"dX": d_out, "dh0": dh0, "dc0": dc0}
    return results | dict(zip(("call", "call h", "call c"), called[:3], strict=True))


# Twin and gradients --------------------------------------------------------------------------


@variants
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kernels_are_the_twin(variant, dtype):
    # Normalised, a single number has no scale: of one row little more than rounding is left.
    N = 4 if "layer_norm" in VARIANTS[variant] else 1
    for shape, options in (
        ((N, 1, 3, 3), {}),
        ((3, 5, 2, 4), {"lengths": "mixed", "n_layers": 2, "bidirectional": True}),
        ((11, 4, 17, 35), {"lengths": "rising", "bidirectional": True}),
    ):
        p = make_problem(*shape, variant, dtype=dtype, **options)
        assert_same(run(p), run_twin(p), 3 * TOLERANCE[dtype])


@pytest.mark.kernel
def test_a_small_one_is_the_twin():
    p = make_problem(2, 2, 2, 3, "all", lengths="mixed", bidirectional=True)
    assert_same(run(p), run_twin(p), TOLERANCE["float64"])


@variants
def test_gradients_are_central_differences(variant):
    p = make_problem(2, 3, 2, 3, variant, n_layers=2, bidirectional=True, lengths="mixed")
    # Where most cells are clipped little gradient is left, and rounding shows with a shorter step.
    errors = check_gradients(
        p.lstm, p.X, lengths=p.lengths, state=p.state, random_state=SEED, eps=1e-5
    )
    names = [name for name, w in p.lstm.weights[0]._asdict().items() if w is not None]
    ends = ("_l0", "_l0_reverse", "_l1", "_l1_reverse")
    assert set(errors) == {"X", "h0", "c0"} | {name + end for name in names for end in ends}
    assert {name: error for name, error in errors.items() if not error < 1e-6} == {}


# What the options mean -----------------------------------------------------------------------


def test_without_an_option_it_is_the_plain_lstm():
    plain = LSTM(2, 3, random_state=0, variant=LSTMVariant())
    assert plain.variant is None
    assert [type(w).__name__ for w in plain.weights] == ["LSTMWeights"]
    assert "variant" not in repr(plain)


@pytest.mark.parametrize(
    "options",
    [
        {"peepholes": True},
        {"cell_clip": 100},
        {"recurrent_dropout": 0.5},
        {"zoneout_cell": 1e-300},
    ],
)
def test_a_new_variant_that_does_nothing_yet_is_the_plain_lstm(options, rng):
    """Peepholes start at zero, and dropout does nothing in inference."""
    X = rng.normal(size=(3, 4, 2))
    lstm = LSTM(2, 5, n_layers=2, dtype="float64", random_state=0, variant=LSTMVariant(**options))
    plain = LSTM(2, 5, n_layers=2, dtype="float64", random_state=0)
    np.testing.assert_allclose(lstm(X)[0], plain(X)[0], rtol=1e-12)


def test_dropout_has_one_mask_for_all_steps_of_a_sequence(rng):
    """With Wh the identity of one unit's gate, what a unit gets of itself tells its mask."""
    H, T = 8, 6
    Wx, Wh, b = np.zeros((1, 4 * H)), np.zeros((H, 4 * H)), np.zeros(4 * H)
    Wh[:, 2 * H : 3 * H] = np.eye(H)
    variant = LSTMVariant(recurrent_dropout=0.5)
    lstm = LSTM.from_weights([(Wx, Wh, b)], variant=variant, random_state=0)
    h0 = np.ones((1, 20, H))
    outputs, _ = lstm.forward(np.zeros((20, T, 1)), state=(h0, np.zeros((1, 20, H))))
    alive = outputs != 0
    assert (alive == alive[:, :1]).all()
    assert 0.3 < alive.mean() < 0.7
    assert len({row.tobytes() for row in alive[:, 0]}) > 10  # every sequence has its own
    first = 0.5 * np.tanh(0.5 * np.tanh(2.0))  # what is kept is doubled
    np.testing.assert_allclose(outputs[:, 0][alive[:, 0]], first)


def test_zoneout_keeps_values_of_the_step_before(rng):
    variant = LSTMVariant(zoneout_cell=0.5, zoneout_hidden=0.25)
    lstm = LSTM(2, 30, dtype="float64", variant=variant, random_state=0)
    X = rng.normal(size=(10, 8, 2))
    outputs, _ = lstm.forward(X)
    kept = np.isclose(outputs[:, 1:], outputs[:, :-1], rtol=1e-14)  # 1 * old + 0 * new
    assert 0.23 < kept.mean() < 0.29
    trace = lstm.trace(X)  # inference: the expectation
    c, before = trace.c[0, :, 1:], trace.c[0, :, :-1]
    new = trace.f[0, :, 1:] * before + trace.i[0, :, 1:] * trace.g[0, :, 1:]
    np.testing.assert_allclose(c, 0.5 * before + 0.5 * new)


@variants
def test_weights_and_gradients_are_arrays_of_their_own(variant):
    p = make_problem(3, 2, 2, 32, variant)
    before = p.lstm.weights
    copies = [[None if a is None else a.copy() for a in w] for w in before]
    gradients = run(p)
    kept = {name: array.copy() for name, array in gradients.items()}
    p.lstm.weights = [type(w)(*(None if a is None else a + 1 for a in w)) for w in before]
    run(p)
    assert_identical(gradients, kept)
    for w, copied in zip(before, copies, strict=True):
        for a, b in zip(w, copied, strict=True):
            np.testing.assert_array_equal(a, b)


def test_trace_has_the_gates_that_the_formulas_name(rng):
    options = {"coupled_gates": True, "proj_size": 3, "cell_clip": 0.2}
    lstm = LSTM(2, 5, dtype="float64", variant=LSTMVariant(**options), random_state=0)
    X, lengths = rng.normal(size=(3, 6, 2)), np.array([6, 2, 4])
    trace, (outputs, _) = lstm.trace(X, lengths=lengths), lstm(X, lengths=lengths)
    assert trace.c.shape == (1, 3, 6, 5)
    np.testing.assert_array_equal(trace.h[0], outputs)
    alive = np.arange(6) < lengths[:, None]
    np.testing.assert_allclose((trace.i + trace.f)[0][alive], 1)
    np.testing.assert_allclose(trace.h[0], (trace.o * np.tanh(trace.c))[0] @ lstm.weights[0].Wp)
    assert np.abs(trace.c).max() == 0.2


def test_masks_come_from_the_seed_and_change_with_every_call(rng):
    X = rng.normal(size=(4, 5, 2))

    def outputs(n, seed=0):
        lstm = LSTM(2, 6, variant=LSTMVariant(recurrent_dropout=0.5), random_state=seed)
        return [lstm.forward(X)[0].tobytes() for _ in range(n)]

    assert outputs(2) == outputs(2)
    assert len(set(outputs(3))) == 3


def test_masks_of_a_sequence_do_not_depend_on_the_lengths_of_others():
    p = make_problem(4, 5, 2, 6, "zoneout")
    p.lengths = np.array([3, 5, 5, 5])
    expected = run(p)
    p.lengths = np.array([3, 1, 2, 5])
    actual = run(p)
    for name in ("outputs", "call"):
        np.testing.assert_allclose(actual[name][[0, 3]], expected[name][[0, 3]], rtol=1e-12)


def test_streaming_is_inference(rng):
    p = make_problem(2, 4, 3, 5, "all, coupled", n_layers=2)
    expected, final = p.lstm(p.X)
    state = None
    for t in range(4):
        h, state = p.lstm.step(p.X[:, t], state)
        np.testing.assert_allclose(h, expected[:, t], rtol=1e-12)
    np.testing.assert_allclose(state.c, final.c, rtol=1e-12)


def test_the_plain_lstm_does_not_load_the_kernels_of_variants():
    program = (
        "import sys, numlstm; numlstm.LSTM(2, 3);"
        "print([name for name in sys.modules if 'kernels.variants' in name])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
