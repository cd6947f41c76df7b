"""What the regressor and the classifier share: `fit` on sequences and their targets."""

import numpy as np
from sklearn.utils.validation import _check_sample_weight, check_consistent_length

from numlstm.data.sequences import Sequences, plain
from numlstm.estimators.base import SequenceEstimator
from numlstm.training.problem import Problem


class SequencePredictor(SequenceEstimator):
    """Base of the estimators with a target for each sequence or step. Not for use by itself."""

    def _fit(self, X, y, sample_weight):
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None"
            )
        y = plain(y)
        sequences = self._check_X(X, reset=True)
        n = len(sequences.lengths)
        check_consistent_length(sequences.lengths, y)
        targets = self._check_y(y, sequences)
        weights = _check_sample_weight(
            sample_weight, sequences.lengths, dtype=np.float64, ensure_non_negative=True
        )
        if weights.sum() == 0:
            raise ValueError(f"sample_weight must have a positive sum, got {n} zeros")
        per_step = isinstance(targets, Sequences)
        rng = self._rng()
        given = weights if sample_weight is not None else None
        network = self._build(self.n_outputs_, per_step, rng)
        self._prepare_network(network)
        self._standardize_X(sequences, given)
        self._standardize_y(targets, given)
        problem = Problem(self._scaled(sequences), self._scaled_targets(targets), weights)
        problem, held = self._split(problem, rng)
        score = None
        if held is not None:
            score = self._validation_score(network, held)
        self._train(network, problem, rng, score)
        return self

    def _prepare_network(self, network):
        """Set what a network needs to know of the targets; nothing by default."""

    def trace(self, X):
        """Return every gate and state of every step while the network reads sequences.

        Parameters
        ----------
        X : array or list of arrays
            As in `fit`.

        Returns
        -------
        LSTMTrace
            i, f, g, o, c, h, each (n_layers * n_directions, n_samples, n_timesteps, hidden_size);
            zero past a sequence's end.

        Raises
        ------
        NotFittedError, TypeError, ValueError
        """
        return self._trace(X)
