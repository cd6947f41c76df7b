import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import numlstm

HEAVY = {"numba", "llvmlite", "numpy", "scipy", "sklearn", "matplotlib", "tqdm", "safetensors"}


def modules_loaded_by(statement):
    """Names of the top-level modules that one statement loads in a fresh process."""
    # The difference to the start, because a .pth file of the environment may import things too.
    program = (
        "import json, sys; before = set(sys.modules)\n"
        f"{statement}\n"
        "print(json.dumps(sorted({m.partition('.')[0] for m in set(sys.modules) - before})))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return set(json.loads(run.stdout))


@pytest.mark.parametrize(
    "statement", ["import numlstm", "import numlstm; dir(numlstm); numlstm.__version__"]
)
def test_importing_the_package_loads_nothing_heavy(statement):
    loaded = modules_loaded_by(statement)
    assert "numlstm" in loaded
    assert not loaded & HEAVY


def test_the_probe_sees_a_heavy_import():
    assert "numpy" in modules_loaded_by("import numlstm, numpy")


@pytest.mark.parametrize("name", numlstm.__all__)
def test_every_public_name_resolves(name):
    assert getattr(numlstm, name) is getattr(numlstm, name)


def test_a_class_calls_itself_what_the_package_calls_it():
    classes = [name for name in numlstm.__all__ if name[0].isupper()]
    assert [getattr(numlstm, name).__name__ for name in classes] == classes


def test_dir_lists_names_before_they_are_loaded():
    assert {*numlstm.__all__, "__version__"} <= set(dir(numlstm))


def test_star_import_brings_exactly_the_public_names():
    namespace = {}
    exec("from numlstm import *", namespace)
    assert set(namespace) - {"__builtins__"} == set(numlstm.__all__)


def test_version_is_the_one_of_pyproject():
    pyproject = Path(__file__).parents[1] / "pyproject.toml"
    assert numlstm.__version__ == tomllib.loads(pyproject.read_text())["project"]["version"]


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(AttributeError, match="'LSTN'.*LSTMRegressor") as caught:
        _ = numlstm.LSTN
    assert caught.value.name == "LSTN"
