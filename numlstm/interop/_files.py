"""What the readers of other libraries' files share: sizes are looked at before anything is read."""

import os
from contextlib import contextmanager

MODEST = 64 << 20  # bytes that any file may claim
EXPANSION = 20  # and above that, times its own size: weights hardly compress


def is_path(source):
    """Return whether an argument names a file rather than holding arrays."""
    return isinstance(source, str | os.PathLike)


def check_size(name, n_bytes, file_size):
    """Raise a ValueError for an array or a member that is far larger than the file it is in.

    Parameters
    ----------
    name : str
    n_bytes : int
        What it claims to need.
    file_size : int
    """
    if n_bytes > max(MODEST, EXPANSION * file_size):
        raise ValueError(f"{name} claims {n_bytes} bytes in a file of {file_size}")


@contextmanager
def refusing(path, *errors):
    """Turn whatever a damaged file makes a reader raise into one ValueError that names the file.

    Parameters
    ----------
    path : path
    *errors : type
        Classes of exceptions beside those of the interpreter.
    """
    usual = (ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, EOFError)
    try:
        yield
    except (*usual, OverflowError, RecursionError, *errors) as error:
        # A ValueError explains itself; of the others the name says most.
        why = error if isinstance(error, ValueError) else repr(error)
        raise ValueError(f"{os.fspath(path)} cannot be converted: {why}") from None
