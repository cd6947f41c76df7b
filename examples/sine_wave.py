"""The second program of the BasicLSTMCell tutorial: the next value of a sine wave.

    python examples/sine_wave.py

The tutorial's steps, and where they went:

    sin(2 pi n / 100), 12,000 points, windows of 50    the same: `make_windows`
    placeholders (batch, 50, 1)                        a 2-D X: sequences of one feature
    BasicLSTMCell(2), dynamic_rnn                      LSTMRegressor(hidden_size=2)
    tf.matmul(last output, W) + b                      inside it
    reduce_mean(square(...)), AdamOptimizer(1e-2)      loss="squared_error", solver="adam"
    loop over batches of 64, 4 epochs                  batch_size=64, max_iter=4, then fit
"""

import argparse
import time

import numpy as np

from numlstm import LSTMRegressor
from numlstm.datasets import make_sine

WINDOW = 50
TUTORIAL_RMSE = 0.027  # TensorFlow's own run: Adam, four epochs


def make_windows():
    """Return every 50 values of the wave and the one that follows: the first 70 %, and the rest."""
    wave = make_sine(12_000, period=100)
    runs = np.lib.stride_tricks.sliding_window_view(wave, WINDOW + 1)
    X, y = runs[:, :-1], runs[:, -1]
    split = int(0.7 * len(X))
    return (X[:split], y[:split]), (X[split:], y[split:])


def models():
    """Return the tutorial's model, and the same two units under a better optimiser."""
    return {
        "Adam, four epochs as in the tutorial": LSTMRegressor(
            hidden_size=2, solver="adam", learning_rate_init=1e-2, batch_size=64, max_iter=4,
            random_state=0,
        ),
        # With a handful of weights, second-order steps on all windows at once get much further.
        "L-BFGS": LSTMRegressor(hidden_size=2, solver="lbfgs", max_iter=150, random_state=0),
    }  # fmt: skip


def plot(path, truth, predictions):
    """Draw three waves of the test part, what was predicted for them, and the errors."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = slice(0, 300)
    figure, (wave, error) = plt.subplots(
        2, 1, figsize=(8, 5), sharex=True, height_ratios=(2, 1), layout="constrained"
    )
    wave.plot(truth[shown], color="black", linewidth=4, alpha=0.25, label="truth")
    for name, values in predictions.items():
        (line,) = wave.plot(values[shown], linewidth=1.5, label=name)
        error.plot(values[shown] - truth[shown], linewidth=1.5, color=line.get_color())
    error.axhline(0, color="black", linewidth=0.8)
    wave.set(title="The next value of a sine wave, by two LSTM units", ylabel="value")
    error.set(xlabel="time step of the test part", ylabel="error")
    figure.legend(loc="outside lower center", ncols=3)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Predict a sine wave with two LSTM units.")
    parser.add_argument("--plot", default="sine_wave.png", help="picture to write")
    path = parser.parse_args(arguments).plot

    (X_train, y_train), (X_test, y_test) = make_windows()
    print(f"{len(X_train)} windows to train on, {len(X_test)} to test; RMSE on the test part:")
    print(f"  {TUTORIAL_RMSE:.4f}  the tutorial, in TensorFlow")
    predictions = {}
    for name, model in models().items():
        start = time.perf_counter()
        model.fit(X_train, y_train)
        predictions[name] = model.predict(X_test)
        rmse = np.sqrt(np.mean((predictions[name] - y_test) ** 2))
        print(f"  {rmse:.4f}  {name} ({time.perf_counter() - start:.1f} s)")
    plot(path, y_test, predictions)
    print(f"Picture: {path}")


if __name__ == "__main__":
    main()
