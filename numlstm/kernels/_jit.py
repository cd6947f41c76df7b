"""The one decorator policy of the compiled kernels, and its reasons.

fastmath
    A set of flags without ``nnan`` and ``ninf``: with the full ``fastmath=True`` LLVM takes it
    that no NaN exists, and the check that stops a diverging fit would be compiled away.
error_model
    ``"numpy"``: no exceptions inside kernels (those raised inside ``prange`` are swallowed anyway);
    all validation happens in Python before the call.
_nrt
    Off: no kernel allocates, and none counts references to arrays; whoever calls it keeps them
    alive. With counts a first fit compiles a tenth longer, a first text a tenth to a fifth, and a
    count is an atomic operation at every call of a helper: up to half a microsecond where two
    threads change it in turns.
nogil
    Two Python threads may run serial kernels side by side.
cache
    Numba's disk cache does not notice an edit of a callee in another file. The cache lives in
    a folder named after a hash of every kernel source, the Numba version and the vector width:
    any edit gives a new, empty folder. Where nothing can be written, nothing is cached, and what
    is damaged is compiled anew.
"""

import contextlib
import gc
import hashlib
import os
import sys
import tempfile
import warnings
from pathlib import Path

import numba
from numba import config

from numlstm.kernels._helper_compiler import HelperCompiler

FASTMATH = {"contract", "reassoc", "nsz", "arcp"}
_OPTIONS = {"fastmath": FASTMATH, "error_model": "numpy", "nogil": True, "_nrt": False}


def vector_bytes():
    """Return the width of a vector register in bytes: 64 (AVX-512), 32 (AVX2) or 16 (NEON, SSE).

    ``NUMLSTM_VECTOR_BYTES`` overrides the host's own width: every width is correct on every host.
    """
    wanted = os.environ.get("NUMLSTM_VECTOR_BYTES")
    if wanted:
        if wanted not in ("16", "32", "64"):
            raise ValueError(f"NUMLSTM_VECTOR_BYTES must be 16, 32 or 64, got {wanted!r}")
        return int(wanted)
    if config.CPU_NAME == "generic":
        return 16
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    if features.get("avx512f"):
        return 64
    return 32 if features.get("avx2") else 16


VECTOR_BYTES = vector_bytes()


def source_hash():
    """Return a hash of all that decides what the kernels compile to, except the host's CPU.

    Numba keys each entry by the CPU itself.
    """
    digest = hashlib.sha256(f"{numba.__version__} {VECTOR_BYTES} {config.BOUNDSCHECK}".encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _user_cache():
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _candidate_folders():
    if os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(os.environ["NUMBA_CACHE_DIR"]) / "numlstm"
        return
    yield Path(__file__).parent / "__pycache__"
    try:
        yield _user_cache() / "numlstm"
    except RuntimeError:  # no home folder is known for this user
        return


def find_cache_folder():
    """Return the first writable folder for compiled kernels, or None."""
    for parent in _candidate_folders():
        folder = parent / f"kernels-{source_hash()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError:
            continue
    return None


CACHE_FOLDER = None if config.DISABLE_JIT else find_cache_folder()
if CACHE_FOLDER is None and not config.DISABLE_JIT:
    warnings.warn(
        "numlstm found no writable folder for its compiled kernels and compiles them anew in every "
        "process; set NUMBA_CACHE_DIR to a writable folder",
        RuntimeWarning,
        stacklevel=2,
    )


def _decorate(function, **options):
    """Compile lazily with the house flags; the cache folder is set only while decorating."""
    before = config.CACHE_DIR
    if CACHE_FOLDER is not None:
        config.CACHE_DIR = str(CACHE_FOLDER)
    try:
        compiled = numba.njit(cache=CACHE_FOLDER is not None, **_OPTIONS | options)(function)
    finally:
        config.CACHE_DIR = before
    if not config.DISABLE_JIT:
        _leave_garbage(compiled)
    if CACHE_FOLDER is not None:
        _mistrust(compiled._cache)
    return compiled


def _leave_garbage(compiled):
    """Collect no garbage while a kernel is compiled: 40 MB more memory, a sixth less time."""
    compile_it = compiled.compile

    def compile_without_collecting(sig):
        was_enabled = gc.isenabled()
        try:
            gc.disable()
            return compile_it(sig)
        finally:
            if was_enabled:
                gc.enable()

    compiled.compile = compile_without_collecting


@contextlib.contextmanager
def locked(path):
    """Hold a lock on a file against other processes; Windows has no such locks."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with open(path, "w") as file:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _mistrust(cache):
    """Take what a kernel's cache has damaged, lost or mixed up for what it does not have.

    Numba raises whatever unpickling a damaged file raises. It reads an index, adds to it and writes
    it back: two processes that do so at the same time may write to one file, and the index then
    finds one for the other. So one waits, where the system has such locks.
    """
    load, save = cache.load_overload, cache.save_overload

    def load_overload(sig, target_context):
        try:
            found = load(sig, target_context)
        except Exception:  # whatever pickle makes of damaged bytes
            with contextlib.suppress(OSError):
                cache.flush()
            return None
        return found if found is None or tuple(found.signature.args) == tuple(sig) else None

    def save_overload(sig, data):
        # The folder may be gone, or the disk full.
        with contextlib.suppress(OSError), locked(CACHE_FOLDER / "index.lock"):
            save(sig, data)

    cache.load_overload, cache.save_overload = load_overload, save_overload


def is_cached(compiled, kinds):
    """Return whether a kernel has been compiled for such arguments, here or by another process.

    Parameters
    ----------
    compiled : kernel
    kinds : tuple of Numba's types
    """
    if kinds in compiled.overloads:
        return True
    cache = compiled._cache
    try:
        key = cache._index_key(kinds, compiled.targetctx.codegen())
        return key in cache._cache_file._load_index()
    except Exception:  # whatever pickle makes of damaged bytes
        return False


def kernel(function):
    """Compile a serial kernel that Python, or a parallel shell, calls."""
    return _decorate(function, no_cfunc_wrapper=True)


def parallel_kernel(function):
    """Compile a thin shell that spreads a serial kernel over threads with ``prange``.

    Shells stay thin because ``parallel=True`` multiplies compile time: 9.1 s for a backward pass
    written inside ``prange``, 3.1 s for a shell around it.
    """
    return _decorate(function, parallel=True, _nrt=True)


def helper(function):
    """Compile a piece of a kernel. LLVM inlines it; it needs no cache entry of its own.

    Nor wrappers for Python and C, which took a fifth of the compiling, nor machine code, another
    fifth: Python must not call it.
    """
    return numba.njit(
        **_OPTIONS, no_cpython_wrapper=True, no_cfunc_wrapper=True, pipeline_class=HelperCompiler
    )(function)
