"""Whole estimators as ONNX graphs: what `predict` and its kin do, from raw numbers to raw numbers.

Scales are applied in float64, as the estimators do: a large level with a small swing would lose its
last digits in float32 before the network sees it.
"""

import json

import numpy as np

from numlstm.interop.onnx_graph import N, T
from numlstm.interop.onnx_layers import (
    add_final_state,
    add_layers,
    add_lengths,
    add_state,
    narrow,
    run_layers,
)


def add_dense(graph, network, features, dtype):
    """Return features W + b."""
    weights = network.get_weights()
    product = graph.node("MatMul", features, narrow(weights["dense.W"], dtype))
    return graph.node("Add", product, narrow(weights["dense.b"], dtype))


def standardised(graph, value, mean, scale):
    """Return (value - mean) / scale, in float64."""
    centred = graph.node("Sub", graph.cast(value, np.float64), mean)
    return graph.node("Div", centred, scale)


def _add_network(graph, estimator, dtype):
    """Add all that the regressor and the classifier have in common; return the dense outputs."""
    network, lstm = estimator._network, estimator.lstm_
    X = graph.input("X", dtype, [N, T, lstm.input_size], "Sequences, padded at their ends.")
    lengths, layers = add_lengths(graph, X), add_layers(graph, lstm, dtype)
    state = add_state(graph, layers, X, dtype)
    scaled = standardised(graph, X, estimator._x_mean, estimator._x_scale)
    results = run_layers(graph, layers, graph.cast(scaled, dtype), lengths, state)
    features = results.outputs if network.per_step else results.last
    return add_dense(graph, network, features, dtype), layers, results


def export_regressor(graph, estimator, dtype):
    """Add inputs, nodes and outputs of an LSTMRegressor."""
    out, layers, results = _add_network(graph, estimator, dtype)
    scaled = graph.node("Mul", graph.cast(out, np.float64), estimator._y_scale)
    y = graph.node("Add", scaled, estimator._y_mean)
    K = estimator.n_outputs_
    shape = [N, T, K] if estimator._network.per_step else [N, K]
    if estimator._y_ndim == 1:
        y, shape = graph.node("Squeeze", y, np.array([1])), [N]
    graph.output(y, "predictions", np.float64, shape, _per_step(estimator, "Predicted targets"))
    add_final_state(graph, layers, results, dtype)
    return {}


def export_classifier(graph, estimator, dtype):
    """Add inputs, nodes and outputs of an LSTMClassifier."""
    classes = _labels(estimator.classes_)
    logits, layers, results = _add_network(graph, estimator, dtype)
    shape = [N, T] if estimator._network.per_step else [N]
    labels = graph.node("Gather", classes, graph.node("ArgMax", logits, axis=-1, keepdims=0))
    graph.output(labels, "labels", classes.dtype, shape, _per_step(estimator, "Predicted labels"))
    graph.output(
        graph.node("Softmax", logits, axis=-1), "probabilities", dtype, [*shape, len(classes)],
        _per_step(estimator, "Probability of each class, in the order of the metadata `classes`"),
    )  # fmt: skip
    add_final_state(graph, layers, results, dtype)
    return {"classes": json.dumps(classes.tolist())}


def _per_step(estimator, text):
    if estimator._network.per_step:
        return f"{text}, for each time step. Past the end of a row it means nothing."
    return f"{text}, for each row."


def _labels(classes):
    """Return class labels in a dtype that ONNX has.

    Raises
    ------
    ValueError
        If there is none for them.
    """
    if classes.dtype.kind in "US" or all(isinstance(label, str) for label in classes.tolist()):
        return np.array([str(label) for label in classes.tolist()], object)
    if classes.dtype.kind in "biu" and not (classes > np.iinfo(np.int64).max).any():
        return classes if classes.dtype == bool else classes.astype(np.int64)
    if classes.dtype.kind == "f":
        return classes.astype(np.float64)
    raise ValueError(
        f"ONNX has strings, booleans, floats and integers of 64 bits for labels, got {classes!r}"
    )


def export_char_lstm(graph, model, dtype):
    """Add inputs, nodes and outputs of a CharLSTM."""
    lstm, n_tokens = model.lstm_, len(model.vocabulary_)
    tokens = graph.input(
        "tokens", np.int64, [N, T],
        "Characters, each as its index in the vocabulary of the metadata; padded at the ends.",
    )  # fmt: skip
    lengths, layers = add_lengths(graph, tokens), add_layers(graph, lstm, dtype)
    embedding = model._network.get_weights().get("embedding")
    if embedding is None:
        X = graph.node("OneHot", tokens, np.array(n_tokens), np.array([0, 1], dtype))
    else:
        X = graph.node("Gather", narrow(embedding, dtype), tokens)
    results = run_layers(graph, layers, X, lengths, add_state(graph, layers, tokens, dtype))
    logits = add_dense(graph, model._network, results.outputs, dtype)
    graph.output(
        graph.node("Softmax", logits, axis=-1), "probabilities", dtype, [N, T, n_tokens],
        "Distribution of the next character after each step. Past the end of a row it means "
        "nothing.",
    )  # fmt: skip
    add_final_state(graph, layers, results, dtype)
    return {"vocabulary": json.dumps(list(model.vocabulary_))}
