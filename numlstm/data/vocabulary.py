"""`Vocabulary`: characters to numbers and back."""

import sys

import numpy as np

PIECE = 1 << 14  # characters encoded at a time: memory grows by the result alone


def check_text(name, text, at_least=0):
    """Return the text if it is one, of at least so many characters.

    Raises
    ------
    TypeError, ValueError
    """
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a string, got {type(text).__name__}")
    if len(text) < at_least:
        raise ValueError(f"{name} must have at least {at_least} characters, got {len(text)}")
    return text


def code_points(text):
    """Return the Unicode code points of a text, uint32."""
    order = "utf-32-le" if sys.byteorder == "little" else "utf-32-be"
    return np.frombuffer(text.encode(order, "surrogatepass"), np.uint32)


class Vocabulary:
    """The distinct code points of a text, sorted.

    Parameters
    ----------
    characters : str
        Distinct and sorted.

    Raises
    ------
    ValueError
    """

    def __init__(self, characters):
        if not characters or sorted(set(characters)) != list(characters):
            raise ValueError("a vocabulary must be distinct characters in order, at least one")
        self.characters = characters
        self.dtype = np.min_scalar_type(len(characters) - 1)
        self._points = code_points(characters)

    @classmethod
    def of(cls, text):
        """Return the vocabulary of a text."""
        return cls("".join(sorted(set(text))))

    def __len__(self):
        """Return the number of characters."""
        return len(self.characters)

    def encode(self, name, text):
        """Return a text as positions in the vocabulary, in the smallest dtype that holds them.

        Raises
        ------
        ValueError
            Naming the first character that is not in the vocabulary.
        """
        out = np.empty(len(text), self.dtype)
        for start in range(0, len(text), PIECE):
            points = code_points(text[start : start + PIECE])
            found = np.searchsorted(self._points, points)
            found[found == len(self)] = 0
            bad = np.flatnonzero(self._points[found] != points)
            if bad.size:
                at = start + int(bad[0])
                raise ValueError(
                    f"{name} holds the character {text[at]!r} at position {at}, which is not in "
                    f"the vocabulary of the {len(self)} characters seen in training"
                )
            out[start : start + len(points)] = found
        return out

    def decode(self, tokens):
        """Return the text of an array of positions."""
        return "".join(map(self.characters.__getitem__, np.asarray(tokens).tolist()))
