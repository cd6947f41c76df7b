"""`save` and `load` of the estimators on sequences: the same model comes back, or an error."""

import copy

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

import numlstm
from numlstm import LSTMForecaster, LSTMRegressor

N, T, D = 24, 6, 2


def regressor(**options):
    usual = {"hidden_size": 5, "max_iter": 2, "batch_size": 8, "n_threads": 1, "random_state": 0}
    return LSTMRegressor(**usual | options)


def forecaster(**options):
    usual = {"window": 4, "horizon": 3, "hidden_size": 5, "max_iter": 2, "n_threads": 1}
    return LSTMForecaster(**usual | {"random_state": 0} | options)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def again(model, path):
    """Return the model as it comes back from a file."""
    model.save(path)
    return numlstm.load(path)


def fitted_attributes(model):
    """Return what a user can read off a fitted model."""
    names = {name for name in vars(model) if name.endswith("_") and name != "lstm_"}
    return {name: getattr(model, name) for name in names if name != "feature_names_in_"}


# The same model comes back --------------------------------------------------------------------

REGRESSORS = {
    "one target": {},
    "column": {"y": (N, 1)},
    "two targets": {"y": (N, 2)},
    "per step": {"y": (N, T, 2)},
    "two-dimensional X": {"X": (N, T)},
    "bidirectional layers": {"bidirectional": True, "n_layers": 2, "y": (N, 2)},
    "bidirectional per step": {"bidirectional": True, "y": (N, T, 1)},
    "float64": {"dtype": "float64"},
    "float64 as type": {"dtype": np.float64},
    "not standardised": {"standardize": False},
    "dropout": {"n_layers": 2, "dropout": 0.3},
    "early stopping": {"early_stopping": True},
    "NumPy's numbers": {"hidden_size": np.int64(5), "learning_rate_init": np.float32(0.01)},
    "NumPy's bools": {"shuffle": np.bool_(False)},
    "not trained": {"max_iter": 0},
    "lbfgs": {"solver": "lbfgs"},
}


@pytest.mark.parametrize("name", REGRESSORS)
def test_a_regressor_comes_back(name, rng, path):
    options = dict(REGRESSORS[name])
    X = rng.normal(3, 2, options.pop("X", (N, T, D)))
    y = rng.normal(-1, 5, options.pop("y", (N,)))
    model = regressor(**options).fit(X, y)
    loaded = again(model, path)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X), strict=True)
    check_twins(model, loaded, (X, y), path)


def check_twins(model, loaded, data, path):
    """Check that nothing tells a loaded model from the saved one."""
    assert type(loaded) is type(model)
    assert fitted_attributes(loaded) == fitted_attributes(model)
    for theirs, ours in zip(loaded.lstm_.weights, model.lstm_.weights, strict=True):
        for a, b in zip(theirs, ours, strict=True):
            np.testing.assert_array_equal(a, b, strict=True)
    parameters = model.get_params() | {"dtype": str(np.dtype(model.dtype))}
    assert loaded.get_params() == parameters
    bytes_then = path.read_bytes()
    loaded.save(path)
    assert path.read_bytes() == bytes_then
    fresh = clone(loaded).fit(*data)  # as good as the original's own twin
    assert fresh.loss_curve_ == clone(model).fit(*data).loss_curve_
    assert copy.deepcopy(loaded).fit(*data).loss_curve_ == fresh.loss_curve_


def test_a_regressor_of_ragged_sequences_comes_back(rng, path):
    X = [rng.normal(size=(n, D)) for n in (3, 7, 1, 5) * 4]
    y = [rng.normal(size=(len(x), 1)) for x in X]
    model = regressor().fit(X, y)
    for a, b in zip(again(model, path).predict(X), model.predict(X), strict=True):
        np.testing.assert_array_equal(a, b, strict=True)


def test_the_names_of_the_features_come_back(rng, path):
    X = pd.DataFrame(rng.normal(size=(N, T)), columns=[f"lag {k}" for k in range(T)])
    model = regressor().fit(X, rng.normal(size=N))
    loaded = again(model, path)
    assert list(loaded.feature_names_in_) == list(X.columns)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    with pytest.raises(ValueError, match="feature names"):
        loaded.predict(X.rename(columns={"lag 0": "other"}))


INDICES = {
    "none": None,
    "days": pd.date_range("2024-02-20", periods=N, freq="D"),
    "ends of months": pd.date_range("2020-01-01", periods=N, freq="ME"),
    "no frequency": pd.DatetimeIndex(np.array(pd.date_range("2020-01-01", periods=N, freq="MS"))),
    "nanoseconds": pd.date_range("2020-01-01", periods=N, freq="37ns", unit="ns"),
    "seconds": pd.date_range("2020-01-01", periods=N, freq="min", unit="s"),
    "daylight saving": pd.date_range("2020-10-24 06:00", periods=N, freq="h", tz="Europe/Berlin"),
    "fixed offset": pd.date_range("2020-01-01 00:00+05:30", periods=N, freq="h"),
    "months": pd.period_range("2020-01", periods=N, freq="M"),
    "weeks": pd.period_range("2020-01-01", periods=N, freq="W-WED"),
    "range": pd.RangeIndex(5, 5 + 3 * N, 3),
    "fractions": pd.Index(np.arange(N) * 0.5),
}


@pytest.mark.parametrize("name", INDICES)
@pytest.mark.parametrize("n_series", [None, 2])
def test_a_forecaster_comes_back(name, n_series, rng, path):
    index = INDICES[name]
    y = rng.normal(10, 3, N if n_series is None else (N, n_series)).cumsum(axis=0)
    if index is not None:
        index = index.rename("when")
        y = (
            pd.Series(y, index, name="v")
            if n_series is None
            else pd.DataFrame(y, index).add_prefix("v")
        )
    model = forecaster().fit(y)
    loaded = again(model, path)
    for horizon in (None, 8):
        theirs, ours = loaded.predict(horizon), model.predict(horizon)
        if index is None:
            np.testing.assert_array_equal(theirs, ours, strict=True)
        else:
            compare = (
                pd.testing.assert_series_equal
                if n_series is None
                else pd.testing.assert_frame_equal
            )
            compare(theirs, ours, check_exact=True, check_freq=True)
    check_twins(model, loaded, (y,), path)


@pytest.mark.parametrize(
    "options",
    [
        {"strategy": "recursive"}, {"standardize": False}, {"dtype": "float64"},
        {"bidirectional": True, "n_layers": 2}, {"early_stopping": True},
    ],
    ids=lambda options: next(iter(options)),
)  # fmt: skip
def test_a_forecaster_with_other_quantities_comes_back(options, rng, path):
    y, X = rng.normal(size=N).cumsum(), rng.normal(5, 2, (N + 3, 2))
    model = forecaster(**options).fit(y, X[:N])
    loaded = again(model, path)
    np.testing.assert_array_equal(loaded.predict(X=X[N:]), model.predict(X=X[N:]), strict=True)
    check_twins(model, loaded, (y, X[:N]), path)


def test_a_series_that_ends_in_a_gap_comes_back(rng, path):
    y = np.append(rng.normal(size=N), np.nan)
    loaded = again(forecaster().fit(y), path)
    with pytest.raises(ValueError, match="1 are missing"):
        loaded.predict()


def test_nothing_is_left_of_an_earlier_fit(rng, path):
    y, X = rng.normal(size=N), rng.normal(size=(N, 2))
    model = forecaster().fit(y, X).fit(y)
    np.testing.assert_array_equal(again(model, path).predict(), model.predict())


def test_training_goes_on_from_a_loaded_model(rng, path):
    X, y = rng.normal(size=(N, T, D)), rng.normal(size=N)
    loaded = again(regressor(warm_start=True).fit(X, y), path)
    before = loaded.loss_
    assert loaded.fit(X, y).loss_curve_[0] < before * 1.05
    with pytest.raises(ValueError, match="geometry"):
        loaded.set_params(hidden_size=6).fit(X, y)


def test_what_cannot_come_back_is_not_saved(rng, path):
    X, y = rng.normal(size=(N, T, D)), rng.normal(size=N)
    model = regressor(random_state=np.random.RandomState(0)).fit(X, y)
    assert again(model, path).random_state is None
    assert again(model.set_params(hidden_size=9), path).hidden_size == 5  # that of the weights
    kept = path.read_bytes()
    with pytest.raises(ValueError, match="solver"):
        model.set_params(solver="newton").save(path)
    for step in (pd.DateOffset(months=1), pd.offsets.CustomBusinessDay(holidays=["2020-03-02"])):
        index = pd.date_range("2020-01-01", periods=N, freq=step)
        with pytest.raises(ValueError, match="cannot be saved"):
            forecaster().fit(pd.Series(y, index)).save(path)
    index = pd.date_range("2020-01-01", periods=N, freq="D", tz="dateutil/Europe/Berlin")
    with pytest.raises(ValueError, match="time zone"):
        forecaster().fit(pd.Series(y, index)).save(path)
    assert path.read_bytes() == kept
    assert [file.name for file in path.parent.iterdir()] == [path.name]
