"""`to_onnx`: layers and whole estimators as models that onnxruntime runs."""

import numpy as np

from numlstm.interop._variants import refuse_variant
from numlstm.interop.onnx_graph import GraphWriter
from numlstm.interop.onnx_layers import export_lstm
from numlstm.nn.lstm import LSTM

# Of a variant: what the operator has, and what does nothing outside training.
CARRIES = ("peepholes", "coupled_gates", "recurrent_dropout")


def to_onnx(model, path, dtype=None):
    """Write an LSTM or a fitted estimator as an ONNX model.

    Whole estimators: standardisation, embedding, all layers and directions, dense layer, softmax.
    onnxruntime gives what numlstm gives, to about 1e-6 of the scale of the targets.

    Parameters
    ----------
    model : LSTM, LSTMRegressor, LSTMClassifier, LSTMForecaster or CharLSTM
    path : path
        The file to write; replaced in one step, so that it is never half-written.
    dtype : {"float32"}, optional
        For a model in float64, which onnxruntime cannot run: round its weights to this. By default
        such a model is refused.

    Raises
    ------
    ImportError
        Without the package onnx, of the extra `interop`.
    TypeError
        For any other model.
    NotFittedError
    ValueError
        For float64 without leave to round; weights that float32 cannot hold; class labels of a
        kind that ONNX has not; a variant with anything but peepholes, coupled gates and recurrent
        dropout.
    OSError
        If the file cannot be written; an older one then stays as it was.

    Notes
    -----
    Opset 17, IR version 8: onnxruntime 1.12 and later. Inputs and outputs by model, with N rows and
    T time steps of any number, D features, K outputs or classes:

    ================  =================================  ==========================================
    model             inputs                             outputs
    ================  =================================  ==========================================
    `LSTM`            X (N, T, D)                        outputs (N, T, hidden_size * n_directions)
    `LSTMRegressor`   X (N, T, D)                        predictions (N,), (N, K) or (N, T, K), as
                                                         `predict` returns them
    `LSTMClassifier`  X (N, T, D)                        labels (N,) or (N, T), probabilities (N, K)
                                                         or (N, T, K)
    `LSTMForecaster`  y (N, T, n_series), and X (N, T +  forecast (N, horizon, n_series)
                      horizon, n_features) where `fit`
                      had one
    `CharLSTM`        tokens (N, T), indices in          probabilities (N, T, n_characters), of the
                      `vocabulary_`                      next character after each step
    ================  =================================  ==========================================

    All of them have the input ``sequence_lens`` (N,), int32; all but the forecaster, which reads
    every window afresh, have ``initial_h`` and ``initial_c``, and the outputs ``final_h`` and
    ``final_c``, each (n_layers * n_directions, N, hidden_size). These inputs may be left out: their
    defaults are initializers of the same names, all time steps and the zero state. onnxruntime
    mentions them in a warning when it loads the model, since it may not fold them into others.

    X and tokens are float32 and int64, series float64. Predictions and forecasts are float64.
    The vocabulary and the classes stand in the model's metadata, as JSON.

    The model is for inference: of dropout nothing is written. The operator's ``clip`` limits the
    inputs of the activations, which is another thing than `cell_clip`.
    """
    graph = GraphWriter()
    kind, export = _kind(model)
    lstm = model if kind == "LSTM" else model.lstm_
    refuse_variant(lstm, "to_onnx", carries=CARRIES)
    dtype = _check_dtype(kind, lstm, dtype)
    metadata = export(graph, model, dtype) or {}
    graph.save(path, f"{kind} of numlstm", {"numlstm": kind, **metadata})


def _kind(model):
    """Return the name of a model's class and the function that writes its graph."""
    if isinstance(model, LSTM):
        return "LSTM", export_lstm
    from sklearn.utils.validation import check_is_fitted

    exporters = _exporters()
    for known, export in exporters.items():
        if isinstance(model, known):
            check_is_fitted(model)
            return known.__name__, export
    names = ", ".join(known.__name__ for known in exporters)
    raise TypeError(f"model must be an LSTM, {names}, got {type(model).__name__}")


def _exporters():
    """Return the function for each estimator; an LSTM needs no estimator to be imported."""
    from numlstm.estimators.char_lstm import CharLSTM
    from numlstm.estimators.classifier import LSTMClassifier
    from numlstm.estimators.forecaster import LSTMForecaster
    from numlstm.estimators.regressor import LSTMRegressor
    from numlstm.interop import onnx_estimators, onnx_forecaster

    return {
        LSTMRegressor: onnx_estimators.export_regressor,
        LSTMClassifier: onnx_estimators.export_classifier,
        LSTMForecaster: onnx_forecaster.export_forecaster,
        CharLSTM: onnx_estimators.export_char_lstm,
    }


def _check_dtype(kind, lstm, dtype):
    """Return the dtype of the graph, or raise where weights would lose digits unasked."""
    if dtype is not None and np.dtype(dtype) != np.float32:
        raise ValueError(f"dtype must be None or 'float32', got {dtype!r}")
    if dtype is None and lstm.dtype != np.float32:
        raise ValueError(
            f"the {kind} is in {lstm.dtype}, but the LSTM of onnxruntime runs in float32 only: "
            "dtype='float32' rounds the weights to that"
        )
    return np.dtype(np.float32)
