"""`NGramBaseline`: what counting alone achieves, to compare a character model with.

book/09_characters.md does so.
"""

import math

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from numlstm.data.validation import check_integer
from numlstm.data.vocabulary import Vocabulary, check_text

LARGEST_ORDER = 6
PIECE = 1 << 18  # characters measured at a time


class NGramBaseline(BaseEstimator):
    """Character n-grams with back-off by Witten-Bell interpolation.

    Parameters
    ----------
    order : int from 1 to 6
        Length of the longest n-gram: the last order - 1 characters decide.
    vocabulary : str, optional
        Characters that may occur; by default those of the text that is counted. To compare with a
        `CharLSTM`, its `vocabulary_`.

    Attributes
    ----------
    vocabulary_ : str

    Notes
    -----
    With n(x) the times a context x was seen and d(x) the distinct characters after it,
    p(c | x) = (n(x c) + d(x) p(c | x without its first character)) / (n(x) + d(x)), down to the
    uniform distribution (Witten & Bell 1991).

    Examples
    --------
    >>> from numlstm import NGramBaseline
    >>> learnt, held = "a rose is a rose is " * 9, "a rose is a rose"
    >>> counting = NGramBaseline.best(learnt, held)
    >>> counting.order, round(counting.bits_per_char(held), 2)
    (6, 0.21)
    """

    def __init__(self, order=5, vocabulary=None):
        self.order = order
        self.vocabulary = vocabulary

    @classmethod
    def best(cls, learnt, held, vocabulary=None):
        """Count a text, and return the order from 1 to 6 that predicts another text best.

        Parameters
        ----------
        learnt : str
            The text to count.
        held : str
            The text to predict. That it chooses the order is a favour done to counting.
        vocabulary : str, optional
            As of the class.

        Returns
        -------
        NGramBaseline
            Fitted; `order` is the one chosen, the smaller of equals.

        Raises
        ------
        TypeError, ValueError
            For a character of `held` that is not in the vocabulary.
        """
        model = cls(LARGEST_ORDER, vocabulary)._count("learnt", learnt)
        total = np.zeros(len(model._levels))
        for _, probabilities in model._parts("held", held):
            total += [np.log(p).sum() for p in probabilities]
        model.order = int(total.argmax()) + 1
        del model._levels[model.order :]
        return model

    def fit(self, text, y=None):
        """Count a text.

        Parameters
        ----------
        text : str
        y : None
            Ignored.

        Returns
        -------
        NGramBaseline
            Itself.

        Raises
        ------
        TypeError, ValueError
        """
        return self._count("text", text)

    def _count(self, name, text):
        check_integer("order", self.order, 1, LARGEST_ORDER)
        known = check_text(name, text, 1)
        if self.vocabulary is not None:
            known = check_text("vocabulary", self.vocabulary, 1)
        self._vocabulary = Vocabulary.of(known)
        self.vocabulary_ = self._vocabulary.characters
        tokens = self._vocabulary.encode(name, text)
        V, contexts, self._levels = len(self._vocabulary), np.zeros(len(tokens), np.int64), []
        for length in range(min(self.order, len(tokens))):
            # contexts[k] numbers the `length` characters before tokens[length + k]; the grams of
            # one length are the contexts of the next.
            contexts *= V
            contexts += tokens[length:]
            grams, counts = _number(contexts)
            seen = np.bincount(grams // V, weights=counts)
            self._levels.append((grams, counts, seen, np.bincount(grams // V)))
            contexts = contexts[:-1]
        return self

    def probabilities(self, text):
        """Return the probability of each character of a text, given those before it.

        Parameters
        ----------
        text : str

        Returns
        -------
        array of float64, (n_characters,)

        Raises
        ------
        NotFittedError, TypeError, ValueError
            For a character that is not in the vocabulary.
        """
        check_is_fitted(self)
        out = np.empty(len(check_text("text", text, 1)))
        for start, levels in self._parts("text", text):
            for p in levels:
                out[start : start + len(p)] = p
        return out

    def _parts(self, name, text):
        """Yield pieces of a text: their starts, and their probabilities by each order in turn."""
        tokens = self._vocabulary.encode(name, check_text(name, text, 1))
        for start in range(0, len(tokens), PIECE):
            before = min(start, len(self._levels) - 1)  # characters that are context only
            piece = tokens[start - before : start + PIECE].astype(np.int64)
            yield start, (p[before:] for p in self._by_order(piece))

    def _by_order(self, tokens):
        """Yield the probabilities of tokens by the n-grams of order 1, 2, …, in one array."""
        V = len(self._vocabulary)
        p, contexts = np.full(len(tokens), 1 / V), np.zeros(len(tokens), np.int64)
        for length, (grams, counts, seen, distinct) in enumerate(self._levels):
            known = (contexts >= 0) & (contexts < len(seen))
            pairs = np.where(known, contexts * V + tokens[length:], -1)
            at = np.minimum(np.searchsorted(grams, pairs), len(grams) - 1)
            found = grams[at] == pairs
            n, d = seen[contexts[known]], distinct[contexts[known]]
            times = np.where(found, counts[at], 0)[known]
            lower = p[length:][known]
            mixed = (times + d * lower) / np.maximum(n + d, 1)
            p[length:][known] = np.where(n + d > 0, mixed, lower)
            yield p
            contexts = np.where(found, at, -1)[:-1]

    def score(self, text, y=None):
        """Return the mean log-likelihood per character, in nats.

        Parameters
        ----------
        text : str
        y : None
            Ignored.

        Returns
        -------
        float
        """
        return float(np.log(self.probabilities(text)).mean())

    def bits_per_char(self, text):
        """Return the mean surprisal of a text, in bits per character.

        Parameters
        ----------
        text : str

        Returns
        -------
        float
        """
        return -self.score(text) / math.log(2)


def _number(keys):
    """Return the distinct keys, sorted, and their counts; replace each key by its place there."""
    n_bits = len(keys).bit_length()
    if int(keys.max()).bit_length() + n_bits > 63:
        distinct, keys[:], counts = np.unique(keys, return_inverse=True, return_counts=True)
        return distinct, counts
    # Sorting numbers is many times as fast as finding the order that sorts them: each takes its
    # position along in its lowest bits.
    both = keys << n_bits
    both |= np.arange(len(keys), dtype=np.int32 if n_bits < 32 else np.int64)
    both.sort()
    keys[:] = both
    keys >>= n_bits
    new = np.concatenate(([True], keys[1:] != keys[:-1]))
    distinct, starts = keys[new], np.flatnonzero(new)
    both &= (1 << n_bits) - 1
    keys[both] = np.cumsum(new) - 1
    return distinct, np.diff(starts, append=len(keys))
