"""scikit-learn's own suite for estimators: every check, none skipped, none expected to fail."""

import unittest

import pytest
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from numlstm import LSTMClassifier, LSTMRegressor

ESTIMATORS = [
    kind(dtype=dtype)
    for kind in (LSTMRegressor, LSTMClassifier)
    for dtype in ("float32", "float64")
]


@parametrize_with_checks(ESTIMATORS)
def test_check(estimator, check):
    try:
        check(estimator)
    except unittest.SkipTest as reason:  # pytest would count it among what is skipped on purpose
        pytest.fail(f"a check skipped itself: {reason}")


@pytest.mark.parametrize("kind", [LSTMRegressor, LSTMClassifier])
def test_no_tag_excuses_an_estimator_from_a_check(kind):
    tags = get_tags(kind())
    assert not (tags._skip_test or tags.non_deterministic or tags.no_validation)
    assert tags.requires_fit and tags.target_tags.required
    assert not (tags.regressor_tags or tags.classifier_tags).poor_score
    assert tags.input_tags.two_d_array
