"""Networks whose weights no memory holds: one clear error, before any work, and nothing is lost."""

import math

import numpy as np
import pytest

from numlstm import LSTM, CharLSTM, LSTMClassifier, LSTMForecaster, LSTMRegressor, LSTMVariant
from numlstm.nn import memory, network

QUICK = {"max_iter": 1, "n_threads": 1, "random_state": 0}
X, y = np.random.default_rng(0).normal(size=(8, 4, 2)), np.arange(8) % 2
TEXT = "to be or not to be " * 9
FITS = {
    "regressor": (LSTMRegressor, (X, y)),
    "classifier": (LSTMClassifier, (X, y)),
    "forecaster": (lambda **options: LSTMForecaster(3, **options), (X.ravel(),)),
    "texts": (CharLSTM, (TEXT,)),
}


def unchanged(model, action, match):
    before = vars(model).copy()
    with pytest.raises(MemoryError, match=match):
        action()
    assert vars(model) == before


@pytest.mark.parametrize("name", FITS)
def test_too_many_units(name, monkeypatch):
    make, data = FITS[name]
    model = make(hidden_size=3, **QUICK).fit(*data)
    monkeypatch.setattr(np.linalg, "qr", None)  # weights are not even drawn
    model.hidden_size = 10**6
    unchanged(
        model,
        lambda: model.fit(*data),
        r"hidden_size=1000000, .*n_layers=\d.*: the network with its gradient needs \d{5}\.\d GiB",
    )


def test_too_many_layers_and_too_large_an_embedding(monkeypatch):
    model = CharLSTM(3, 1, embedding_size=2, **QUICK).fit(TEXT)
    monkeypatch.setattr(memory, "physical_memory", lambda: 2**20)
    match = "hidden_size=3, embedding_size=1000000, n_layers=1: the network .* needs .* GiB"
    model.embedding_size = 10**6
    unchanged(model, lambda: model.fit(TEXT), match)
    model = LSTMRegressor(9, **QUICK).fit(X, y)
    match = "hidden_size=9, n_outputs=1, n_layers=1000, bidirectional=True: the network .* 0.0 GiB"
    model.set_params(n_layers=1000, bidirectional=True)
    unchanged(model, lambda: model.fit(X, y), match)


def test_layers_alone():
    with pytest.raises(
        MemoryError, match="^input_size=2, hidden_size=1000000, .*: the network needs .* GiB, more"
    ):
        LSTM(2, 10**6)


def test_few_weights_that_are_drawn_from_large_matrices(monkeypatch):
    variant = LSTMVariant(proj_size=1)
    match = "n_inputs=2, hidden_size=1000000: drawing the weights of a layer needs .* GiB"
    model = LSTMRegressor(3, variant=variant, **QUICK).fit(X, y)
    model.hidden_size = 10**6
    unchanged(model, lambda: model.fit(X, y), match)
    with pytest.raises(MemoryError, match=match):
        LSTM(2, 10**6, variant=variant)

    def full(*_):
        raise MemoryError("Unable to allocate")

    monkeypatch.setattr(np.linalg, "qr", full)
    with pytest.raises(MemoryError, match="n_inputs=2, hidden_size=3: drawing"):
        LSTMRegressor(3, **QUICK).fit(X, y)


def test_weights_and_gradient_are_counted_as_they_are(monkeypatch):
    made = network.SequenceNetwork(2, 40, 1)
    n_bytes = made.parameters.nbytes + made.gradient.nbytes
    monkeypatch.setattr(memory, "physical_memory", lambda: n_bytes)
    network.SequenceNetwork(2, 40, 1)
    monkeypatch.setattr(memory, "physical_memory", lambda: n_bytes - 1)
    with pytest.raises(MemoryError, match="hidden_size=40"):
        network.SequenceNetwork(2, 40, 1)


def test_a_system_that_grants_less_than_it_has(monkeypatch):
    def full(shape, dtype):
        raise MemoryError("Unable to allocate")

    monkeypatch.setattr(memory, "aligned_zeros", full)
    with pytest.raises(MemoryError, match="hidden_size=3, .*: the network with its gradient needs"):
        LSTMRegressor(3, **QUICK).fit(X, y)


@pytest.mark.parametrize("answer", [-1, 0, ValueError("unknown"), OSError(), AttributeError()])
def test_the_memory_of_a_machine(monkeypatch, answer):
    assert 2**28 < memory.physical_memory() <= math.inf

    def sysconf(name):
        if isinstance(answer, Exception):
            raise answer
        return answer if name == "SC_PHYS_PAGES" else 4096

    monkeypatch.setattr(memory.os, "sysconf", sysconf, raising=False)
    assert memory.physical_memory() == math.inf
