import os

import numpy as np
import pytest

# Read when SciPy is imported. Without it scikit-learn skips a check of its suite for estimators.
os.environ.setdefault("SCIPY_ARRAY_API", "1")


@pytest.fixture
def rng():
    return np.random.default_rng(0)
