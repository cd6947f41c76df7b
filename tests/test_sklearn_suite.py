"""scikit-learn's own suite for estimators: every check, none skipped, none expected to fail."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from numlstm import LSTMClassifier, LSTMRegressor

ESTIMATORS = [
    kind(dtype=dtype)
    for kind in (LSTMRegressor, LSTMClassifier)
    for dtype in ("float32", "float64")
]


# A list: scikit-learn 1.6 hands over a generator, of which newer versions of pytest warn.
suite = parametrize_with_checks(ESTIMATORS).mark
names, checks = suite.args


@pytest.mark.parametrize(names, list(checks), **suite.kwargs)
def test_check(estimator, check):
    check(estimator)
