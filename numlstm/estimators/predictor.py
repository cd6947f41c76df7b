"""What the regressor and the classifier share: `fit` and `partial_fit` on sequences and targets."""

import copy
import numbers

import numpy as np
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_sample_weight, check_consistent_length

from numlstm.data.sequences import Sequences, plain
from numlstm.data.validation import LARGEST, as_numbers, as_random_state, check_geometry
from numlstm.estimators.base import SequenceEstimator
from numlstm.estimators.insight import InsightMixin
from numlstm.training.checkpoint import load_optimizer, optimizer_state
from numlstm.training.optimizer import Optimizer
from numlstm.training.problem import Problem


def takes_steps(estimator):
    """Return whether the solver goes through the samples in batches."""
    if estimator.solver == "lbfgs":
        raise AttributeError("partial_fit needs solver 'adam' or 'sgd', got 'lbfgs'")
    return True


class SequencePredictor(InsightMixin, SequenceEstimator):
    """Base of the estimators with a target for each sequence or step. Not for use by itself."""

    def _fit(self, X, y, sample_weight, X_val, y_val, sample_weight_val):
        problem = self._problem(X, y, sample_weight, reset=True)
        given = self._given_validation(X_val, y_val, sample_weight_val)
        problem = self._merged(problem)
        rng = as_random_state(self.random_state)
        network = self._build(self.n_outputs_, problem.per_step, rng)
        self._learn_scales(problem)
        problem, held = self._scaled_problem(problem), given and self._scaled_problem(given)
        if held is None:
            problem, held = self._split(problem, rng)
        self._prepare_network(network)
        score = None if held is None else self._validation_score(network, held)
        self._train(network, problem, rng, score)
        self._optimizer = self._generator = None
        return self

    @available_if(takes_steps)
    def partial_fit(self, X, y, sample_weight=None):
        """Go on learning for one epoch of some samples, with the optimiser's moments kept.

        Parameters
        ----------
        X : array or list of arrays
            As in `fit`. The first call sets the scale, if `standardize`: give it a fair sample.
        y : array or list of arrays
        sample_weight : array, (n_samples,), optional

        Returns
        -------
        estimator
            Itself.

        Raises
        ------
        AttributeError
            For solver "lbfgs".
        TypeError, ValueError
            For parameters or data that make no sense, or unlike those of the first call.
        """
        return self._partial_fit(X, y, sample_weight)

    def _partial_fit(self, X, y, sample_weight):
        self._check_parameters()
        if self.early_stopping:
            raise ValueError("partial_fit does not know when to stop: early_stopping must be False")
        with self._all_or_nothing():
            return self._go_on(X, y, sample_weight)

    def _go_on(self, X, y, sample_weight):
        first = not hasattr(self, "_network")
        problem = self._problem(X, y, sample_weight, reset=first)
        problem = self._merged(problem)
        rng = copy.deepcopy(getattr(self, "_generator", None)) or as_random_state(self.random_state)
        if first:
            network, optimizer = self._build(self.n_outputs_, problem.per_step, rng), None
            self._learn_scales(problem)
            before, steps = [], 0
        else:
            geometry = self._geometry(self.n_outputs_, problem.per_step)
            check_geometry("partial_fit", self._network.geometry, geometry)
            network, optimizer = self._copied()
            before, steps = self.loss_curve_, self.t_
        if optimizer is None:
            optimizer = Optimizer(self.solver, network.parameters, self.clip_norm)
        optimizer.clip_norm = self.clip_norm
        self._prepare_network(network)
        settings = self._settings()._replace(max_iter=1)
        problem = self._scaled_problem(problem)
        outcome = self._train(network, problem, rng, None, settings, optimizer)
        self.loss_curve_ = [*before, *self.loss_curve_]
        self.n_iter_, self.best_loss_ = len(self.loss_curve_), min(self.loss_curve_, default=None)
        self.t_ = max(self.t_, steps)
        # The moments of a divergence would end the next call as well.
        self._optimizer = None if outcome == "diverged" else optimizer
        self._generator = rng
        return self

    def _copied(self):
        """Return copies of network and optimiser: should a call fail, the fitted ones are whole."""
        network, optimizer = copy.deepcopy(self._network), getattr(self, "_optimizer", None)
        if optimizer is None or optimizer.solver != self.solver:
            return network, None
        return network, load_optimizer(optimizer_state(optimizer, self._network), network)

    def _problem(self, X, y, sample_weight, reset):
        """Return what is to be learnt, on the user's scale; samples of no weight are left out."""
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None"
            )
        y = plain(y)
        sequences = self._check_X(X, reset)
        check_consistent_length(sequences.lengths, y)
        targets, y_ndim = self._read_y(y, sequences.lengths)
        weights = read_weights(sample_weight, sequences.lengths, ensure_non_negative=True)
        check_sizes(weights)
        if reset:
            self._y_ndim = y_ndim
            self._learn_targets(targets, weights)
        elif y_ndim != self._y_ndim:
            raise ValueError(f"y must have {self._y_ndim} dimensions, as before, got {y_ndim}")
        problem = Problem(sequences, self._numbers(targets), weights)
        return problem if weights.all() else problem.subset(np.flatnonzero(weights))

    def _by_step(self, y, predicted, sample_weight):
        """Return targets (n_rows, K), predictions and weights of every step, to score them."""
        lengths = np.array([len(part) for part in predicted])
        y = plain(y)
        check_consistent_length(lengths, y)
        targets, y_ndim = self._read_y(y, lengths)
        if y_ndim != self._y_ndim:
            raise ValueError(f"y must have {self._y_ndim} dimensions, as in fit, got {y_ndim}")
        if sample_weight is not None:
            sample_weight = np.repeat(read_weights(sample_weight, lengths), lengths)
        return targets.values, np.concatenate(list(predicted)), sample_weight

    def _merged(self, problem):
        """Merge copies of a sample where each step sees all samples, so that the sum is the same.

        There a weight is a repetition, to the last bit. Batches of a larger set are drawn from the
        samples as they were given: merged, fewer batches would make an epoch.
        """
        at_once = self.solver == "lbfgs" or len(problem.weights) <= self.batch_size
        # Not shuffled, the order means something.
        return problem.distinct() if at_once and self.shuffle else problem

    def _given_validation(self, X, y, sample_weight):
        """Return the problem to validate on, or None where there is no such set."""
        if X is None and y is None and sample_weight is None:
            return None
        if X is None or y is None:
            missing = "X_val" if X is None else "y_val"
            raise ValueError(f"X_val and y_val must be given together, but {missing} is None")
        try:
            return self._problem(X, y, sample_weight, reset=False)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"of the validation set X_val, y_val: {error}") from error

    def _learn_scales(self, problem):
        """Learn mean and spread of what there is to train on, each sample by its weight."""
        self._standardize_X(problem.sequences, problem.weights)
        self._standardize_y(problem)

    def _scaled_problem(self, problem):
        """Return a problem on the scale that the network sees."""
        return problem._replace(
            sequences=self._scaled(problem.sequences), targets=self._scaled_targets(problem.targets)
        )

    def _prepare_network(self, network):
        """Set what a network needs to know of the targets; nothing by default."""

    def __getstate__(self):
        """Return what a copy or a pickle needs."""
        state = dict(super().__getstate__())
        if state.get("_optimizer") is not None:
            state["_optimizer"] = optimizer_state(self._optimizer, self._network)
        return state

    def __setstate__(self, state):
        """Rebuild from `__getstate__`."""
        super().__setstate__(state)
        if state.get("_optimizer") is not None:
            self._optimizer = load_optimizer(state["_optimizer"], self._network)


def read_weights(sample_weight, lengths, **options):
    """Return the weight of each sequence by scikit-learn's own check; all 1 for None."""
    if sample_weight is not None and not isinstance(sample_weight, numbers.Number):
        sample_weight = as_numbers("sample_weight", sample_weight)
    return _check_sample_weight(sample_weight, lengths, dtype=np.float64, **options)


def check_sizes(weights):
    """Raise a ValueError for sample weights whose sum, or one over it, is 0 or infinite."""
    positive = weights[weights > 0]
    if not positive.size:
        raise ValueError(f"sample_weight must have a positive sum, got {len(weights)} zeros")
    with np.errstate(over="ignore"):
        low, total = positive.min(), positive.sum()
    if low < 1 / LARGEST or total > LARGEST:
        raise ValueError(
            f"sample_weight must be 0 or at least {1 / LARGEST:.0e}, with a sum of at most "
            f"{LARGEST:.0e}, got {low} and {total}"
        )


def by_row(problem):
    """Return targets (n_rows, K) and weights (n_rows,) of every row that a network answers."""
    targets, weights = problem.targets, problem.weights
    if isinstance(targets, Sequences):
        return targets.values[targets.rows()], np.repeat(weights, targets.lengths)
    return targets, weights
