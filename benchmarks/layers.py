"""Sections `training` and `inference`: the layer against torch.nn.LSTM and onnxruntime.

Training is forward, backward, gradients of weights and X. Everything that a user has to do is in
the time: batch-first arrays in and out, packing of ragged sequences. Ratios are their time over
ours; shares of the peak are those of what the register tile does in turns with them.
"""

import numpy as np
from cases import CASES, make_task
from ort import Onnx
from ours import Ours
from pytorch import Torch
from timing import paired

TRAINING_COLUMNS = [
    ("ours ms", "train_ms", ".2f"),
    ("torch ms", "train_torch_ms", ".2f"),
    ("ratio", "train_ratio", ".2f"),
    ("GFLOP/s", "train_gflops", ".0f"),
    ("of peak", "train_share", ".0%"),
]
INFERENCE_COLUMNS = [
    ("ours ms", "infer_ms", ".2f"),
    ("torch ms", "infer_torch_ms", ".2f"),
    ("ORT ms", "infer_ort_ms", ".2f"),
    ("ratio", "infer_ratio", ".2f"),
    ("GFLOP/s", "infer_gflops", ".0f"),
    ("of peak", "infer_share", ".0%"),
]


def training(settings):
    """Yield a row for each case."""
    for case in CASES:
        task = make_task(case)
        check_agreement(task)
        peak = settings.peak
        ours, theirs, tile = paired(
            Ours(task).train, Torch(task).train, peak.multiply, seconds=settings.seconds
        )
        yield {
            "name": case.name, "shape": case.shape, "options": case.options,
            "train_ms": ours * 1e3, "train_torch_ms": theirs * 1e3, "train_ratio": theirs / ours,
            "train_gflops": 3 * task.gflop / ours,
            "train_share": 3 * task.gflop / ours / (peak.gflop / tile),
        }  # fmt: skip


def inference(settings):
    """Yield a row for each case; the ratio is that to the faster of the two."""
    for case in CASES:
        task = make_task(case)
        peak = settings.peak
        ours, theirs, ort, tile = paired(
            Ours(task).infer, Torch(task).infer, Onnx(task).infer, peak.multiply,
            seconds=settings.seconds,
        )  # fmt: skip
        yield {
            "name": case.name, "shape": case.shape, "options": case.options,
            "infer_ms": ours * 1e3, "infer_torch_ms": theirs * 1e3, "infer_ort_ms": ort * 1e3,
            "infer_ratio": min(theirs, ort) / ours,
            "infer_gflops": task.gflop / ours,
            "infer_share": task.gflop / ours / (peak.gflop / tile),
        }  # fmt: skip


def check_agreement(task):
    """Raise AssertionError unless all sides compute the same."""
    ours, theirs, ort = Ours(task), Torch(task), Onnx(task)
    close = {"rtol": 1e-3, "atol": 1e-4}
    outputs = ours.infer()
    np.testing.assert_allclose(outputs, theirs.infer().numpy(), **close)
    np.testing.assert_allclose(outputs, ort.infer().reshape(outputs.shape), **close)
    np.testing.assert_allclose(ours.train().X, theirs.train().numpy(), rtol=1e-2, atol=1e-3)
