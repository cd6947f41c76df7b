"""`NGramBaseline`: what counting alone achieves, to compare a character model with.

book/09_characters.md does so.
"""

import math

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from numlstm.data.validation import check_integer
from numlstm.data.vocabulary import Vocabulary, check_text


class NGramBaseline(BaseEstimator):
    """Character n-grams with back-off by Witten-Bell interpolation.

    Parameters
    ----------
    order : int from 1 to 6
        Length of the longest n-gram: the last order - 1 characters decide.

    Attributes
    ----------
    vocabulary_ : str

    Notes
    -----
    With n(x) the times a context x was seen and d(x) the distinct characters after it,
    p(c | x) = (n(x c) + d(x) p(c | x without its first character)) / (n(x) + d(x)), down to the
    uniform distribution (Witten & Bell 1991).
    """

    def __init__(self, order=5):
        self.order = order

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
        """
        check_integer("order", self.order, 1, 6)
        self._vocabulary = Vocabulary.of(check_text("text", text, 1))
        self.vocabulary_ = self._vocabulary.characters
        tokens = self._vocabulary.encode("text", text).astype(np.int64)
        V, contexts, self._levels = len(self._vocabulary), np.zeros(len(tokens), np.int64), []
        for length in range(min(self.order, len(tokens))):
            # contexts[k] numbers the `length` characters before tokens[length + k]; the grams of
            # one length are the contexts of the next.
            pairs = contexts * V + tokens[length:]
            grams, numbers, counts = np.unique(pairs, return_inverse=True, return_counts=True)
            seen = np.bincount(grams // V, weights=counts)
            self._levels.append((grams, counts, seen, np.bincount(grams // V)))
            contexts = numbers[:-1]
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
        tokens = self._vocabulary.encode("text", check_text("text", text, 1)).astype(np.int64)
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
            contexts = np.where(found, at, -1)[:-1]
        return p

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
