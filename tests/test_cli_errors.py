"""What can go wrong at the command line: one clear line, exit code 2, and nothing overwritten."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from numlstm import CharLSTM, LSTMForecaster, LSTMRegressor
from numlstm.cli import main

TEXT = "the quick brown fox jumps over the lazy dog.\n" * 30
TRAIN, FORECAST = "train text.txt -o out ", "forecast sales.csv --horizon 3 "

# Arguments, and what the one line must say.
ERRORS = {
    # Arguments
    "trian text.txt": "invalid choice: 'trian'",
    "--nonsense": "unrecognized arguments: --nonsense",
    "train": "required: TEXT, -o/--output",
    "sample": "required: MODEL",
    "forecast sales.csv": "required: --horizon",
    TRAIN + "--hidden-size many": "--hidden-size: invalid int value: 'many'",
    TRAIN + "--learning-rate linear": "--learning-rate: invalid choice: 'linear'",
    TRAIN + "--random-state -1": "--random-state: must be an integer from 0 to 4294967295",
    "sample model --random-state x": "--random-state: must be an integer",
    # Values
    TRAIN + "--hidden-size 0": "--hidden-size must be an integer of at least 1, got 0",
    TRAIN + "--n-layers -2": "--n-layers must be",
    TRAIN + "--embedding-size -2": "--embedding-size must be",
    TRAIN + "--seq-length 0": "--seq-length must be",
    TRAIN + "--batch-size 0": "--batch-size must be",
    TRAIN + "--max-iter -1": "--max-iter must be",
    TRAIN + "--n-threads 0": "--n-threads must be",
    TRAIN + "--learning-rate-init 0": "--learning-rate-init must be a number in (0, inf)",
    TRAIN + "--learning-rate-init nan": "--learning-rate-init must be",
    TRAIN + "--dropout 1": "--dropout must be a number in [0, 1), got 1.0",
    TRAIN + "--validation-fraction 0": "--validation-fraction must be",
    TRAIN + "--hidden-size 100000000": "",  # not enough memory, or too large for an array
    TRAIN + "--hidden-size 1000000000000000000000": "",
    "sample model --n-chars -1": "--n-chars must be",
    "sample model --temperature -1": "--temperature must be a number in [0, inf), got -1.0",
    "sample model --top-k 0": "--top-k must be",
    "sample model --top-p 1.5": "--top-p must be",
    "sample model --prompt ř": "--prompt holds the character 'ř' at position 0",
    FORECAST + "--window 0": "--window must be",
    FORECAST + "--n-threads 0": "--n-threads must be",
    FORECAST + "--hidden-size 0": "--hidden-size must be",
    "forecast sales.csv --horizon 0": "--horizon must be",
    # Texts
    "train missing -o out": "missing: No such file or directory",
    "train folder -o out": "folder: Is a directory",
    "train binary -o out": "binary is not UTF-8 text: invalid start byte at byte 1",
    "train empty -o out": "empty is empty, but 66 or more characters are needed",
    "train short -o out": "short has 5, but 66 or more characters are needed",
    TRAIN + "--validation-fraction 0.999": "",
    "score model missing": "missing: No such file or directory",
    "score model binary": "binary is not UTF-8 text",
    "score model empty": "empty is empty",
    "score model other": "other holds the character 'Ž' at position 2",
    "score model text.txt --baseline missing": "missing: No such file or directory",
    "score model text.txt --baseline empty": "empty is empty",
    "score model text.txt --baseline other": "--baseline must hold characters of the model only",
    "score model text.txt --baseline folder/../text.txt": "--baseline must be another file",
    # Outputs
    "train text.txt -o nowhere/out": "nowhere/out cannot be written in the folder nowhere",
    "train text.txt -o text.txt/out": "text.txt/out cannot be written in the folder text.txt",
    "train text.txt -o folder": "folder cannot be written: it is not a regular file",
    "train text.txt -o /dev/null": "/dev/null cannot be written: it is not a regular file",
    "train text.txt -o text.txt": "text.txt cannot be written: the command needs the same file",
    "train text.txt -o ./folder/../text.txt": "needs the same file",
    TRAIN + "--checkpoint out": "out cannot be written: the command needs the same file",
    TRAIN + "--checkpoint text.txt": "text.txt cannot be written",
    TRAIN + "--checkpoint nowhere/state": "nowhere/state cannot be written",
    TRAIN + "--checkpoint model": "model holds a CharLSTM, not a text checkpoint",
    TRAIN + "--checkpoint damaged": "damaged is not a model that can be read",
    FORECAST + "-o nowhere/out": "nowhere/out cannot be written",
    FORECAST + "-o sales.csv": "sales.csv cannot be written",
    FORECAST + "--plot sales.csv": "sales.csv cannot be written",
    FORECAST + "--plot nowhere/out.png": "nowhere/out.png cannot be written",
    FORECAST + "--plot out.gif": "out.gif must end in one of .png",
    FORECAST + "-o out.png --plot out.png": "out.png cannot be written",
    "demo -o nowhere/out.png": "nowhere/out.png cannot be written",
    "demo -o out": "out must end in one of .png",
    # Models
    "sample missing": "missing: No such file or directory",
    "sample folder": "folder: Is a directory",
    "sample empty": "empty is not a model that can be read",
    "sample text.txt": "text.txt is not a model that can be read",
    "sample damaged": "damaged is not a model that can be read",
    "sample cut": "cut is not a model that can be read",
    "sample regressor": "regressor holds an LSTMRegressor, not a character model",
    "score forecaster text.txt": "forecaster holds an LSTMForecaster, not a character model",
    # Tables
    "forecast missing --horizon 3": "missing: No such file or directory",
    "forecast folder --horizon 3": "folder: Is a directory",
    "forecast binary --horizon 3": "binary is not a CSV file",
    "forecast model --horizon 3": "model is not a CSV file",
    "forecast empty --horizon 3": "empty must hold a header and at least one row, got 0 lines",
    "forecast header.csv --horizon 3": "header.csv must hold a header and at least one row, got 1",
    "forecast bare.csv --horizon 3": "bare.csv must begin with a header, got numbers: 1, 2",
    FORECAST + "--column price": "sales.csv has no column 'price'; its columns are month, sales",
    FORECAST + "--column month": "sales.csv, line 2: month must be a number, got '2020-0'",
    "forecast endless.csv --horizon 3": "endless.csv, line 4: a must be a number, got 'inf'",
    "forecast comma.csv --horizon 1": "line 3 must have as many fields as the header, 1, got 2",
    "forecast semicolons.csv --horizon 1": "must have commas between its fields, got ';'",
    "forecast tabs.csv --horizon 1 --column a": "must have commas between its fields, got '\\t'",
    "forecast gap.csv --horizon 3": "gap.csv: 1 of the last 7 values of a are missing",
    "forecast gap.csv --horizon 30": "gap.csv: 1 of the last 7",
    "forecast holes.csv --horizon 3": "holes.csv: a must hold a run of window + horizon",
    FORECAST + "--window 58": "sales.csv: sales must have at least window + horizon = 61 values",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Inputs of every kind; those that are read as models have no ending."""
    folder = tmp_path_factory.mktemp("errors")
    (folder / "folder").mkdir()
    files = {
        "text.txt": TEXT, "empty": "", "short": "short", "other": "thŽ", "binary": b"a\xff\x00b",
        "header.csv": "a,b\n", "bare.csv": "1,2\n3,4\n5,6\n", "endless.csv": "a\n1\n2\ninf\n3\n",
        "comma.csv": "a\n1,\n2,5\n", "semicolons.csv": "a;b\n1;2\n", "tabs.csv": "a\tb\n1\t2\n",
        "sales.csv": "month,sales\n" + "".join(f"2020-{k},{k % 7}\n" for k in range(60)),
        "gap.csv": "b,a\n" + "2,1\n" * 29 + "2,\n", "holes.csv": "a\n1\n2\n3\n\n1\n2\n3\n",
    }  # fmt: skip
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content.encode()
        (folder / name).write_bytes(data)
    CharLSTM(4, 1, max_iter=0, random_state=0).fit(TEXT).save(folder / "model")
    X, y = np.ones((4, 3, 1)), np.arange(4)
    LSTMRegressor(4, max_iter=0).fit(X, y).save(folder / "regressor")
    LSTMForecaster(4, 2, hidden_size=4, max_iter=0).fit(np.arange(9)).save(folder / "forecaster")
    data = bytearray((folder / "model").read_bytes())
    (folder / "cut").write_bytes(data[:-1])
    data[-1] ^= 1
    (folder / "damaged").write_bytes(data)
    return folder


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("arguments", ERRORS)
def test_one_clear_line(arguments, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    before = contents(folder)
    try:
        code = main(arguments.split())
    except SystemExit as stop:  # of argparse
        code = stop.code
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    line, end = err[:-1], err[-1]
    assert end == "\n" and "\n" not in line and "\r" not in line
    assert line.startswith(("numlstm: ", f"numlstm {arguments.split()[0]}: "))
    assert ERRORS[arguments] in line
    assert len(line) < 400
    assert contents(folder) == before


@pytest.mark.parametrize("arguments", ["train binary -o out", "sample damaged", "train --nonsense"])
def test_no_traceback_in_a_process_of_its_own(arguments, folder):
    command = [sys.executable, "-m", "numlstm", *arguments.split()]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.count("\n") == 1 and run.stderr.startswith("numlstm ")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a full device")
def test_a_full_disk_is_one_line(folder):
    with open("/dev/full", "w") as full:
        run = subprocess.run(
            [sys.executable, "-m", "numlstm", "sample", "model", "--n-chars", "20"],
            cwd=folder, stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert run.returncode == 2
    assert run.stderr == "numlstm sample: No space left on device\n"


def test_a_column_that_is_missing_here_and_there(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    Path("odd.csv").write_text("\ufeff a ,a\r\n" + "1,2\r\n" * 9 + "1,\r\n1\r\n" + "1, 2 \r\n" * 9)
    arguments = "forecast odd.csv --column a --horizon 2 --window 3 --max-iter 1 -o ok.csv"
    assert main(arguments.split()) == 0
    assert Path("ok.csv").read_text() == "step,a\n1,2\n2,2\n"
