"""Memory that a text takes, in bytes a character, while a character model learns or measures it.

Each job runs in a process of its own: first on a text of 5,000 characters, so that all code is
loaded and compiled, then on one of 50 MB, with a tiny network. The figure is the highest resident
memory during the latter (VmHWM, set back before it) less the resident memory before it. The string
itself is part of it: Python holds a text in 1 byte a character, or in 4 where one is an emoji.

    python benchmarks/text_memory.py [--mb 50] [--jobs 'fit;numlstm score']
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from memory import reset_peak, resident
from processes import answer_of
from table import head, line

import numlstm
from numlstm.cli import main as numlstm_command
from numlstm.data.texts import read_text

TEXTS = {
    "plain": "It was the best of times,\r\nit was the worst of times; \0 it was no time at all.\n",
    "emoji": "\U0001f40e\U0001f468\u200d\U0001f469 ran, ran, ran past the caf\u00e9.\r\n\0",
}
SHORT = 5000  # characters
COLUMNS = [("bytes / character", "bytes", ".2f"), ("the string", "string", "d")]
SMALL = {"hidden_size": 8, "n_layers": 1, "embedding_size": 4, "batch_size": 64, "seq_length": 256}
SMALL |= {"max_iter": 1, "random_state": 0}


def fit(path, **options):
    numlstm.CharLSTM(**SMALL).fit(read_text(path), **options)


def fit_with_checkpoint(path):
    fit(path, checkpoint=path.with_suffix(".state"), checkpoint_steps=1000)


def measure(name):
    """Return a job that calls a method of a model of the text's characters."""

    def job(path):
        model = numlstm.CharLSTM(**SMALL | {"max_iter": 0})
        text = read_text(path)
        getattr(model.fit(text[:SHORT]), name)(text)

    return job


def command(name, path, *arguments):
    if numlstm_command([name, *map(str, arguments)]):
        raise RuntimeError(f"numlstm {name} failed for {path}")


def command_train(path):
    options = [f"--{key.replace('_', '-')}={value}" for key, value in SMALL.items()]
    command("train", path, path, "-o", path.parent / "model", *options)


def command_score(path):
    command("score", path, path.parent / "model", path)  # that of command_train


def train_and_score(path):
    """Score with a model that knows the characters; made here, before anything is measured."""
    if path.name == "short.txt":
        command_train(path)
    command_score(path)


JOBS = {
    "fit": fit,
    "fit with a checkpoint": fit_with_checkpoint,
    "bits_per_char": measure("bits_per_char"),
    "surprisal": measure("surprisal"),
    "numlstm train": command_train,
    "numlstm score": train_and_score,
}


def write_text(path, piece, n_bytes):
    """Write a text of so many bytes, at least; return its length in characters."""
    n = -(-n_bytes // len(piece.encode()))
    with open(path, "w", encoding="utf-8", newline="") as file:
        for _ in range(n):
            file.write(piece)
    return n * len(piece)


def bytes_per_character(job, kind, n_bytes):
    """Run a job in this process; return its memory over the length of the text."""
    with tempfile.TemporaryDirectory() as folder:
        short, long = Path(folder, "short.txt"), Path(folder, "long.txt")
        write_text(short, TEXTS[kind], SHORT)
        n = write_text(long, TEXTS[kind], n_bytes)
        JOBS[job](short)
        reset_peak()
        before = resident("VmRSS")
        JOBS[job](long)
        return (resident("VmHWM") - before) * 2**20 / n


def width(text):
    """Return the bytes that Python takes for a character of a text."""
    return round((sys.getsizeof(text * 1000) - sys.getsizeof(text)) / (999 * len(text)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mb", type=float, default=50, help="size of the text, in MB")
    parser.add_argument("--jobs", default=";".join(JOBS), help="names, separated by semicolons")
    parser.add_argument("--here", nargs=2, metavar=("JOB", "KIND"), help="run one in this process")
    arguments = parser.parse_args()
    n_bytes = round(arguments.mb * 1e6)
    if arguments.here:
        print(json.dumps({"bytes": bytes_per_character(*arguments.here, n_bytes)}))
        return
    print(head(f"memory of {arguments.mb:g} MB of text", COLUMNS))
    for kind, text in TEXTS.items():
        for job in arguments.jobs.split(";"):
            found = answer_of(__file__, "--here", job, kind, "--mb", arguments.mb)["bytes"]
            row = {"name": f"{job}, {kind}", "bytes": found, "string": width(text)}
            print(line(row, COLUMNS), flush=True)


if __name__ == "__main__":
    main()
