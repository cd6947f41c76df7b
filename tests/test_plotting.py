"""Pictures: what is in them, and that they can be drawn without a screen."""

import copy
import itertools
import warnings

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.dates import ConciseDateFormatter
from matplotlib.figure import Figure
from sklearn.exceptions import NotFittedError

from numlstm import LSTM, CharLSTM, LSTMClassifier, LSTMForecaster, LSTMRegressor
from numlstm.plotting import (
    AttributionDisplay,
    ForecastDisplay,
    GateDisplay,
    LossCurveDisplay,
    blank_figure,
    check_picture,
)

QUICK = {"hidden_size": 3, "max_iter": 3, "n_threads": 1, "random_state": 0}


@pytest.fixture(autouse=True)
def no_screen():
    """Draw with Agg, and close what was drawn."""
    before = matplotlib.get_backend()
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    yield
    plt.close("all")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        matplotlib.use(before)


@pytest.fixture
def X(rng):
    return rng.normal(size=(20, 6, 2))


@pytest.fixture
def regressor(X):
    return LSTMRegressor(**QUICK, early_stopping=True).fit(X, X.sum(axis=(1, 2)))


@pytest.fixture
def forecaster(rng):
    y = rng.normal(size=40).cumsum()
    return LSTMForecaster(4, 5, **QUICK).fit(y), y


def saved(display, path):
    """Check that a display can be saved as a picture that is not blank."""
    from matplotlib.image import imread

    display.figure_.savefig(path, dpi=50)
    assert imread(path)[..., :3].std() > 0.01


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def lines(ax):
    return {line.get_label(): line for line in ax.get_lines()}


# Loss curve -----------------------------------------------------------------------------------


def test_the_loss_curve_of_a_regressor(regressor, tmp_path):
    display = LossCurveDisplay.from_estimator(regressor)
    np.testing.assert_array_equal(display.line_.get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(display.line_.get_ydata(), regressor.loss_curve_)
    _, right = display.figure_.axes
    np.testing.assert_array_equal(right.get_lines()[0].get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(right.get_lines()[0].get_ydata(), regressor.validation_scores_)
    assert legend(display.ax_) == ["training loss", "validation score"]
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("epoch", "loss")
    assert right.get_ylabel() == "score"
    saved(display, tmp_path / "loss.png")


def test_the_loss_curve_without_validation(X):
    model = CharLSTM(4, 1, max_iter=2, batch_size=2, random_state=0).fit("to be or not to be" * 9)
    display = LossCurveDisplay.from_estimator(model)
    assert legend(display.ax_) == ["training loss"]
    assert len(display.figure_.axes) == 1


@pytest.mark.parametrize(
    ("curve", "scale"),
    [([9, 3, 0.5], "log"), ([3.3, 3.2, 3.1], "linear"), ([2, 0], "linear"), ([-1], "linear")],
)  # fmt: skip
def test_the_loss_is_logarithmic_over_more_than_a_decade(curve, scale):
    assert LossCurveDisplay(loss_curve=curve).plot().ax_.get_yscale() == scale


def test_a_single_epoch_is_seen_and_epochs_are_whole(tmp_path):
    display = LossCurveDisplay(loss_curve=[0.5], validation_scores=[0.1]).plot()
    assert all(ax.get_lines()[0].get_marker() != "None" for ax in display.figure_.axes)
    display.figure_.draw_without_rendering()
    low, high = display.ax_.get_xlim()
    assert [tick for tick in display.ax_.get_xticks() if low <= tick <= high] == [1]


def test_no_loss_curve_without_a_fit(X):
    with pytest.raises(NotFittedError):
        LossCurveDisplay.from_estimator(LSTMRegressor())
    model = LSTMRegressor(**QUICK | {"max_iter": 0}).fit(X, np.arange(20))
    with pytest.raises(ValueError, match="max_iter=0"):
        LossCurveDisplay.from_estimator(model)


# Forecast -------------------------------------------------------------------------------------


def test_the_forecast_of_an_array(forecaster, tmp_path):
    model, y = forecaster
    truth, baselines = np.ones(5), {"naive": np.zeros(5), "mean": np.full(5, 2.0)}
    display = ForecastDisplay.from_estimator(model, y, truth=truth, baselines=baselines)
    drawn = lines(display.ax_)
    assert legend(display.ax_) == ["history", "truth", "naive", "mean", "LSTM"]
    np.testing.assert_array_equal(drawn["history"].get_ydata(), y)
    for name, values in {"LSTM": model.predict(), "truth": truth, **baselines}.items():
        np.testing.assert_array_equal(drawn[name].get_xdata(), np.arange(40, 45))
        np.testing.assert_array_equal(drawn[name].get_ydata(), values)
    assert len({drawn[name].get_color() for name in ("history", "truth", "naive", "LSTM")}) == 4
    now = next(line for line in display.ax_.get_lines() if line.get_label().startswith("_"))
    assert list(now.get_xdata()) == [39, 39]  # the last value known
    assert drawn["naive"].get_linestyle() != drawn["mean"].get_linestyle()
    saved(display, tmp_path / "forecast.png")


def test_the_last_values_only(forecaster):
    model, y = forecaster
    display = ForecastDisplay.from_estimator(model, y, last=7, horizon=9)
    drawn = lines(display.ax_)
    np.testing.assert_array_equal(drawn["history"].get_ydata(), y[-7:])
    np.testing.assert_array_equal(drawn["LSTM"].get_xdata(), np.arange(7, 16))
    with pytest.raises(ValueError, match="last must be at least 1, got 0"):
        ForecastDisplay.from_estimator(model, y, last=0)


INDICES = {
    "dates": pd.date_range("2023-11-01", periods=40, freq="D", name="day"),
    "hours with a time zone": pd.date_range("2024-03-30", periods=40, freq="h", tz="Asia/Kolkata"),
    "months": pd.period_range("2021-01", periods=40, freq="M", name="month"),
    "numbers": pd.RangeIndex(100, 180, 2, name="step"),
    "fractions": pd.Index(np.arange(40) * 0.5),
}


@pytest.mark.parametrize("name", INDICES)
def test_the_forecast_of_a_pandas_series(name, rng, tmp_path):
    y = pd.Series(rng.normal(size=40).cumsum(), INDICES[name], name="sales")
    truth = pd.Series(np.zeros(5))
    model = LSTMForecaster(4, 5, **QUICK).fit(y)
    display = ForecastDisplay.from_estimator(model, y, truth=truth, last=12)
    ax, drawn = display.ax_, lines(display.ax_)
    assert ax.get_ylabel() == "sales"
    assert ax.get_xlabel() == (y.index.name or "")
    dated = isinstance(ax.xaxis.get_major_formatter(), ConciseDateFormatter)
    assert dated == (name in ("dates", "hours with a time zone", "months"))
    np.testing.assert_array_equal(drawn["history"].get_ydata(), y.iloc[-12:])
    past, future = (drawn[key].get_xdata(orig=False) for key in ("history", "LSTM"))
    steps = np.diff(np.concatenate([past, future]))
    assert (steps > 0).all()
    assert steps.max() < 1.2 * steps.min()  # months differ in length, but there is no gap
    saved(display, tmp_path / "forecast.png")
    boxes = [label.get_window_extent() for label in ax.get_xticklabels()]
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))  # no label runs into the next


def test_other_quantities_are_handed_on(rng):
    y, X = rng.normal(size=40), rng.normal(size=(45, 2))
    model = LSTMForecaster(4, 5, **QUICK).fit(y, X[:40])
    display = ForecastDisplay.from_estimator(model, y, X=X[40:])
    np.testing.assert_array_equal(display.forecast, model.predict(X=X[40:]))


def test_no_forecast_without_a_fit_or_of_many_series(forecaster):
    model, y = forecaster
    with pytest.raises(NotFittedError):
        ForecastDisplay.from_estimator(LSTMForecaster(), y)
    with pytest.raises(ValueError, match=r"one series.*\(40, 2\)"):
        ForecastDisplay.from_estimator(model, np.stack([y, y], axis=1))


# Gates ----------------------------------------------------------------------------------------


def test_the_gates_of_a_regressor(regressor, X, tmp_path):
    display = GateDisplay.from_estimator(regressor, X, sample=2)
    assert display.axes_.shape == (3, 2)
    trace = regressor.trace(X)
    titles = ["input gate", "forget gate", "output gate", "candidate", "cell state", "hidden state"]
    for ax, name, title in zip(display.axes_.T.flat, "ifogch", titles, strict=True):
        assert ax.get_title() == f"{title} {name}"
        image = ax.images[0]
        assert image.origin == "upper" and image.colorbar is not None
        assert image.get_cmap().name == ("viridis" if name in "ifo" else "RdBu_r")
        np.testing.assert_array_equal(image.get_array(), getattr(trace, name)[0, 2].T)
        assert image.get_clim() == ((0, 1) if name in "ifo" else (-1, 1))
    assert [ax.get_xlabel() for ax in display.axes_[:, 0]] == ["", "", "time step"]
    assert [ax.get_ylabel() for ax in display.axes_[0]] == ["unit", ""]
    saved(display, tmp_path / "gates.png")


def test_a_large_state_is_within_its_scale():
    lstm = LSTM(1, 2, random_state=0)
    lstm.weights = [[w * 0 + 9 for w in lstm.weights[0]]]  # all gates open: c counts the steps
    display = GateDisplay.from_estimator(lstm, np.ones((1, 5, 1)))
    image = display.axes_[1, 1].images[0]
    assert image.get_clim() == pytest.approx((-5, 5), rel=1e-3)


def test_the_gates_of_another_layer(rng):
    lstm = LSTM(2, 3, n_layers=2, bidirectional=True, random_state=0)
    X = rng.normal(size=(2, 4, 2))
    display = GateDisplay.from_estimator(lstm, X, layer=3, sample=1)
    np.testing.assert_array_equal(
        display.axes_[0, 0].images[0].get_array(), lstm.trace(X).i[3, 1].T
    )


def test_nothing_is_shown_past_the_end_of_a_sequence(rng):
    X = [rng.normal(size=(n, 1)) for n in (3, 8, 5) * 4]
    model = LSTMRegressor(**QUICK).fit(X, np.arange(12))
    for form in (X, pd.Series(X, index=range(7, 19))):
        display = GateDisplay.from_estimator(model, form, sample=2)
        assert display.axes_[0, 0].images[0].get_array().shape == (3, 5)


def test_the_gates_of_a_forecaster_over_its_last_window(forecaster, tmp_path):
    model, _ = forecaster
    display = GateDisplay.from_estimator(model)
    assert display.axes_[0, 0].images[0].get_array().shape == (3, 4)
    W, b = model._network.dense.get_weights(model._network._head)
    history = model._history
    out = (model.trace().h[0, :, -1] @ W + b)[0] * history.std() + history.mean()
    np.testing.assert_allclose(out, model.predict(), rtol=1e-5)


def test_the_gates_of_a_forecaster_with_other_quantities(rng):
    X = rng.normal(size=(45, 2))
    model = LSTMForecaster(4, 5, **QUICK).fit(X[:40, 0], X[:40])
    trace = model.trace(X[40:])
    assert trace.h.shape == (1, 1, 4, 3)
    assert not np.array_equal(trace.h, model.trace(X[:5]).h)
    with pytest.raises(ValueError, match="X must be given to predict if, and only if"):
        model.trace()


@pytest.mark.parametrize("embedding_size", [None, 4])
def test_the_gates_of_a_text(embedding_size, tmp_path):
    model = CharLSTM(3, 2, embedding_size=embedding_size, max_iter=1, random_state=0)
    model.fit("a $ b\n" * 50)
    display = GateDisplay.from_estimator(model, "a $\n", layer=1)
    labels = [label.get_text() for label in display.axes_[-1, 0].get_xticklabels()]
    assert labels == ["a", "\u2423", r"\$", "\u21b5"]
    longer = GateDisplay.from_estimator(model, "a" * (GateDisplay.MAX_LABELS + 1))
    assert "a" not in {label.get_text() for label in longer.axes_[-1, 0].get_xticklabels()}
    assert display.axes_[0, 0].images[0].get_array().shape == (3, 4)
    saved(display, tmp_path / "gates.png")
    weights = model._network.get_weights()
    probabilities = np.exp(
        model.trace("a $").h[-1, 0, -1] @ weights["dense.W"] + weights["dense.b"]
    )
    expected = model.predict_proba(["a $"])[0]
    np.testing.assert_allclose(probabilities / probabilities.sum(), expected, rtol=1e-4)


@pytest.mark.parametrize("bad", [{"sample": 20}, {"layer": 1}, {"sample": -1}])
def test_no_gates_of_what_is_not_there(regressor, X, bad):
    (name,) = bad
    with pytest.raises(ValueError, match=f"{name} must be from 0 to .*, got"):
        GateDisplay.from_estimator(regressor, X, **bad)


# Attribution ----------------------------------------------------------------------------------


def test_the_attribution_of_a_regressor(regressor, X, tmp_path):
    X = X * [1, 100]
    model = LSTMRegressor(**QUICK).fit(X, X.sum(axis=(1, 2)))
    display = AttributionDisplay.from_estimator(model, X, sample=3)
    spread = X.std(axis=(0, 1))
    expected = np.linalg.norm(model.input_gradients(X)[3] * spread, axis=1)
    np.testing.assert_allclose(display.attribution_, expected, rtol=1e-6)
    above, below = display.axes_
    assert [bar.get_height() for bar in below.patches] == pytest.approx(expected)
    middles = [bar.get_x() + bar.get_width() / 2 for bar in below.patches]
    assert middles == pytest.approx(range(6))
    assert legend(above) == ["feature 0", "feature 1"]
    assert (above.get_ylabel(), below.get_xlabel()) == ("input, in deviations", "time step")
    np.testing.assert_allclose(above.lines[1].get_ydata(), X[3, :, 1] / spread[1])
    saved(display, tmp_path / "attribution.png")


def test_the_attribution_of_a_class_of_ragged_sequences(rng, tmp_path):
    X = [rng.normal(size=(n, 1)) for n in (3, 1, 5) * 4]
    model = LSTMClassifier(**QUICK).fit(X, ["a", "b", "c"] * 4)
    display = AttributionDisplay.from_estimator(model, X, sample=1, output=2)
    assert len(display.axes_[1].patches) == 1
    expected = np.abs(model.input_gradients(X, output=2)[1][:, 0]) * model._x_scale
    np.testing.assert_allclose(display.attribution_, expected, rtol=1e-6)
    assert display.axes_[0].lines[0].get_marker() == "o"
    saved(display, tmp_path / "attribution.png")
    with pytest.raises(ValueError, match="sample must be from 0 to 11, got 12"):
        AttributionDisplay.from_estimator(model, X, sample=12)


def test_the_attribution_of_a_table(rng):
    X = pd.DataFrame(rng.normal(size=(12, 4)), index=range(100, 112), columns=list("abcd"))
    model = LSTMRegressor(**QUICK).fit(X, X["a"])
    display = AttributionDisplay.from_estimator(model, X, sample=2)
    np.testing.assert_allclose(display.X[:, 0], X.iloc[2])


def test_the_attribution_in_the_units_of_the_inputs(rng):
    gradients, X = rng.normal(size=(2, 5, 2))
    above, _ = AttributionDisplay(gradients=gradients, X=X).plot(names=["rain", "wind"]).axes_
    assert legend(above) == ["rain", "wind"] and above.get_ylabel() == "input"
    np.testing.assert_array_equal(above.lines[1].get_ydata(), X[:, 1])


def test_it_shows_which_step_counts(rng):
    X = rng.normal(size=(200, 6, 1))
    model = LSTMRegressor(6, solver="lbfgs", random_state=0, n_threads=1).fit(X, X[:, 2, 0])
    display = AttributionDisplay.from_estimator(model, X)
    assert display.attribution_.argmax() == 2


def test_no_gates_without_a_fit(X):
    with pytest.raises(NotFittedError):
        GateDisplay.from_estimator(LSTMRegressor(), X)


# All of them ----------------------------------------------------------------------------------


def test_axes_can_be_handed_in(regressor, forecaster):
    figure = Figure()
    left, right = figure.subplots(1, 2)
    for display, ax in (
        (LossCurveDisplay.from_estimator(regressor, ax=left), left),
        (ForecastDisplay.from_estimator(*forecaster, ax=right), right),
    ):
        assert display.ax_ is ax and display.figure_ is figure


def test_drawing_changes_nothing(regressor, X):
    curve, y = copy.deepcopy(regressor.loss_curve_), regressor.predict(X)
    LossCurveDisplay.from_estimator(regressor)
    GateDisplay.from_estimator(regressor, X)
    assert regressor.loss_curve_ == curve
    np.testing.assert_array_equal(regressor.predict(X), y)


def test_a_blank_figure_is_unknown_to_pyplot():
    import matplotlib.pyplot as plt

    figure, axes = blank_figure(2, (4, 3))
    assert len(axes) == 2 and axes[0].figure is figure
    assert plt.get_fignums() == []


def test_the_name_of_a_picture():
    for name in ("a.png", "a.b.SVG", "/tmp/a.pdf"):
        check_picture(name)
    for name in ("a", "a.csv", ".png"):
        with pytest.raises(ValueError, match="must end in one of .png"):
            check_picture(name)
