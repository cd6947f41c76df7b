"""LSTM networks for people who work on a CPU: layers, estimators and data.

Nothing heavy is imported here. Each public name loads its module when it is first
asked for, so that ``import numlstm`` stays cheap for command lines and worker processes.
"""

import sys
from importlib import import_module

_HOMES = {
    "LSTM": "numlstm.nn.lstm",
    "LSTMState": "numlstm.nn.weights",
    "LSTMWeights": "numlstm.nn.weights",
    "LSTMGradients": "numlstm.nn.weights",
    "LSTMTrace": "numlstm.nn.weights",
    "LSTMVariant": "numlstm.nn.variant",
    "LSTMVariantWeights": "numlstm.nn.variant",
    "LSTMRegressor": "numlstm.estimators.regressor",
    "LSTMClassifier": "numlstm.estimators.classifier",
    "LSTMForecaster": "numlstm.estimators.forecaster",
    "CharLSTM": "numlstm.estimators.char_lstm",
    "NGramBaseline": "numlstm.estimators.ngram",
    "load": "numlstm.estimators.loading",
}
_SUBMODULES = ("datasets", "interop", "metrics", "plotting")

__all__ = [*_HOMES, *_SUBMODULES]


def __getattr__(name):
    """Import the home of a public name and keep the name here for the next look-up."""
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    elif name in _SUBMODULES:
        value = import_module(f"numlstm.{name}")
    elif name == "__version__":
        # Reading the metadata costs more than all the rest of this module.
        value = import_module("importlib.metadata").version("numlstm")
    else:
        raise AttributeError(
            f"module 'numlstm' has no attribute {name!r}; its names are {', '.join(__all__)}",
            name=name,
            obj=sys.modules[__name__],
        )
    globals()[name] = value
    return value


def __dir__():
    """List the names not yet loaded as well, so that completion offers them."""
    return sorted({*globals(), *__all__, "__version__"})
