"""The command `numlstm`, as it is typed: in processes of its own where that matters."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import numlstm
from numlstm import NGramBaseline, commands
from numlstm.cli import main

FOLDER = Path(sys.executable).parent
COMMAND = str(FOLDER / ("numlstm.exe" if sys.platform == "win32" else "numlstm"))
COMMANDS = ("train", "sample", "score", "forecast", "demo", "warmup")
TEXT = "the quick brown fox jumps over the lazy dog.\n" * 30
SMALL = [
    "--hidden-size", "8", "--embedding-size", "4", "--seq-length", "16", "--batch-size", "4",
    "--n-threads", "1",
]  # fmt: skip


def numlstm_command(*arguments, **options):
    return subprocess.run(
        [COMMAND, *map(str, arguments)], capture_output=True, text=True, **options
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small character model, trained by the command."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "text.txt").write_text(TEXT)
    path = folder / "model.safetensors"
    assert (
        main(["train", str(folder / "text.txt"), "-o", str(path), "--max-iter", "2", *SMALL]) == 0
    )
    return path


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in, with a text and a table."""
    monkeypatch.chdir(tmp_path)
    write_text_and_table()
    return tmp_path


def write_text_and_table():
    Path("text.txt").write_text(TEXT)
    y = 100 + np.arange(60) + 10 * np.sin(np.arange(60) * np.pi / 6)
    rows = [f"2020-{k},{v:.3f},{k}" for k, v in enumerate(y)]
    rows[7], rows[9] = "2020-7,,7", "2020-9"  # an empty field, and one that is not there
    Path("sales.csv").write_text("\n".join(['month,"sales, all",n', *rows, "", ""]))


# A new user's first steps ---------------------------------------------------------------------


def test_train_sample_score(here):
    trained = numlstm_command(
        "train", "text.txt", "-o", "model.safetensors", "--max-iter", 3, *SMALL
    )
    assert trained.returncode == 0
    assert trained.stdout.startswith("model.safetensors: 3 epochs, 29 different characters\n")
    assert "100%" in trained.stderr and "Traceback" not in trained.stderr
    written = numlstm_command("sample", "model.safetensors", "--prompt", "the ", "--n-chars", 40)
    assert (written.returncode, written.stderr) == (0, "")
    assert written.stdout.startswith("the ") and written.stdout.endswith("\n")
    assert len(written.stdout) == 4 + 40 + 1
    scored = numlstm_command("score", "model.safetensors", "text.txt")
    bits = numlstm.load("model.safetensors").bits_per_char(TEXT)
    expected = f"1,350 characters, {bits:.4f} bits per character, perplexity {2**bits:.3f}\n"
    assert (scored.returncode, scored.stdout, scored.stderr) == (0, expected, "")
    assert sorted(os.listdir()) == ["model.safetensors", "sales.csv", "text.txt"]


@pytest.mark.parametrize(("counted", "where"), [(None, "the rest"), (600, "the 600 before them")])
def test_train_says_what_counting_achieves(counted, where, here, monkeypatch, capsys):
    text = TEXT[:-20] + "0 new characters 123"  # which only the part held out has
    Path("text.txt").write_text(text)
    if counted:
        monkeypatch.setattr(commands, "COUNTED", counted)
    options = ["--max-iter", "2", "--validation-fraction", "0.1", *SMALL]
    assert main(["train", "text.txt", "-o", "m", *options]) == 0
    model, learnt, held = numlstm.load("m"), text[:-135], text[-135:]
    by_model = -model.best_validation_score_ / np.log(2)
    counting = NGramBaseline.best(learnt[-(counted or 2000) :], held, model.vocabulary_)
    assert capsys.readouterr().out.splitlines() == [
        "m: 2 epochs, 33 different characters",
        "held out: the last 135 characters",
        f"  {by_model:.3f} bits per character by the model",
        f"  {counting.bits_per_char(held):.3f} by counting {counting.order}-grams in {where}",
    ]


@pytest.mark.parametrize(("counted", "part"), [(None, ""), (600, "the last 600 characters of ")])
def test_score_says_what_counting_achieves(counted, part, here, model, monkeypatch, capsys):
    scored = "the lazy fox jumps over the quick brown dog.\n"
    Path("scored.txt").write_text(scored)
    if counted:
        monkeypatch.setattr(commands, "COUNTED", counted)
    assert main(["score", str(model), "scored.txt"]) == 0
    alone = capsys.readouterr().out
    assert main(["score", str(model), "scored.txt", "--baseline", "text.txt"]) == 0
    counting = NGramBaseline.best(TEXT[-(counted or 2000) :], scored)
    bits = counting.bits_per_char(scored)
    line = f"{bits:.4f} by counting {counting.order}-grams in {part}text.txt\n"
    assert capsys.readouterr().out == alone + line


def test_train_without_an_epoch_has_nothing_to_compare(here, capsys):
    assert main(["train", "text.txt", "-o", "m", "--max-iter", "0", *SMALL]) == 0
    assert capsys.readouterr().out == "m: 0 epochs, 29 different characters\n"


def test_forecast_to_a_file_and_a_picture(here):
    from matplotlib.image import imread

    run = numlstm_command(
        "forecast", "sales.csv", "--column", "sales, all", "--horizon", 6, "--max-iter", 20,
        "-o", "out.csv", "--plot", "out.png",
    )  # fmt: skip
    assert (run.returncode, run.stdout) == (0, "")
    assert "out.csv: 6 steps of sales, all" in run.stderr
    with open("out.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["step", "sales, all"]
    assert [row[0] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert all(100 < float(row[1]) < 220 for row in rows)
    assert imread("out.png")[..., :3].std() > 0.02


def test_forecast_prints_a_table(here, capsys):
    assert main(["forecast", "sales.csv", "--horizon", "2", "--max-iter", "1"]) == 0
    out = capsys.readouterr().out.splitlines()  # nothing else, so that it can be piped
    assert out[0] == "step,n" and len(out) == 3


def test_the_module_can_be_run(here):
    run = subprocess.run(
        [sys.executable, "-m", "numlstm", "--version"], capture_output=True, text=True
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, f"numlstm {numlstm.__version__}\n", "")


def test_help_names_every_command_and_option():
    overview = numlstm_command("--help")
    assert (overview.returncode, overview.stderr) == (0, "")
    bare = numlstm_command()
    assert (bare.returncode, bare.stdout, bare.stderr) == (2, "", overview.stdout)
    for command in COMMANDS:
        assert f"    {command} " in overview.stdout
        run = numlstm_command(command, "--help", env=os.environ | {"COLUMNS": "80"})
        assert run.returncode == 0 and run.stderr == ""
        assert run.stdout.startswith(f"usage: numlstm {command} ")
        assert max(map(len, run.stdout.splitlines())) <= 80


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"numlstm {numlstm.__version__}\n"


# Sampling -------------------------------------------------------------------------------------


def sampled(model, capsys, *options):
    assert main(["sample", str(model), "--n-chars", "60", *options]) == 0
    return capsys.readouterr().out


def test_samples_repeat_with_a_seed_only(model, capsys):
    seeded = sampled(model, capsys, "--random-state", "3")
    assert seeded == sampled(model, capsys, "--random-state", "3")
    assert seeded != sampled(model, capsys, "--random-state", "4")
    assert sampled(model, capsys) != sampled(model, capsys)
    expected = numlstm.load(model).generate(60, temperature=0.8, random_state=3)
    assert seeded == expected + "\n"


def test_the_options_of_sampling_arrive(model, capsys):
    surest = sampled(model, capsys, "--temperature", "0")
    assert surest == numlstm.load(model).generate(60, temperature=0) + "\n"
    assert sampled(model, capsys, "--top-k", "1") == surest
    assert sampled(model, capsys, "--top-p", "1e-9") == surest
    assert sampled(model, capsys, "--prompt", "the", "--temperature", "0").startswith("the")
    assert len(sampled(model, capsys, "--temperature", "1e3", "--random-state", "0")) == 61


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell with pipes and signals")
def test_a_reader_that_has_enough_stops_the_sample(model):
    run = subprocess.run(
        f"{COMMAND} sample {model} --n-chars 1000000000 | head -c 10",
        shell=True, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (len(run.stdout), run.stderr) == (10, "")
    closed = f"{COMMAND} sample {model} --n-chars 10 >&-"
    run = subprocess.run(closed, shell=True, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")


def test_a_terminal_that_lacks_a_character_gets_a_question_mark(here):
    text = "žlutý kůň 🐎 " * 40
    Path("text.txt").write_text(text, encoding="utf-8")
    assert main(["train", "text.txt", "-o", "m", "--max-iter", "1", *SMALL]) == 0
    run = subprocess.run(
        [COMMAND, "sample", "m", "--n-chars", "99", "--prompt", "ů", "--random-state", "0"],
        capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (0, b"")
    assert len(run.stdout.decode("ascii")) == 101 and run.stdout.startswith(b"?")


# Stopping and going on ------------------------------------------------------------------------


def read_until(pipe, text):
    """Return what a process writes into a pipe, which may come in pieces, up to a text in it."""
    seen = b""
    while text not in seen:
        piece = os.read(pipe.fileno(), 4096)
        assert piece, seen.decode()
        seen += piece
    return seen


def start_training(*arguments, until):
    """Start `numlstm train`, and return the process when its standard error holds a text."""
    process = subprocess.Popen(
        [COMMAND, "train", "text.txt", "-o", "model", *SMALL, *arguments],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    read_until(process.stderr, until)
    return process


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for another process")
def test_ctrl_c_keeps_the_model(here):
    process = start_training("--max-iter", "1000000", until=b"epoch 3")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0
    assert err.decode().splitlines()[-1].startswith("numlstm: interrupted in epoch ")
    assert "Traceback" not in err.decode()
    assert out.decode().startswith("model: ")
    assert numlstm.load("model").n_iter_ >= 2
    assert sorted(os.listdir()) == ["model", "sales.csv", "text.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_training_goes_on_from_its_checkpoint(here, capsys):
    options = ["--max-iter", "150", "--checkpoint", "state"]
    process = start_training(*options, until=b"epoch 3")
    process.kill()
    process.communicate()
    assert Path("state").exists() and not Path("model").exists()
    assert main(["train", "text.txt", "-o", "model", *SMALL, *options]) == 0
    assert not Path("state").exists()
    resumed = Path("model").read_bytes()
    assert main(["train", "text.txt", "-o", "model", *SMALL, *options[:2]]) == 0
    assert Path("model").read_bytes() == resumed
