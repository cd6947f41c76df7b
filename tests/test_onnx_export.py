"""Exported models give in onnxruntime what they give here, on batches of any length."""

import json
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError

from numlstm import (
    LSTM,
    CharLSTM,
    LSTMClassifier,
    LSTMForecaster,
    LSTMRegressor,
    LSTMState,
    interop,
)

LENGTHS = ([5, 2, 4], [1, 9, 3, 3, 8], [1])  # of the rows of batches of different shapes
SMALL = {"hidden_size": 4, "max_iter": 2, "batch_size": 4, "random_state": 0}
SHAPES = [(n_layers, bidirectional) for n_layers in (1, 2) for bidirectional in (False, True)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


@pytest.fixture
def runner(path):
    """Return a function that exports a model and returns one that runs it, outputs by name."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it mentions every input with a default
    options.intra_op_num_threads = 1

    def export(model, **kwargs):
        interop.to_onnx(model, path, **kwargs)
        session = onnxruntime.InferenceSession(path, options)
        names = [output.name for output in session.get_outputs()]
        return lambda **inputs: dict(zip(names, session.run(None, inputs), strict=True))

    return export


def ragged(rng, lengths, n_features):
    """Return sequences, the same padded with NaN, and their lengths as ONNX has them."""
    sequences = [rng.normal(3, 20, (n, n_features)).astype("f") for n in lengths]
    padded = np.full((len(lengths), max(lengths), n_features), np.nan, "f")
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = sequence
    return sequences, padded, np.array(lengths, np.int32)


def assert_close(actual, expected, scale=1.0):
    assert actual.shape == np.shape(expected)
    assert_allclose(actual, expected, rtol=0, atol=1e-5 * scale)


def assert_rows_close(actual, expected, scale=1.0):
    """Compare the steps of each row that lie before its end."""
    for row, part in zip(actual, expected, strict=True):
        assert_close(row[: len(part)], part, scale)


# The layer -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_layers", "bidirectional"), SHAPES)
def test_lstm(runner, rng, n_layers, bidirectional):
    lstm = LSTM(3, 5, n_layers=n_layers, bidirectional=bidirectional, random_state=0)
    run = runner(lstm)
    for lengths in LENGTHS:
        _, X, sequence_lens = ragged(rng, lengths, 3)
        X = np.nan_to_num(X, nan=7.0)
        state = LSTMState(*rng.normal(size=(2, *lstm.zero_state(len(X)).h.shape)).astype("f"))
        for ours, theirs in (
            ({}, {}),
            ({"lengths": lengths}, {"sequence_lens": sequence_lens}),
            ({"state": state}, {"initial_h": state.h, "initial_c": state.c}),
        ):
            outputs, last = lstm(X, **ours)
            got = run(X=X, **theirs)
            assert_close(got["outputs"], outputs)
            assert_close(got["final_h"], last.h)
            assert_close(got["final_c"], last.c)


def test_a_negative_length_means_the_whole_row(runner, rng):
    lstm = LSTM(1, 2, random_state=0)
    X = rng.normal(size=(2, 4, 1)).astype("f")
    got = runner(lstm)(X=X, sequence_lens=np.array([-1, 2], np.int32))
    assert_close(got["outputs"], lstm(X, lengths=[4, 2])[0])


# Estimators ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_layers", "bidirectional"), [(1, False), (2, True)])
def test_regressor(runner, rng, n_layers, bidirectional):
    X, y = rng.normal(3, 20, (8, 6, 2)), rng.normal(-4, 30, (8, 3))
    model = LSTMRegressor(n_layers=n_layers, bidirectional=bidirectional, **SMALL).fit(X, y)
    run = runner(model)
    for lengths in LENGTHS:
        sequences, X, sequence_lens = ragged(rng, lengths, 2)
        got = run(X=X, sequence_lens=sequence_lens)
        assert_close(got["predictions"], model.predict(sequences), 30)
    assert_close(run(X=X[:, :1])["predictions"], model.predict(X[:, :1]), 30)


def test_regressor_of_one_target_and_of_one_feature(runner, rng):
    model = LSTMRegressor(**SMALL, standardize=False).fit(rng.normal(size=(8, 6)), np.arange(8.0))
    X = rng.normal(size=(3, 6)).astype("f")
    assert_close(runner(model)(X=X[:, :, None])["predictions"], model.predict(X))


def test_regressor_with_a_target_for_each_step_and_a_carried_state(runner, rng):
    model = LSTMRegressor(**SMALL).fit(rng.normal(size=(8, 6, 2)), rng.normal(size=(8, 6, 1)))
    run = runner(model)
    for lengths in LENGTHS:
        sequences, X, sequence_lens = ragged(rng, lengths, 2)
        got = run(X=X, sequence_lens=sequence_lens)
        assert_rows_close(got["predictions"], model.predict(sequences))
        x = rng.normal(size=(len(X), 2)).astype("f")
        state = LSTMState(got["final_h"], got["final_c"])
        again = run(X=x[:, None], initial_h=state.h, initial_c=state.c)
        y, state = model.predict_step(x, state)
        assert_close(again["predictions"][:, 0], y)
        assert_close(again["final_c"], state.c)


def test_a_high_level_with_a_small_swing_keeps_its_digits(runner, rng):
    X = (101_325 + rng.normal(size=(8, 6, 1))).astype("f")
    model = LSTMRegressor(**SMALL).fit(X, 1e6 + rng.normal(size=8))
    assert_allclose(runner(model)(X=X)["predictions"], model.predict(X), rtol=0, atol=1e-5)


LABELS = [
    np.array(["low", "älter", "high"]),
    np.array(["low", "mid", "high"], object),
    np.array([-3, 5, 2**40]),
    np.array([0.0, 1.0, 2.0]),
    np.array([False, True, True]),
]


@pytest.mark.parametrize("labels", LABELS, ids=lambda labels: f"{labels.dtype}")
def test_classifier(runner, path, rng, labels):
    model = LSTMClassifier(**SMALL).fit(rng.normal(3, 20, (9, 6, 2)), np.tile(labels, 3))
    run = runner(model)
    for lengths in LENGTHS:
        sequences, X, sequence_lens = ragged(rng, lengths, 2)
        got = run(X=X, sequence_lens=sequence_lens)
        assert_close(got["probabilities"], model.predict_proba(sequences))
        assert_array_equal(got["labels"], model.predict(sequences))
    assert metadata(path)["classes"] == model.classes_.tolist()


def test_classifier_with_a_label_for_each_step(runner, rng):
    X, y = rng.normal(size=(8, 6, 2)), rng.integers(0, 3, (8, 6))
    model = LSTMClassifier(bidirectional=True, **SMALL).fit(X, y)
    run = runner(model)
    for lengths in LENGTHS:
        sequences, X, sequence_lens = ragged(rng, lengths, 2)
        got = run(X=X, sequence_lens=sequence_lens)
        assert_rows_close(got["probabilities"], model.predict_proba(sequences))
        assert_rows_close(got["labels"], model.predict(sequences))


def forecast_from(model, history, exogenous=None, future=None):
    """Return the forecast of a model after a history that may be shorter than its windows."""
    before = vars(model).copy()
    try:
        model._history, model._window = history, len(history)
        model._exogenous = exogenous
        return model.predict(X=future)
    finally:
        vars(model).update(before)


@pytest.mark.parametrize("strategy", ["direct", "recursive"])
@pytest.mark.parametrize("n_features", [0, 2])
@pytest.mark.parametrize("n_series", [1, 3])
def test_forecaster(runner, rng, n_series, n_features, strategy):
    horizon, exogenous = 3, None
    if n_features:
        exogenous = rng.normal(3, 20, (30, n_features))
    model = LSTMForecaster(9, horizon, strategy=strategy, **SMALL)
    model.fit(1e5 + rng.normal(size=(30, n_series)).cumsum(axis=0), exogenous)
    run = runner(model)
    for lengths in LENGTHS:
        y = 1e5 + rng.normal(size=(len(lengths), max(lengths), n_series)).cumsum(axis=1)
        X = rng.normal(3, 20, (len(lengths), max(lengths) + horizon, n_features))
        extra = {"X": X} if n_features else {}
        got = run(y=y, sequence_lens=np.array(lengths, np.int32), **extra)["forecast"]
        for row, n, past, x in zip(got, lengths, y, X, strict=True):
            known, future = (x[:n], x[n : n + horizon]) if n_features else (None, None)
            assert_close(row, forecast_from(model, past[:n], known, future))


def test_forecaster_on_the_scale_of_the_series(runner, rng):
    y = rng.normal(size=40)
    model = LSTMForecaster(6, 2, standardize=False, bidirectional=True, **SMALL).fit(y)
    assert_close(runner(model)(y=y[None, -6:, None])["forecast"][0, :, 0], model.predict())


def test_forecaster_of_another_horizon_than_fitted(runner, rng):
    model = LSTMForecaster(6, 2, **SMALL).fit(rng.normal(size=40)).set_params(horizon=3)
    with pytest.raises(ValueError, match="horizon must be that of the fit, 2, got 3"):
        runner(model)


@pytest.mark.parametrize(("embedding_size", "n_layers"), [(3, 2), (None, 1)])
def test_char_lstm(runner, path, embedding_size, n_layers):
    text = "die lange nacht der würfel " * 4
    model = CharLSTM(5, n_layers, embedding_size=embedding_size, seq_length=8, batch_size=2)
    run = runner(model.set_params(max_iter=1, random_state=0).fit(text))
    vocabulary = metadata(path)["vocabulary"]
    assert vocabulary == list(model.vocabulary_)
    for lengths in LENGTHS:
        tokens = np.zeros((len(lengths), max(lengths)), np.int64)
        for k, n in enumerate(lengths):
            tokens[k, :n] = [vocabulary.index(c) for c in text[k : k + n]]
        got = run(tokens=tokens, sequence_lens=np.array(lengths, np.int32))
        for k, n in enumerate(lengths):
            prefixes = [text[k : k + m] for m in range(1, n + 1)]
            assert_close(got["probabilities"][k, :n], model.predict_proba(prefixes))
    follow = run(tokens=tokens[:, :1], initial_h=got["final_h"], initial_c=got["final_c"])
    together = text[0] + vocabulary[tokens[0, 0]]
    assert lengths == [1]
    assert_close(follow["probabilities"][:, 0], model.predict_proba([together]))


# The file ------------------------------------------------------------------------------------


def metadata(path):
    """Return the metadata of a model, JSON where it is."""
    properties = {p.key: p.value for p in onnx.load(path).metadata_props}
    del properties["numlstm"]
    return {key: json.loads(value) for key, value in properties.items()}


def test_what_the_file_says(path):
    interop.to_onnx(LSTM(3, 5, n_layers=2), path)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)]
    assert (model.ir_version, model.producer_name) == (8, "numlstm")
    shapes = {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in [*model.graph.input, *model.graph.output]
    }
    assert shapes == {
        "X": ["n_samples", "n_timesteps", 3],
        "sequence_lens": ["n_samples"],
        "outputs": ["n_samples", "n_timesteps", 5],
        **dict.fromkeys(["initial_h", "initial_c", "final_h", "final_c"], [2, "n_samples", 5]),
    }


def test_a_recursive_forecast_stores_the_weights_once(path, rng):
    model = LSTMForecaster(6, 4, strategy="recursive", **SMALL).fit(rng.normal(size=30))
    interop.to_onnx(model, path)
    graph = onnx.load(path).graph
    nodes = [node for node in graph.node if node.op_type == "LSTM"]
    assert len(nodes) == 4
    assert len({tuple(node.input[1:4]) for node in nodes}) == 1


def test_float64_is_refused_or_rounded_where_that_is_asked_for(runner, path, rng):
    lstm = LSTM(2, 3, dtype="float64", random_state=0)
    with pytest.raises(ValueError, match="LSTM is in float64.*float32 only.*dtype='float32' round"):
        runner(lstm)
    assert not path.exists()
    with pytest.raises(ValueError, match="dtype must be None or 'float32', got 'float64'"):
        runner(lstm, dtype="float64")
    X = rng.normal(size=(2, 4, 2)).astype("f")
    assert_close(runner(lstm, dtype="float32")(X=X)["outputs"], lstm(X)[0])
    lstm.weights = [lstm.weights[0]._replace(b=np.full(12, 1e39))]
    with pytest.raises(ValueError, match="fit into float32, got 1e\\+39"):
        runner(lstm, dtype="float32")


def test_what_is_refused(runner, path):
    with pytest.raises(TypeError, match="an LSTM, LSTMRegressor.*CharLSTM, got dict"):
        runner({})
    with pytest.raises(NotFittedError):
        runner(LSTMRegressor())
    model = LSTMClassifier(**SMALL).fit(np.zeros((4, 2)), np.array([1, 1, 2**63, 2**63], "u8"))
    with pytest.raises(
        ValueError, match="integers of 64 bits for labels, got .*9223372036854775808"
    ):
        runner(model)
    assert not path.exists()


def test_an_older_file_survives_a_failure(path, monkeypatch):
    lstm = LSTM(2, 3)
    interop.to_onnx(lstm, path)
    before = path.read_bytes()

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        interop.to_onnx(LSTM(2, 4), path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_without_onnx_the_extra_is_named(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match="to_onnx needs the package onnx.*numlstm.interop."):
        interop.to_onnx(LSTM(2, 3), path)
