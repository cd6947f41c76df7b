"""One small use of everything that is compiled, so that the cache then holds all of it."""

import tempfile
from pathlib import Path

import numpy as np

from numlstm.estimators.char_lstm import CharLSTM
from numlstm.estimators.classifier import LSTMClassifier
from numlstm.estimators.forecaster import LSTMForecaster
from numlstm.estimators.regressor import LSTMRegressor
from numlstm.kernels import _threads
from numlstm.nn import at_once
from numlstm.nn.lstm import LSTM
from numlstm.nn.replay import WORTH_FIRST
from numlstm.nn.variant import LSTMVariant

TEXT = "to be, or not to be, that is the question"


def compile_everything(dtype):
    """Compile every kernel but those of variants for a dtype, for one thread and for several.

    Parameters
    ----------
    dtype : {"float32", "float64"}
    """
    for _ in _both_routes():
        _use_sequences(dtype)
        _use_text(dtype)


def compile_variants(dtype):
    """Compile the kernels of variants; they are the same for all options.

    Parameters
    ----------
    dtype : {"float32", "float64"}
    """
    variant = LSTMVariant(proj_size=4)
    X = np.zeros((4, 3, 2))
    for _ in _both_routes():
        lstm = LSTM(2, 8, dtype=dtype, random_state=0, variant=variant)
        outputs, state = lstm.forward(X)
        lstm.backward(outputs, state)
        model = LSTMRegressor(8, variant=variant, max_iter=1, dtype=dtype, random_state=0)
        model.fit(X, range(4)).predict(X)


def _both_routes():
    """Yield twice; the second time the smallest task is spread over threads."""
    before = _threads.WORK_PER_THREAD
    try:
        for work in (before, 1):
            _threads.WORK_PER_THREAD = work
            yield
    finally:
        _threads.WORK_PER_THREAD = before


def _use_sequences(dtype):
    quick = {"max_iter": 1, "batch_size": 2, "dtype": dtype, "random_state": 0}
    X = [np.sin(np.arange(k, k + n))[:, None] for k, n in enumerate((5, 9, 7, 8))]
    for options in (
        {"solver": "adam", "n_layers": 2, "dropout": 0.1, "bidirectional": True},
        {"solver": "sgd", "alpha": 0.1},
        {"solver": "lbfgs"},
    ):
        LSTMRegressor(8, **quick | options).fit(X, X).trace(X)
    table = np.stack([x[:5, 0] for x in X])
    often = quick | {"max_iter": WORTH_FIRST}  # such steps are repeated without their Python
    LSTMRegressor(8, **often).fit(table, range(4)).predict_step(table[:, :1])
    LSTMRegressor(8, **often, solver="sgd").fit(table, range(4))
    LSTMRegressor(448, **often).fit(table, range(4))  # FAR_WEIGHTS and more
    LSTMClassifier(8, **often).fit(table, [0, 1, 0, 1]).predict(table)
    LSTMForecaster(4, 2, hidden_size=8, **quick).fit(X[1]).predict()
    lstm = LSTM(5, 8, dtype=dtype, random_state=0)
    outputs, state = lstm.forward(table[:, None], lengths=[1] * 4)
    lstm.backward(outputs, state)
    lstm.step(table, state)
    _take_large_steps(dtype)
    wide = LSTM(1, 192, dtype=dtype, random_state=0)  # threads share its units, with one row
    outputs, state = wide.forward(table[:1, :, None])
    wide.backward(outputs, state)


def _take_large_steps(dtype):
    """Take two steps of large layers: one as the first is done, one as those after many others."""
    lstm, x = LSTM(5, 448, n_layers=3, dtype=dtype, random_state=0), np.zeros((1, 5), dtype)
    lstm.step(x)
    before = at_once.WORTH_WAKING
    try:
        at_once.WORTH_WAKING = 0
        lstm.step(x)
    finally:
        at_once.WORTH_WAKING = before


def _use_text(dtype):
    for size in (None, 4):
        model = CharLSTM(
            8, 2, embedding_size=size, seq_length=8, batch_size=2, max_iter=1, dtype=dtype,
            dropout=0.1, random_state=0,
        )  # fmt: skip
        model.fit(TEXT, "to be").generate(3, prompt="to", top_k=2)
        model.score("to be")
        with tempfile.TemporaryDirectory() as folder:
            model.save(Path(folder, "model"))
    # Threads share the units of this one when it reads and writes.
    wide = CharLSTM(128, seq_length=8, batch_size=2, max_iter=0, dtype=dtype, random_state=0)
    wide.fit(TEXT).generate(3, prompt="to")
