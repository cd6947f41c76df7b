"""Two worker processes share the tests, and one cache of compiled kernels.

Each would compile the same kernels at the same moment, and two processes that fill one of Numba's
caches at once can damage it. So before a worker's first test that uses the cache, one process
compiles everything, under a lock. The other worker meanwhile runs the tests marked `own_cache`:
they come first, which is in the first half of the tests, and each worker starts with a half.
"""

import functools
import os
import subprocess
import sys

import numpy as np
import pytest

# Read when SciPy is imported. Without it scikit-learn skips a check of its suite for estimators.
os.environ.setdefault("SCIPY_ARRAY_API", "1")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.get_closest_marker("own_cache") is None)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    if hasattr(item.config, "workerinput") and not item.get_closest_marker("own_cache"):
        fill_the_cache()


@functools.cache
def fill_the_cache():
    from numlstm.kernels._jit import CACHE_FOLDER

    if CACHE_FOLDER is None or (CACHE_FOLDER / "filled").exists():
        return
    dtypes = ["--dtype", "float32", "--dtype", "float64"]
    done = subprocess.run([sys.executable, "-m", "numlstm", "warmup", *dtypes], capture_output=True)
    if done.returncode == 0:  # where it fails, the tests say why
        (CACHE_FOLDER / "filled").touch()
