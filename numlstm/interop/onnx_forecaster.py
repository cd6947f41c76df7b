"""`LSTMForecaster` as an ONNX graph: windows of raw series in, their forecast out."""

import numpy as np

from numlstm.interop.onnx_estimators import add_dense, standardised
from numlstm.interop.onnx_graph import N, T
from numlstm.interop.onnx_layers import add_layers, add_lengths, run_layers


class Windows:
    """What depends on the lengths of the windows (N, T, K) alone."""

    def __init__(self, graph, y):
        self.graph, self.lengths = graph, add_lengths(graph, y)
        self.n_timesteps = graph.node("Shape", y, start=1, end=2)
        n_timesteps = graph.node("Squeeze", graph.cast(self.n_timesteps, np.int32))
        zero, one = np.array(0, np.int32), np.array(1, np.int32)
        steps = graph.node("Range", zero, n_timesteps, one)
        column = graph.node("Unsqueeze", self.lengths, np.array([1]))  # (N, 1)
        last = graph.node("Sub", column, one)
        self.inside = graph.node("Unsqueeze", graph.node("Less", steps, column), np.array([2]))
        self.last = graph.node("Unsqueeze", graph.node("Equal", steps, last), np.array([2]))
        self.count = graph.node("Unsqueeze", graph.cast(column, np.float64), np.array([2]))

    def mean(self, values):
        """Return the mean of each window, (N, 1, K)."""
        total = self.graph.node("ReduceSum", self.cleared(values), np.array([1]))
        return self.graph.node("Div", total, self.count)

    def cleared(self, values):
        """Return values with zeros past the end of each window."""
        return self.graph.node("Where", self.inside, values, np.array(0.0))

    def scales(self, y, floor):
        """Return mean and spread of each window: see `numlstm.data.series.window_scales`."""
        graph, mean = self.graph, self.mean(y)
        centred = graph.node("Sub", y, mean)
        spread = graph.node("Sqrt", self.mean(graph.node("Mul", centred, centred)))
        return mean, graph.node("Max", spread, floor)

    def following(self, values, k):
        """Return values (N, > T, K) from k steps later on, as many as a window has."""
        first = np.array([k])
        end = self.graph.node("Add", self.n_timesteps, first)
        return self.graph.node("Slice", values, first, end, np.array([1]))

    def moved_on(self, y, step):
        """Return windows that have lost their oldest value and end with a step (N, 1, K)."""
        graph = self.graph
        longer = graph.node("Concat", y, step, axis=1)
        return graph.node("Where", self.last, step, self.following(longer, 1))


def export_forecaster(graph, model, dtype):
    """Add inputs, nodes and outputs of an LSTMForecaster."""
    K, ahead, horizon = model.n_outputs_, model._ahead, int(model.horizon)
    if ahead not in (1, horizon):
        raise ValueError(f"horizon must be that of the fit, {ahead}, got {horizon}")
    y = graph.input("y", np.float64, [N, T, K], "The latest values, oldest first, without NaN.")
    X = None
    if model.n_features_in_:
        X = graph.input(
            "X", np.float64, [N, f"{T} + horizon", model.n_features_in_],
            "Other quantities over the steps of y and those to forecast.",
        )  # fmt: skip
        X = standardised(graph, X, model._x_mean, model._x_scale)
    windows, layers, blocks = Windows(graph, y), add_layers(graph, model.lstm_, dtype), []
    for done in range(0, horizon, ahead):
        if blocks:  # one step at a time: it is fed back as if it had come
            y = windows.moved_on(y, blocks[-1])
        mean, scale = np.zeros(1), np.ones(1)
        if model._window_scales:
            mean, scale = windows.scales(y, model._floor)
        inputs = [standardised(graph, y, mean, scale)]
        if X is not None:
            inputs += [windows.following(X, done + k) for k in range(1, ahead + 1)]
        inputs = graph.cast(graph.node("Concat", *inputs, axis=2), dtype)
        results = run_layers(graph, layers, inputs, windows.lengths)
        out = graph.cast(add_dense(graph, model._network, results.last, dtype), np.float64)
        out = graph.node("Reshape", out, np.array([0, ahead, K]))
        blocks.append(graph.node("Add", graph.node("Mul", out, scale), mean))
    forecast = graph.node("Concat", *blocks, axis=1)
    graph.output(forecast, "forecast", np.float64, [N, horizon, K], "The steps that follow y.")
    return {}
