"""When `CharLSTM` stops training, how it goes on, what it shows and what memory it takes."""

import contextlib
import copy
import itertools
import os
import pickle
import re
import sys
import tracemalloc

import numpy as np
import pytest
from test_char_lstm import SENTENCE, TEXT, char_lstm, flat

import numlstm
from numlstm.nn.char_network import CharNetwork
from numlstm.nn.memory import Workspace
from numlstm.training import char_loop
from numlstm.training.char_loop import Streams, mean_loss
from numlstm.training.optimizer import Optimizer

# --- when to stop -----------------------------------------------------------------------------


def test_a_validation_text_is_scored_after_each_epoch():
    held = "the lazy fox jumps over the quick brown dog. " * 3
    model = char_lstm(max_iter=4).fit(TEXT, held)
    assert len(model.validation_scores_) == 4
    tokens = model._vocabulary.encode("text", held)
    loss = mean_loss(model._network, tokens, 4, 10, Workspace(np.dtype("float64")))
    assert model.validation_scores_[-1] == -loss
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert model.best_loss_ is None
    plain = char_lstm(max_iter=4).fit(TEXT)
    assert np.array_equal(flat(model), flat(plain))  # a look, no more


@pytest.mark.parametrize("given", [False, True])
def test_early_stopping_restores_the_best_weights(given):
    rng = np.random.default_rng(0)
    text = "".join(rng.choice(list("abcdefgh"), 400))  # nothing to learn but by heart
    held = "".join(rng.choice(list("abcdefgh"), 100))
    options = {"hidden_size": 32, "learning_rate_init": 0.003, "early_stopping": True, "tol": 0}
    texts = (text, held) if given else (text,)
    model = char_lstm(max_iter=200, n_iter_no_change=2, **options).fit(*texts)
    scores = model.validation_scores_
    best = int(np.argmax(scores))
    assert 0 < best == len(scores) - 4 and model.n_iter_ < 200
    tokens = model._vocabulary.encode("text", held if given else text[-40:])
    loss = mean_loss(model._network, tokens, 4, 10, Workspace(np.dtype("float64")))
    assert -loss == max(scores) == model.best_validation_score_
    shorter = char_lstm(max_iter=best + 1, n_iter_no_change=2, **options).fit(*texts)
    assert np.array_equal(flat(shorter), flat(model))


def test_no_epochs_leave_the_initial_weights():
    model = char_lstm(max_iter=0).fit(TEXT)
    assert (model.n_iter_, model.loss_curve_, model.loss_, model.best_loss_) == (0, [], None, None)
    network = CharNetwork(len(set(TEXT)), 8, 4, 1, 0.0, np.dtype("float64"))
    network.initialise(1.0, np.random.RandomState(0))
    assert np.array_equal(flat(model), network.parameters)
    assert model.bits_per_char(SENTENCE) == pytest.approx(np.log2(len(set(TEXT))), rel=0.3)


# --- to go on ---------------------------------------------------------------------------------


def test_warm_start_goes_on_where_the_last_fit_ended():
    options = {"learning_rate_init": 0.01, "max_iter": 10}
    model = char_lstm(warm_start=True, **options).fit(TEXT)
    first, weights = model.loss_curve_, flat(model).copy()
    second = model.fit(TEXT).loss_curve_
    assert second[0] < first[0] and second[-1] < first[-1]
    cold = char_lstm(**options).fit(TEXT)
    assert np.array_equal(flat(cold.fit(TEXT)), weights)
    with pytest.raises(ValueError, match="warm_start needs a text with the vocabulary"):
        model.fit(TEXT + "!")
    with pytest.raises(ValueError, match="warm_start needs the .*previous fit"):
        model.set_params(hidden_size=9).fit(TEXT)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_partial_fit_goes_on_as_one_training(solver):
    """Epoch by epoch, with a pickle or a copy in between, it is one fit of all the epochs."""
    options = {"solver": solver, "learning_rate_init": 0.01, "n_layers": 2, "dropout": 0.2}
    options |= {"learning_rate": "cosine", "max_iter": 4}
    whole = char_lstm(**options).fit(TEXT)
    model = char_lstm(**options)
    for between in (copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), copy.copy):
        assert model.partial_fit(TEXT) is model
        model = between(model)
    assert model.loss_curve_ == whole.loss_curve_
    assert np.array_equal(flat(model), flat(whole))
    assert (model.n_iter_, model.loss_, model.best_loss_) == (4, whole.loss_, whole.best_loss_)
    assert model.generate(50) == whole.generate(50)
    before = flat(model).copy()
    model.partial_fit("dogs over foxes"[:4])
    assert not np.array_equal(flat(model), before)
    with pytest.raises(ValueError, match=r"text holds the character '!' at position 3"):
        model.partial_fit("dog!")


def test_partial_fit_with_another_network():
    model = char_lstm().partial_fit(TEXT).set_params(hidden_size=9)
    with pytest.raises(ValueError, match="partial_fit needs the geometry of the previous fit"):
        model.partial_fit(TEXT)


@pytest.fixture
def steps(monkeypatch):
    """Solver, norm and rate of every step, as they are made."""
    seen, real = [], Optimizer.step

    def step(optimizer, gradient, rate):
        seen.append((optimizer.solver, optimizer.clip_norm, rate))
        return real(optimizer, gradient, rate)

    monkeypatch.setattr(Optimizer, "step", step)
    monkeypatch.setattr(char_loop, "compile_ahead", lambda *_: None)  # would call it once more
    return seen


def test_partial_fit_follows_changed_parameters(steps):
    model, seen = char_lstm().partial_fit(TEXT), steps
    seen.clear()
    for change in ({"clip_norm": 0.1}, {"learning_rate_init": 0.5}, {"solver": "sgd"}):
        model.set_params(**change).partial_fit(TEXT)
        assert set(seen) == {(model.solver, model.clip_norm, model.learning_rate_init)}
        seen.clear()


@pytest.mark.parametrize("learning_rate", ["cosine", "step"])
def test_partial_fit_goes_on_in_the_schedule(learning_rate, steps, tmp_path):
    """Epochs count, of whatever text; past the end the last rate stays."""

    def rates(call):
        steps.clear()
        call()
        return [rate for _, _, rate in steps]

    options = {"learning_rate": learning_rate, "max_iter": 4}
    whole = rates(lambda: char_lstm(**options).fit(TEXT))
    n = len(whole) // 4
    model = char_lstm(**options)
    calls = [rates(lambda text=text: model.partial_fit(text)) for text in 4 * [TEXT]]
    assert sum(calls, []) == whole
    last = 0.01 if learning_rate == "cosine" else 0.125
    assert set(rates(lambda: model.partial_fit(TEXT))) == {last * model.learning_rate_init}
    # After a fit and from a file, with a text of another length; then in a longer training.
    char_lstm(**options).fit(TEXT).save(tmp_path / "m")
    again = numlstm.load(tmp_path / "m")
    assert set(rates(lambda: again.partial_fit(TEXT[:100]))) == {last * model.learning_rate_init}
    assert again.n_iter_ == 5
    rising = rates(lambda: again.set_params(max_iter=10).partial_fit(TEXT))
    longer = rates(lambda: char_lstm(learning_rate=learning_rate, max_iter=10).fit(TEXT))
    assert rising == longer[5 * n : 6 * n] and min(rising) > last * model.learning_rate_init


def test_partial_fit_stops_nowhere():
    with pytest.raises(ValueError, match="partial_fit .* early_stopping must be False"):
        char_lstm(early_stopping=True).partial_fit(TEXT)


def test_partial_fit_after_a_divergence():
    model = char_lstm(clip_norm=None, dtype="float32", learning_rate_init=1e30)
    with pytest.warns(RuntimeWarning, match="infinite or NaN"):
        model.partial_fit(TEXT)
    weights = flat(model).copy()
    model.set_params(learning_rate_init=0.01).partial_fit(TEXT)
    assert np.isfinite(flat(model)).all() and not np.array_equal(flat(model), weights)
    assert model.loss_curve_[-1] < np.log(len(model.vocabulary_))


# --- cut short --------------------------------------------------------------------------------


def interrupt(monkeypatch, step, error=KeyboardInterrupt):
    """Let the gradient of a step, from 1, end in an interrupt."""
    calls, real = itertools.count(1), CharNetwork.loss_and_gradient

    def loss_and_gradient(network, *args):
        if next(calls) == step:
            raise error
        return real(network, *args)

    monkeypatch.setattr(CharNetwork, "loss_and_gradient", loss_and_gradient)


@pytest.mark.parametrize("call", ["fit", "partial_fit"])
def test_ctrl_c_keeps_the_weights_and_warns(call, monkeypatch):
    steps = Streams(np.zeros(len(TEXT)), 4, 10).n_chunks
    whole = char_lstm(max_iter=1).fit(TEXT)
    interrupt(monkeypatch, steps + 3 if call == "fit" else steps)
    model = char_lstm()
    with pytest.warns(RuntimeWarning, match="interrupted in epoch .*kept") as record:
        getattr(model, call)(TEXT)
    assert record[0].filename == __file__
    assert len(model.loss_curve_) == (call == "fit")
    assert len(model.generate(20)) == 20
    initial = char_lstm(max_iter=0).fit(TEXT)
    assert not np.array_equal(flat(model), flat(initial))
    if call == "fit":
        assert model.loss_curve_ == whole.loss_curve_
        assert not np.array_equal(flat(model), flat(whole))


def test_ctrl_c_before_the_first_step_leaves_nothing(monkeypatch, tmp_path):
    interrupt(monkeypatch, 1)
    model = char_lstm()
    with pytest.raises(KeyboardInterrupt):
        model.fit(TEXT)
    assert vars(model).keys() == model.get_params().keys()


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("rate", [1e10, 1e300, 1.7e308])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_diverging_fit_warns_and_keeps_finite_weights(dtype, rate, early_stopping):
    model = char_lstm(
        solver="sgd", learning_rate_init=rate, clip_norm=None, dtype=dtype, max_iter=50,
        early_stopping=early_stopping,
    )  # fmt: skip
    with pytest.warns(RuntimeWarning, match="infinite or NaN.*kept") as record:
        model.fit(TEXT)
    assert record[0].filename == __file__
    assert np.isfinite(flat(model)).all()
    assert np.isfinite(model.loss_curve_).all()
    assert np.isfinite(model.surprisal(SENTENCE)).all()


# --- progress, memory -------------------------------------------------------------------------


def test_verbose_shows_progress_and_samples(capsys):
    char_lstm().fit(TEXT)
    assert capsys.readouterr() == ("", "")
    char_lstm(verbose=1, early_stopping=True).fit(TEXT)
    out, err = capsys.readouterr()
    assert out == ""
    for part in ("char/s", "epoch 3: ", "bits, validation"):
        assert part in err
    char_lstm(verbose=2).fit(TEXT)
    out, err = capsys.readouterr()
    assert out == ""
    samples = err.split("--- epoch ")[1:]
    assert len(samples) == 3
    for k, sample in enumerate(samples, 1):
        assert sample.startswith(f"{k}\n")
        assert len(set(sample[2:202]) - set(TEXT)) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="has no terminals of this kind")
@pytest.mark.parametrize("columns", [80, 50])
def test_a_terminal_of_80_columns_holds_bits_time_and_speed(columns, monkeypatch):
    import pty
    import termios

    terminal, end = pty.openpty()
    termios.tcsetwinsize(end, (24, columns))
    with open(end, "w", encoding="utf-8") as stderr:
        monkeypatch.setattr("sys.stderr", stderr)
        model = char_lstm(max_iter=2, verbose=1).fit(TEXT, TEXT[:100])
    shown = b""
    with contextlib.suppress(OSError):  # at the end: what was written may arrive in pieces
        while piece := os.read(terminal, 10_000):
            shown += piece
    os.close(terminal)
    first, *_, last = shown.decode().rstrip().lstrip("\r").split("\r")
    loss, validation = model.loss_curve_[1], -model.validation_scores_[1]
    said = f"| epoch 2: {loss / np.log(2):.3f} bits, validation {validation / np.log(2):.3f} ["
    assert first.startswith("  0%|") and "| epoch 1 [" in first
    assert last.startswith("100%|") and said in last
    assert last.endswith("char/s]") == (columns == 80)
    assert max(len(first), len(last)) <= columns


def test_the_bits_of_an_epoch_are_shown_while_it_lasts(capsys, monkeypatch):
    interrupt(monkeypatch, 5)
    with pytest.warns(RuntimeWarning, match="interrupted in epoch 1"):
        char_lstm(verbose=1).fit(TEXT)
    assert re.search(r"epoch 1: \d\.\d{3} bits \[", capsys.readouterr().err)


@pytest.mark.parametrize("character", ["a", "é", "\U0001f600"])
def test_memory_grows_by_a_few_bytes_per_character(character, monkeypatch):
    peaks = []
    for n in (2_500_000, 7_500_000):
        text = (SENTENCE + character) * (n // len(SENTENCE))
        interrupt(monkeypatch, 5)
        tracemalloc.start()
        with pytest.warns(RuntimeWarning, match="interrupted"):
            char_lstm(batch_size=64, seq_length=64).fit(text, text[: n // 10])
        peaks.append((tracemalloc.get_traced_memory()[1], len(text)))
        tracemalloc.stop()
        monkeypatch.undo()
    (low, short), (high, long) = peaks
    assert (high - low) / (long - short) < 4
    assert low < 40e6 + 4 * short


@pytest.mark.parametrize(("name", "limit"), [("bits_per_char", 2), ("surprisal", 10)])
def test_measures_take_a_few_bytes_per_character(name, limit):
    model, peaks = char_lstm(hidden_size=2, max_iter=0).fit(TEXT), []
    for n in (1, 50_000, 150_000):  # the first makes what is made once
        text = SENTENCE * (n // len(SENTENCE) + 1)
        tracemalloc.start()
        getattr(model, name)(text)
        peaks.append((tracemalloc.get_traced_memory()[1], len(text)))
        tracemalloc.stop()
    _, (low, short), (high, long) = peaks
    assert (high - low) / (long - short) < limit
