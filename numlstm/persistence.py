"""The file of a saved model: one safetensors file, its description in JSON, nothing executable.

The description, under the metadata key "numlstm", holds format version, class, parameters and what
else the class wants, and a sha256 of itself and of every array: a damaged file is told from a good
one before anything is used.
"""

import contextlib
import glob
import hashlib
import json
import os
import tempfile
from pathlib import Path

import numpy as np

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None

FORMAT_VERSION = 1
KEY = "numlstm"
MAX_HEADER = 100_000_000  # bytes; that of safetensors itself
MAX_DESCRIPTION = 64 << 20  # bytes; a vocabulary of all of Unicode has 12 MB


def _digest(arrays, text):
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\0{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def check_output(path, *others):
    """Raise before any work if a file cannot be written later, or is one that is needed.

    Parameters
    ----------
    path : path
    *others : path or None
        Files that it must not be.

    Raises
    ------
    OSError, ValueError
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise OSError(f"{path} cannot be written: it is not a regular file")
    for other in filter(None, others):
        if os.path.realpath(path) == os.path.realpath(other):
            raise ValueError(f"{path} cannot be written: the command needs the same file otherwise")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise OSError(
            f"{path} cannot be written in the folder {path.parent}: {error.strerror}"
        ) from None


def write_model(path, kind, arrays, description):
    """Write a model, atomically: the file is the old one or the new one, never half of one.

    Parameters
    ----------
    path : path
    kind : str
        Name of the class.
    arrays : dict of str to array
    description : dict
        What JSON can hold.

    Raises
    ------
    OSError
        If the folder is missing or not writable, or the disk is full; the old file stays.
    """
    from safetensors.numpy import save

    # The writer of safetensors 0.8 takes strided arrays for contiguous ones.
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    content = {"version": FORMAT_VERSION, "class": kind, **description}
    text = json.dumps(content, sort_keys=True, allow_nan=True)
    digest = _digest(arrays, text)
    write_file(path, save(arrays, {KEY: json.dumps({"sha256": digest, "content": text})}))


def write_file(path, data):
    """Write bytes, atomically: the file is the old one or the new one, never half of one.

    What a process that was killed amid a write has left beside the file is removed first: it takes
    no room that this write may need, and however many are killed, one such file stays at most.

    Parameters
    ----------
    path : path
    data : bytes

    Raises
    ------
    OSError
        If the folder is missing or not writable, or the disk is full; the old file stays.
    """
    path = Path(path)
    _remove_stale(path)
    handle, temporary = _own_temporary(path)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
            if fcntl:  # renamed before the lock is given up; Windows renames no open file
                os.replace(temporary, path)
        if not fcntl:
            os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(path.parent)


SUFFIX = ".numlstm-part"  # of files that are being written


def _prefix(path):
    return f".{path.name[:40]}."  # the whole name may be as long as names can be


def _own_temporary(path):
    """Return a new file beside a path, open and locked: the lock says that its owner is alive."""
    while True:
        handle, name = tempfile.mkstemp(SUFFIX, _prefix(path), path.parent)
        if _lock(handle, name):
            return handle, name
        os.close(handle)  # somebody took it for stale before it was locked


def _lock(handle, name):
    """Wait for the lock of an open file; return whether the file still has its name."""
    if fcntl is None:
        return True
    with contextlib.suppress(OSError):  # on a file system without locks nothing is ever stale
        fcntl.flock(handle, fcntl.LOCK_EX)
    return _has_name(handle, name)


def _has_name(handle, name):
    try:
        return os.path.samestat(os.fstat(handle), os.stat(name, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _remove_stale(path):
    """Remove what dead processes were writing to a path: the files that nobody locks."""
    if fcntl is None:
        return
    for name in glob.glob(f"{glob.escape(_prefix(path))}*{SUFFIX}", root_dir=path.parent):
        stale = path.parent / name
        with contextlib.suppress(OSError):  # it is locked, or gone, or another user's
            handle = os.open(stale, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _has_name(handle, stale):
                    os.unlink(stale)
            finally:
                os.close(handle)


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder):
    """Make a rename last through a power cut, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _unique(pairs):
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _check_header(header, size):
    """Raise a ValueError for a header that other readers might understand in another way."""
    if len(header) < size:
        raise ValueError("its header is larger than the file")
    try:
        json.loads(header.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its header is damaged: {error}") from None


def _describe(metadata):
    """Return digest, text and content of the description, or raise a ValueError that says why."""
    if not metadata or KEY not in metadata:
        raise ValueError("it is a safetensors file, but not written by numlstm")
    if len(metadata[KEY]) > MAX_DESCRIPTION:
        raise ValueError("its description is too large")
    try:
        outer = json.loads(metadata[KEY], object_pairs_hook=_unique)
        digest, text = outer["sha256"], outer["content"]
        content = json.loads(text, object_pairs_hook=_unique)
        version = content["version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"its description is damaged: {error}") from None
    if not isinstance(version, int) or version < 1:
        raise ValueError(f"its description is damaged: version {version!r}")
    if version > FORMAT_VERSION:
        raise ValueError(
            f"it has format version {version}, newer than the {FORMAT_VERSION} known here: "
            "a newer numlstm reads it"
        )
    return digest, text, content


def read_model(path):
    """Return class, arrays and description of a saved model, after checking all of them.

    Parameters
    ----------
    path : path

    Returns
    -------
    kind : str
    arrays : dict of str to array
    description : dict

    Raises
    ------
    OSError
        If there is no such file, or it cannot be read.
    ValueError
        If it is not a file of `write_model`, or damaged, or of a newer format.
    """
    from safetensors import SafetensorError, safe_open

    with open(path, "rb") as file:  # raises where a file is missing or unreadable
        start = file.read(8)
        size = int.from_bytes(start, "little")
        header = file.read(size) if size <= MAX_HEADER else b""
    try:
        _check_header(header, size)
        with safe_open(path, framework="numpy") as file:
            digest, text, content = _describe(file.metadata())
            arrays = {name: file.get_tensor(name) for name in file.keys()}
        if _digest(arrays, text) != digest:
            raise ValueError("its sha256 does not fit its content")
        kind = content.pop("class")
        if not isinstance(kind, str):
            raise ValueError(f"its description is damaged: class {kind!r}")
    except (ValueError, SafetensorError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{os.fspath(path)} is not a model that can be read: {error}") from None
    del content["version"]
    return kind, arrays, content


def check_arrays(path, arrays, shapes, dtypes):
    """Raise a ValueError unless a file holds exactly the arrays expected.

    Parameters
    ----------
    path : path
    arrays : dict of str to array
    shapes : dict of str to tuple
    dtypes : dict of str to dtype
    """
    if set(arrays) != set(shapes):
        odd = sorted(set(arrays) ^ set(shapes))
        raise ValueError(f"{os.fspath(path)} has other arrays than its class: {', '.join(odd[:5])}")
    for name, array in arrays.items():
        if array.shape != tuple(shapes[name]) or array.dtype != dtypes[name]:
            raise ValueError(
                f"{os.fspath(path)}: array {name} must be {np.dtype(dtypes[name])} "
                f"{tuple(shapes[name])}, got {array.dtype} {array.shape}"
            )
        # A series may have missing values; a network may not.
        bad = np.isinf if name == "fitted._history" else lambda values: ~np.isfinite(values)
        if array.dtype.kind == "f" and bad(array).any():
            raise ValueError(f"{os.fspath(path)}: array {name} must be finite")
