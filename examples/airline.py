"""The ten lines of the README, and its picture.

    python examples/airline.py [--plot PNG]

Monthly airline passengers: learn from all but the last two years, then forecast these.
"""

import argparse

import matplotlib

from numlstm import LSTMForecaster
from numlstm.datasets import load_airline_passengers
from numlstm.metrics import mean_absolute_scaled_error, seasonal_naive_forecast
from numlstm.plotting import ForecastDisplay


def main():
    """Fit, forecast, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plot", default="airline.png", metavar="PNG")
    arguments = parser.parse_args()

    y = load_airline_passengers(as_frame=True).data
    past, future = y[:-24], y[-24:]
    model = LSTMForecaster(
        window=12, horizon=24, hidden_size=16, max_iter=200, learning_rate_init=1e-2, random_state=0
    )
    model.fit(past)
    print(model.predict().round())

    naive = seasonal_naive_forecast(past, 24, 12)
    for name, forecast in (("LSTM", model.predict()), ("seasonal naive", naive)):
        error = mean_absolute_scaled_error(future, forecast, y_train=past, period=12)
        print(f"{name}: MASE {error:.2f}")
    matplotlib.use("Agg")
    display = ForecastDisplay.from_estimator(
        model, past, truth=future, baselines={"seasonal naive": naive}
    )
    display.ax_.set(ylabel="passengers, thousands a month")
    display.figure_.savefig(arguments.plot, dpi=110)


if __name__ == "__main__":
    main()
