"""Sections `step` and `generation`: one step or one character at a time, from Python.

PyTorch and onnxruntime run in the way that was fastest in a trial: LSTM or LSTMCell, oneDNN on or
off, one thread or two.
"""

import string

import numpy as np
import torch
from ort import onnx_model, onnx_session
from pytorch import torch_lstm, torch_ways
from timing import Side, fastest, paired

from numlstm import LSTM, CharLSTM

SIZES = [(1, 128), (2, 256), (2, 512)]  # layers, units
INPUT, EMBEDDING = 64, 64
ALPHABET = string.printable[:65]  # as many characters as tiny-shakespeare has
OUR_CHARACTERS, TORCH_CHARACTERS = 5000, 100  # of one timed call

STEP_COLUMNS = [
    ("ours us", "us", ".1f"),
    ("ORT us", "ort_us", ".1f"),
    ("torch us", "torch_us", ".1f"),
    ("ORT / ours", "ort_ratio", ".2f"),
    ("torch / ours", "torch_ratio", ".2f"),
]
GENERATION_COLUMNS = [
    ("ours chars/s", "rate", ",.0f"),
    ("torch chars/s", "torch_rate", ",.0f"),
    ("ratio", "ratio", ".1f"),
]


def step(settings):
    """Yield a row for each size: one step of one sequence, the state handed back and forth."""
    for n_layers, units in SIZES:
        lstm = LSTM(INPUT, units, n_layers=n_layers, random_state=0)
        x = np.random.default_rng(0).standard_normal((1, INPUT)).astype(np.float32)
        ort_way, ort = fastest(_ort_steps(lstm, x), settings.seconds / 4)
        torch_way, theirs = fastest(_torch_steps(lstm, x), settings.seconds / 8)
        times = paired(_our_step(lstm, x), ort, theirs, seconds=settings.seconds)
        yield {
            "name": f"{n_layers} x {units}",
            "us": times[0] * 1e6, "ort_us": times[1] * 1e6, "torch_us": times[2] * 1e6,
            "ort_ratio": times[1] / times[0], "torch_ratio": times[2] / times[0],
            "ort_way": ort_way, "torch_way": torch_way,
        }  # fmt: skip


def _our_step(lstm, x):
    state = lstm.zero_state(1)

    def run():
        nonlocal state
        _, state = lstm.step(x, state)

    return run


def _ort_steps(lstm, x):
    """Map a name to one session call for a step, on one thread and on two."""
    model = onnx_model(lstm, stateful=True)
    return {f"{n} thread{'s' * (n > 1)}": Side(_ort_step(model, x, n)) for n in (1, 2)}


def _ort_step(model, x, threads):
    session = onnx_session(model, threads)
    states = [i.name for i in session.get_inputs() if i.name != "X"]
    zero = np.zeros((1, 1, session.get_inputs()[1].shape[-1]), np.float32)
    feed = {"X": x[None], **dict.fromkeys(states, zero)}

    def run():
        _, *new = session.run(None, feed)
        feed.update(zip(states, new, strict=True))

    return run


def _torch_steps(lstm, x):
    """Map a name to a step with LSTM, or with LSTMCells, in each way to run PyTorch."""
    module, x = torch_lstm(lstm), torch.from_numpy(x)
    return {
        f"{name}, {way}": Side(make(module, x), around=around)
        for way, around in torch_ways()
        for name, make in (("LSTM", _torch_lstm_step), ("LSTMCell", _torch_cell_step))
    }


def _torch_lstm_step(module, x):
    x, state = x[None], None

    def run():
        nonlocal state
        _, state = module(x, state)

    return run


def _torch_cell_step(module, x):
    cells = torch_cells(module)
    states = [None] * len(cells)

    def run():
        through_cells(cells, states, x)

    return run


def torch_cells(module):
    """Return the layers of a torch.nn.LSTM as LSTMCells that share its weights."""
    cells = []
    for k in range(module.num_layers):
        cell = torch.nn.LSTMCell(module.input_size if k == 0 else module.hidden_size,
                                 module.hidden_size)  # fmt: skip
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            setattr(cell, name, getattr(module, f"{name}_l{k}"))
        cells.append(cell)
    return cells


def through_cells(cells, states, h):
    """Return the output of the last of the cells; update their states in place."""
    for k, cell in enumerate(cells):
        states[k] = cell(h, states[k])
        h = states[k][0]
    return h


def generation(settings):
    """Yield a row for each size: characters of one text, drawn by their probabilities."""
    for n_layers, units in SIZES:
        model = CharLSTM(units, n_layers, embedding_size=EMBEDDING, max_iter=0, random_state=0).fit(
            ALPHABET
        )  # the initial weights are as fast as others
        way, theirs = fastest(_torch_generation(model), settings.seconds / 8)
        ours = Side(lambda m=model: m.generate(OUR_CHARACTERS), calls=OUR_CHARACTERS)
        seconds, torch_seconds = paired(ours, theirs, seconds=settings.seconds)
        yield {
            "name": f"{n_layers} x {units}", "rate": 1 / seconds, "torch_rate": 1 / torch_seconds,
            "ratio": torch_seconds / seconds, "torch_way": way,
        }  # fmt: skip


def _torch_generation(model):
    """Map a name to a loop with LSTM, or with LSTMCells, in each way to run PyTorch."""
    V = len(model.vocabulary_)
    embedding, dense = torch.nn.Embedding(V, EMBEDDING), torch.nn.Linear(model.hidden_size, V)
    module = torch_lstm(model.lstm_)
    return {
        f"{name}, {way}": Side(
            make(embedding, module, dense), around=around, calls=TORCH_CHARACTERS
        )
        for way, around in torch_ways()
        for name, make in (("LSTM", _torch_lstm_text), ("LSTMCell", _torch_cell_text))
    }


def _torch_lstm_text(embedding, module, dense):
    def run():
        token, state = torch.zeros(1, 1, dtype=torch.long), None
        for _ in range(TORCH_CHARACTERS):
            outputs, state = module(embedding(token), state)
            token = torch.multinomial(dense(outputs[:, -1]).softmax(-1), 1)

    return run


def _torch_cell_text(embedding, module, dense):
    cells = torch_cells(module)

    def run():
        token, states = torch.zeros(1, dtype=torch.long), [None] * len(cells)
        for _ in range(TORCH_CHARACTERS):
            h = through_cells(cells, states, embedding(token))
            token = torch.multinomial(dense(h).softmax(-1), 1)[:, 0]

    return run
