"""`numlstm demo`: real data, splits fixed in advance, and honest baselines beside the LSTM."""

import time
from pathlib import Path

import numpy as np

# Windows and lengths of training were chosen on the years before the test part, never on it.
SERIES = {
    "airline passengers": {
        "loader": "load_airline_passengers",
        "horizon": 24,
        "unit": "months",
        "model": {"window": 12, "max_iter": 200},
    },
    "weekly CO2 at Mauna Loa": {
        "loader": "load_co2",
        "horizon": 104,
        "unit": "weeks",
        "model": {"window": 104, "max_iter": 20},
    },
}
HELD_OUT = 20_000  # characters of the documentation


def forecast_series(name, *, seed=0):
    """Fit a forecaster on all of a shipped series but its end, and measure it there.

    Parameters
    ----------
    name : str
        A key of `SERIES`.
    seed : int

    Returns
    -------
    dict
        history, truth, forecasts (by name), scores (by name: RMSE, MASE), seconds.
    """
    from numlstm import LSTMForecaster, datasets
    from numlstm.metrics import (
        last_value_forecast,
        mean_absolute_scaled_error,
        seasonal_naive_forecast,
    )

    plan = SERIES[name]
    bunch, n = getattr(datasets, plan["loader"])(), plan["horizon"]
    history, truth = bunch.data[:-n], bunch.data[-n:]
    model = LSTMForecaster(
        horizon=n, hidden_size=16, learning_rate_init=1e-2, random_state=seed, verbose=1,
        n_threads=1, **plan["model"],  # so small a network would wait for its threads
    )  # fmt: skip
    start = time.perf_counter()
    model.fit(history)
    forecasts = {
        "LSTM": model.predict(),
        "seasonal naive": seasonal_naive_forecast(history, n, bunch.period),
        "last value": last_value_forecast(history, n),
    }
    scores = {
        key: (
            float(np.sqrt(np.nanmean((truth - values) ** 2))),
            mean_absolute_scaled_error(truth, values, y_train=history, period=bunch.period),
        )
        for key, values in forecasts.items()
    }
    return {
        "history": history, "truth": truth, "index": bunch.index, "forecasts": forecasts,
        "scores": scores, "seconds": time.perf_counter() - start,
    }  # fmt: skip


def learn_text(n_characters=300_000, *, max_iter=10, seed=0):
    """Train a small character model on Python's documentation, and measure it on the end held out.

    Parameters
    ----------
    n_characters : int
        Of the text to learn from.
    max_iter : int
        Epochs.
    seed : int

    Returns
    -------
    dict
        before, after, counting: bits per character; order: of the n-grams; sample; seconds.
    """
    from numlstm import CharLSTM, NGramBaseline
    from numlstm.datasets import load_python_docs

    text = load_python_docs()
    # Characters that a split would leave unknown are replaced once, for everybody alike.
    text = "".join(c if c < "\x7f" else "?" for c in text)
    text, held = text[:-HELD_OUT], text[-HELD_OUT:]
    learn = text[:n_characters]
    known = set(learn)
    held = "".join(c if c in known else "?" for c in held)
    settings = {
        "hidden_size": 128, "n_layers": 1, "batch_size": 32, "learning_rate_init": 5e-3,
        "learning_rate": "cosine", "random_state": seed,
    }  # fmt: skip
    start = time.perf_counter()
    before = CharLSTM(**settings, max_iter=0).fit(learn).bits_per_char(held)
    model = CharLSTM(**settings, max_iter=max_iter, verbose=1).fit(learn)
    counting = NGramBaseline.best(learn, held)
    return {
        "before": before,
        "after": model.bits_per_char(held),
        "counting": counting.bits_per_char(held),
        "order": counting.order,
        "sample": model.generate(400, prompt="The ", temperature=0.6, random_state=seed),
        "seconds": time.perf_counter() - start,
    }


def run(picture):
    """Run the demo: print the figures and write the picture.

    Parameters
    ----------
    picture : path
        The PNG to write.
    """
    from numlstm.plotting import ForecastDisplay, blank_figure

    begin = time.perf_counter()
    print("numlstm demo: the first run compiles the kernels, later ones load them.\n")
    figure, axes = blank_figure(len(SERIES), (9, 7))
    for ax, (name, plan) in zip(axes, SERIES.items(), strict=True):
        result = forecast_series(name)
        n = plan["horizon"]
        print(f"\n{name}: the last {n} {plan['unit']} held out, {result['seconds']:.1f} s")
        print(f"  {'forecast':<16}{'RMSE':>9}{'MASE':>9}")
        for key, (rmse, mase) in result["scores"].items():
            print(f"  {key:<16}{rmse:>9.2f}{mase:>9.2f}")
        baseline = {"seasonal naive": result["forecasts"]["seasonal naive"]}
        shown = slice(-4 * n, None)
        display = ForecastDisplay(
            history=result["history"][shown], forecast=result["forecasts"]["LSTM"],
            truth=result["truth"], baselines=baseline,
        ).plot(ax)  # fmt: skip
        rmse, mase = result["scores"]["LSTM"]
        display.ax_.set(title=f"{name}: RMSE {rmse:.2f}, MASE {mase:.2f}", xlabel=plan["unit"])
    _show_text(learn_text())
    figure.savefig(picture, dpi=130)
    print(f"\nPicture: {Path(picture)}   ({time.perf_counter() - begin:.0f} s in all)")


def _show_text(result):
    print(f"\nPython's documentation: the last {HELD_OUT:,} characters held out, ", end="")
    print(f"{result['seconds']:.1f} s")
    print(f"  {'model':<28}bits per character")
    for name, key in (
        ("LSTM of 128 units, untrained", "before"),
        (f"{result['order']}-grams, counted", "counting"),
        ("LSTM of 128 units, trained", "after"),
    ):
        print(f"  {name:<30}{result[key]:>6.2f}")
    print(f"\n--- a sample at temperature 0.6\nThe {result['sample']}\n---")
