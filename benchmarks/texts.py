"""The text that character models learn here."""

from pathlib import Path

from numlstm.datasets import fetch_tiny_shakespeare


def load_text(path=None):
    """Return the text of a file, or tiny-shakespeare, or None where it cannot be had."""
    if path is not None:
        return Path(path).read_text(encoding="utf-8")
    try:
        return fetch_tiny_shakespeare()
    except OSError as error:
        print(error)
        return None
