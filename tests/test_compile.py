"""What is compiled, when, and where it is kept; what the compiler must not take away."""

import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from numba import config
from test_lstm_kernels import assert_identical, make_problem, run

from numlstm import LSTMState
from numlstm.kernels import _jit, _threads, bptt, layout, lstm, stepping, weight_gradients

dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])
KERNELS = (
    lstm.lstm_forward_chunk,
    bptt.lstm_backward_chunk,
    weight_gradients.weight_gradients_chunk,
    layout.gather_sequences,
    layout.scatter_sequences,
    layout.unpack_panels_chunk,
    layout.transpose_panels_chunk,
    stepping.run_steps,
)


def start_child(name, limit=280, **environment):
    """Run a function of this file in a fresh process; return what it printed, and its warnings."""
    environment = os.environ | {key: str(value) for key, value in environment.items()}
    program = f"import sys; sys.path.insert(0, sys.argv[1]); import test_compile as t; t.{name}()"
    done = subprocess.run(
        [sys.executable, "-c", program, str(Path(__file__).parent)],
        env={key: value for key, value in environment.items() if value},
        capture_output=True,
        text=True,
        timeout=limit,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout, done.stderr


# One version per dtype -----------------------------------------------------------------------


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def unaligned(array):
    raw = np.zeros(array.nbytes + 1, np.uint8)[1:]
    out = raw.view(array.dtype).reshape(array.shape)
    out[...] = array
    return out


FORMS = {
    "a list": np.ndarray.tolist,
    "Fortran order": np.asfortranarray,
    "strided": lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
    "reversed": lambda array: array[::-1].copy()[::-1],
    "float64": lambda array: array.astype(np.float64),
    "float32": lambda array: array.astype(np.float32),
    "big-endian": lambda array: array.astype(array.dtype.newbyteorder(">")),
    "a subclass": lambda array: array.view(np.recarray),
    "unaligned": unaligned,
}


def versions():
    """Return how many versions each kernel has for float32 and for float64."""
    return {
        (kernel.__name__, dtype): sum(dtype in str(signature) for signature in kernel.signatures)
        for kernel in KERNELS
        for dtype in ("float32", "float64")
    }


@pytest.mark.skipif(config.DISABLE_JIT, reason="nothing is compiled")
@dtypes
@pytest.mark.parametrize("form", [*FORMS, "read-only"])
def test_inputs_of_any_form_take_the_version_of_the_dtype(form, dtype):
    """A second version would cost seconds, in the middle of a user's work."""
    p = make_problem(3, 2, 4, 5, dtype=dtype, lengths="mixed")
    expected, before, good = run(p), versions(), copy.copy(p)
    change = FORMS.get(form, read_only)
    p.X, p.d_outputs = change(p.X), change(p.d_outputs)
    p.state, p.d_state = (tuple(map(change, part)) for part in (p.state, p.d_state))
    results = run(p)
    p.lengths = None
    run(p)
    h, c = p.state
    p.lstm.step(change(good.X[:, 0]), LSTMState(h, c))
    p.lstm.weights = [[change(array.copy()) for array in layer] for layer in p.lstm.weights]
    assert versions() == before
    if form != "float32":
        assert_identical(results, expected)


def child_versions():
    for dtype in ("float32", "float64"):
        run(make_problem(3, 2, 1, 2, dtype=dtype, n_layers=2, bidirectional=True, state=False))
        run(make_problem(1, 1, 1, 1, dtype=dtype, lengths="full"))
        run(make_problem(2, 1, 1, 1, dtype=dtype, n_layers=2, state=False))
    sys.stdout.write(json.dumps(sorted(versions().values())))


@pytest.mark.skipif(config.DISABLE_JIT, reason="nothing is compiled")
def test_there_is_one_version_per_dtype():
    printed, _ = start_child("child_versions")
    assert json.loads(printed) == [1] * 2 * len(KERNELS)


# The cache -----------------------------------------------------------------------------------


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """A copy of the kernels' folder, in which the cache believes to live."""
    folder = Path(_jit.__file__).parent
    copy = tmp_path / "kernels"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(_jit, "__file__", str(copy / "_jit.py"))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    return copy


@pytest.mark.kernel
def test_any_change_of_a_kernel_gives_another_cache(sources):
    names = [_jit.source_hash()]
    for path in sorted(sources.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        path.write_text(text + "\n# a change\n", encoding="utf-8")
        names.append(_jit.source_hash())
        path.write_text(text, encoding="utf-8")
        assert _jit.source_hash() == names[0]
    (sources / "lstm.py").rename(sources / "gru.py")
    names.append(_jit.source_hash())
    assert len(names) > 10
    assert len(set(names)) == len(names)


@pytest.mark.kernel
def test_the_cache_depends_on_numba_and_stays_where_it_is(sources, monkeypatch):
    folder = _jit.find_cache_folder()
    assert folder == sources / "__pycache__" / f"kernels-{_jit.source_hash()}"
    assert list(folder.iterdir()) == []
    assert _jit.find_cache_folder() == folder
    monkeypatch.setattr(_jit.numba, "__version__", "0.0.0")
    assert _jit.find_cache_folder() != folder


@pytest.mark.kernel
def test_the_first_writable_folder_is_taken(sources, tmp_path, monkeypatch):
    (sources / "__pycache__").write_text("a file where the folder would be")
    monkeypatch.setattr(_jit.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    assert _jit.find_cache_folder().parent == tmp_path / "user" / "numlstm"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "wanted"))
    assert _jit.find_cache_folder().parent == tmp_path / "wanted" / "numlstm"


@pytest.mark.kernel
def test_the_user_cache_of_every_system(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    for platform, parts in (
        ("linux", (".cache",)),
        ("darwin", ("Library", "Caches")),
        ("win32", ("AppData", "Local")),
    ):
        monkeypatch.setattr(_jit.sys, "platform", platform)
        assert _jit._user_cache() == tmp_path.joinpath(*parts)


@pytest.mark.kernel
def test_no_writable_folder_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(_jit, "_candidate_folders", lambda: [tmp_path / "file", tmp_path / "file"])
    assert _jit.find_cache_folder() is None


@pytest.mark.kernel
def test_a_user_without_a_home_has_no_cache(sources, monkeypatch):
    def home():
        raise RuntimeError("Could not determine home directory.")

    (sources / "__pycache__").write_text("a file where the folder would be")
    monkeypatch.setattr(_jit.sys, "platform", "linux")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", home)
    assert _jit.find_cache_folder() is None


def child_without_a_cache():
    assert _jit.CACHE_FOLDER is None
    X = np.arange(6.0).reshape(1, 2, 3)
    out = np.empty((2, 1, 3))
    layout.gather_sequences(X, np.array([0]), np.array([1, 1, 0]), out)
    np.testing.assert_array_equal(out[:, 0], X[0])
    assert len(layout.gather_sequences.signatures) == 1


@pytest.mark.skipif(config.DISABLE_JIT, reason="nothing is cached")
def test_without_a_writable_folder_kernels_run_and_a_warning_says_so(tmp_path):
    (tmp_path / "file").touch()
    _, said = start_child("child_without_a_cache", NUMBA_CACHE_DIR=tmp_path / "file")
    assert said.count("RuntimeWarning: numlstm found no writable folder") == 1
    assert "set NUMBA_CACHE_DIR" in said


def child_hits():
    few = make_problem(3, 2, 1, 2, dtype="float32")
    few.lstm(few.X)
    _threads.WORK_PER_THREAD = 1
    for limit in (1, 2):
        with _threads.thread_limit(limit):
            run(make_problem(3, 2, 1, 2, lengths="mixed", dtype="float32"))
    stats = {kernel.__name__: kernel.stats for kernel in (*KERNELS, _threads.start)}
    counts = {
        k: (sum(s.cache_hits.values()), sum(s.cache_misses.values())) for k, s in stats.items()
    }
    sys.stdout.write(json.dumps(counts))


@pytest.mark.skipif(_jit.CACHE_FOLDER is None, reason="nothing is cached")
def test_a_second_process_compiles_nothing():
    threads = {"NUMBA_NUM_THREADS": 2, "OMP_NUM_THREADS": ""}
    start_child("child_hits", **threads)
    counts = json.loads(start_child("child_hits", **threads)[0])
    assert len(counts) == len(KERNELS) + 1
    assert {name: (hits, misses) for name, (hits, misses) in counts.items() if misses} == {}
    assert min(hits for hits, _ in counts.values()) > 0


@_jit.helper
def doubled(x):
    return x + x


@_jit.helper
def added_and_doubled(x, y):
    return doubled(x + y)


@numba.njit
def calls_helpers(x, y):
    return added_and_doubled(x, y) + doubled(x)


@pytest.mark.skipif(config.DISABLE_JIT, reason="nothing is compiled")
def test_a_helper_has_machine_code_only_as_part_of_its_callers():
    assert calls_helpers(3, 4) == 20
    assert calls_helpers(0.25, 0.5) == 2.0
    for helper in (doubled, added_and_doubled):
        assert len(helper.overloads) == 2
        for compiled in helper.overloads.values():
            name = compiled.fndesc.llvm_func_name
            assert name in compiled.library.get_llvm_str()
            assert compiled.library.get_pointer_to_function(name) == 0


# Numbers -------------------------------------------------------------------------------------


@pytest.mark.kernel
@dtypes
@pytest.mark.parametrize("gate", range(4))
def test_nan_stays_visible(gate, dtype):
    """A fit that diverges is noticed by it; the full fastmath would let LLVM drop it."""
    p = make_problem(7, 3, 2, 3, dtype=dtype)
    bias = p.lstm._panels[0].bias.reshape(1, 4, -1)
    bias[0, gate, 1] = np.nan
    outputs, state = p.lstm(p.X)
    assert np.isnan(outputs[:, 0]).tolist() == [[False, True, False]] * 7
    assert np.isnan(outputs[:, 1:]).all()
    assert np.isnan(state.h).all()
    p.lstm.forward(p.X)
    gradients = p.lstm.backward(p.d_outputs)
    for array in (gradients.X, *gradients.weights[0]):
        assert np.isnan(array).any()


@pytest.mark.kernel
@dtypes
@pytest.mark.parametrize("gate", range(4))
@pytest.mark.parametrize("sign", [-1, 1])
def test_infinity_is_the_limit_of_a_gate(sign, gate, dtype):
    p = make_problem(3, 2, 2, 3, dtype=dtype)
    bias = p.lstm._panels[0].bias.reshape(1, 4, -1)
    bias[0, gate] = sign * 1e4
    expected = run(p)
    bias[0, gate] = sign * np.inf
    assert_identical(run(p), expected)
    assert all(np.isfinite(array).all() for array in expected.values())
    value = p.lstm.trace(p.X)[gate]
    limit = sign if gate == 2 else (sign + 1) / 2
    np.testing.assert_allclose(value, limit, rtol=5e-7, atol=2e-8)


# Bounds --------------------------------------------------------------------------------------


def child_bounds():
    @_jit.kernel
    def past_the_end(array):
        return array[3]

    with pytest.raises(IndexError):  # or else the checks are not switched on
        past_the_end(np.zeros(3))
    for dtype in ("float32", "float64"):
        for shape in ((1, 1, 1, 1), (3, 3, 2, 17), (9, 2, 5, 16)):
            run(make_problem(*shape, dtype=dtype, bidirectional=True, n_layers=2, lengths="mixed"))
            run(make_problem(*shape, dtype=dtype))


@pytest.mark.own_cache
@pytest.mark.skipif(config.DISABLE_JIT, reason="NumPy checks all bounds by itself")
def test_no_index_is_out_of_bounds(pytestconfig):
    # A cache of its own: Numba does not tell code with checks from code without.
    folder = pytestconfig.cache.mkdir("numlstm-bounds")
    start_child("child_bounds", 1400, NUMBA_BOUNDSCHECK=1, NUMBA_CACHE_DIR=folder)
