"""A kernel cache that is damaged, removed, mixed up or filled by two at once: fits go on."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from numlstm.kernels import _jit, optimizers

pytestmark = pytest.mark.skipif(_jit.CACHE_FOLDER is None, reason="nothing is cached")
KERNEL = "optimizers.global_norm"


def start(name, folder, *args):
    """Start a function of this file in a process whose cache is in a folder."""
    program = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); "
    program += f"import test_cache_faults as t; t.{name}(*{args!r})"
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder)}
    return subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stderr=subprocess.PIPE
    )


def finish(process, limit=120):
    _, said = process.communicate(timeout=limit)
    assert process.returncode == 0, said.decode()


def check_norm(dtype, n=1024):
    x = np.arange(n).astype(dtype)
    expected = np.linalg.norm(x.astype(float))
    numbers = np.zeros(optimizers.N_NUMBERS)
    optimizers.global_norm(x, np.zeros(1), numbers, 0, 1)
    np.testing.assert_allclose(numbers[optimizers.NORM], expected, rtol=1e-5)


def child_norms(*dtypes):
    for dtype in dtypes:
        check_norm(dtype)


def child_norms_without_misses(*dtypes):
    child_norms(*dtypes)
    assert not optimizers.global_norm.stats.cache_misses


def files(folder, ending):
    return sorted(Path(folder).rglob(f"{KERNEL}-*.{ending}"))


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A cache with one kernel in both dtypes."""
    folder = tmp_path_factory.mktemp("cache")
    finish(start("child_norms", folder, "float32", "float64"))
    assert len(files(folder, "nbc")) == 2
    return folder


@pytest.mark.parametrize(
    ("ending", "content"), [("nbi", b""), ("nbi", "half"), ("nbc", b"garbage"), ("nbc", "half")]
)
def test_damaged_files_are_compiled_anew(filled, tmp_path, ending, content):
    folder = shutil.copytree(filled, tmp_path / "copy")
    for file in files(folder, ending):
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    finish(start("child_norms", folder, "float32", "float64"))
    finish(start("child_norms_without_misses", folder, "float32", "float64"))


def test_one_dtype_in_the_place_of_another_is_noticed(filled, tmp_path):
    folder = shutil.copytree(filled, tmp_path / "copy")
    first, second = files(folder, "nbc")
    second.write_bytes(first.read_bytes())
    finish(start("child_norms", folder, "float32", "float64"))
    finish(start("child_norms_without_misses", folder, "float32", "float64"))


def child_loses_its_cache(folder, block):
    check_norm("float32")
    shutil.rmtree(folder)
    if block:
        Path(folder).write_text("no folder any more")
    check_norm("float64")
    from numlstm import LSTMRegressor

    LSTMRegressor()  # all other modules decorate their kernels with the folder gone


@pytest.mark.parametrize("block", [False, True])
def test_a_cache_may_go_while_it_is_in_use(filled, tmp_path, block):
    folder = shutil.copytree(filled, tmp_path / "copy")
    finish(start("child_loses_its_cache", folder, str(folder), block))


def test_two_processes_fill_an_empty_cache_at_once(tmp_path):
    both = [start("child_norms", tmp_path, *dtypes) for dtypes in (("float32", "float64"),) * 2]
    both += [start("child_norms", tmp_path, dtype) for dtype in ("float64", "float32")]
    for process in both:
        finish(process)
    finish(start("child_norms", tmp_path, "float32", "float64"))
    finish(start("child_norms_without_misses", tmp_path, "float32", "float64"))


NOWHERE = """
import sys, warnings
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    import numpy as np
    from numlstm.kernels import optimizers
assert optimizers.__file__.startswith(sys.argv[1]), optimizers.__file__
assert ["no writable folder" in str(warning.message) for warning in said] == [True], said
numbers = np.zeros(optimizers.N_NUMBERS)
optimizers.global_norm(np.array([3.0, 4.0] + [0.0] * 62), np.zeros(1), numbers, 0, 1)
assert abs(numbers[optimizers.NORM] - 5) < 1e-12, numbers
"""


def test_home_and_site_packages_may_be_read_only(tmp_path):
    """Root may write anywhere, but nobody can make a folder where there is a file."""
    (tmp_path / "home").touch()
    source, ignore = Path(_jit.__file__).parents[1], shutil.ignore_patterns("__pycache__")
    package = shutil.copytree(source, tmp_path / "site" / "numlstm", ignore=ignore)
    (package / "kernels" / "__pycache__").touch()
    hidden = ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA", "PYTHONPATH")
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    home = str(tmp_path / "home")
    environment |= {"HOME": home, "LOCALAPPDATA": home, "PYTHONPATH": str(tmp_path / "site")}
    program = [sys.executable, "-B", "-c", NOWHERE, str(tmp_path)]
    finish(subprocess.Popen(program, env=environment, cwd=tmp_path, stderr=subprocess.PIPE))
