"""`numlstm warmup` fills an empty cache with all that later programs need, two at once too."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_cli import COMMAND, write_text_and_table

from numlstm.cli import main
from numlstm.kernels import _jit

USES = """
import sys
import numpy as np
from numlstm import LSTM, LSTMClassifier, LSTMRegressor, LSTMVariant
from numlstm.cli import main
for line in open("uses.txt"):
    if main(line.split()):
        sys.exit(line)
one_sequence = LSTM(1, 192)  # work enough for two threads
one_sequence.backward(one_sequence.forward(np.zeros((1, 200, 1), "float32"))[0])
large = LSTM(1, 448)
for rows in (2, 20):  # for one thread, and for two
    large.backward(large.forward(np.zeros((rows, 3, 1), "float32"))[0])
stream, state = LSTM(1, 448, n_layers=3), None
for _ in range(50):
    _, state = stream.step(np.zeros((1, 1), "float32"), state)
LSTMRegressor(448, max_iter=70, batch_size=20).fit(np.ones((20, 3, 1)), np.arange(20.0))
X, y = np.random.default_rng(0).normal(size=(40, 9, 3)), np.arange(40.0)
for solver in ("adam", "sgd"):  # for long enough to repeat steps, with one thread and with two
    for units, rows in ((8, 7), (96, 40)):
        options = {"batch_size": rows, "max_iter": 20, "solver": solver, "alpha": 0.1}
        LSTMRegressor(units, **options).fit(X, y)
        LSTMRegressor(units, n_layers=2, **options).fit(X, np.cumsum(X, axis=1))
        LSTMClassifier(units, bidirectional=True, **options).fit(X, y > 20)
for variant in (
    LSTMVariant(peepholes=True, layer_norm=True, cell_clip=1),
    LSTMVariant(coupled_gates=True, zoneout_cell=0.1, recurrent_dropout=0.1, proj_size=9),
):
    model = LSTMClassifier(40, 2, bidirectional=True, variant=variant, max_iter=1, dropout=0.1)
    X = [np.random.default_rng(n).normal(size=(n, 3)) for n in (3, 4, 5)]
    model.fit(X, [0, 1, 1]).input_gradients(X)
"""


def warm_up_twice_at_once(folder):
    """Fill an empty cache, `folder / "cache"`, by two commands; keep what they say beside it."""
    env = os.environ | {"NUMBA_CACHE_DIR": str(folder / "cache")}
    pipe = subprocess.PIPE
    runs = [
        subprocess.Popen(
            [COMMAND, "warmup", "--variants"], env=env, stdout=pipe, stderr=pipe, text=True
        )
        for _ in range(2)
    ]
    said = [(*run.communicate(), run.returncode) for run in runs]
    (folder / "half").write_text(json.dumps(said))
    (folder / "half").replace(folder / "said.json")  # another worker may look for it at any moment


@pytest.mark.own_cache
def test_two_warmups_at_once_leave_nothing_to_compile(shared_folder, tmp_path, monkeypatch):
    folder = shared_folder  # where conftest.py has called it, if this session began with no cache
    if not (folder / "said.json").exists():
        folder = tmp_path
        warm_up_twice_at_once(folder)
    for out, err, code in json.loads((folder / "said.json").read_text()):
        assert (code, err) == (0, "")
        assert out.startswith("compiled in ") and str(folder / "cache") in out

    def compiled():
        return sorted(path.name for path in (folder / "cache").rglob("*.nb[ci]"))

    after = compiled()
    assert len(after) > 20
    monkeypatch.chdir(tmp_path)
    write_text_and_table()
    Path("uses.txt").write_text(
        "train text.txt -o m --max-iter 1\n"
        "train text.txt -o m --max-iter 1 --embedding-size 0 --n-layers 2 --dropout 0.1 -v\n"
        "sample m --prompt the --top-k 3 --top-p 0.9 --n-chars 40\n"
        "score m text.txt\n"
        "forecast sales.csv --horizon 6 --max-iter 2 --hidden-size 64\n"
    )
    env = os.environ | {"NUMBA_CACHE_DIR": str(folder / "cache")}
    run = subprocess.run([sys.executable, "-c", USES], env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert compiled() == after


def test_only_one_warmup_compiles_at_a_time(tmp_path, monkeypatch, capsys):
    fcntl = pytest.importorskip("fcntl")

    def is_locked():
        with open(tmp_path / "warmup.lock", "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    seen = []
    monkeypatch.setattr(_jit, "CACHE_FOLDER", tmp_path)
    monkeypatch.setattr(
        "numlstm.estimators.warmup.compile_everything", lambda dtype: seen.append(is_locked())
    )
    assert main(["warmup", "--dtype", "float32", "--dtype", "float64"]) == 0
    assert seen == [True, True] and not is_locked()
    assert str(tmp_path) in capsys.readouterr().out
