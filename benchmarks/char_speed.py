"""Character models against PyTorch: training and generation, in one process.

    python benchmarks/char_speed.py TEXT [--epochs N] [--json FILE]

The text is split 90 / 5 / 5; the first part is learnt, the second scored. Both sides train the same
model: embedding 64, Adam 2e-3, clip 5, batch 64, 64 steps, state carried along the streams.
Generation: ours is `CharLSTM.generate`; PyTorch's is the best of LSTM and LSTMCell, with oneDNN on
and off, on 1 and 2 threads, in the same kind of loop with multinomial sampling.
"""

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np

SIZES = [(128, 1), (256, 2)]


def torch_model(torch, V, hidden, n_layers):
    """Return embedding, LSTM and dense layer."""
    return torch.nn.ModuleList(
        [
            torch.nn.Embedding(V, 64),
            torch.nn.LSTM(64, hidden, n_layers, batch_first=True),
            torch.nn.Linear(hidden, V),
        ]
    )


def torch_epoch(torch, model, optimizer, tokens, steps=None):
    """Train one epoch, or some steps of it; return characters per second."""
    embedding, lstm, dense = model
    length = (len(tokens) - 1) // 64
    x = torch.from_numpy(tokens[: 64 * length].reshape(64, length).astype(np.int64))
    y = torch.from_numpy(tokens[1 : 64 * length + 1].reshape(64, length).astype(np.int64))
    state, done, start = None, 0, time.perf_counter()
    for k in range(0, length, 64):
        out, state = lstm(embedding(x[:, k : k + 64]), state)
        state = tuple(s.detach() for s in state)
        logits = dense(out)
        loss = torch.nn.functional.cross_entropy(
            logits.reshape(-1, logits.shape[-1]), y[:, k : k + 64].reshape(-1)
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        done += logits.shape[0] * logits.shape[1]
        if steps and k // 64 + 1 >= steps:
            break
    return done / (time.perf_counter() - start)


def torch_generation(torch, model, n):
    """Return the characters per second of PyTorch's best loop, and which it was."""
    embedding, lstm, dense = model
    cells = [torch.nn.LSTMCell(64 if k == 0 else lstm.hidden_size, lstm.hidden_size)
             for k in range(lstm.num_layers)]  # fmt: skip

    def with_lstm():
        token, state = torch.zeros(1, 1, dtype=torch.long), None
        for _ in range(n):
            out, state = lstm(embedding(token), state)
            token = torch.multinomial(dense(out[:, -1]).softmax(-1), 1)

    def with_cells():
        token = torch.zeros(1, dtype=torch.long)
        states = [None] * len(cells)
        for _ in range(n):
            h = embedding(token)
            for k, cell in enumerate(cells):
                states[k] = cell(h, states[k])
                h = states[k][0]
            token = torch.multinomial(dense(h).softmax(-1), 1)[:, 0]

    best = (0.0, "")
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for onednn in (True, False):
            for name, loop in (("LSTM", with_lstm), ("LSTMCell", with_cells)):
                with torch.inference_mode(), torch.backends.mkldnn.flags(enabled=onednn):
                    loop()
                    start = time.perf_counter()
                    loop()
                    rate = n / (time.perf_counter() - start)
                best = max(best, (rate, f"{name}, oneDNN {onednn}, {threads} threads"))
    torch.set_num_threads(2)
    return best


def compare(torch, hidden, n_layers, learn, held, epochs):
    """Return one row: losses of ours, speeds of both."""
    from numlstm import CharLSTM

    settings = {
        "hidden_size": hidden, "n_layers": n_layers, "random_state": 0, "max_iter": epochs,
        "verbose": 1,
    }  # fmt: skip
    start = time.perf_counter()
    model = CharLSTM(**settings).fit(learn, held)
    seconds = time.perf_counter() - start
    tokens = model._vocabulary.encode("text", learn)
    torch.manual_seed(0)
    theirs = torch_model(torch, len(model.vocabulary_), hidden, n_layers)
    optimizer = torch.optim.Adam(theirs.parameters(), 2e-3)
    steps = 40
    part = learn[: 64 * 64 * steps + 1]
    rates = ([], [])
    torch_epoch(torch, theirs, optimizer, tokens, 5)
    for _ in range(3):  # in turns
        start = time.perf_counter()
        CharLSTM(**{**settings, "max_iter": 1, "verbose": 0}).fit(part)
        rates[0].append(len(part) / (time.perf_counter() - start))
        rates[1].append(torch_epoch(torch, theirs, optimizer, tokens, steps))
    n = 20_000
    model.generate(100)
    start = time.perf_counter()
    model.generate(n)
    generation = n / (time.perf_counter() - start)
    torch_rate, how = torch_generation(torch, theirs, 500)
    ours, torch_train = np.median(rates[0]), np.median(rates[1])
    return {
        "model": f"{n_layers} x {hidden}",
        "validation_nats": [-s for s in model.validation_scores_],
        "exact_nats": -model.score(held),
        "seconds": seconds,
        "train_rate": ours, "torch_train_rate": torch_train, "train_ratio": ours / torch_train,
        "generate_rate": generation, "torch_generate_rate": torch_rate, "torch_loop": how,
        "generate_ratio": generation / torch_rate,
    }  # fmt: skip


def main():
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", help="text file, tiny-shakespeare for the known figures")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    try:
        import torch
    except ImportError:
        raise SystemExit(
            "this benchmark compares with PyTorch: pip install -e '.[bench]'"
        ) from None
    torch.set_num_threads(2)
    text = Path(arguments.text).read_text(encoding="utf-8")
    learn, held = text[: int(0.9 * len(text))], text[int(0.9 * len(text)) : int(0.95 * len(text))]
    rows = []
    for hidden, n_layers in SIZES:
        row = compare(torch, hidden, n_layers, learn, held, arguments.epochs)
        rows.append(row)
        losses = ", ".join(f"{v:.3f}" for v in row["validation_nats"])
        print(f"{row['model']}: validation {losses} nats "
              f"({row['exact_nats'] / math.log(2):.3f} bits read as one text)")  # fmt: skip
        print(f"  training {row['train_rate']:,.0f} characters/s, PyTorch "
              f"{row['torch_train_rate']:,.0f}: ratio {row['train_ratio']:.2f}")  # fmt: skip
        print(f"  generation {row['generate_rate']:,.0f} characters/s, PyTorch "
              f"{row['torch_generate_rate']:,.0f} ({row['torch_loop']}): ratio "
              f"{row['generate_ratio']:.1f}", flush=True)  # fmt: skip
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
