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


@pytest.mark.parametrize("name", CONVERTERS)
@pytest.mark.parametrize("variant", sorted(VARIANTS.keys() - {"projection"}))
def test_what_would_be_lost_is_named(variant, name):
    lstm = make_problem(1, 1, 2, 4, variant).lstm
    lost = next(option for option in VARIANTS[variant] if option != "proj_size")
    with pytest.raises(ValueError, match=rf"{name} can't convert .* because .*{lost}=.* be lost"):
        CONVERTERS[name](lstm)


@pytest.mark.parametrize("name", sorted(CONVERTERS.keys() - {"to_torch"}))
def test_only_pytorch_has_projections(name):
    with pytest.raises(ValueError, match="because proj_size=2 would be lost"):
        CONVERTERS[name](LSTM(2, 4, variant=LSTMVariant(proj_size=2)))


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
