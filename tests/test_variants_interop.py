"""What conversions keep of a variant, and what they refuse to lose."""

import numpy as np
import pytest
from test_variants import VARIANTS, make_problem
from test_variants_errors import assert_same_lstm
from test_variants_golden import read

from numlstm import LSTM, LSTMState, LSTMVariant, interop

CONVERTERS = {
    "to_torch": interop.to_torch,
    "to_keras": interop.to_keras,
    "to_tf1": interop.to_tf1,
    "to_onnx": lambda lstm: interop.to_onnx(lstm, "never-written.onnx", dtype="float32"),
}
CARRIES = {
    "to_torch": {"projection"},
    "to_keras": set(),
    "to_tf1": {"peepholes", "projection"},
    "to_onnx": {"peepholes", "coupled gates", "recurrent dropout"},
}
PAIRS = [(n, v) for n in CONVERTERS for v in VARIANTS if v not in CARRIES[n]]


@pytest.mark.parametrize(("name", "variant"), PAIRS)
def test_what_would_be_lost_is_named(name, variant):
    lstm = make_problem(1, 1, 2, 4, variant).lstm
    carried = {option for kept in CARRIES[name] for option in VARIANTS[kept]}
    lost = next(option for option in VARIANTS[variant] if option not in carried)
    with pytest.raises(ValueError, match=rf"{name} can't convert .* because .*{lost}=.* be lost"):
        CONVERTERS[name](lstm)


# TensorFlow ----------------------------------------------------------------------------------

OLD = {
    "kernel": "W_0",
    "bias": "B",
    "w_i_diag": "W_I_diag",
    "w_f_diag": "W_F_diag",
    "w_o_diag": "W_O_diag",
    "projection": "W_P_0",
}
NEW = {name: name for name in OLD} | {"projection": "projection/kernel"}
ONE_0 = NEW | {"kernel": "weights", "bias": "biases", "projection": "projection/weights"}
TEMPLATES = {
    "new": ("rnn/multi_rnn_cell/cell_{}/lstm_cell/{}", NEW),
    "1.0": ("rnn/multi_rnn_cell/cell_{}/lstm_cell/{}", ONE_0),
    "old": ("RNN/MultiRNNCell/Cell{}/LSTMCell/{}", OLD),
}
ORDER = ["kernel", "bias", "w_f_diag", "w_i_diag", "w_o_diag", "projection"]  # TensorFlow's own
KINDS = {"peepholes": ORDER[:5], "projection": [*ORDER[:2], ORDER[5]], "all of TensorFlow": ORDER}


@pytest.mark.parametrize("case", ["peepholes", "clip", "projection", "all"])
def test_variables_of_a_tensorflow_cell_give_what_tensorflow_gave(case):
    d = read(f"tf1_{case}")
    clips = {name: d[name].item() for name in ("cell_clip", "proj_clip") if name in d}
    found = {name: d[f"w_{name}"] for name in ORDER if f"w_{name}" in d}
    lstm = interop.from_tf1({f"rnn/lstm_cell/{NEW[k]}": v for k, v in found.items()}, **clips)
    outputs, state = lstm(
        d["x"], lengths=d["lengths"], state=LSTMState(d["h0"][None], d["c0"][None])
    )
    np.testing.assert_allclose(outputs, d["outputs"], rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(state.c[0], d["c"], rtol=1e-11)
    assert_same_lstm(interop.from_tf1([list(found.values())], **clips), lstm)
    (back,) = interop.to_tf1(lstm, **clips)
    for ours, theirs in zip(back, found.values(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-15, atol=1e-15)


@pytest.mark.parametrize("form", TEMPLATES)
@pytest.mark.parametrize("variant", KINDS)
def test_stacked_cells_by_old_and_new_names(variant, form, tmp_path):
    lstm = make_problem(1, 1, 3, 5, variant, n_layers=3).lstm
    template, names = TEMPLATES[form]
    clips = {"cell_clip": lstm.variant.cell_clip, "proj_clip": lstm.variant.proj_clip}
    layers = interop.to_tf1(lstm, forget_bias=0, **clips)
    variables = {
        template.format(k, names[kind]): array
        for k, cell in enumerate(layers)
        for kind, array in zip(KINDS[variant], cell, strict=True)
    }
    assert_same_lstm(interop.from_tf1(variables, forget_bias=0, **clips), lstm)
    assert_same_lstm(interop.from_tf1(layers, forget_bias=0, **clips), lstm)
    np.savez(tmp_path / "model.npz", **variables, global_step=3)
    assert_same_lstm(interop.from_tf1(tmp_path / "model.npz", forget_bias=0, **clips), lstm)


def test_both_directions_of_projected_cells():
    lstm = make_problem(1, 1, 3, 5, "projection", n_layers=2, bidirectional=True).lstm
    runs = [LSTM.from_weights([w], variant=lstm.variant) for w in lstm.weights]
    cells = [interop.to_tf1(run, forget_bias=0)[0] for run in runs]
    name = "stack_bidirectional_rnn/cell_{}/bidirectional_rnn/{}/lstm_cell/{}"
    variables = {
        name.format(k // 2, ("fw", "bw")[k % 2], kind): array
        for k, cell in enumerate(cells)
        for kind, array in zip(("kernel", "bias", "projection/kernel"), cell, strict=True)
    }
    assert_same_lstm(interop.from_tf1(variables, forget_bias=0), lstm)


def test_limits_are_not_in_the_arrays_so_they_must_be_named():
    lstm = LSTM(2, 4, variant=LSTMVariant(cell_clip=0.5))
    with pytest.raises(ValueError, match=r"cell_clip=0.5 would be lost, .* pass cell_clip=0.5"):
        interop.to_tf1(lstm)
    with pytest.raises(ValueError, match="cell_clip must be that of the LSTM, 0.5, got 0.4"):
        interop.to_tf1(lstm, cell_clip=0.4)
    with pytest.raises(ValueError, match="proj_clip must be that of the LSTM, None, got 0.4"):
        interop.to_tf1(lstm, cell_clip=0.5, proj_clip=0.4)
    (cell,) = interop.to_tf1(lstm, cell_clip=0.5)
    assert len(cell) == 2
    with pytest.raises(ValueError, match="proj_clip=0.4 needs proj_size"):
        interop.from_tf1([cell], proj_clip=0.4)
    with pytest.raises(ValueError, match="proj_size must be at most hidden_size=3, got 4"):
        interop.from_tf1([(np.ones((6, 12)), np.ones(12), np.ones((3, 4)))])


# PyTorch -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_projection_goes_to_pytorch_and_back(bidirectional):
    p = make_problem(2, 3, 3, 5, "projection", n_layers=2, bidirectional=bidirectional)
    there = interop.to_torch(p.lstm)
    assert_same_lstm(interop.from_torch(there), p.lstm)
    names = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "weight_hr_l0"]
    assert list(there)[:5] == names
    assert [there[name].shape for name in names] == [(20, 3), (20, 2), (20,), (20,), (2, 5)]


def test_a_projection_of_pytorch_gives_what_pytorch_gave():
    d = read("torch_projection")
    state_dict = {name[2:]: array for name, array in d.items() if name.startswith("w_")}
    lstm = interop.from_torch(state_dict)
    outputs, _ = lstm(d["x"], state=LSTMState(d["h0"], d["c0"]))
    np.testing.assert_allclose(outputs, d["outputs"], rtol=1e-11)
    state_dict["weight_hr_l1"] = np.ones((3, 5))
    with pytest.raises(ValueError, match=r"weight_hr_l1 must have shape \(2, 5\)"):
        interop.from_torch(state_dict)
