"""Every width of a vector register is correct on every host, not just the host's own."""

import math
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from llvmlite import binding
from test_lstm_kernels import assert_identical, make_problem, run

from numlstm.kernels import _jit, _threads, simd
from numlstm.kernels._threads import thread_limit
from numlstm.nn import at_once, memory
from numlstm.nn.weights import panel_shapes, vector_lanes

FOLDER = Path(__file__).parent
WIDTHS = ("16", "32", "64")
# What a process of each width runs; the native width runs all the rest as well.
CHOSEN = (
    "test_vector_widths.py::test_this_process_has_the_width_it_was_given",
    "test_lstm_kernels.py::test_every_shape",
    "test_states.py::test_a_batch_is_its_rows_one_by_one",
    "test_states.py::test_steps_are_the_whole",
    "test_states.py::test_last_units_that_share_a_vector_have_the_same_bits",
    "test_states.py::test_workers_that_share_one_row_have_the_same_bits",
    "test_vector_widths.py::test_no_memory_is_touched_that_is_not_ours",
    "test_vector_widths.py::test_nor_by_a_few_rows_and_by_threads_that_run_them",
)


@pytest.mark.own_cache
@pytest.mark.parametrize("width", [w for w in WIDTHS if int(w) != _jit.vector_bytes()])
def test_kernels_are_right_at_every_width(width):
    # Serial, for the sake of the tests that run beside this one; threads share rows, not lanes.
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider"]
    done = subprocess.run(
        command + [str(FOLDER / name) for name in CHOSEN],
        env=os.environ | {"NUMLSTM_VECTOR_BYTES": width},
        cwd=FOLDER.parent,
        capture_output=True,
        text=True,
        timeout=1400,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.kernel
@pytest.mark.parametrize(("dtype", "size"), [("float32", 4), ("float64", 8)])
def test_this_process_has_the_width_it_was_given(dtype, size):
    width = int(os.environ.get("NUMLSTM_VECTOR_BYTES") or _jit.vector_bytes())
    assert simd.VECTOR_BYTES == width
    assert simd.TILE_ROWS == (8 if width == 64 else 6) or width < 64
    assert vector_lanes(dtype) == width // size
    VL = width // size
    assert panel_shapes(3, VL + 1, dtype) == ((2, 2, VL + 4, 2 * VL), (2, 4 * VL))


@pytest.mark.kernel
@pytest.mark.parametrize("width", ["24", "0", "-32", "128", "32.0", " 32", "wide"])
def test_another_width_is_refused(width, monkeypatch):
    monkeypatch.setenv("NUMLSTM_VECTOR_BYTES", width)
    with pytest.raises(ValueError, match=f"must be 16, 32 or 64, got '{width}'"):
        _jit.vector_bytes()


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("features", "width"),
    [({"avx2": True, "avx512f": True}, 64), ({"avx2": True}, 32), ({"sse2": True}, 16), ({}, 16)],
)
def test_the_width_of_the_host_is_the_default(features, width, monkeypatch):
    monkeypatch.setenv("NUMLSTM_VECTOR_BYTES", "")
    monkeypatch.setattr(binding, "get_host_cpu_features", lambda: features)
    assert _jit.vector_bytes() == width
    monkeypatch.setattr(_jit.config, "CPU_NAME", "generic")
    assert _jit.vector_bytes() == 16


@pytest.mark.kernel
def test_a_width_is_part_of_the_name_of_the_cache(monkeypatch):
    names = set()
    for width in map(int, WIDTHS):
        monkeypatch.setattr(_jit, "VECTOR_BYTES", width)
        names.add(_jit.source_hash())
    assert len(names) == len(WIDTHS)


@pytest.mark.kernel
@pytest.mark.parametrize("offset", [-1, 0, 1])
def test_units_around_the_width_of_a_vector(offset):
    """One unit more than fits starts a panel whose other lanes hold nothing."""
    H = vector_lanes("float64") + offset
    p = make_problem(3, 2, 1, H, lengths="mixed", bidirectional=True)
    few, results = p.lstm._stack, run(p)
    assert few.Hp % few.lanes == few.Hq % (2 * few.lanes) == 0
    assert few.Hp >= H > few.Hp - few.lanes
    assert np.isfinite(results["dWh[1]"]).all()


GUARD = 64  # elements on both sides of every array


@contextmanager
def guarded_memory(fill, monkeypatch):
    """Fill all new arrays of the package with a number, and put some more of it around each."""
    made, real = [], memory.aligned_empty

    def guarded(shape, dtype):
        size = math.prod(shape)
        whole = real((size + 2 * GUARD,), dtype)
        whole.fill(fill)
        made.append(whole)
        return whole[GUARD : GUARD + size].reshape(shape)

    with monkeypatch.context() as patch:
        patch.setattr(memory, "aligned_empty", guarded)
        yield made


def check_guards(made, fill):
    for whole in made:
        np.testing.assert_array_equal(whole[:GUARD], fill)
        np.testing.assert_array_equal(whole[-GUARD:], fill)


@pytest.mark.kernel
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("fill", [np.nan, 7.0])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 3, 2, 17), (9, 2, 5, 16)])
@pytest.mark.parametrize("both", [False, True])
def test_no_memory_is_touched_that_is_not_ours(both, shape, fill, dtype, monkeypatch):
    """The tiles compute their own addresses, which no check of bounds sees."""
    options = dict(n_layers=2, bidirectional=both, lengths="mixed", dtype=dtype)
    with guarded_memory(fill, monkeypatch) as made:
        results = run(make_problem(*shape, **options))
    assert len(made) > 20
    check_guards(made, fill)
    assert_identical(results, run(make_problem(*shape, **options)))


@pytest.mark.kernel
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_rows", [1, 2, 7])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_nor_by_a_few_rows_and_by_threads_that_run_them(n_threads, n_rows, dtype, monkeypatch):
    monkeypatch.setattr(at_once, "WORTH_WAKING", 0)
    monkeypatch.setattr(_threads, "stay_awake", lambda: True)
    H = 2 * vector_lanes(dtype) + max(1, vector_lanes(dtype) // 4)
    with guarded_memory(np.nan, monkeypatch) as made, thread_limit(n_threads):
        p = make_problem(n_rows, 9, 3, H, n_layers=2, dtype=dtype)
        p.lstm._at_once._shares = n_threads
        outputs, _ = p.lstm._at_once(p.X, p.state)
        monkeypatch.setattr(_threads, "WORK_PER_THREAD", 1)
        same, _ = p.lstm(p.X, state=p.state)  # by the rings of the general way
    assert len(made) > 8
    check_guards(made, np.nan)
    assert np.isfinite(outputs).all()
    np.testing.assert_array_equal(outputs, same)
