"""The text that character models learn here."""

from numlstm.data.texts import read_text
from numlstm.datasets import fetch_tiny_shakespeare


def load_text(path=None):
    """Return the text of a file, or tiny-shakespeare, or None where it cannot be had."""
    if path is not None:
        try:
            return read_text(path, 1000)
        except (OSError, ValueError) as error:
            raise SystemExit(f"--text: {error}") from None
    try:
        return fetch_tiny_shakespeare()
    except OSError as error:
        print(error)
        return None
