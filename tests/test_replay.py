"""Training steps that are run again without their Python learn what all of it would."""

import itertools

import numba
import numpy as np
import pytest

from numlstm import LSTMClassifier, LSTMRegressor
from numlstm.kernels import _recorded, _threads
from numlstm.kernels._threads import launch, noting, then, thread_limit
from numlstm.kernels.layout import gather_rows_chunk
from numlstm.nn import replay
from numlstm.nn.replay import Replay

NEVER = 10**9


@pytest.fixture
def sequences(rng):
    X = rng.normal(size=(150, 12, 2))
    return X, X[:, :, 0].sum(axis=1)


def note_after(monkeypatch, count):
    """Have calls noted after so many alike."""
    monkeypatch.setattr(Replay, "is_first", False)
    monkeypatch.setattr(replay, "WORTH", count)


def runs(monkeypatch):
    """Return a list that grows with each run of recorded launches."""
    real, seen = _recorded.Calls.__call__, []

    def run(self):
        seen.append(len(self._works))
        real(self)

    monkeypatch.setattr(_recorded.Calls, "__call__", run)
    return seen


def fits(monkeypatch, model, X, y, **more):
    """Return weights and losses of a fit whose steps are never repeated, and of one where they are.

    The second list holds how many launches were repeated together.
    """
    found = []
    for worth in (NEVER, 3):
        note_after(monkeypatch, worth)
        with monkeypatch.context() as patch:
            seen = runs(patch)
            model.fit(X, y, **more)
        found.append((model._network.parameters.copy(), model.loss_curve_))
        assert bool(seen) is (worth != NEVER)
    return found


REPEATED = {
    "plain": {},
    "float64": {"dtype": "float64"},
    "two layers": {"n_layers": 2},
    "bidirectional": {"bidirectional": True, "n_layers": 2},
    "penalty": {"alpha": 0.1},
    "momentum": {"solver": "sgd", "learning_rate_init": 0.01},
    "huber": {"loss": "huber"},
    "clipped": {"clip_norm": 1e-3},
    "stopped early": {"early_stopping": True, "validation_fraction": 0.2},
}


@pytest.mark.parametrize("name", REPEATED)
def test_the_same_to_the_last_bit(sequences, monkeypatch, name):
    X, y = sequences
    model = LSTMRegressor(9, batch_size=16, max_iter=3, random_state=0, **REPEATED[name])
    (weights, losses), (again, losses_again) = fits(monkeypatch, model, X, y)
    assert np.array_equal(weights, again)
    assert losses == losses_again


def test_with_weights_of_samples(sequences, monkeypatch, rng):
    X, y = sequences
    weights = rng.integers(1, 3, size=16).astype(float)  # every batch has the same sum
    model = LSTMRegressor(9, batch_size=16, max_iter=4, shuffle=False, random_state=0)
    options = {"sample_weight": np.tile(weights, 9)}
    (a, _), (b, _) = fits(monkeypatch, model, X[:144], y[:144], **options)
    assert np.array_equal(a, b)


def test_targets_of_every_step(sequences, monkeypatch):
    X, _ = sequences
    model = LSTMRegressor(9, batch_size=16, max_iter=3, random_state=0)
    (a, _), (b, _) = fits(monkeypatch, model, X, np.cumsum(X, axis=1))
    assert np.array_equal(a, b)


def test_classes(sequences, monkeypatch):
    X, y = sequences
    model = LSTMClassifier(9, batch_size=16, max_iter=3, class_weight="balanced", random_state=0)
    (a, _), (b, _) = fits(monkeypatch, model, X, y > 1)
    assert np.array_equal(a, b)


@pytest.mark.parametrize(
    "options", [{"dropout": 0.3, "n_layers": 2}, {"batch_size": 1}], ids=["dropout", "one row"]
)
def test_what_differs_from_step_to_step_is_not_repeated(sequences, monkeypatch, options):
    X, y = sequences
    note_after(monkeypatch, 2)
    seen = runs(monkeypatch)
    LSTMRegressor(5, **{"batch_size": 16, "max_iter": 2, "random_state": 0} | options).fit(X, y)
    assert not seen


def test_lengths_that_differ_are_not_repeated(sequences, monkeypatch, rng):
    X, y = sequences
    ragged = [x[: rng.integers(5, 13)] for x in X]
    note_after(monkeypatch, 2)
    seen = runs(monkeypatch)
    LSTMRegressor(5, batch_size=16, max_iter=2, random_state=0).fit(ragged, y)
    assert not seen


def test_any_number_of_threads(sequences, monkeypatch):
    """Wide enough for two threads; with one they are not asked for."""
    X, y = np.tile(sequences[0], (2, 4, 1)), np.tile(sequences[1], 2)
    note_after(monkeypatch, 3)
    found = []
    for n_threads in (1, 2):
        with thread_limit(n_threads):
            model = LSTMRegressor(64, batch_size=60, max_iter=2, random_state=0).fit(X, y)
        found.append(model._network.parameters)
    assert np.array_equal(*found)


def before_run(monkeypatch, number, action):
    """Call an action, with the launches about to be repeated, before the run of that number."""
    real, calls = _recorded.Calls.__call__, itertools.count(1)

    def run(self):
        if next(calls) == number:
            action(self._kept)
        real(self)

    note_after(monkeypatch, 3)
    monkeypatch.setattr(_recorded.Calls, "__call__", run)


def interrupt(_):
    raise KeyboardInterrupt


def spoil_weights(launches):
    _, (parameters, *_), _ = launches[-1]  # of the optimiser
    parameters.fill(np.inf)


@pytest.mark.parametrize(
    ("number", "action", "said"),
    [(8, interrupt, "interrupted in epoch 1"), (6, spoil_weights, "infinite or NaN in epoch 1")],
)
def test_a_fit_cut_short_in_a_repeated_step_keeps_weights(
    sequences, monkeypatch, number, action, said
):
    X, y = sequences
    before_run(monkeypatch, number, action)
    model = LSTMRegressor(5, batch_size=16, max_iter=9, random_state=0)
    with pytest.warns(RuntimeWarning, match=f"{said}.*kept"):
        model.fit(X, y)
    assert np.isfinite(model.predict(X)).all()


# --- the parts --------------------------------------------------------------------------------


def gather_twice(values, starts, log):
    """Return a function that launches kernels into its result, and calls Python between."""
    out, active = np.zeros((2, 2, 3, 1)), np.array([3, 3, 0])

    def gather(values, starts):
        launch(gather_rows_chunk, values, starts, active, out[0], work=0)
        then(log.append, "between")
        launch(gather_rows_chunk, values, starts + 0, active, out[1], work=0)

    return gather, out


def test_a_function_is_called_until_it_is_worth_it(monkeypatch):
    note_after(monkeypatch, 3)
    values, log, called = np.arange(20.0)[:, None], [], []
    gather, out = gather_twice(values, None, log)

    def function(values, starts):
        called.append(1)
        gather(values, starts)

    repeat = Replay()
    for k in range(6):
        repeat(function, "key", values + k, np.array([0, 5, 9]))
        assert out[0, :, :, 0].tolist() == [[k, k + 5, k + 9], [k + 1, k + 6, k + 10]]
        assert len(log) == k + 1
    assert len(called) == 3
    repeat(function, "another", values, np.array([0, 5, 9]))
    repeat(function, "key", values[:15], np.array([0, 5, 9]))
    assert len(called) == 5
    repeat(function, "key", values, np.array([0, 5, 9]))
    assert len(called) == 5


def test_the_first_of_a_process_has_to_be_worth_more(monkeypatch):
    monkeypatch.setattr(Replay, "is_first", True)
    monkeypatch.setattr(replay, "WORTH", 2)
    monkeypatch.setattr(replay, "WORTH_FIRST", 5)
    repeat, called = Replay(), []
    for key in range(2):
        for _ in range(9):
            repeat(called.append, key, np.zeros(1))
    assert len(called) == 5 + 2


def test_every_kind_is_noted_once_and_four_at_most(monkeypatch):
    note_after(monkeypatch, 2)
    repeat, called = Replay(), []
    for _ in range(5):
        for key in range(6):
            repeat(called.append, key, np.zeros(1))
    assert len(called) == 4 * 2 + 2 * 5


def test_an_interrupted_recording_is_none(monkeypatch):
    note_after(monkeypatch, 1)
    repeat, calls = Replay(), itertools.count()

    def function(values):
        if next(calls) == 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        repeat(function, "key", np.zeros(2))
    with noting() as noted:
        launch(
            gather_rows_chunk, np.zeros((9, 1)), np.array([0]), np.array([1, 0]),
            np.zeros((1, 1, 1)), work=0,
        )  # fmt: skip
    assert len(noted) == 1  # of this list alone
    repeat(function, "key", np.zeros(2))


def test_arguments_that_do_not_fit_are_refused():
    place = np.zeros(_recorded.ROOM, np.int64).ctypes.data
    with pytest.raises(TypeError, match="more arguments than a recorded call has room for"):
        _recorded.keep((0, *[np.zeros((1, 1, 1, 1))] * 90), place)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
def test_threads_are_given_back_where_compiling_is_interrupted(monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(_threads, "address_of", interrupted)
    monkeypatch.setattr(_threads, "n_workers", lambda *args: 2)
    before = numba.get_num_threads()
    with pytest.raises(KeyboardInterrupt):
        launch(gather_rows_chunk, work=0)
    assert not _threads._busy.locked()
    assert numba.get_num_threads() == before
