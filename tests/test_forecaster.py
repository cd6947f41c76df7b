"""`LSTMForecaster`: what it forecasts, on which scale, and with which index."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.metrics import r2_score

from numlstm import LSTMForecaster
from numlstm.data.sequences import from_array
from numlstm.datasets import load_airline_passengers, make_sine
from numlstm.nn.memory import Workspace
from numlstm.training.problem import predict


def forecaster(**options):
    """Return a small forecaster on one thread: more would wait for each other."""
    usual = {"window": 12, "horizon": 4, "hidden_size": 6, "solver": "lbfgs", "max_iter": 60}
    return LSTMForecaster(**usual | {"random_state": 0, "n_threads": 1} | options)


def quick(**options):
    return forecaster(**{"max_iter": 3, "dtype": "float64"} | options)


@pytest.fixture
def wave():
    return 3 * make_sine(240, period=12.5) + 10


STRATEGIES = ("direct", "recursive")


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("standardize", [True, False])
def test_forecasts_a_wave(wave, strategy, standardize):
    wave = wave if standardize else (wave - 10) / 3
    model = forecaster(strategy=strategy, standardize=standardize).fit(wave[:-20])
    assert model.predict().shape == (4,)
    # Far beyond the horizon the forecast is fed on itself.
    far = model.predict(20)
    np.testing.assert_allclose(far, wave[-20:], atol=0.1 * np.ptp(wave))
    np.testing.assert_array_equal(far[:4], model.predict())
    assert model.score(wave[-20:]) == pytest.approx(r2_score(wave[-20:], far))
    assert model.score(wave[-20:]) > 0.98


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_several_series_at_once(wave, strategy):
    both = np.stack([wave, 100 * np.cos(np.arange(240) / 3)], axis=1)
    model = forecaster(strategy=strategy, hidden_size=8, max_iter=120).fit(both[:-8])
    assert model.predict().shape == (4, 2)
    assert model.score(both[-8:]) > 0.9
    assert (model.n_outputs_, model.n_features_in_) == (2, 0)
    column = quick(strategy=strategy).fit(wave[:, None]).predict()
    assert column.shape == (4, 1)
    assert np.array_equal(column[:, 0], quick(strategy=strategy).fit(wave).predict())


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_original_scale(wave, strategy):
    forecast = quick(strategy=strategy).fit(wave).predict(9)
    moved = quick(strategy=strategy).fit(1000 * wave + 5).predict(9)
    np.testing.assert_allclose(moved, 1000 * forecast + 5, rtol=1e-7)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_trend_is_followed_beyond_the_training_range(wave, strategy):
    y = wave + np.arange(240.0)
    model = forecaster(strategy=strategy).fit(y[:-40])
    forecast = model.predict(40)
    assert forecast[-1] > y[:-40].max() + 20
    np.testing.assert_allclose(forecast, y[-40:], atol=6)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_series_made_of_a_known_input_is_forecast_from_it(rng, strategy):
    # A coin cannot be forecast from its own past, and some windows see one side only.
    X = (rng.uniform(size=(300, 1)) < 0.3).astype(float)
    y = 30 * X[:, 0] + 10
    train, test = slice(None, 280), slice(280, None)
    options = {"strategy": strategy, "window": 3, "horizon": 2}
    model = forecaster(**options).fit(y[train], X[train])
    assert model.n_features_in_ == 1
    assert model.score(y[test], X[test]) > 0.95
    blind = forecaster(**options).fit(y[train])
    assert blind.score(y[test]) < 0.2
    # The future beyond the steps asked for is neither needed nor looked at.
    np.testing.assert_allclose(
        model.predict(3, X[280:283]), model.predict(20, X[test])[:3], rtol=1e-5
    )


@pytest.mark.parametrize("ahead", [1, 3])
def test_windows_and_targets_are_what_they_should_be(rng, ahead):
    y, X = rng.normal(size=(20, 2)), rng.normal(size=(20, 1))
    y[6, 1] = np.nan
    model = quick(window=4, horizon=ahead).fit(y, X)
    inputs, targets = model._training_windows(y, X)
    scaled = (X - X.mean(axis=0)) / X.std(axis=0)
    starts = [s for s in range(20 - 4 - ahead + 1) if not s <= 6 < s + 4 + ahead]
    assert len(inputs) == len(targets) == len(starts)
    usual = np.sqrt(np.mean([y[s : s + 4].var(axis=0) for s in starts], axis=0))
    for s, window, target in zip(starts, inputs, targets, strict=True):
        past, future = y[s : s + 4], y[s + 4 : s + 4 + ahead]
        mean, spread = past.mean(axis=0), np.maximum(past.std(axis=0), usual)
        np.testing.assert_allclose(window[:, :2], (past - mean) / spread)
        for k in range(1, ahead + 1):
            np.testing.assert_allclose(window[:, 1 + k], scaled[s + k : s + k + 4, 0])
        np.testing.assert_allclose(target.reshape(ahead, 2), (future - mean) / spread)
    # The last of them, had it been one step longer, is what a forecast starts from.
    future = np.r_[scaled[-4:], rng.normal(size=(ahead, 1))]
    mean, spread = y[-4:].mean(axis=0), np.maximum(y[-4:].std(axis=0), usual)
    past = (y[-4:] - mean) / spread
    window = np.hstack([past, *(future[k : k + 4] for k in range(1, ahead + 1))])
    out = predict(model._network, from_array(window[None]), Workspace("float64"))
    expected = out.reshape(ahead, 2) * spread + mean
    given = future[4:] * X.std(axis=0) + X.mean(axis=0)
    np.testing.assert_allclose(model.predict(X=given), expected, rtol=1e-9)


def test_missing_values_leave_out_their_windows(wave):
    holes = wave.copy()
    holes[[40, 41, 100]] = np.nan
    model = forecaster().fit(holes[:-8])
    assert model.score(wave[-8:]) > 0.95
    # As if the series had been cut there: two parts, each with windows of its own.
    cut = wave.copy()
    cut[:30] = np.nan
    np.testing.assert_allclose(
        quick().fit(cut).predict(), quick().fit(wave[30:]).predict(), rtol=1e-9
    )


def test_a_constant_series():
    model = forecaster(max_iter=20).fit(np.full(60, 7.0))
    np.testing.assert_allclose(model.predict(10), 7, atol=0.1)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_runs_of_equal_values_do_no_harm(rng, strategy):
    # Sales on a few days only: most windows of this series are constant.
    y = np.where(rng.uniform(size=300) < 0.1, rng.poisson(20, 300), 0.0)
    forecast = forecaster(strategy=strategy, window=5, alpha=1.0).fit(y).predict(50)
    assert -20 < forecast.min() and forecast.max() < 40


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_window_of_one_value(wave, strategy):
    forecast = forecaster(strategy=strategy, window=1).fit(1000 * wave).predict()
    assert np.abs(forecast / 1000 - wave[-1]).max() < np.ptp(wave)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_early_stopping_holds_out_the_last_windows(rng, solver):
    y = rng.normal(size=200).cumsum()
    options = {"solver": solver, "learning_rate_init": 3e-2, "early_stopping": True}
    options |= {"validation_fraction": 0.2, "n_iter_no_change": 4}
    model = quick(max_iter=200, **options).fit(y)
    scores = model.validation_scores_
    assert np.argmax(scores) < len(scores) - 1 < 199
    inputs, targets = model._training_windows(y[:, None], None)
    n_held = round(0.2 * len(targets))
    out = predict(model._network, from_array(inputs[-n_held:]), Workspace("float64"))
    expected = -np.mean((out - targets[-n_held:]) ** 2)
    assert model.best_validation_score_ == max(scores) == pytest.approx(expected)


def test_a_diverging_fit_warns_and_forecasts_finite_values(wave):
    for early_stopping in (False, True):
        model = quick(
            solver="sgd", learning_rate_init=1e30, clip_norm=None, early_stopping=early_stopping
        )
        with pytest.warns(RuntimeWarning, match="infinite or NaN") as record:
            model.fit(wave)
        assert record[0].filename == __file__
        assert np.isfinite(model.predict()).all()


def test_seeds_copies_and_pickles(wave):
    options = {"solver": "adam", "dtype": "float32"}
    model = quick(**options).fit(wave)
    expected = model.predict(9)
    assert np.array_equal(quick(**options).fit(wave).predict(9), expected)
    assert not np.array_equal(quick(**options | {"random_state": 1}).fit(wave).predict(9), expected)
    for twin in (copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert np.array_equal(twin.predict(9), expected)
    assert np.array_equal(clone(model).fit(wave).predict(9), expected)


def test_the_series_is_neither_changed_nor_needed_later(wave):
    before = wave.copy()
    wave.flags.writeable = False
    model = quick().fit(wave)
    expected = model.predict()
    wave.flags.writeable = True
    assert np.array_equal(wave, before)
    wave[:] = 0
    assert np.array_equal(model.predict(), expected)


def test_parameters_changed_after_fit_wait_for_the_next_one(wave):
    model = quick().fit(wave)
    expected = model.predict(9)
    changed = {"window": 3, "strategy": "recursive", "standardize": False, "dtype": "float32"}
    assert np.array_equal(model.set_params(**changed).predict(9), expected)
    assert np.array_equal(model.set_params(horizon=2).predict(), expected[:2])


# --- pandas -----------------------------------------------------------------------------------

INDICES = {
    "months": pd.date_range("2001-01-01", periods=48, freq="MS", name="month"),
    "weeks, no freq": pd.DatetimeIndex(list(pd.date_range("2001", periods=48, freq="W-TUE"))),
    "business days": pd.date_range("2001-01-01", periods=48, freq="B"),
    "summer time": pd.date_range("2001-03-24", periods=48, freq="h", tz="Europe/Paris"),
    "quarters": pd.period_range("2001Q1", periods=48, freq="Q"),
    "numbers": pd.RangeIndex(10, 10 + 48 * 5, 5, name="n"),
    "two months": pd.period_range("2001-01", periods=48, freq="2M"),
    "fractions": pd.Index(1e6 + np.arange(48) / 4),
}


@pytest.mark.parametrize("kind", INDICES)
@pytest.mark.parametrize("columns", [None, ["a", "b"]])
def test_pandas_in_pandas_out_with_the_index_carried_on(wave, kind, columns):
    index, values = INDICES[kind], wave[:48]
    values = values if columns is None else np.stack([values, -values], axis=1)
    known = index[:40]
    if columns is None:
        y = pd.Series(values[:40], known, name="sales")
    else:
        y = pd.DataFrame(values[:40], known, columns)
    forecast = quick().fit(y).predict(8)
    assert type(forecast) is type(y)
    assert list(forecast.index) == list(index[40:])
    assert forecast.index.name == index.name
    assert forecast.index.dtype == index.dtype
    if columns is None:
        assert forecast.name == "sales"
    else:
        assert list(forecast.columns) == columns
    assert np.array_equal(forecast.to_numpy(), quick().fit(values[:40]).predict(8))


def test_pandas_exogenous_missing_values_and_score(wave):
    index = INDICES["months"]
    y = pd.Series(wave[:48], index, dtype="Float64")
    y[index[3]] = pd.NA
    X = pd.DataFrame({"month": index.month, "year": index.year}, index)
    model = quick().fit(y[:40], X[:40])
    assert list(model.predict(8, X[40:]).index) == list(index[40:])
    assert model.score(y[40:], X[40:]) == r2_score(wave[40:48], model.predict(8, X[40:]))


def test_airline_passengers_as_pandas():
    y = load_airline_passengers(as_frame=True).data
    forecast = forecaster(horizon=12).fit(y[:-12]).predict()
    assert forecast.index.equals(y.index[-12:])
    assert np.mean(np.abs(forecast / y[-12:] - 1)) < 0.12
