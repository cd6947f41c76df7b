"""Texts to train character models on: one that every Python has, one to download."""

import hashlib
import os
import sys
import tempfile
from pathlib import Path

TINY_SHAKESPEARE = {
    "url": "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/"
    "input.txt",
    "sha256": "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    "bytes": 1_115_394,
}


def load_python_docs():
    """Return the text of the interpreter's own documentation: about half a million characters.

    Returns
    -------
    str
        The topics of ``help()``, `pydoc_data.topics`, in alphabetical order. It differs a little
        from one version of Python to the next.

    Raises
    ------
    ModuleNotFoundError
        In a Python that was built without its documentation topics.
    """
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name].strip() for name in sorted(topics)) + "\n"


def data_home():
    """Return the folder of downloaded data: NUMLSTM_DATA, or the user's cache folder."""
    if os.environ.get("NUMLSTM_DATA"):
        return Path(os.environ["NUMLSTM_DATA"])
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "numlstm"


def fetch_tiny_shakespeare(path=None):
    """Return 1,115,394 characters of Shakespeare, the text character models are compared on.

    Parameters
    ----------
    path : path, optional
        A copy on this machine. By default one is downloaded once and kept in the folder
        NUMLSTM_DATA, or else in the user's cache folder; should it be damaged, once more.

    Returns
    -------
    str

    Raises
    ------
    OSError
        Without a network; the message says where to put the file.
    ValueError
        If the file is not the one with the known sha256.

    Notes
    -----
    Karpathy (2015), char-rnn, data/tinyshakespeare; the plays are in the public domain.
    """
    if path is not None:
        return _checked(Path(path).read_bytes(), path)
    target = data_home() / "tinyshakespeare.txt"
    if target.exists():
        try:
            return _checked(target.read_bytes(), target)
        except ValueError as error:
            data = _download(target, f"{error}. ")
    else:
        data = _download(target)
    text = _checked(data, TINY_SHAKESPEARE["url"])
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target and then renamed: whoever looks meanwhile finds a whole file or none.
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        whole = Path(folder, target.name)
        whole.write_bytes(data)
        os.replace(whole, target)
    return text


def _download(target, reason=""):
    from http.client import HTTPException
    from urllib.request import urlopen

    try:
        with urlopen(TINY_SHAKESPEARE["url"], timeout=30) as answer:
            # One byte more than there should be is enough to notice a wrong file.
            return answer.read(TINY_SHAKESPEARE["bytes"] + 1)
    except (OSError, HTTPException) as error:
        raise OSError(
            f"{reason}tiny-shakespeare could not be downloaded ({error}). Without a network, put "
            f"tinyshakespeare/input.txt of the char-rnn repository at {target}, or pass its path"
        ) from error


def _checked(data, source):
    if hashlib.sha256(data).hexdigest() != TINY_SHAKESPEARE["sha256"]:
        raise ValueError(
            f"{source} is not tiny-shakespeare: {len(data)} bytes with another sha256 than "
            f"the {TINY_SHAKESPEARE['bytes']} bytes of {TINY_SHAKESPEARE['sha256']}"
        )
    return data.decode()


def read_text(path, at_least=1):
    """Return the text of a UTF-8 file.

    Raises
    ------
    OSError, ValueError
        For a file that is missing, is not UTF-8, or holds fewer than so many characters.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8 text: {error.reason} at byte {error.start}"
        ) from None
    if len(text) < at_least:
        found = f"has {len(text)}" if text else "is empty"
        raise ValueError(f"{path} {found}, but {at_least} or more characters are needed")
    return text


def held_out(n_characters, fraction):
    """Return how many characters at the end of a text of so many are held out to validate on."""
    return max(2, round(n_characters * fraction))
