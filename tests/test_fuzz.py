"""Random parameters and inputs: a sound fit, or an error of our own that names what is wrong.

The suite runs a few fixed cases. ``NUMLSTM_FUZZ=1000 pytest tests/test_fuzz.py`` draws a thousand
new ones for each estimator.
"""

import os
import pickle
import re
import traceback
import warnings
from pathlib import Path

import fuzz_cases as cases
import numpy as np
import pytest
import sklearn
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sklearn.exceptions import DataConversionWarning

import numlstm
from numlstm import CharLSTM, LSTMClassifier, LSTMForecaster, LSTMRegressor

N_CASES = int(os.environ.get("NUMLSTM_FUZZ", 0))
pytestmark = [pytest.mark.timeout(0)] if N_CASES else []  # a single case has a deadline
fuzz = settings(
    max_examples=N_CASES or 40,
    derandomize=not N_CASES,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    deadline=600_000 if N_CASES else None,  # milliseconds: a case that takes longer hangs
    suppress_health_check=list(HealthCheck),
)
OURS = Path(numlstm.__file__).parent
CHECKS = Path(sklearn.__file__).parent / "utils"  # scikit-learn's own wording is known to users
KINDS = (LSTMRegressor, LSTMClassifier, LSTMForecaster, CharLSTM)
WORDS = {name for kind in KINDS for name in kind().get_params()}
WORDS |= {"X", "y", "x", "text", "validation_text", "sample_weight", "samples?", "features?"}
WORDS |= {"labels?", "array", "characters?", "values", "Unknown label type", "Sample weights"}
NAMES = rf"\b({'|'.join(sorted(WORDS))})\b"


def is_ours(error):
    """Return whether an error was raised on purpose, and says which argument is wrong."""
    place = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    return (
        isinstance(error, (ValueError, TypeError, MemoryError))
        and (place.is_relative_to(OURS) or place.is_relative_to(CHECKS))
        and re.search(NAMES, str(error)) is not None
    )


def fitted(model, *args, **options):
    """Fit; return the model, or None after an error of our own."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="the loss or its gradient became infinite or NaN")
        warnings.filterwarnings("ignore", category=DataConversionWarning)
        try:
            return model.fit(*args, **options)
        except Exception as error:
            if not is_ours(error):
                raise
            assert not hasattr(model, "n_iter_")
            return None


def assert_sound(model):
    assert np.isfinite(model._network.parameters).all()
    for name, value in vars(model).items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and name != "_history":
            assert np.isfinite(value).all(), name
    assert np.isfinite(model.loss_curve_).all()


def flat(results):
    return np.concatenate([np.ravel(part) for part in results])


def check_predictor(model, X, y, weight):
    """Check all that can be done with a fitted regressor or classifier."""
    assert_sound(model)
    out = model.predict(X)
    assert len(out) == len(X)
    methods = ["predict"]
    if isinstance(model, LSTMClassifier):
        assert np.isin(flat(out), model.classes_).all()
        methods.append("predict_proba")
    else:
        assert np.isfinite(flat(out)).all()
    copied = pickle.loads(pickle.dumps(model))
    for method in methods:
        first, second = (flat(getattr(one, method)(X)) for one in (model, copied))
        assert np.array_equal(first, second)
    try:
        assert not np.isnan(flat(model.input_gradients(X))).any()
    except ValueError as error:
        assert is_ours(error) and "too large" in str(error)
        normed = model._network.variant is not None and model._network.variant.layer_norm
        assert normed or np.abs(model._network.parameters).max() > 1e6
    assert np.isfinite(model.trace(X).h).all()
    if model.solver != "lbfgs" and not model.early_stopping and model.random_state is not None:
        twin = type(model)(**model.get_params() | {"n_threads": 1})
        if fitted(twin, X, y, sample_weight=weight) is not None and not model.warm_start:
            assert np.array_equal(flat(twin.predict(X)), flat(out))


@pytest.mark.parametrize("kind", [LSTMRegressor, LSTMClassifier])
def test_predictors(kind, tmp_path):
    @fuzz
    @given(st.data())
    def run(data):
        model = kind(**{"hidden_size": 3, "max_iter": 2} | data.draw(cases.parameters(kind)))
        X, lengths = data.draw(cases.sequences())
        y = data.draw(cases.targets(lengths, kind is LSTMClassifier))
        weight = data.draw(cases.weights(len(lengths)))
        held = {"X_val": X, "y_val": y} if data.draw(st.integers(0, 5)) == 0 else {}
        if fitted(model, X, y, sample_weight=weight, **held) is None:
            return
        check_predictor(model, X, y, weight)
        path = tmp_path / "model.safetensors"
        model.save(path)
        assert np.array_equal(flat(numlstm.load(path).predict(X)), flat(model.predict(X)))

    run()


def test_forecasters(tmp_path):
    @fuzz
    @given(st.data())
    def run(data):
        quick = {"hidden_size": 3, "max_iter": 2, "window": 3}
        model = LSTMForecaster(**quick | data.draw(cases.parameters(LSTMForecaster)))
        y, X = data.draw(cases.series())
        if fitted(model, y, X) is None:
            return
        assert_sound(model)
        steps = data.draw(st.integers(1, 6))
        future = None if X is None else np.ones((steps, model.n_features_in_))
        try:
            out = np.asarray(model.predict(steps, future))
        except ValueError as error:
            assert is_ours(error) and ("are missing" in str(error) or "can hold" in str(error))
            return
        assert np.isfinite(out).all() and len(out) == steps
        path = tmp_path / "model.safetensors"
        model.save(path)
        assert np.array_equal(np.asarray(numlstm.load(path).predict(steps, future)), out)

    run()


def test_char_models(tmp_path):
    @fuzz
    @given(st.data())
    def run(data):
        quick = {"hidden_size": 3, "n_layers": 1, "embedding_size": 2, "max_iter": 1}
        model = CharLSTM(**quick | data.draw(cases.parameters(CharLSTM)))
        text, held = data.draw(cases.texts), data.draw(st.one_of(st.none(), cases.texts))
        if fitted(model, text, held) is None:
            return
        assert_sound(model)
        sample = model.generate(9, random_state=0)
        assert len(sample) == 9 and set(sample) <= set(model.vocabulary_)
        assert np.isfinite(model.score(text))
        path = tmp_path / "model.safetensors"
        model.save(path)
        assert numlstm.load(path).generate(9, random_state=0) == sample

    run()


def test_what_counts_as_ours():
    def error_of(work):
        with pytest.raises(Exception) as caught:
            work()
        return caught.value

    assert is_ours(error_of(lambda: LSTMRegressor(hidden_size=0).fit([[1.0]], [1])))
    assert is_ours(error_of(lambda: LSTMRegressor().fit(None, [1])))
    assert is_ours(error_of(lambda: LSTMRegressor(hidden_size=10**6).fit([[1.0]], [1])))
    assert not is_ours(error_of(lambda: np.zeros(3).reshape(2, 2)))
    assert not is_ours(error_of(lambda: [][0]))
