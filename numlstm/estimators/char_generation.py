"""What a fitted character model does: write text, and say how probable texts are.

book/09_characters.md derives temperature and bits per character; book/10_memory.md looks inside.
"""

import math
from collections.abc import Iterable

import numpy as np
from sklearn.utils.validation import check_is_fitted

from numlstm.data.validation import (
    LARGEST_COUNT,
    as_random_state,
    check_integer,
    check_number,
    check_size,
)
from numlstm.data.vocabulary import check_text
from numlstm.kernels._threads import thread_limit

PART = 1000  # characters between two moments at which Ctrl-C is noticed
BLOCK = 32  # characters that `stream` computes at a time


class CharGenerationMixin:
    """Methods of `CharLSTM` after `fit`."""

    def _running_model(self):
        """Return the model for the generation kernels, made once after each fit."""
        check_is_fitted(self)
        if getattr(self, "_model", None) is None:
            self._model = self._network.model()
        return self._model

    def _read(self, model, scratch, tokens):
        """Run tokens (B, n) through the model; return the phase it is then in."""
        *_, (phase, _) = self._parts(model, scratch, tokens, wanted=False)
        return phase

    def _parts(self, model, scratch, tokens, wanted):
        """Run tokens (B, n) through the model; yield phase and log-probabilities, a part each."""
        phase = 0
        for start in range(0, tokens.shape[1], PART):
            part = np.ascontiguousarray(tokens[:, start : start + PART], np.int32)
            with thread_limit(self.n_threads):
                phase, log_p = self._network.read(model, scratch, part, phase, wanted)
            yield phase, log_p

    def _log_probabilities(self, text):
        """Yield the log-probabilities of a text's characters, a part each, in nats."""
        model = self._running_model()
        tokens = self._vocabulary.encode("text", check_text("text", text, 1))
        for _, log_p in self._parts(model, self._network.scratch(1), tokens[None], wanted=True):
            yield log_p[0]

    def _sampler(self, prompt, temperature, top_k, top_p, n_samples, random_state):
        """Check the arguments, read the prompt; return a function that draws n more characters."""
        temperature = check_number("temperature", temperature, 0)
        top_k = 0 if top_k is None else check_integer("top_k", top_k, 1)
        if top_p is None:
            top_p = 1.0
        top_p = check_number("top_p", top_p, 0, 1, above=True)
        check_text("prompt", prompt)
        model, network = self._running_model(), self._network
        tokens = self._vocabulary.encode("prompt", prompt)
        rng = as_random_state(self.random_state if random_state is None else random_state)
        scratch = network.scratch(n_samples)
        phase = 0
        if len(tokens):
            phase = self._read(model, scratch, np.broadcast_to(tokens, (n_samples, len(tokens))))

        how = temperature, min(top_k, network.n_tokens), top_p

        def draw(n):
            nonlocal phase
            parts = []
            with thread_limit(self.n_threads):
                for start in range(0, n, PART):
                    uniforms = rng.random_sample((min(PART, n - start), n_samples)).T
                    phase, out = network.write(
                        model, scratch, phase, how, np.ascontiguousarray(uniforms)
                    )
                    parts.append(out)
            return np.concatenate(parts, axis=1) if parts else np.empty((n_samples, 0), np.int32)

        return draw

    def _generate_with(self, network, vocabulary, n_chars, rng):
        """Return a sample of a network that is still in training."""
        scratch, uniforms = network.scratch(1), rng.random_sample((1, n_chars))
        _, out = network.write(network.model(), scratch, 0, (1.0, 0, 1.0), uniforms)
        return vocabulary.decode(out[0])

    def generate(
        self, n_chars, *, prompt="", temperature=1.0, top_k=None, top_p=None, n_samples=None,
        random_state=None,
    ):  # fmt: skip
        """Write text.

        Parameters
        ----------
        n_chars : int
            Characters to write.
        prompt : str
            Text to go on from; not part of the result.
        temperature : float
            Divides the logits: below 1 more probable characters, above 1 more surprising ones, 0
            always the most probable one.
        top_k : int, optional
            Draw from the k most probable characters only.
        top_p : float in (0, 1], optional
            Draw from the fewest characters whose probabilities reach p (Holtzman et al. 2020).
        n_samples : int, optional
            Write so many texts at once.
        random_state : int, RandomState instance or None
            By default that of the estimator.

        Returns
        -------
        str, or list of str with `n_samples`

        Raises
        ------
        NotFittedError, TypeError, ValueError
            For arguments that make no sense, or a character of the prompt not in the vocabulary.
        """
        n_chars = check_integer("n_chars", n_chars, 0, LARGEST_COUNT)
        count = 1 if n_samples is None else check_size("n_samples", n_samples, LARGEST_COUNT)
        draw = self._sampler(prompt, temperature, top_k, top_p, count, random_state)
        texts = [self._vocabulary.decode(row) for row in draw(n_chars)]
        return texts[0] if n_samples is None else texts

    def stream(
        self, n_chars=None, *, prompt="", temperature=1.0, top_k=None, top_p=None,
        random_state=None,
    ):  # fmt: skip
        """Write text character by character; the same text as `generate`.

        Parameters
        ----------
        n_chars : int, optional
            Characters to write; without end by default.
        prompt : str
        temperature : float
        top_k : int, optional
        top_p : float, optional
        random_state : int, RandomState instance or None
            As in `generate`.

        Returns
        -------
        iterator of str

        Raises
        ------
        NotFittedError, TypeError, ValueError
            At once, not at the first character.
        """
        if n_chars is not None:
            n_chars = check_integer("n_chars", n_chars, 0, LARGEST_COUNT)
        draw = self._sampler(prompt, temperature, top_k, top_p, 1, random_state)
        return self._characters(draw, n_chars)

    def _characters(self, draw, n_chars):
        done = 0
        while n_chars is None or done < n_chars:
            n = BLOCK if n_chars is None else min(BLOCK, n_chars - done)
            yield from self._vocabulary.decode(draw(n)[0])
            done += n

    def surprisal(self, text):
        """Return how surprising each character of a text is, given those before it.

        Parameters
        ----------
        text : str

        Returns
        -------
        array of float64, (n_characters,)
            -log p, in nats.

        Raises
        ------
        NotFittedError, TypeError, ValueError
        """
        out, at = np.empty(len(check_text("text", text))), 0
        for part in self._log_probabilities(text):
            np.negative(part, out=out[at : at + len(part)])
            at += len(part)
        return out

    def trace(self, text):
        """Return every gate and state of every character while the network reads a text.

        Parameters
        ----------
        text : str
            Its characters must be in `vocabulary_`.

        Returns
        -------
        LSTMTrace
            i, f, g, o, c, h, each (n_layers, 1, len(text), hidden_size).

        Raises
        ------
        NotFittedError, TypeError, ValueError
        """
        check_is_fitted(self)
        check_text("text", text, 1)
        tokens = self._vocabulary.encode("text", text)
        table = self._network.get_weights().get("embedding")
        if table is None:
            table = np.eye(self._network.n_tokens, dtype=self._network.dtype)
        with thread_limit(self.n_threads):
            return self.lstm_.trace(table[tokens][None])

    def log_prob(self, text):
        """Return the logarithm of the probability of a text among all of its length.

        Parameters
        ----------
        text : str

        Returns
        -------
        float
            In nats. The first character is drawn from the logits of the zero state.
        """
        return float(sum(part.sum() for part in self._log_probabilities(text)))

    def score(self, text, y=None):
        """Return the mean log-likelihood per character.

        Parameters
        ----------
        text : str
        y : None
            Ignored; scikit-learn passes it.

        Returns
        -------
        float
            In nats; higher is better.
        """
        return self.log_prob(text) / len(text)

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

    def perplexity(self, text):
        """Return exp of the mean surprisal: the model is as unsure as among so many characters.

        Parameters
        ----------
        text : str

        Returns
        -------
        float
            Infinite where it is beyond all floats.
        """
        with np.errstate(over="ignore"):
            return float(np.exp(-self.score(text)))

    def predict_proba(self, prefixes):
        """Return the distribution of the next character.

        Parameters
        ----------
        prefixes : list of str

        Returns
        -------
        array of float64, (n_prefixes, n_characters)
            Columns in the order of `vocabulary_`.

        Raises
        ------
        NotFittedError, TypeError, ValueError
        """
        from scipy.special import softmax

        if isinstance(prefixes, str) or not isinstance(prefixes, Iterable):
            got = "one string" if isinstance(prefixes, str) else type(prefixes).__name__
            raise TypeError(f"prefixes must be a list of strings, got {got}")
        prefixes = list(prefixes)
        model, network = self._running_model(), self._network
        out = np.empty((len(prefixes), network.n_tokens))
        for row, prefix in zip(out, prefixes, strict=True):
            tokens = self._vocabulary.encode("prefixes", check_text("prefixes", prefix))
            scratch = network.scratch(1)
            if len(tokens):
                self._read(model, scratch, tokens[None])
            row[:] = scratch.logits[0, : network.n_tokens]
        return softmax(out, axis=1)

    def predict(self, prefixes):
        """Return the most probable next character.

        Parameters
        ----------
        prefixes : list of str

        Returns
        -------
        array of str, (n_prefixes,)
        """
        best = self.predict_proba(prefixes).argmax(axis=1)
        # Not an array of NumPy's strings: those lose a NUL at their end.
        return np.array([self._vocabulary.characters[k] for k in best], object)
