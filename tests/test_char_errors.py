"""Odd texts that `CharLSTM` learns all the same, and bad input, each a clear error of its own."""

import re

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from test_char_lstm import TEXT, char_lstm, flat

import numlstm
from numlstm import CharLSTM
from numlstm.data.vocabulary import PIECE, Vocabulary

ODD_TEXTS = {
    "emoji": "\U0001f600\U0001f44d\U0001f3fd a family: \U0001f468‍\U0001f469‍\U0001f467 " * 9,
    "combining": "e\u0301e\u0300 n\u0303 \u00e9 u\u0308\u0304 " * 20,
    "CRLF": "one line\r\nanother\n\rand\rmore\r\n" * 9,
    "NUL": "a\0b\0\0c\0" * 20,
    "lone surrogates": "x\ud83d\ude00y\udfff\ud800\udc00z" * 15,
    "one character": "a" * 100,
    "one NUL": "\0" * 100,
    "two characters": "ab",
    "three": "aba",
    "odd spaces": "\u00a0\u2003\u3000\t\v\f\x1c\u2028\u2029 " * 12,
    "right to left": "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 " * 12,
    "byte order mark": "\ufeffabc\uffff\U0010ffff" * 12,
    "many characters": "".join(map(chr, range(0x4E00, 0x4E00 + 700))),
}


@pytest.mark.parametrize("text", ODD_TEXTS.values(), ids=ODD_TEXTS)
@pytest.mark.parametrize("embedding_size", [4, None])
def test_any_text_is_learnt_and_written(text, embedding_size, tmp_path):
    options = {"embedding_size": embedding_size, "max_iter": 2, "dtype": "float32"}
    path = tmp_path / "c"
    model = char_lstm(**options).fit(text, checkpoint=path, checkpoint_steps=1)
    assert model.vocabulary_ == "".join(sorted(set(text)))
    assert Vocabulary.of(text).decode(Vocabulary.of(text).encode("text", text)) == text
    written = model.generate(60, prompt=text[:5])
    assert len(written) == 60 and set(written) <= set(text)
    assert "".join(model.stream(60, prompt=text[:5])) == written
    assert model.surprisal(text).shape == (len(text),)
    p = model.predict_proba([text[:9]])
    assert model.predict([text[:9]])[0] == model.vocabulary_[p.argmax()]
    if len(set(text)) == 1:
        assert model.loss_ == model.perplexity(text) - 1 == 0
    model.save(tmp_path / "model")
    again = numlstm.load(tmp_path / "model")
    assert again.vocabulary_ == model.vocabulary_
    assert again.generate(60, prompt=text[:5]) == written
    with pytest.raises(ValueError, match="text holds the character '†' at position 0"):
        again.log_prob("†")


@pytest.mark.parametrize("text", ODD_TEXTS.values(), ids=ODD_TEXTS)
def test_a_checkpoint_of_any_text_is_gone_on_from(text, tmp_path, monkeypatch):
    from numlstm.training import char_loop

    whole = char_lstm(max_iter=3).fit(text)
    real = char_loop.TextTrainer.end_epoch

    def end_epoch(trainer, score):
        real(trainer, score)
        if trainer.epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(char_loop.TextTrainer, "end_epoch", end_epoch)
    with pytest.warns(RuntimeWarning, match="interrupted"):
        char_lstm(max_iter=3).fit(text, checkpoint=tmp_path / "c")
    monkeypatch.undo()
    again = char_lstm(max_iter=3).fit(text, checkpoint=tmp_path / "c")
    assert np.array_equal(flat(again), flat(whole))


# --- characters that were never seen ----------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    return char_lstm(max_iter=1).fit(TEXT)


@pytest.mark.parametrize("character", ["T", "\n", "é", "\0", "\U0001f600", "\ud800", "'", "\u0301"])
def test_an_unknown_character_is_named(model, character):
    known = f"not in the vocabulary of the {len(model.vocabulary_)} characters seen in training"
    calls = {
        "prompt": [lambda t: model.generate(3, prompt=t), lambda t: model.stream(3, prompt=t)],
        "text": [getattr(model, name) for name in ("surprisal", "log_prob", "score", "perplexity")],
        "prefixes": [lambda t: model.predict(["the", t]), lambda t: model.predict_proba([t])],
        "validation_text": [lambda t: char_lstm().fit(TEXT, t)],
    }
    calls["text"] += [model.bits_per_char, model.partial_fit]
    for name, functions in calls.items():
        for call in functions:
            message = re.escape(f"{name} holds the character {character!r} at position 4")
            with pytest.raises(ValueError, match=f"{message}, which is {known}"):
                call("the " + character + "!")


def test_the_position_of_a_far_character_is_right():
    vocabulary = Vocabulary("ab")
    for at in (PIECE - 1, PIECE, PIECE + 1):
        text = "ab" * PIECE
        with pytest.raises(ValueError, match=f"'c' at position {at},"):
            vocabulary.encode("text", text[:at] + "c" + text[at:])


# --- parameters -------------------------------------------------------------------------------

INTEGERS = ("hidden_size", "n_layers", "embedding_size", "seq_length", "batch_size", "max_iter",
            "n_iter_no_change", "n_threads", "verbose")  # fmt: skip
BAD_PARAMETERS = [
    *((name, -1, ValueError, "an integer of at least [01], got -1") for name in INTEGERS),
    *((name, 2.0, TypeError, "an integer of at least [01], got 2.0") for name in INTEGERS),
    *((name, "2", TypeError, "an integer of at least [01], got '2'") for name in INTEGERS),
    *((name, 0, ValueError, "at least 1, got 0") for name in INTEGERS[:5]),
    ("n_threads", 0, ValueError, "at least 1, got 0"),
    ("n_iter_no_change", 0, ValueError, "at least 1, got 0"),
    ("hidden_size", None, TypeError, "got None"),
    ("hidden_size", True, TypeError, "got True"),
    ("hidden_size", 10**9, ValueError, "at most 1000000, got 1000000000"),
    ("embedding_size", 10**30, ValueError, "at most 1000000, got 1000"),
    ("n_layers", 10**9, ValueError, "at most 1000, got 1000000000"),
    ("forget_bias", 1e300, ValueError, r"a number in \[-1e\+30, 1e\+30\], got 1e\+300"),
    ("dropout", 1, ValueError, r"a number in \[0, 1\), got 1"),
    ("dropout", -0.1, ValueError, r"a number in \[0, 1\), got -0.1"),
    ("dropout", "no", TypeError, "got 'no'"),
    ("forget_bias", float("nan"), ValueError, "got nan"),
    ("solver", "lbfgs", ValueError, "'adam', 'sgd', got 'lbfgs'"),
    ("solver", None, ValueError, "'adam', 'sgd', got None"),
    ("learning_rate", "linear", ValueError, "'constant', 'cosine', 'step', got 'linear'"),
    ("learning_rate", 0.1, ValueError, "'constant', 'cosine', 'step', got 0.1"),
    ("learning_rate_init", 0, ValueError, "got 0"),
    ("learning_rate_init", float("inf"), ValueError, "got inf"),
    ("learning_rate_init", None, TypeError, "got None"),
    ("alpha", -1e-9, ValueError, "got -1e-09"),
    ("clip_norm", 0, ValueError, "got 0"),
    ("clip_norm", "5", TypeError, "got '5'"),
    ("early_stopping", 1, TypeError, "True or False, got 1"),
    ("warm_start", None, TypeError, "True or False, got None"),
    ("validation_fraction", 0, ValueError, "got 0"),
    ("validation_fraction", 1.0, ValueError, "got 1.0"),
    ("tol", -1, ValueError, "got -1"),
    ("dtype", "float16", ValueError, "'float32' or 'float64', got 'float16'"),
    ("random_state", -1, ValueError, "an integer from 0 to .* or a RandomState, got -1"),
    ("random_state", "seed", ValueError, "an integer from 0 to .* or a RandomState, got 'seed'"),
    ("random_state", 2**32, ValueError, "an integer from 0 to .* got 4294967296"),
]


@pytest.mark.parametrize(("name", "value", "error", "match"), BAD_PARAMETERS)
@pytest.mark.parametrize("call", ["fit", "partial_fit"])
def test_a_bad_parameter_is_named_before_any_work(name, value, error, match, call, monkeypatch):
    monkeypatch.setattr(numlstm.estimators.char_lstm, "TextTrainer", None)
    fresh = char_lstm(**{name: value})  # no checks before fit, as in scikit-learn
    with pytest.raises(error, match=f"{name} must be .*{match}"):
        getattr(fresh, call)(TEXT)
    assert vars(fresh).keys() == fresh.get_params().keys()


BAD_TEXTS = [
    (None, TypeError, "text must be a string, got NoneType"),
    (b"bytes", TypeError, "text must be a string, got bytes"),
    (["list"], TypeError, "text must be a string, got list"),
    ("", ValueError, "text must have at least 2 characters, got 0"),
    ("a", ValueError, "text must have at least 2 characters, got 1"),
]


@pytest.mark.parametrize(("text", "error", "match"), BAD_TEXTS)
def test_a_bad_text_is_refused(text, error, match):
    for call in ("fit", "partial_fit"):
        with pytest.raises(error, match=f"^{match}"):
            getattr(char_lstm(), call)(text)
    if text is not None:
        with pytest.raises(error, match=f"^validation_{match}"):
            char_lstm().fit(TEXT, text)


def test_too_little_text_to_hold_some_out():
    with pytest.raises(ValueError, match="early_stopping must leave 2 characters.* 2 of 3"):
        char_lstm(early_stopping=True).fit("abc")
    with pytest.raises(ValueError, match="validation_fraction holds out 99 of 100"):
        char_lstm(early_stopping=True, validation_fraction=0.99).fit("ab" * 50)
    assert char_lstm(early_stopping=True).fit("abab").validation_scores_


BAD_OPTIONS = [
    ({"n_chars": -1}, ValueError, "n_chars must be .* got -1"),
    ({"n_chars": 10**30}, ValueError, "n_chars must be .* got 1000"),
    ({"n_chars": 2.5}, TypeError, "n_chars must be .* got 2.5"),
    ({"temperature": -0.1}, ValueError, "temperature must be .* got -0.1"),
    ({"temperature": float("nan")}, ValueError, "temperature must be .* got nan"),
    ({"temperature": float("inf")}, ValueError, "temperature must be .* got inf"),
    ({"temperature": None}, TypeError, "temperature must be .* got None"),
    ({"top_k": 0}, ValueError, "top_k must be .* got 0"),
    ({"top_k": 2.0}, TypeError, "top_k must be .* got 2.0"),
    ({"top_p": 0}, ValueError, r"top_p must be a number in \(0, 1\], got 0"),
    ({"top_p": 1.1}, ValueError, r"top_p must be a number in \(0, 1\], got 1.1"),
    ({"prompt": None}, TypeError, "prompt must be a string, got NoneType"),
    ({"prompt": b"the"}, TypeError, "prompt must be a string, got bytes"),
    ({"n_samples": 10**30}, ValueError, "n_samples must be at most 2147483647, got 1000"),
    ({"n_samples": 0}, ValueError, "n_samples must be .* got 0"),
    ({"random_state": "x"}, ValueError, "random_state must be None, an integer .* got 'x'"),
]


@pytest.mark.parametrize(("options", "error", "match"), BAD_OPTIONS)
def test_bad_options_of_generate_and_stream(model, options, error, match):
    options = {"n_chars": 5, **options}
    with pytest.raises(error, match=match):
        model.generate(**options)
    if "n_samples" not in options:
        with pytest.raises(error, match=match):  # at once, not at the first character
            model.stream(**options)


def test_bad_texts_to_measure(model):
    for call in (model.surprisal, model.log_prob, model.score, model.perplexity):
        with pytest.raises(ValueError, match="text must have at least 1 character"):
            call("")
        with pytest.raises(TypeError, match="text must be a string, got int"):
            call(5)
    for call in (model.predict, model.predict_proba):
        with pytest.raises(TypeError, match="prefixes must be a list of strings, got one string"):
            call("the")
        for odd in (None, 5):
            with pytest.raises(TypeError, match=f"of strings, got {type(odd).__name__}"):
                call(odd)
        with pytest.raises(TypeError, match="prefixes must be a string, got int"):
            call(["the", 5])


def test_nothing_works_before_fit(tmp_path):
    fresh = CharLSTM()
    calls = [
        lambda: fresh.generate(3), lambda: fresh.stream(3), lambda: fresh.score("a"),
        lambda: fresh.predict(["a"]), lambda: fresh.lstm_, lambda: fresh.save(tmp_path / "m"),
        lambda: fresh.surprisal("a"), lambda: fresh.bits_per_char("a"),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(NotFittedError):
            call()
    assert list(tmp_path.iterdir()) == []
