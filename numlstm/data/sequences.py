"""Many sequences in one array: padded, ragged or overlapping windows, without copies."""

from typing import NamedTuple

import numpy as np

from numlstm.data.validation import as_numbers, check_finite


class Sequences(NamedTuple):
    """Sequences as runs of rows of one array; runs may overlap, as windows of a series do.

    Attributes
    ----------
    values : array, (n_rows, n_features)
    starts, lengths : array of int64, (n_samples,)
        Sequence n is ``values[starts[n] : starts[n] + lengths[n]]``.
    """

    values: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray

    @property
    def ragged(self):
        """Whether the lengths differ."""
        return bool(self.lengths.min() != self.lengths.max())

    def __getitem__(self, index):
        """Return a field by position, as a tuple does, or a selection of sequences."""
        if isinstance(index, (int, slice)):
            return tuple.__getitem__(self, index)
        return Sequences(self.values, self.starts[index], self.lengths[index])

    def rows(self):
        """Return the indices of the rows of every sequence, one sequence after the other."""
        ends = np.cumsum(self.lengths)
        within = np.arange(ends[-1]) - np.repeat(ends - self.lengths, self.lengths)
        return np.repeat(self.starts, self.lengths) + within


def stack_sequences(parts):
    """Return arrays (n_timesteps, n_features) of equal widths as `Sequences`."""
    lengths = np.array([len(part) for part in parts], np.int64)
    return Sequences(np.concatenate(parts), np.cumsum(lengths) - lengths, lengths)


def padded(sequences):
    """Return sequences as one array (n_samples, n_timesteps, n_features), zero past their ends."""
    lengths, values = sequences.lengths, sequences.values
    out = np.zeros((len(lengths), lengths.max(), values.shape[1]), values.dtype)
    for row, start, n in zip(out, sequences.starts, lengths, strict=True):
        row[:n] = values[start : start + n]
    return out


def windows(series, width, stop):
    """Return the windows of `width` rows that begin at rows 0 .. stop - 1 of a series (n, D)."""
    starts = np.arange(stop, dtype=np.int64)
    return Sequences(series, starts, np.full(stop, width, np.int64))


def plain(X):
    """Return array-likes as arrays; lists, and tables whose columns have names, as they are."""
    table = hasattr(X, "columns") and len(getattr(X, "shape", ())) == 2
    if isinstance(X, np.ndarray) or table:
        return X
    return np.asarray(X) if hasattr(X, "__array__") else X


def is_ragged(X):
    """Return whether X is a list, tuple or object array of sequences rather than one array."""
    X = plain(X)
    if isinstance(X, np.ndarray):
        return X.dtype == object and X.ndim == 1 and X.size > 0 and np.ndim(X[0]) > 0
    if not isinstance(X, (list, tuple)) or not X:
        return False
    return all(hasattr(x, "shape") and np.ndim(x) > 0 for x in X) or _uneven(X)


def _uneven(X):
    """Return whether nested lists have different lengths, which no array can hold."""
    if not all(isinstance(x, (list, tuple)) or np.ndim(x) > 0 for x in X):
        return False
    return len({len(x) for x in X}) > 1


def as_ragged(name, X, dtype, n_features=None):
    """Return a list of arrays as `Sequences`; 1-D arrays are sequences of one feature.

    Raises
    ------
    ValueError
        For an empty sequence, other dimensions, different widths, NaN, infinity.
    """
    parts = []
    for k, x in enumerate(X):
        with np.errstate(over="ignore"):  # infinity is found below
            part = np.asarray(as_numbers(f"{name}[{k}]", x), dtype)
        part = part[:, None] if part.ndim == 1 else part
        if part.ndim != 2 or not part.size:
            raise ValueError(
                f"{name}[{k}] must have shape (n_timesteps,) or (n_timesteps, n_features), none of "
                f"them 0, got {np.shape(x)}"
            )
        width = parts[0].shape[1] if parts else n_features or part.shape[1]
        if part.shape[1] != width:
            raise ValueError(f"{name}[{k}] must have {width} features, got {part.shape[1]}")
        check_finite(f"{name}[{k}]", part)
        parts.append(part)
    return stack_sequences(parts)


def from_array(X):
    """Return a 3-D array (n_samples, n_timesteps, n_features) as `Sequences`."""
    N, T, D = X.shape
    starts = np.arange(N, dtype=np.int64) * T
    return Sequences(np.ascontiguousarray(X).reshape(N * T, D), starts, np.full(N, T, np.int64))
