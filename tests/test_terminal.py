"""The command and what started it: Ctrl-C at awkward moments, readers that leave, cold caches."""

import io
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest
from test_cli import SMALL, TEXT

import numlstm
from numlstm import commands, terminal
from numlstm.cli import main
from numlstm.kernels import _jit

no_signals = pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to raise")
TRAIN = ["train", "text.txt", "-o", "model", "--max-iter", "2", *SMALL]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(TEXT)
    return tmp_path


# Ctrl-C -----------------------------------------------------------------------------------------

# The signal comes when a module is looked for, and there its exception becomes another.
AMID_IMPORTS = """
import importlib.abc, signal, sys
from numlstm.cli import main

module = sys.argv.pop()

class Interrupted(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == module:
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                raise ImportError("a riddle")

sys.meta_path.insert(0, Interrupted())
sys.exit(main())
"""


@no_signals
@pytest.mark.parametrize("module", ["numpy", "sklearn.base", "numlstm.estimators.char_lstm"])
def test_ctrl_c_while_modules_load(module, here):
    run = subprocess.run(
        [sys.executable, "-c", AMID_IMPORTS, *TRAIN, module], capture_output=True, text=True
    )
    assert (run.returncode, run.stdout, run.stderr) == (130, "", "numlstm: interrupted\n")
    assert os.listdir() == ["text.txt"]


@no_signals
@pytest.mark.parametrize("module", ["numba.core.codegen", "llvmlite.binding"])
def test_ctrl_c_while_a_kernel_compiles_comes_after_it(module):
    compiler = types.ModuleType(module)
    exec(
        "import signal\ndef compile(n):\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    return sum(range(n))",
        vars(compiler),
    )
    with terminal.on_ctrl_c(terminal.interrupt):
        assert compiler.compile(10) == 45  # undisturbed
        with pytest.raises(KeyboardInterrupt):
            for _ in range(1000):
                time.sleep(0.01)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@no_signals
def test_what_was_written_before_ctrl_c_arrives():
    program = "import signal, numlstm.terminal as t\nwith t.on_ctrl_c(t.leave):\n"
    program += (
        "    print('so far', end='')\n    signal.raise_signal(signal.SIGINT)\n    print('no')"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (130, "so far", "numlstm: interrupted\n")


@no_signals
def test_a_command_in_the_background_is_not_to_be_interrupted():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with terminal.on_ctrl_c(terminal.leave):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


# Streams ----------------------------------------------------------------------------------------


class Stream(io.StringIO):
    def __init__(self, is_terminal=False, works=True):
        super().__init__()
        self.isatty = lambda: is_terminal
        self.works = works

    def flush(self):
        if not self.works:
            raise BrokenPipeError


@pytest.mark.parametrize(
    ("stderr", "said"),
    [(Stream(), "numlstm: interrupted\n"), (Stream(True), "\nnumlstm: interrupted\n")],
)
def test_leaving_says_so_whatever_the_other_stream_does(stderr, said, monkeypatch):
    def leave(code):
        raise SystemExit(code)

    monkeypatch.setattr("os._exit", leave)
    monkeypatch.setattr("sys.stdout", Stream(works=False))
    monkeypatch.setattr("sys.stderr", stderr)
    with pytest.raises(SystemExit) as caught:
        terminal.leave()
    assert (caught.value.code, stderr.getvalue()) == (130, said)


@pytest.mark.parametrize("verbose", [[], ["-v"]])
def test_a_progress_bar_that_nobody_reads_ends_no_training(verbose, here, monkeypatch, capsys):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as stderr:
        monkeypatch.setattr("sys.stderr", stderr)
        assert main([*TRAIN, *verbose]) == 0
    assert capsys.readouterr().out.startswith("model: 2 epochs, ")
    assert numlstm.load("model").n_iter_ == 2


def test_an_error_that_nobody_reads_still_has_its_exit_code(here):
    command = [sys.executable, "-m", "numlstm", "sample", "missing"]
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as stderr:
        assert subprocess.run(command, stderr=stderr).returncode == 2


def test_the_streams_are_put_back(monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    monkeypatch.setattr("sys.stderr", None)
    with terminal.tolerant_streams():
        print("into nothing")
        terminal.say("into nothing")
    assert sys.stdout is sys.stderr is None


# What is said -----------------------------------------------------------------------------------


def test_a_cold_cache_is_spoken_of_to_a_person(tmp_path, monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr(_jit, "CACHE_FOLDER", tmp_path)
    commands._say_if_cold("generate_tokens_chunk")
    assert screen.getvalue() == ""
    screen.isatty = lambda: True
    commands._say_if_cold("generate_tokens_chunk")
    assert screen.getvalue() == "numlstm: the first run compiles the kernels, for up to a minute\n"
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "generation.generate_tokens_chunk-1.py311.nbi").touch()
    commands._say_if_cold("generate_tokens_chunk")
    assert screen.getvalue().count("\n") == 1
    commands._say_if_cold("generate_tokens_chunk", "read_tokens_chunk")
    assert screen.getvalue().count("\n") == 2


def test_the_names_of_the_kernels_are_those_of_the_cache(here, monkeypatch, capsys):
    """After each command its kernels are in the cache, so that the next run says nothing."""
    if _jit.CACHE_FOLDER is None:
        pytest.skip("nothing is cached where no folder can be written")
    Path("table.csv").write_text("v\n" + "1\n2\n3\n" * 9)
    for arguments in (TRAIN, ["sample", "model", "--n-chars", "3"], ["score", "model", "text.txt"],
                      ["forecast", "table.csv", "--horizon", "2", "--max-iter", "1"]):  # fmt: skip
        assert main(arguments) == 0
        capsys.readouterr()
        monkeypatch.setattr("sys.stderr.isatty", lambda: True)
        assert main(arguments) == 0
        assert "compiles" not in capsys.readouterr().err
        monkeypatch.undo()
        monkeypatch.chdir(here)


def test_one_is_not_many():
    assert commands.count(1, "epochs") == "1 epoch"
    assert commands.count(0, "epochs") == "0 epochs"
    assert commands.count(1234567, "characters") == "1,234,567 characters"


def test_too_little_memory_is_called_so(here, monkeypatch, capsys):
    monkeypatch.setattr(numlstm.CharLSTM, "fit", lambda *args, **how: bytearray(2**62))
    assert main(TRAIN) == 2
    assert capsys.readouterr().err == "numlstm train: not enough memory\n"


@pytest.mark.parametrize("arguments", ["sample model much --loud", "--loud"])
def test_what_is_not_recognized_is_said_by_the_command(arguments, capsys):
    with pytest.raises(SystemExit):
        main(arguments.split())
    command = "numlstm sample" if "sample" in arguments else "numlstm"
    unknown = arguments.removeprefix("sample model ")
    expected = f"{command}: unrecognized arguments: {unknown} (see `{command} --help`)\n"
    assert capsys.readouterr().err == expected
