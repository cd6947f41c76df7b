"""Two worker processes share the tests, and one cache of compiled kernels.

Each would compile the same kernels at the same moment. So before a worker's first test that uses
the cache, the command `numlstm warmup` fills it. The other worker meanwhile runs the tests marked
`own_cache`: they come first, which is in the first half of the tests, and each worker starts with
a half.
"""

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

# Read when SciPy is imported. Without it scikit-learn skips a check of its suite for estimators.
os.environ.setdefault("SCIPY_ARRAY_API", "1")
SHARED = "NUMLSTM_TESTS_SHARED"


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def shared_folder():
    """A folder that all workers of this session see."""
    return Path(os.environ[SHARED])


def pytest_configure(config):
    if not hasattr(config, "workerinput"):  # workers inherit the name
        folder = tempfile.TemporaryDirectory(prefix="numlstm-tests-")
        os.environ[SHARED] = folder.name
        config.add_cleanup(folder.cleanup)
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            # A script's background job ignores Ctrl-C, and so would the processes of the tests.
            signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.get_closest_marker("own_cache") is None)
    for item in items:
        if item.get_closest_marker("own_cache"):
            item.add_marker(pytest.mark.timeout(1500))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    """Fill the cache before the time of the test begins: its limit ends the worker, as a crash."""
    if hasattr(item.config, "workerinput") and not item.get_closest_marker("own_cache"):
        fill_the_cache()
    return (yield)


@functools.cache
def fill_the_cache():
    """Compile everything, once. Where it fails, the tests say why."""
    from test_warmup import warm_up_twice_at_once

    from numlstm.kernels._jit import CACHE_FOLDER, locked

    if CACHE_FOLDER is None:
        return
    shared = Path(os.environ[SHARED])
    # A folder of the clone serves every Python that is used in it, and each compiles for itself.
    filled = CACHE_FOLDER / f"filled-{sys.implementation.cache_tag}"
    if filled.exists():
        return
    with locked(shared / "warmup.lock"):
        if (shared / "said.json").exists():
            return  # the other worker has done it
        # What test_warmup.py needs anyhow is compiled there, and copied.
        warm_up_twice_at_once(shared)
        if any(code for _, _, code in json.loads((shared / "said.json").read_text())):
            return
        compiled = shared / "cache" / "numlstm" / CACHE_FOLDER.name
        shutil.copytree(compiled, CACHE_FOLDER, dirs_exist_ok=True)
        command = [sys.executable, "-m", "numlstm", "warmup", "--variants", "--dtype", "float64"]
        if subprocess.run(command, capture_output=True).returncode == 0:
            filled.touch()
