"""What a fitted `CharLSTM` writes, and how probable it takes texts to be."""

import copy
import itertools
import math
import pickle

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from scipy.stats import chisquare

import numlstm
from numlstm import CharLSTM
from numlstm.data.vocabulary import Vocabulary
from numlstm.kernels import generation
from numlstm.kernels._jit import kernel
from numlstm.nn import reference

TEXT = "she sells sea shells by the sea shore. " * 12


def make_model(vocabulary="abcde", H=6, E=3, n_layers=2, *, scale=1.0, dtype="float64"):
    """Return a model with random weights, as fitted as any."""
    model = CharLSTM(
        H, n_layers, embedding_size=E, seq_length=4, batch_size=1, max_iter=0, dtype=dtype,
        random_state=0,
    ).fit(vocabulary * 2)  # fmt: skip
    rng, network, shapes = np.random.default_rng(1), model._network, model._network.shapes()
    network.set_weights({k: scale * rng.normal(size=s) / s[0] ** 0.5 for k, s in shapes.items()})
    model._model = None
    assert model.vocabulary_ == "".join(sorted(vocabulary))
    return model


@pytest.fixture(scope="module")
def trained():
    return CharLSTM(
        16, 2, embedding_size=8, seq_length=12, batch_size=4, max_iter=25, learning_rate_init=0.01,
        random_state=0,
    ).fit(TEXT)  # fmt: skip


class Twin:
    """The model in plain NumPy, one character at a time."""

    def __init__(self, model):
        self.w = {k: w.astype(np.float64) for k, w in model._network.get_weights().items()}
        self.characters, self.n = model.vocabulary_, model.n_layers
        self.rows = self.w.get("embedding", np.eye(len(self.characters)))
        H = model.hidden_size
        self.h, self.c = np.zeros((self.n, 1, H)), np.zeros((self.n, 1, H))
        self.logits = self.w["dense.b"]

    def read(self, character):
        x = self.rows[self.characters.index(character)][None]
        for k in range(self.n):
            layer = (self.w[f"lstm.{k}.{name}"] for name in ("Wx", "Wh", "b"))
            self.h[k], self.c[k], _ = reference.lstm_step(x, self.h[k], self.c[k], *layer)
            x = self.h[k]
        self.logits = (x @ self.w["dense.W"] + self.w["dense.b"])[0]

    def log_p(self, text):
        out = []
        for character in text:
            out.append(log_softmax(self.logits)[self.characters.index(character)])
            self.read(character)
        return np.array(out)


GEOMETRIES = [(6, 3, 2), (6, None, 1), (1, 1, 1), (17, 9, 3), (33, None, 2)]  # H, E, n_layers


# --- the reference ----------------------------------------------------------------------------


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("prompt", ["", "e", "abcabcddd"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_temperature_zero_is_the_argmax_chain_of_the_reference(geometry, prompt, dtype):
    model = make_model("abcde", *geometry, dtype=dtype)
    twin, expected = Twin(model), ""
    twin.log_p(prompt)
    for _ in range(60):
        expected += model.vocabulary_[twin.logits.argmax()]
        twin.read(expected[-1])
    for seed in (0, 1):
        assert model.generate(60, prompt=prompt, temperature=0, random_state=seed) == expected
    assert model.generate(60, prompt=prompt, temperature=0, n_samples=3) == [expected] * 3
    assert model.generate(60, prompt=prompt, temperature=1e-300, random_state=0) == expected
    assert model.generate(60, prompt=prompt, top_k=1) == expected
    assert model.generate(60, prompt=prompt, top_p=1e-9) == expected


@pytest.mark.kernel
@pytest.mark.parametrize("geometry", GEOMETRIES[:3], ids=str)
def test_few_characters_are_those_of_the_reference(geometry):
    model = make_model("abc", *geometry)
    twin, expected = Twin(model), ""
    assert model.surprisal("cabb") == pytest.approx(-Twin(model).log_p("cabb"), rel=1e-12)
    for _ in range(4):
        expected += model.vocabulary_[twin.logits.argmax()]
        twin.read(expected[-1])
    assert model.generate(4, temperature=0) == expected
    assert model.generate(4, top_k=2, top_p=0.5, random_state=0, n_samples=2) != []


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-11), ("float32", 1e-4)])
def test_surprisal_is_that_of_the_reference(geometry, dtype, tolerance):
    model = make_model("abcde", *geometry, dtype=dtype)
    text = "".join(np.random.default_rng(0).choice(list("abcde"), 200))
    expected = -Twin(model).log_p(text)
    np.testing.assert_allclose(model.surprisal(text), expected, rtol=tolerance, atol=tolerance)


# --- repeatable -------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"temperature": 0.7, "top_k": 5, "top_p": 0.9}], ids=str)
@pytest.mark.parametrize("prompt", ["", "she "])
def test_the_same_seed_writes_the_same_text_everywhere(trained, tmp_path, options, prompt):
    options = {"prompt": prompt, "random_state": 3, **options}
    text = trained.generate(150, **options)
    assert len(text) == 150 and set(text) <= set(TEXT)
    trained.save(tmp_path / "model.safetensors")
    models = [
        numlstm.load(tmp_path / "model.safetensors"),
        pickle.loads(pickle.dumps(trained)),
        copy.deepcopy(trained),
        trained,
    ]
    for model in models:
        for n_threads in (1, 2):
            model.n_threads = n_threads
            assert model.generate(150, **options) == text
            assert "".join(model.stream(150, **options)) == text
            assert "".join(itertools.islice(model.stream(**options), 150)) == text
            assert model.generate(150, n_samples=1, **options) == [text]
        model.n_threads = None
    assert trained.generate(150, **options | {"random_state": 4}) != text
    rng = np.random.RandomState(3)
    assert trained.generate(150, **options | {"random_state": rng}) == text
    assert trained.generate(150, **options | {"random_state": rng}) != text
    shorter = trained.generate(70, **options)
    assert text.startswith(shorter)


def test_the_estimators_own_seed_is_the_default(trained):
    assert trained.generate(50) == trained.generate(50, random_state=0)
    assert "".join(trained.stream(50)) == trained.generate(50)
    assert (trained.generate(0), list(trained.stream(0))) == ("", [])
    unseeded = copy.deepcopy(trained).set_params(random_state=None)
    assert unseeded.generate(200) != unseeded.generate(200)


def test_many_samples_are_different_and_each_as_if_alone():
    model = make_model()
    texts = model.generate(40, n_samples=7, prompt="ab", random_state=0)
    assert len(texts) == len(set(texts)) == 7
    draws = np.random.RandomState(0).random_sample((40, 7))
    for k, text in enumerate(texts):  # text k is the one that column k of the draws makes
        twin = Twin(model)
        twin.log_p("ab")
        for u, character in zip(draws[:, k], text, strict=True):
            at = np.searchsorted(np.cumsum(softmax(twin.logits)), u)
            assert model.vocabulary_[at] == character
            twin.read(character)


def test_streams_do_not_disturb_each_other(trained):
    expected = trained.generate(100, random_state=1)
    one, two = (trained.stream(100, random_state=1) for _ in range(2))
    text = ""
    for a, b in zip(one, two, strict=True):
        assert a == b and len(a) == 1
        trained.generate(3), trained.log_prob("sea")
        text += a
    assert text == expected


# --- frequencies ------------------------------------------------------------------------------


def allowed(p, top_k, top_p):
    """Return the probabilities that remain, by the definition: a sort and a loop."""
    ranked = sorted(range(len(p)), key=lambda k: -p[k])
    kept = ranked[: top_k or len(p)]
    whole, mass, out = sum(p[k] for k in kept), 0.0, np.zeros(len(p))
    for k in kept:
        out[k] = p[k]
        mass += p[k]
        if mass >= (top_p or 1.0) * whole:
            break
    return out / out.sum()


@kernel
def choose(p, total, top_k, top_p, u, heap):
    """Choose, as a kernel would: Python cannot call a helper."""
    return generation.choose(p, 0, p.shape[0], total, top_k, top_p, u, heap)


@pytest.mark.kernel
def test_what_is_chosen_is_what_a_sort_would_choose():
    rng = np.random.default_rng(0)
    for _ in range(1000):
        p = rng.integers(0, 5, rng.integers(1, 12)) + 0.1  # with ties
        top_k, top_p = int(rng.integers(0, len(p) + 2)), float(rng.choice([1e-9, 0.3, 0.7, 1.0]))
        u, heap = rng.random(), np.empty(len(p), np.int64)
        ranked = np.argsort(-p, kind="stable")
        if top_k == 0 and top_p == 1:
            ranked = np.arange(len(p))
        kept = ranked[: top_k or len(p)]
        count = 1 + np.searchsorted(np.cumsum(p[kept]), top_p * p[kept].sum() * (1 - 1e-12))
        sums = np.cumsum(p[kept[:count]])
        expected = kept[min(np.searchsorted(sums, u * sums[-1], side="right"), count - 1)]
        assert choose(p, float(p.sum()), top_k, top_p, u, heap) == expected


@pytest.mark.parametrize("V", [5, 40])
@pytest.mark.parametrize("temperature", [1.0, 0.6, 2.5])
@pytest.mark.parametrize(
    ("top_k", "top_p"), [(None, None), (3, None), (None, 0.6), (4, 0.7), (10**30, 1.0)]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_frequencies_are_the_renormalised_probabilities(V, temperature, top_k, top_p, dtype):
    model = make_model("".join(map(chr, range(97, 97 + V))), scale=0.6, dtype=dtype)
    twin = Twin(model)
    twin.log_p("cad")
    p = allowed(softmax(twin.logits / temperature), top_k, top_p)
    options = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "random_state": 0}
    texts = model.generate(1, prompt="cad", n_samples=20_000, **options)
    counts = np.array([texts.count(character) for character in model.vocabulary_])
    assert not counts[p == 0].any()
    if top_k == 3:
        assert (counts > 0).sum() == 3
    kept = p > 0
    assert chisquare(counts[kept], p[kept] * len(texts)).pvalue > 1e-3


def test_ties_are_broken_by_the_order_of_the_vocabulary():
    model = make_model("abcdef")
    weights = {k: 0 * w for k, w in model._network.get_weights().items()}
    model._network.set_weights(weights)
    model._model = None
    assert model.generate(5, temperature=0) == "aaaaa"
    assert set(model.generate(300, top_k=2, random_state=0)) == {"a", "b"}
    assert set(model.generate(300, top_p=0.5, random_state=0)) == {"a", "b", "c"}
    assert set(model.generate(300, random_state=0)) == set("abcdef")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extreme_temperatures(dtype):
    model = make_model("abcde", scale=4.0, dtype=dtype)
    best = model.generate(30, temperature=0)
    for temperature in (5e-324, 1e-45, 1e-38, 1e-12):
        assert model.generate(30, temperature=temperature, random_state=0) == best
    for temperature in (1e30, 1e300):
        texts = model.generate(1, temperature=temperature, n_samples=5000, random_state=0)
        assert chisquare([texts.count(c) for c in "abcde"]).pvalue > 1e-3


# --- measures ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("length", [1, 2])
def test_the_probabilities_of_all_texts_of_a_length_sum_to_one(geometry, length, dtype):
    model = make_model("abcdefg\n é", *geometry, dtype=dtype)
    texts = map("".join, itertools.product(model.vocabulary_, repeat=length))
    total = sum(math.exp(model.log_prob(text)) for text in texts)
    assert total == pytest.approx(1, abs=1e-6)


def test_measures_belong_together(trained):
    text = "she sells the shore"
    surprisal = trained.surprisal(text)
    assert surprisal.shape == (19,) and surprisal.dtype == np.float64 and (surprisal > 0).all()
    assert trained.log_prob(text) == pytest.approx(-surprisal.sum(), rel=1e-12)
    assert trained.score(text) == pytest.approx(-surprisal.mean(), rel=1e-12)
    assert trained.score(text, None) == trained.score(text)
    bits, perplexity = trained.bits_per_char(text), trained.perplexity(text)
    assert bits == pytest.approx(-trained.score(text) / math.log(2), rel=1e-12)
    assert perplexity == pytest.approx(2**bits, rel=1e-12)
    assert trained.score(TEXT) > trained.score(TEXT[::-1])
    for k in (1, 7, 18):  # what comes later does not matter
        assert np.array_equal(trained.surprisal(text[:k]), surprisal[:k])


def test_a_perplexity_beyond_all_floats_is_infinite(trained):
    sure = copy.deepcopy(trained)
    sure._network.parameters *= 1e4
    assert sure.score("rrr") < -1000
    assert sure.perplexity("rrr") == math.inf


def test_predict_says_what_surprisal_says(trained):
    prefixes = ["", "s", "she sel", "she sells sea"]
    p = trained.predict_proba(prefixes)
    assert p.shape == (4, len(trained.vocabulary_))
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
    for row, prefix in zip(p, prefixes, strict=True):
        for character, q in zip(trained.vocabulary_, row, strict=True):
            assert q == pytest.approx(math.exp(-trained.surprisal(prefix + character)[-1]), 1e-4)
    best = trained.predict(prefixes)
    assert list(best) == [trained.vocabulary_[k] for k in p.argmax(axis=1)]
    assert list(trained.predict(["she sell"])) == ["s"]
    assert list(best) == [trained.generate(1, prompt=x, temperature=0) for x in prefixes]
    assert trained.predict_proba([]).shape == (0, len(trained.vocabulary_))
    assert len(trained.predict([])) == 0


@pytest.mark.parametrize("character", ["\0", "\ud800", "\udc00", "\U0001f600", "\n"])
def test_predict_returns_any_character_whole(character):
    model = CharLSTM(4, 1, embedding_size=2, max_iter=0, random_state=0).fit(character * 5)
    assert list(model.predict(["", character])) == [character] * 2
    assert isinstance(model.predict([""])[0], str)


def test_the_vocabulary_is_the_sorted_code_points(trained):
    assert trained.vocabulary_ == "".join(sorted(set(TEXT)))
    vocabulary = Vocabulary.of(TEXT)
    tokens = vocabulary.encode("text", TEXT)
    assert tokens.dtype == np.uint8 and vocabulary.decode(tokens) == TEXT
    many = "".join(map(chr, range(300)))
    assert Vocabulary.of(many).encode("text", many).dtype == np.uint16
    for bad in ("", "ba", "aa"):
        with pytest.raises(ValueError, match="distinct characters in order"):
            Vocabulary(bad)
