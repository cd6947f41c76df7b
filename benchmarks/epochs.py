"""Section `epochs`: one epoch of training, whole loop against whole loop.

Sine wave: the tutorial's 12,000 points, window 50, the first 70 % of the windows, batches of 64,
Adam; `LSTMRegressor.fit` against the plain loop that a PyTorch user writes. Neither standardises
nor clips. Text: 90 % of tiny-shakespeare (or of another text), embedding 64, 64 streams in chunks
of 64 characters with the state carried on, Adam 2e-3, gradients clipped to 5; `CharLSTM.fit`
against the same loop in PyTorch. Both sides make their model anew in each fit.
"""

import numpy as np
import torch
from timing import Side, paired

from numlstm import CharLSTM, LSTMRegressor
from numlstm.datasets import make_sine

WINDOW, BATCH, SINE_UNITS, SINE_RATE = 50, 64, (2, 32, 128), 1e-2
TEXT_SIZES = [(1, 128), (2, 256)]  # layers, units
STREAMS = CHUNK = EMBEDDING = 64
TEXT_RATE, CLIP = 2e-3, 5.0
ROUNDS = 3

COLUMNS = [
    ("ours s", "seconds", ".3f"),
    ("torch s", "torch_seconds", ".3f"),
    ("ratio", "ratio", ".2f"),
    ("loss", "loss", ".4f"),
    ("torch's", "torch_loss", ".4f"),
]


def epochs(settings):
    """Yield a row for each model; the losses show that both sides learn the same."""
    X, y = sine_windows()
    for units in SINE_UNITS:
        sides = [lambda X, y, u=units, fit=fit: fit(u, X, y) for fit in (fit_sine, fit_torch_sine)]
        yield _row(f"sine wave, {units} units", sides, (X, y), (X[:640], y[:640]), settings)
    if settings.text is None:
        print("no text: the epochs of the character model are left out (--text FILE)", flush=True)
        return
    learn = settings.text[: int(0.9 * len(settings.text))]
    for size in TEXT_SIZES:
        sides = [lambda text, s=size, fit=fit: fit(*s, text) for fit in (fit_text, fit_torch_text)]
        part = learn[: 4 * STREAMS * CHUNK + 1]
        yield _row("text, {} x {}".format(*size), sides, (learn,), (part,), settings)


def _row(name, fits, data, part, settings):
    """Measure the fits of both sides to the data, each after a fit to a part of it."""
    losses = [0.0, 0.0]

    def side(k):
        def run():
            losses[k] = fits[k](*data)

        return Side(run, warm=lambda: fits[k](*part))

    ours, theirs = paired(side(0), side(1), seconds=settings.seconds, rounds=ROUNDS)
    return {
        "name": name, "seconds": ours, "torch_seconds": theirs, "ratio": theirs / ours,
        "loss": losses[0], "torch_loss": losses[1],
    }  # fmt: skip


def sine_windows():
    """Return the 8,364 training windows of the tutorial, and the values that follow them."""
    sine = make_sine(12_000, period=100).astype(np.float32)
    runs = np.lib.stride_tricks.sliding_window_view(sine, WINDOW + 1)
    split = int(0.7 * (len(sine) - WINDOW - 1))  # it counts one window less than there are
    return np.ascontiguousarray(runs[:split, :-1]), runs[:split, -1].copy()


def fit_sine(units, X, y):
    """Return the loss of one epoch of ours."""
    model = LSTMRegressor(
        units, batch_size=BATCH, max_iter=1, learning_rate_init=SINE_RATE, standardize=False,
        clip_norm=None, random_state=0,
    )  # fmt: skip
    return model.fit(X, y).loss_


def fit_torch_sine(units, X, y):
    """Return the loss of one epoch of PyTorch's."""
    torch.manual_seed(0)
    lstm, dense = torch.nn.LSTM(1, units, batch_first=True), torch.nn.Linear(units, 1)
    optimizer = torch.optim.Adam([*lstm.parameters(), *dense.parameters()], SINE_RATE)
    X, y = torch.from_numpy(X)[:, :, None], torch.from_numpy(y)[:, None]
    total = 0.0
    for rows in torch.randperm(len(X)).split(BATCH):
        loss = torch.nn.functional.mse_loss(dense(lstm(X[rows])[0][:, -1]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(rows)
    return total / len(X)


def fit_text(n_layers, units, text):
    """Return the loss of one epoch of ours."""
    model = CharLSTM(
        units, n_layers, embedding_size=EMBEDDING, batch_size=STREAMS, seq_length=CHUNK,
        learning_rate_init=TEXT_RATE, clip_norm=CLIP, max_iter=1, random_state=0,
    )  # fmt: skip
    return model.fit(text).loss_


def fit_torch_text(n_layers, units, text):
    """Return the loss of one epoch of PyTorch's."""
    torch.manual_seed(0)
    tokens, V = _tokens(text)
    embedding = torch.nn.Embedding(V, EMBEDDING)
    lstm = torch.nn.LSTM(EMBEDDING, units, n_layers, batch_first=True)
    dense = torch.nn.Linear(units, V)
    parameters = [p for module in (embedding, lstm, dense) for p in module.parameters()]
    optimizer = torch.optim.Adam(parameters, TEXT_RATE)
    length = (len(tokens) - 1) // STREAMS
    x, y = (tokens[k : k + STREAMS * length].reshape(STREAMS, length) for k in (0, 1))
    state, total = None, 0.0
    for k in range(0, length, CHUNK):
        outputs, state = lstm(embedding(x[:, k : k + CHUNK]), state)
        state = tuple(s.detach() for s in state)
        targets = y[:, k : k + CHUNK].reshape(-1)
        loss = torch.nn.functional.cross_entropy(dense(outputs).reshape(-1, V), targets)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        total += loss.item() * len(targets)
    return total / (STREAMS * length)


def _tokens(text):
    """Return a text as numbers of its distinct characters, and how many of these there are."""
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    distinct, tokens = np.unique(codes, return_inverse=True)
    return torch.from_numpy(tokens.astype(np.int64)), len(distinct)
