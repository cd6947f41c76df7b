"""Write tests/data/golden: what TensorFlow's LSTMCell and torch.nn.LSTM compute with their options.

    pip install "tensorflow-cpu==2.15.*"        # Python 3.11; the last with tf.compat.v1's cells
    python tests/write_variant_golden.py tf1
    pip install torch
    python tests/write_variant_golden.py torch

Run by hand, each in an environment of its own; numlstm is not imported. All is float64 and drawn
from a seed. The loss is sum(outputs * d_outputs) + sum(c * d_c) + sum(h * d_h).
"""

import sys
import warnings
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "data" / "golden"
N, T, D, H, R = 4, 6, 3, 5, 2
CASES = {
    "peepholes": {"use_peepholes": True},
    "clip": {"cell_clip": 0.4},
    "projection": {"num_proj": R, "proj_clip": 0.2},
    "all": {"use_peepholes": True, "cell_clip": 0.4, "num_proj": R, "proj_clip": 0.2},
}
NAMES = {
    "kernel": "kernel",
    "bias": "bias",
    "w_i_diag": "w_i_diag",
    "w_f_diag": "w_f_diag",
    "w_o_diag": "w_o_diag",
    "projection/kernel": "projection",
}


def short(variable):
    """Return what follows the scope and `lstm_cell` in a variable's name, without slashes."""
    return NAMES[variable.op.name.split("lstm_cell/")[1]]


def write_tf1(tf, case, options, rng):
    width = options.get("num_proj", H)
    given = {
        "x": rng.normal(size=(N, T, D)),
        "lengths": np.array([6, 1, 4, 5]),
        "c0": rng.normal(size=(N, H)),
        "h0": rng.normal(size=(N, width)),
        "d_outputs": rng.normal(size=(N, T, width)),
        "d_c": rng.normal(size=(N, H)),
        "d_h": rng.normal(size=(N, width)),
    }
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        x, c0, h0 = (tf.constant(given[name]) for name in ("x", "c0", "h0"))
        cell = tf.compat.v1.nn.rnn_cell.LSTMCell(H, dtype=tf.float64, **options)
        state = tf.compat.v1.nn.rnn_cell.LSTMStateTuple(c0, h0)
        outputs, (c, h) = tf.compat.v1.nn.dynamic_rnn(
            cell, x, sequence_length=given["lengths"], initial_state=state
        )
        loss = sum(
            tf.reduce_sum(value * given[name])
            for value, name in ((outputs, "d_outputs"), (c, "d_c"), (h, "d_h"))
        )
        variables = tf.compat.v1.trainable_variables()
        session.run(tf.compat.v1.global_variables_initializer())
        for v in variables:
            v.load(0.7 * rng.normal(size=v.shape.as_list()), session)
        results = {"outputs": outputs, "c": c, "h": h}
        results |= {f"w_{short(v)}": v for v in variables}
        sources = {"x": x, "c0": c0, "h0": h0} | {short(v): v for v in variables}
        gradients = tf.gradients(loss, list(sources.values()))
        results |= {f"grad_{name}": d for name, d in zip(sources, gradients, strict=True)}
        values = given | session.run(results) | options
    np.savez_compressed(FOLDER / f"tf1_{case}.npz", **values)


def write_torch(torch, rng):
    """Two layers in two directions with a projection."""
    module = torch.nn.LSTM(
        D, H, 2, bidirectional=True, proj_size=R, batch_first=True, dtype=torch.float64
    )
    given = {
        "x": rng.normal(size=(N, T, D)),
        "c0": rng.normal(size=(4, N, H)),
        "h0": rng.normal(size=(4, N, R)),
        "d_outputs": rng.normal(size=(N, T, 2 * R)),
        "d_c": rng.normal(size=(4, N, H)),
        "d_h": rng.normal(size=(4, N, R)),
    }
    tensors = {name: torch.tensor(array) for name, array in given.items()}
    sources = {name: tensors[name].requires_grad_() for name in ("x", "c0", "h0")}
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.tensor(0.7 * rng.normal(size=tuple(p.shape))))
    outputs, (h, c) = module(tensors["x"], (tensors["h0"], tensors["c0"]))
    results = {"outputs": outputs, "c": c, "h": h}
    sum((value * tensors[f"d_{name}"]).sum() for name, value in results.items()).backward()
    sources |= dict(module.named_parameters())
    results |= {f"grad_{name}": tensor.grad for name, tensor in sources.items()}
    results |= {f"w_{name}": p for name, p in module.named_parameters()}
    values = given | {name: tensor.detach().numpy() for name, tensor in results.items()}
    np.savez_compressed(FOLDER / "torch_projection.npz", **values)


def main(library):
    FOLDER.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    if library == "torch":
        import torch

        write_torch(torch, rng)
        return
    import tensorflow as tf

    warnings.simplefilter("ignore")  # the cells are said to be deprecated
    tf.compat.v1.disable_v2_behavior()
    for case, options in CASES.items():
        write_tf1(tf, case, options, rng)


if __name__ == "__main__":
    main(*sys.argv[1:])
