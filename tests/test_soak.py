"""What is fitted and forgotten leaves no memory behind, and `benchmarks/soak.py` would say so."""

import gc
import tracemalloc

import numpy as np
import pytest
from scripts import load_script

from numlstm import CharLSTM, LSTMClassifier, LSTMForecaster, LSTMRegressor

QUICK = {"hidden_size": 100, "max_iter": 1, "random_state": 0}
WEIGHTS = 160_000  # bytes of such a network, at least
X = np.random.default_rng(0).normal(size=(8, 4, 2))
y = np.arange(8) % 2


def use_predictor(kind, **options):
    model = kind(**QUICK, **options).fit(X, y, X_val=X, y_val=y)
    model.predict(list(X))
    model.trace(X)
    model.input_gradients(X)
    model.predict_step(X[:, 0])


def use_forecaster():
    LSTMForecaster(3, **QUICK).fit(X.ravel()).predict(5)


def use_texts():
    model = CharLSTM(**QUICK, n_layers=1, embedding_size=4).fit("to be or not to be " * 9)
    model.generate(20, random_state=0)
    model.score("to be")


USES = {
    "regressor": lambda: use_predictor(LSTMRegressor),
    "regressor, lbfgs": lambda: use_predictor(LSTMRegressor, solver="lbfgs"),
    "classifier": lambda: use_predictor(LSTMClassifier, early_stopping=True),
    "forecaster": use_forecaster,
    "texts": use_texts,
}


def held():
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.mark.parametrize("name", USES)
def test_memory_is_flat(name):
    USES[name]()  # what is loaded and compiled stays
    tracemalloc.start()
    try:
        USES[name]()
        before = held()
        for _ in range(5):
            USES[name]()
        assert held() - before < WEIGHTS  # NumPy keeps some small arrays for later
    finally:
        tracemalloc.stop()


@pytest.fixture
def soak():
    return load_script("benchmarks/soak.py")


@pytest.mark.parametrize(("growth", "code"), [([1, 1.049, 0.9], 0), ([1, 1.051, 0.9], 1)])
def test_the_soak_allows_5_percent_at_any_time(soak, growth, code, monkeypatch, capsys):
    rounds, sizes = [], iter(growth)
    monkeypatch.setattr(soak, "play", lambda rng, path: rounds.append(path))
    monkeypatch.setattr(soak, "resident", lambda: 1e8 * next(sizes))
    assert soak.main(["--rounds", "150"]) == code
    assert len(rounds) == 150 and len(capsys.readouterr().out.splitlines()) == 3
