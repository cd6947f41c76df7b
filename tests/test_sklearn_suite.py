"""scikit-learn's own suite for estimators: every check, none skipped, none expected to fail."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from numlstm import LSTMClassifier, LSTMRegressor

ESTIMATORS = [
    kind(dtype=dtype)
    for kind in (LSTMRegressor, LSTMClassifier)
    for dtype in ("float32", "float64")
]


@parametrize_with_checks(ESTIMATORS)
def test_check(estimator, check):
    check(estimator)
