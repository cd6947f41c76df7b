"""Memory by the length of a text: what each character more costs a character model, in bytes.

Each job runs in a process of its own, on a text of 5 MB and on one of 50 MB, with a tiny network.
The figure is the difference of the highest resident memories (VmHWM) over the difference of the
lengths. The string itself is part of it: Python holds a text in 1 byte a character, or in 4 where
one of them is an emoji.

    python benchmarks/text_memory.py [--mb 50] [--jobs 'fit;numlstm score']
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from memory import resident
from processes import answer_of
from table import head, line

from numlstm.data.texts import read_text

PIECES = {
    "plain": "It was the best of times,\r\nit was the worst of times; \0 it was no time at all.\n",
    "emoji": "\U0001f40e\U0001f468\u200d\U0001f469 ran, ran, ran past the caf\u00e9.\r\n\0",
}
COLUMNS = [("bytes / character", "bytes", ".2f"), ("the string", "string", "d")]
SMALL = {"hidden_size": 8, "n_layers": 1, "embedding_size": 4, "batch_size": 64, "seq_length": 256}
SMALL |= {"max_iter": 1, "random_state": 0}
OPTIONS = [f"--{key.replace('_', '-')}={value}" for key, value in SMALL.items()]


def learn(path, **options):
    """Return a model, and the text that it learnt."""
    from numlstm import CharLSTM

    text = read_text(path)
    return CharLSTM(**SMALL | options).fit(text), text


def command(*arguments):
    from numlstm.cli import main

    if main([str(argument) for argument in arguments]):
        raise RuntimeError(f"numlstm {' '.join(map(str, arguments))} failed")


def model_of(path):
    """Return a file with a model of the same characters."""
    model = path.with_suffix(".model")
    if not model.exists():
        small = path.with_suffix(".small")
        small.write_text(read_text(path)[:2000], encoding="utf-8", newline="")
        learn(small)[0].save(model)
    return model


def measured(name, path):
    import numlstm

    return getattr(numlstm.load(model_of(path)), name)(read_text(path))


JOBS = {
    "fit": learn,
    "fit, a part held out": lambda path: learn(path, early_stopping=True),
    "fit with a checkpoint": lambda path: learn_with_checkpoint(path),
    "bits_per_char": lambda path: measured("bits_per_char", path),
    "surprisal": lambda path: measured("surprisal", path),
    "numlstm train": lambda path: command("train", path, "-o", path.with_suffix(".out"), *OPTIONS),
    "numlstm score": lambda path: command("score", model_of(path), path),
}


def learn_with_checkpoint(path):
    from numlstm import CharLSTM

    CharLSTM(**SMALL).fit(
        read_text(path), checkpoint=path.with_suffix(".state"), checkpoint_steps=1000
    )


def write_text(path, piece, mb):
    """Write a text of so many million bytes; return its length in characters."""
    n = int(mb * 1e6) // len(piece.encode())
    with open(path, "w", encoding="utf-8", newline="") as file:
        for _ in range(n):
            file.write(piece)
    return n * len(piece)


def width(text):
    """Return the bytes that Python takes for a character of a text."""
    return round((sys.getsizeof(text * 1000) - sys.getsizeof(text)) / (999 * len(text)))


def peak(job, path):
    """Run a job in this process; return the highest resident memory, in MB."""
    JOBS[job](path)
    return resident("VmHWM")


def text_memory(jobs, mb):
    """Yield a row for each job and kind of text."""
    for kind, piece in PIECES.items():
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder, name) for name in ("short.txt", "long.txt")]
            lengths = [write_text(p, piece, size) for p, size in zip(paths, (5, mb), strict=True)]
            for job in jobs:
                mbs = [answer_of(__file__, "--run", job, path)["mb"] for path in paths]
                grown = (mbs[1] - mbs[0]) * 2**20 / (lengths[1] - lengths[0])
                yield {"name": f"{job}, {kind}", "bytes": grown, "string": width(piece)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mb", type=float, default=50, help="size of the long text, in MB")
    parser.add_argument("--jobs", default=None, help="names, separated by semicolons")
    parser.add_argument("--run", nargs=2, metavar=("JOB", "TEXT"), help="one job in this process")
    arguments = parser.parse_args()
    if arguments.run:
        job, path = arguments.run
        print(json.dumps({"mb": peak(job, Path(path))}))
        return
    jobs = arguments.jobs.split(";") if arguments.jobs else list(JOBS)
    print(head(f"memory, 5 to {arguments.mb:g} MB of text", COLUMNS))
    for row in text_memory(jobs, arguments.mb):
        print(line(row, COLUMNS), flush=True)


if __name__ == "__main__":
    sys.exit(main())
