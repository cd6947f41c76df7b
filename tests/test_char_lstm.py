"""Training of `CharLSTM`: what it learns, when it stops, what stays the same."""

import numba
import numpy as np
import pytest
from sklearn.base import clone

from numlstm import CharLSTM
from numlstm.kernels import _threads
from numlstm.nn.memory import Workspace
from numlstm.training import char_loop
from numlstm.training.char_loop import Streams, TextSettings, learning_rate, mean_loss
from numlstm.training.optimizer import Optimizer

SENTENCE = "the quick brown fox jumps over the lazy dog. "
TEXT = SENTENCE * 20


def char_lstm(hidden_size=8, n_layers=1, **options):
    """Return a small model; every option can be replaced."""
    small = {"embedding_size": 4, "seq_length": 10, "batch_size": 4, "max_iter": 3}
    small |= {"dtype": "float64", "random_state": 0}
    return CharLSTM(hidden_size, n_layers, **small | options)


def flat(model):
    return model._network.parameters


# --- learning ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"dtype": "float32"},
        {"embedding_size": None, "n_layers": 2, "dropout": 0.1, "max_iter": 40},
        {"learning_rate": "cosine"},
        {"solver": "sgd", "learning_rate_init": 0.5, "max_iter": 60},
    ],
    ids=str,
)
def test_a_repeated_sentence_is_learnt_by_heart(options):
    given = {"hidden_size": 32, "max_iter": 30, "learning_rate_init": 0.02, **options}
    model = char_lstm(**given).fit(TEXT)
    assert model.loss_ == model.loss_curve_[-1] < 0.3 < model.loss_curve_[0]
    assert model.best_loss_ == min(model.loss_curve_)
    assert model.n_iter_ == len(model.loss_curve_) == given["max_iter"]
    assert model.validation_scores_ is None
    assert model.bits_per_char(TEXT[:200]) < 1
    start = SENTENCE + SENTENCE[:9]
    assert model.generate(90, prompt=start, temperature=0) == (2 * SENTENCE + SENTENCE)[9:99]


def test_the_loss_of_an_epoch_is_the_mean_over_its_chunks():
    """With a step too small to change anything it is that of the initial weights."""
    model = char_lstm(max_iter=1, solver="sgd", learning_rate_init=1e-12).fit(TEXT)
    tokens = model._vocabulary.encode("text", TEXT)
    loss = mean_loss(model._network, tokens, 4, 10, Workspace(np.dtype("float64")))
    assert model.loss_ == pytest.approx(loss, rel=1e-9)
    one = mean_loss(model._network, tokens, 1, 7, Workspace(np.dtype("float64")))
    assert one == pytest.approx(model.surprisal(TEXT)[1:].mean(), rel=1e-9)


@pytest.mark.parametrize(
    ("n", "batch_size", "seq_length"),
    [(2, 64, 64), (3, 1, 1), (41, 4, 10), (47, 4, 10), (40, 4, 10), (11, 5, 10), (100, 7, 3)],
)
def test_streams_read_every_character_in_its_order(n, batch_size, seq_length):
    streams = Streams(np.arange(n), batch_size, seq_length)
    chunks = [streams.chunk(k) for k in range(streams.n_chunks)]
    tokens, targets = (np.concatenate(part) for part in zip(*chunks, strict=True))
    assert np.array_equal(targets, tokens + 1)
    assert tokens.shape == (streams.length, streams.n_streams)
    assert np.array_equal(tokens.T.reshape(-1), np.arange(tokens.size))
    assert n - 1 - tokens.size < streams.n_streams <= batch_size
    assert max(len(chunk[0]) for chunk in chunks) <= seq_length


def test_schedules():
    def rates(kind, n=1000):
        settings = TextSettings("adam", kind, 0.5, 0.0, 1, 1, 1, None, 0.0, 1)
        return np.array([learning_rate(settings, step, n) for step in range(n + 5)])

    assert set(rates("constant")) == {0.5}
    cosine, step = rates("cosine"), rates("step")
    done = np.minimum(np.arange(1005) / 1000, 1)
    np.testing.assert_allclose(cosine, 0.005 + 0.495 * (1 + np.cos(np.pi * done)) / 2)
    assert cosine[0] == 0.5 and cosine[500] == pytest.approx(0.2525)
    assert cosine[1000] == cosine[-1] == pytest.approx(0.005)
    edges = [0, 499, 500, 749, 750, 874, 875, 1004]
    assert list(step[edges]) == [0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.0625, 0.0625]


@pytest.mark.parametrize("kind", ["constant", "cosine", "step"])
def test_the_schedule_spans_the_whole_training(kind, monkeypatch):
    seen, real = [], Optimizer.step
    monkeypatch.setattr(Optimizer, "step", lambda s, g, rate: seen.append(rate) or real(s, g, rate))
    monkeypatch.setattr(char_loop, "compile_ahead", lambda *_: None)  # would call it once more
    char_lstm(learning_rate=kind, learning_rate_init=0.01).fit(TEXT)
    settings = TextSettings("adam", kind, 0.01, 0.0, 1, 1, 1, None, 0.0, 1)
    assert seen == [learning_rate(settings, k, len(seen)) for k in range(len(seen))]


def test_alpha_shrinks_the_weights():
    norms = []
    for alpha in (0, 0.1, 10):
        network = char_lstm(alpha=alpha, learning_rate_init=0.02, max_iter=10).fit(TEXT)._network
        norms.append(sum((w**2).sum() for w, _ in network.weight_arrays()))
    assert norms[0] > norms[1] > norms[2]


# --- the same again ---------------------------------------------------------------------------

KINDS = [{}, {"n_layers": 2, "dropout": 0.4}, {"embedding_size": None, "solver": "sgd"}]


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_one_seed_gives_one_fit(options):
    fits = [char_lstm(random_state=seed, **options).fit(TEXT) for seed in (3, 3, 4)]
    assert np.array_equal(flat(fits[0]), flat(fits[1]))
    assert fits[0].loss_curve_ == fits[1].loss_curve_ != fits[2].loss_curve_
    rng = np.random.RandomState(3)
    assert np.array_equal(flat(char_lstm(random_state=rng, **options).fit(TEXT)), flat(fits[0]))


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
@pytest.mark.parametrize("options", KINDS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_and_two_threads_give_the_same_fit(options, dtype, monkeypatch):
    real, parallel = _threads.start, []
    monkeypatch.setattr(_threads, "WORK_PER_THREAD", 1)
    monkeypatch.setattr(_threads, "start", lambda args, n: parallel.append(int(n)) or real(args, n))
    options = {"hidden_size": 19, "early_stopping": True, "dtype": dtype, **options}
    one = char_lstm(n_threads=1, **options).fit(TEXT)
    assert not parallel
    two = char_lstm(n_threads=2, **options).fit(TEXT)
    assert set(parallel) == {2}
    assert np.array_equal(flat(one), flat(two))
    assert one.loss_curve_ == two.loss_curve_
    assert one.validation_scores_ == two.validation_scores_
    assert one.generate(100) == two.generate(100)
    assert np.array_equal(one.surprisal(TEXT), two.surprisal(TEXT))


def test_parameters_are_those_of_scikit_learn():
    model = char_lstm(learning_rate="step", clip_norm=None)
    parameters = model.get_params()
    assert clone(model).get_params() == parameters
    assert CharLSTM(**parameters).get_params() == parameters
    fitted = model.fit(TEXT)
    assert fitted is model and not hasattr(clone(fitted), "vocabulary_")
    assert "hidden_size=8" in repr(model)
    assert model.set_params(hidden_size=5).hidden_size == 5


def test_the_layers_are_to_be_had():
    model = char_lstm(n_layers=2).fit(TEXT)
    lstm = model.lstm_
    assert (lstm.input_size, lstm.hidden_size, lstm.n_layers, lstm.dtype) == (4, 8, 2, np.float64)
    one_hot = char_lstm(embedding_size=None).fit(TEXT)
    assert one_hot.lstm_.input_size == len(one_hot.vocabulary_)
    out, _ = one_hot.lstm_(
        np.eye(len(one_hot.vocabulary_))[one_hot._vocabulary.encode("", "the")][None]
    )
    w = one_hot._network.get_weights()
    logits = out[0, -1] @ w["dense.W"] + w["dense.b"]
    p = np.exp(logits - logits.max())
    np.testing.assert_allclose(one_hot.predict_proba(["the"])[0], p / p.sum(), rtol=1e-9)
