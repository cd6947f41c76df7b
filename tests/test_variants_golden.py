"""Variants give what TensorFlow's LSTMCell and torch.nn.LSTM gave: see data/golden/README.md."""

from pathlib import Path

import numpy as np
import pytest

from numlstm import LSTM, LSTMState, LSTMVariant, LSTMVariantWeights
from numlstm.nn.gradcheck import relative_error

FOLDER = Path(__file__).parent / "data" / "golden"
OPTIONS = {"use_peepholes": "peepholes", "cell_clip": "cell_clip"}
OPTIONS |= {"num_proj": "proj_size", "proj_clip": "proj_clip"}


def read(name):
    with np.load(FOLDER / f"{name}.npz") as file:
        return dict(file)


def compare(lstm, d, lengths=None):
    """Run both passes; compare all but the gradients of the weights, which are returned."""
    L = len(lstm.weights)
    h0, c0, h, c, d_h, d_c, grad_h0, grad_c0 = (
        d[name].reshape(L, len(d["x"]), -1)
        for name in ("h0", "c0", "h", "c", "d_h", "d_c", "grad_h0", "grad_c0")
    )
    outputs, state = lstm.forward(d["x"], lengths=lengths, state=LSTMState(h0, c0))
    grads = lstm.backward(d["d_outputs"], LSTMState(d_h, d_c))
    close(outputs, d["outputs"])
    close(grads.X, d["grad_x"])
    for ours, theirs in zip((*state, *grads.state), (h, c, grad_h0, grad_c0), strict=True):
        close(ours, theirs)
    return grads.weights


def close(ours, theirs):
    assert relative_error(ours, theirs) < 1e-12


def close_weights(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            close(a, b)


@pytest.mark.parametrize("case", ["peepholes", "clip", "projection", "all"])
def test_tensorflow(case):
    d = read(f"tf1_{case}")
    H = d["c"].shape[1]
    columns = np.r_[0:H, 2 * H : 3 * H, H : 2 * H, 3 * H : 4 * H]  # i j f o to i f g o

    def ours(kind, forget_bias):
        kernel, bias = d[f"{kind}_kernel"][:, columns], d[f"{kind}_bias"][columns]
        added = {"Wp": d.get(f"{kind}_projection")}
        if "use_peepholes" in d:
            added["peepholes"] = np.stack([d[f"{kind}_w_{gate}_diag"] for gate in "ifo"])
        bias = bias + np.repeat([0, forget_bias, 0, 0], H)
        return LSTMVariantWeights(kernel[:3], kernel[3:], bias, **added)

    variant = LSTMVariant(**{OPTIONS[name]: d[name].item() for name in OPTIONS if name in d})
    lstm = LSTM.from_weights([ours("w", 1.0)], variant=variant)
    (grads,) = compare(lstm, d, d["lengths"])
    close_weights(grads, ours("grad", 0.0))


def test_the_clips_of_the_golden_files_bite():
    """Or else they would prove nothing about clipping."""
    for case in ("clip", "all"):
        assert (np.abs(read(f"tf1_{case}")["c"]) == 0.4).mean() > 0.1
    for case in ("projection", "all"):
        assert (np.abs(read(f"tf1_{case}")["outputs"]) == 0.2).mean() > 0.05


def test_torch():
    d = read("torch_projection")

    def ours(kind, run):
        Wx, Wh, bias_ih, bias_hh, Wp = (
            d[f"{kind}_{name}_{run}"]
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        )
        b = bias_ih + bias_hh if kind == "w" else bias_ih
        return LSTMVariantWeights(Wx.T, Wh.T, b, Wp=Wp.T)

    runs = ("l0", "l0_reverse", "l1", "l1_reverse")
    lstm = LSTM.from_weights(
        [ours("w", run) for run in runs], bidirectional=True, variant=LSTMVariant(proj_size=2)
    )
    for actual, run in zip(compare(lstm, d), runs, strict=True):
        close_weights(actual, ours("grad", run))
