"""Variants in files and pickles, and what is refused."""

import copy
import pickle

import numpy as np
import pytest
from test_variants import VARIANTS, make_problem, variants

import numlstm
from numlstm import LSTM, LSTMState, LSTMVariant
from numlstm.persistence import read_model, write_model


def assert_same_lstm(actual, expected):
    assert actual.variant == expected.variant
    assert (actual.n_layers, actual.bidirectional) == (expected.n_layers, expected.bidirectional)
    for w, v in zip(actual.weights, expected.weights, strict=True):
        assert type(w) is type(v)
        for a, b in zip(w, v, strict=True):
            np.testing.assert_array_equal(a, b)


@variants
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_files_and_pickles_carry_everything(variant, dtype, tmp_path):
    p = make_problem(2, 3, 3, 5, variant, n_layers=2, bidirectional=True, dtype=dtype)
    p.lstm.forward(p.X)
    p.lstm.save(tmp_path / "lstm")
    others = [
        numlstm.load(tmp_path / "lstm"), copy.deepcopy(p.lstm), pickle.loads(pickle.dumps(p.lstm))
    ]  # fmt: skip
    before, after = p.lstm(p.X)[0].tobytes(), p.lstm.forward(p.X)[0].tobytes()
    for other in others:
        assert_same_lstm(other, p.lstm)
        assert other(p.X)[0].tobytes() == before
        assert other.forward(p.X)[0].tobytes() == after  # with the masks that come next


@pytest.mark.parametrize(
    ("masks", "match"),
    [
        (None, "makes no sense: .*masks"),
        ([1], "makes no sense"),
        ([-1, 0], r"the seed of the masks must be an integer in \[0, 2147483647\], got -1"),
        ([1, 0.5], "the number of masks drawn must be an integer of at least 0, got 0.5"),
        ("12", "the seed of the masks must be an integer"),
    ],
)
def test_a_file_whose_masks_make_no_sense_is_refused(masks, match, tmp_path):
    make_problem(1, 1, 3, 6, "zoneout").lstm.save(tmp_path / "lstm")
    kind, arrays, content = read_model(tmp_path / "lstm")
    assert content["masks"][1] == 0
    content["masks"] = masks
    if masks is None:
        del content["masks"]
    write_model(tmp_path / "lstm", kind, arrays, content)
    with pytest.raises(ValueError, match=match):
        numlstm.load(tmp_path / "lstm")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"peephole": True}, "peephole"),
        ({"proj_size": 2.5}, "proj_size must be an integer"),
        ({"proj_size": None, "proj_clip": None}, "other arrays"),
        ({"coupled_gates": True}, "must be float64"),
    ],
)
def test_a_file_with_a_variant_that_does_not_fit_is_refused(change, match, tmp_path):
    lstm = make_problem(1, 1, 3, 6, "all of TensorFlow").lstm
    lstm.save(tmp_path / "lstm")
    kind, arrays, content = read_model(tmp_path / "lstm")
    content["variant"] |= change
    write_model(tmp_path / "lstm", kind, arrays, content)
    with pytest.raises(ValueError, match=match):
        numlstm.load(tmp_path / "lstm")


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"peepholes": 1}, TypeError, "peepholes must be True or False, got 1"),
        ({"layer_norm": "yes"}, TypeError, "layer_norm"),
        ({"coupled_gates": None}, TypeError, "coupled_gates"),
        ({"cell_clip": 0}, ValueError, r"cell_clip must be a number in \(0"),
        ({"cell_clip": np.nan}, ValueError, "cell_clip"),
        ({"proj_size": 0}, ValueError, "proj_size must be an integer of at least 1, got 0"),
        ({"proj_size": True}, TypeError, "proj_size"),
        ({"proj_clip": 1.0}, ValueError, "needs proj_size"),
        ({"proj_size": 2, "proj_clip": -1}, ValueError, "proj_clip"),
        ({"recurrent_dropout": 1.0}, ValueError, r"recurrent_dropout .* \[0, 1\), got 1.0"),
        ({"zoneout_cell": -0.1}, ValueError, "zoneout_cell"),
        ({"zoneout_hidden": "0.1"}, TypeError, "zoneout_hidden"),
    ],
)
def test_options_out_of_range_are_refused(options, error, match):
    with pytest.raises(error, match=match):
        LSTMVariant(**options)


def test_a_variant_of_another_kind_or_size_is_refused():
    with pytest.raises(TypeError, match="variant must be an LSTMVariant or None, got 'peepholes'"):
        LSTM(2, 3, variant="peepholes")
    with pytest.raises(ValueError, match="proj_size must be at most hidden_size=3, got 4"):
        LSTM(2, 3, variant=LSTMVariant(proj_size=4))


def test_weights_that_do_not_belong_to_the_variant_are_refused():
    lstm = LSTM(2, 3, variant=LSTMVariant(peepholes=True))
    (w,) = lstm.weights
    before = lstm(np.ones((1, 2, 2)))[0]
    for wrong, match in (
        (w._replace(peepholes=None), r"weights\[0\].peepholes is missing"),
        (w._replace(Wp=np.ones((3, 2))), r"weights\[0\].Wp does not belong to LSTMVariant"),
        (
            w._replace(peepholes=np.ones((2, 3))),
            r"peepholes must have shape \(3, 3\), got \(2, 3\)",
        ),
        (w._replace(peepholes=np.full((3, 3), np.inf)), "peepholes must be finite"),
        (w[:2], "got 2 arrays"),
    ):
        with pytest.raises(ValueError, match=match):
            lstm.weights = [wrong]
        with pytest.raises(ValueError, match=match):
            LSTM.from_weights([wrong], variant=lstm.variant)
    np.testing.assert_array_equal(lstm(np.ones((1, 2, 2)))[0], before)
    with pytest.raises(ValueError, match="got 9 arrays"):
        LSTM.from_weights([w])


def test_states_of_the_wrong_width_are_refused():
    lstm = LSTM(2, 5, variant=LSTMVariant(proj_size=3))
    zero = lstm.zero_state(4)
    assert (zero.h.shape, zero.c.shape) == ((1, 4, 3), (1, 4, 5))
    with pytest.raises(ValueError, match=r"state.h must have shape \(1, 4, 3\), got \(1, 4, 5\)"):
        lstm(np.ones((4, 2, 2)), state=LSTMState(zero.c, zero.c))


def test_the_repr_says_it():
    assert "variant=LSTMVariant(peepholes=True" in repr(
        LSTM(2, 3, variant=LSTMVariant(**VARIANTS["peepholes"]))
    )
