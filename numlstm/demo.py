"""`numlstm demo`: real series, a split fixed in advance, and honest baselines beside the LSTM."""

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
        **plan["model"],
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


def run(picture):
    """Run the demo: print the figures and write the picture.

    Parameters
    ----------
    picture : path
        The PNG to write.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from numlstm.plotting import ForecastDisplay

    begin = time.perf_counter()
    print(
        "numlstm demo: the first run compiles the kernels, later runs load them from the cache.\n"
    )
    figure, axes = plt.subplots(len(SERIES), 1, figsize=(9, 7), layout="constrained")
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
    figure.savefig(picture, dpi=130)
    plt.close(figure)
    print(f"\nPicture: {Path(picture)}   ({time.perf_counter() - begin:.0f} s in all)")
