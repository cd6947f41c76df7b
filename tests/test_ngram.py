"""`NGramBaseline` counts as the formula of Witten and Bell says, and is a distribution."""

import itertools
import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from numlstm import NGramBaseline
from numlstm.datasets import load_python_docs
from numlstm.estimators import ngram

ORDERS = range(1, 7)


@pytest.fixture(scope="module")
def docs():
    text = load_python_docs()
    known = set(text[:200_000])
    return text[:200_000], "".join(c for c in text[200_000:220_000] if c in known)


def slow(text, order):
    """Return p(character, context) by the formula: dictionaries and a recursion."""
    after = defaultdict(Counter)
    for length in range(order):
        for k in range(length, len(text)):
            after[length, text[k - length : k]][text[k]] += 1
    V = len(set(text))

    def p(character, context):
        counts = after[len(context), context]
        lower = p(character, context[1:]) if context else 1 / V
        n, d = counts.total(), len(counts)
        return (counts[character] + d * lower) / (n + d) if n else lower

    return lambda character, before: p(character, before[-(order - 1) :] if order > 1 else "")


@pytest.mark.kernel
def test_an_example_by_hand():
    """In "aab" a comes twice and b once; after a come a and b, once each; after b nothing."""
    one, two = NGramBaseline(1).fit("aab"), NGramBaseline(2).fit("aab")
    a, b = (2 + 2 / 2) / (3 + 2), (1 + 2 / 2) / (3 + 2)
    assert one.probabilities("abb") == pytest.approx([a, b, b], rel=1e-15)
    a_after_a, b_after_a = (1 + 2 * a) / (2 + 2), (1 + 2 * b) / (2 + 2)
    assert two.probabilities("abb") == pytest.approx([a, b_after_a, b], rel=1e-15)
    assert two.probabilities("aaba") == pytest.approx([a, a_after_a, b_after_a, a], rel=1e-15)
    assert two.score("abb") == pytest.approx(math.log(a * b_after_a * b) / 3)
    assert two.bits_per_char("abb") == pytest.approx(-math.log2(a * b_after_a * b) / 3)
    assert two.vocabulary_ == "ab"


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", ["random", "runs", "sentence"])
def test_it_is_the_formula(order, kind, rng):
    text = {
        "random": "".join(rng.choice(list("abcd"), 300)),
        "runs": "".join(c * n for c, n in zip("abcabd" * 9, rng.integers(1, 9, 54), strict=True)),
        "sentence": "the cat sat on the mat with the hat. " * 3,
    }[kind]
    model, p = NGramBaseline(order).fit(text), slow(text, order)
    for other in (text, text[::-1], "".join(rng.permutation(list(text))), text[5]):
        expected = [p(c, other[:k]) for k, c in enumerate(other)]
        np.testing.assert_allclose(model.probabilities(other), expected, rtol=1e-12)


@pytest.mark.parametrize("order", ORDERS)
def test_the_next_character_is_certain_to_be_one_of_the_vocabulary(order):
    text = "she sells sea shells by the sea shore"
    model = NGramBaseline(order).fit(text)
    for context in ("", "s", "sea", "she sells", "zzz".replace("z", "b"), "ysy", text, text[::-1]):
        p = [model.probabilities(context + c)[-1] for c in model.vocabulary_]
        assert sum(p) == pytest.approx(1, abs=1e-12)
        assert min(p) > 0
    pairs = map("".join, itertools.product(model.vocabulary_, repeat=2))
    total = sum(model.probabilities(pair).prod() for pair in pairs)
    assert total == pytest.approx(1, abs=1e-12)


def test_each_order_beats_the_one_below_on_text(docs):
    train, held = docs
    bits = [NGramBaseline(order).fit(train).bits_per_char(held) for order in ORDERS]
    assert all(low < high - 0.01 for high, low in itertools.pairwise(bits[:5]))
    assert bits[5] < bits[3]
    assert math.log2(len(set(train))) > bits[0] > 4 and 2 < bits[5] < 3


@pytest.mark.parametrize("order", ORDERS)
def test_odd_texts(order):
    for text in ("a", "\0", "aa", "ab", "\U0001f600\ud800" * 5, "\r\n" * 9):
        model = NGramBaseline(order).fit(text)
        assert (model.probabilities(text) > 0).all()
        assert (model.probabilities(text[:1] * 20) <= 1 + 1e-12).all()
    assert NGramBaseline(order).fit("aaa").score("aaaaa") == pytest.approx(0, abs=1e-12)


def test_it_is_an_estimator():
    model = NGramBaseline(3)
    assert model.fit("some text", None) is model
    assert clone(model).get_params() == {"order": 3, "vocabulary": None}
    assert model.score("text", None) == model.score("text")
    again = model.fit("other")
    assert again.vocabulary_ == "ehort"


@pytest.mark.parametrize("order", ORDERS)
def test_a_long_text_is_measured_in_pieces(order, docs, monkeypatch):
    train, held = docs[0][:5000], "".join(c for c in docs[1][:500] if c in docs[0][:5000])
    model = NGramBaseline(order).fit(train)
    whole = model.probabilities(held)
    for piece in (1, 7, len(held) - 1):
        monkeypatch.setattr(ngram, "PIECE", piece)
        assert (model.probabilities(held) == whole).all()


def test_numbers_too_large_for_their_positions_are_sorted_otherwise(rng):
    for keys in (rng.integers(0, 30, 300), np.arange(99)[::-1].copy(), np.zeros(1, np.int64)):
        distinct, places, counts = np.unique(keys, return_inverse=True, return_counts=True)
        for factor in (1, 2**48):  # of up to 55 bits; a shift makes 58, too many beside a position
            given = keys * factor
            for shift in (0, 2**57):
                got, times = ngram._number(numbers := given + shift)
                np.testing.assert_array_equal(got, distinct * factor + shift)
                np.testing.assert_array_equal(times, counts)
                np.testing.assert_array_equal(numbers, places)


def test_a_vocabulary_of_more_than_was_counted():
    """In "aab" and the alphabet "abc", of which c never came."""
    model = NGramBaseline(1, vocabulary="cab").fit("aab")
    a, c = (2 + 2 / 3) / (3 + 2), (0 + 2 / 3) / (3 + 2)
    assert model.vocabulary_ == "abc"
    assert model.probabilities("ac") == pytest.approx([a, c], rel=1e-15)
    with pytest.raises(ValueError, match="text holds the character 'b' at position 2"):
        NGramBaseline(vocabulary="a").fit("aab")
    with pytest.raises(TypeError, match="vocabulary must be a string, got list"):
        NGramBaseline(vocabulary=["a", "b"]).fit("aab")


def test_the_best_order_is_found_in_one_call(docs):
    train, held = docs
    chosen = set()
    rose = "a rose is a rose is " * 9, "a rose is a rose"
    for learnt, text in (
        (train, held),
        (train[:300], held),
        (train[:9000], held),
        ("ba", "ab"),
        rose,
    ):
        alphabet = "".join(set(learnt + text))
        models = [NGramBaseline(order, alphabet).fit(learnt) for order in ORDERS]
        bits = [model.bits_per_char(text) for model in models]
        best = NGramBaseline.best(learnt, text, alphabet)
        assert best.order == np.argmin(np.round(bits, 12)) + 1
        assert best.bits_per_char(text) == min(bits)
        chosen.add(best.order)
    assert {1, 6} < chosen
    again = clone(best).fit(learnt)
    assert (again.probabilities(text) == best.probabilities(text)).all()


def test_bad_texts_for_the_best_order():
    with pytest.raises(TypeError, match="learnt must be a string, got bytes"):
        NGramBaseline.best(b"text", "text")
    with pytest.raises(ValueError, match="held must have at least 1 character"):
        NGramBaseline.best("text", "")
    with pytest.raises(ValueError, match="held holds the character 'T' at position 1"):
        NGramBaseline.best("text", "eT")


BAD_ORDERS = [(0, ValueError), (7, ValueError), (-1, ValueError)]
BAD_ORDERS += [(value, TypeError) for value in (2.0, None, "3", True)]


@pytest.mark.parametrize(("order", "error"), BAD_ORDERS)
def test_a_bad_order(order, error):
    with pytest.raises(error, match=rf"order must be an integer in \[1, 6\], got {order!r}"):
        NGramBaseline(order).fit("text")


def test_bad_texts():
    model = NGramBaseline().fit("text")
    for call in (NGramBaseline().fit, model.probabilities, model.score, model.bits_per_char):
        with pytest.raises(TypeError, match="text must be a string, got bytes"):
            call(b"text")
        with pytest.raises(ValueError, match="text must have at least 1 character"):
            call("")
    with pytest.raises(ValueError, match="text holds the character 'T' at position 2"):
        model.score("teTx")
    with pytest.raises(NotFittedError):
        NGramBaseline().score("text")
