"""What the estimators share: parameters and their checks, inputs, standardisation, fitting."""

import copy
from contextlib import contextmanager

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from numlstm.data.sequences import as_ragged, from_array, is_ragged, plain
from numlstm.data.validation import (
    LARGEST,
    LARGEST_DEPTH,
    as_floats,
    as_scaled,
    check_bool,
    check_choice,
    check_dtype,
    check_forget_bias,
    check_geometry,
    check_integer,
    check_meant,
    check_number,
    check_size,
)
from numlstm.estimators.sequence_saving import SequenceSaveMixin
from numlstm.kernels._threads import thread_limit
from numlstm.nn.memory import Workspace
from numlstm.nn.network import REGRESSION_LOSSES, SequenceNetwork
from numlstm.nn.variant import check_variant
from numlstm.training.history import History
from numlstm.training.lbfgs import train_lbfgs
from numlstm.training.loop import Settings, report, train
from numlstm.training.problem import predict

SOLVERS = ("adam", "sgd", "lbfgs")


def scale_of(values, weights=None):
    """Return mean and standard deviation of the columns; 1 where a column is constant.

    Parameters
    ----------
    values : array, (n, K)
    weights : array, (n,), optional
        None of them 0.

    Returns
    -------
    mean, scale : array of float64, (K,)
    """
    values = values.astype(np.float64, copy=False)
    # By their size, so that no square overflows.
    size = np.abs(values).max(axis=0)
    if size.max() > LARGEST:
        raise ValueError(f"values beyond {LARGEST:.0e} cannot be standardised, got {size.max()}")
    size[size == 0] = 1
    values = values / size
    mean = np.average(values, axis=0, weights=weights)
    mean += np.average(values - mean, axis=0, weights=weights)  # what rounding left of many rows
    scale = np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weights))
    # A constant column leaves a rounding error of a few ulps behind: that is not a spread.
    scale = np.where(scale > 10 * np.finfo(np.float64).eps * np.abs(mean), scale, 1 / size)
    return mean * size, scale * size


class SequenceEstimator(SequenceSaveMixin, BaseEstimator):
    """Base of the estimators on sequences. Not for use by itself."""

    _losses = tuple(REGRESSION_LOSSES)

    def _check_parameters(self):
        check_size("hidden_size", self.hidden_size)
        check_size("n_layers", self.n_layers, LARGEST_DEPTH)
        check_bool("bidirectional", self.bidirectional)
        check_number("dropout", self.dropout, 0, 1, below=True)
        check_forget_bias(self.forget_bias)
        variant = check_variant(self.variant, self.hidden_size)
        check_choice("loss", self.loss, self._losses)
        check_choice("solver", self.solver, SOLVERS)
        check_number("learning_rate_init", self.learning_rate_init, 0, above=True)
        check_number("alpha", self.alpha, 0)
        check_integer("batch_size", self.batch_size, 1)
        check_integer("max_iter", self.max_iter, 0)
        if self.clip_norm is not None:
            check_number("clip_norm", self.clip_norm, 0, above=True)
        for name in ("shuffle", "early_stopping", "standardize", "warm_start"):
            check_bool(name, getattr(self, name))
        check_number("validation_fraction", self.validation_fraction, 0, 1, above=True, below=True)
        check_integer("n_iter_no_change", self.n_iter_no_change, 1)
        check_number("tol", self.tol, 0)
        if "quantile" in self._losses:
            check_number("quantile", self.quantile, 0, 1, above=True, below=True)
        if self.n_threads is not None:
            check_integer("n_threads", self.n_threads, 1)
        check_dtype(self.dtype)
        if not isinstance(self.verbose, (bool, np.bool_)):
            check_integer("verbose", self.verbose, 0)
        if self.solver == "lbfgs" and self.dropout:
            raise ValueError("dropout needs solver 'adam' or 'sgd': 'lbfgs' minimises one function")
        if self.solver == "lbfgs" and variant is not None and variant.is_random:
            raise ValueError(
                f"variant={variant} draws masks, and needs solver 'adam' or 'sgd': 'lbfgs' "
                "minimises one function"
            )

    @contextmanager
    def _all_or_nothing(self):
        """Undo what a `fit` has set if it fails: an earlier one stays. Limit its threads."""
        before = vars(self).copy()
        try:
            with thread_limit(self.n_threads):
                yield
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    def _check_X(self, X, reset):
        """Return X as `Sequences`; learn, or compare, the number of features and the dtype."""
        if reset:
            self._dtype = np.dtype(self.dtype)
        X = plain(X)
        check_meant("X", X)
        dtype, ragged = self._dtype, is_ragged(X)
        if ragged:
            sequences = as_ragged("X", X, dtype)
            n_features = sequences.values.shape[1]
        elif np.ndim(X) == 3:
            array = as_floats("X", X, dtype, 3)
            if 0 in array.shape:
                raise ValueError(
                    "X must have shape (n_samples, n_timesteps, n_features), none of them 0, "
                    f"got {array.shape}"
                )
            sequences, n_features = from_array(array), array.shape[2]
        elif np.ndim(X) > 3:
            raise ValueError(
                "X must have shape (n_samples, n_timesteps, n_features) or (n_samples, "
                f"n_timesteps), got {np.shape(X)}"
            )
        else:
            array = self._check_2d(X, reset)
            sequences, n_features = from_array(array[:, :, None]), array.shape[1]
        two_d = not ragged and np.ndim(X) == 2
        if reset:
            self.n_features_in_, self._univariate = n_features, two_d
            if not two_d and hasattr(self, "feature_names_in_"):
                del self.feature_names_in_
            return sequences
        if not two_d and sequences.values.shape[1] != self._input_size:
            raise ValueError(
                f"X has {n_features} features, but {type(self).__name__} is expecting "
                f"{self._input_size} features as input"
            )
        if two_d and not self._univariate and self._input_size != 1:
            raise ValueError(
                f"X must have {self._input_size} features, got a 2-D X of shape {np.shape(X)}, "
                "which means sequences of one feature"
            )
        return sequences

    def _check_2d(self, X, reset):
        """Return X by scikit-learn's own check, which also sees to the names of features."""
        options = {"dtype": self._dtype, "order": "C"}
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # the check says what is too large
                if isinstance(X, (list, tuple)):  # has no dtype to look at
                    check_meant("X", np.asarray(X))
                if reset or self._univariate:
                    return validate_data(self, X, reset=reset, **options)
                return check_array(X, estimator=self, input_name="X", **options)
        except (TypeError, ValueError) as error:
            words = str(error)  # NumPy's do not say of what
            if not words.startswith(("could not convert", "float() argument", "setting an array")):
                raise
            raise type(error)(f"X must be an array of numbers: {error}") from error

    def _check_columns(self, X, reset):
        """Learn, or compare, number and names of the columns of a table, or of none."""
        if reset:
            self.n_features_in_ = 0
            vars(self).pop("feature_names_in_", None)
        if X is not None:
            validate_data(self, X, reset=reset, skip_check_array=True)

    @property
    def _input_size(self):
        return 1 if self._univariate else self.n_features_in_

    def _settings(self):
        return Settings(
            self.loss, self.solver, float(self.learning_rate_init), float(self.alpha),
            int(self.batch_size), int(self.max_iter), self.clip_norm, bool(self.shuffle),
            float(self.tol), int(self.n_iter_no_change), int(self.verbose),
        )  # fmt: skip

    def _standardize_X(self, sequences, weights):
        """Learn the scale of the inputs from the training sequences."""
        n_features = sequences.values.shape[1]
        self._x_mean, self._x_scale = np.zeros(n_features), np.ones(n_features)
        if self.standardize:
            rows = sequences.rows()
            weights = np.repeat(weights, sequences.lengths)
            self._x_mean, self._x_scale = scale_of(sequences.values[rows], weights)

    def _scaled(self, sequences):
        """Return sequences on the scale the network sees."""
        with np.errstate(over="ignore"):  # infinity is found below
            values = (sequences.values - self._x_mean) / self._x_scale
        return sequences._replace(values=as_scaled("X", values, self._dtype))

    def _geometry(self, n_outputs, per_step):
        """Return the arguments of `SequenceNetwork` that the parameters ask for."""
        return {
            "input_size": self._input_size,
            "hidden_size": int(self.hidden_size),
            "n_outputs": n_outputs,
            "n_layers": int(self.n_layers),
            "bidirectional": bool(self.bidirectional),
            "per_step": per_step,
            "dropout": float(self.dropout),
            "dtype": str(np.dtype(self.dtype)),
            "variant": check_variant(self.variant),
        }

    def _build(self, n_outputs, per_step, rng):
        """Make a network with fresh parameters, or keep the last one for a warm start."""
        geometry = self._geometry(n_outputs, per_step)
        if self.warm_start and hasattr(self, "_network"):
            check_geometry("warm_start", self._network.geometry, geometry)
            return copy.deepcopy(self._network)
        network = SequenceNetwork(**geometry)
        network.initialise(float(self.forget_bias), rng)
        return network

    def _train(self, network, problem, rng, validation_score, settings=None, optimizer=None):
        """Train the network and set the fitted attributes; return how it ended."""
        history = History(self.tol, self.n_iter_no_change, by_score=self.early_stopping)
        settings, start = settings or self._settings(), network.parameters.copy()
        if self.solver == "lbfgs":
            outcome = train_lbfgs(network, problem, settings, history, validation_score)
        else:
            outcome = train(network, problem, settings, rng, history, validation_score, optimizer)
        best = history.best_parameters
        if outcome == "diverged":
            network.parameters[...] = start if best is None else best
        elif self.early_stopping and best is not None:
            network.parameters[...] = best
        self._network, self.lstm_ = network, network.lstm
        self.loss_curve_ = history.loss_curve
        self.loss_ = history.loss_curve[-1] if history.loss_curve else None
        decided = self.early_stopping or not history.loss_curve
        self.best_loss_ = None if decided else history.best_loss
        self.validation_scores_ = history.validation_scores if validation_score else None
        self.best_validation_score_ = history.best_score if validation_score else None
        self.n_iter_ = len(history.loss_curve)
        self.t_ = history.n_steps
        report(outcome, history, stacklevel=5)
        return outcome

    def _split(self, problem, rng):
        """Return the problem to train on and the one held out for early stopping, or None."""
        if not self.early_stopping:
            return problem, None
        n = len(problem.sequences.lengths)
        n_held = max(1, round(n * self.validation_fraction))
        if n_held >= n:
            raise ValueError(
                f"early_stopping must leave a sample to learn, but validation_fraction holds out "
                f"{n_held} of {n}"
            )
        shuffled = rng.permutation(n)
        rest, held = np.sort(shuffled[n_held:]), np.sort(shuffled[:n_held])
        return problem.subset(problem.order[rest]), problem.subset(problem.order[held])

    def _raw_predict(self, X):
        """Return the network's outputs for X, and X as `Sequences`."""
        check_is_fitted(self)
        sequences = self._check_X(X, reset=False)
        with thread_limit(self.n_threads):
            out = predict(self._network, self._scaled(sequences), Workspace(self._network.dtype))
        return out, sequences

    def _step(self, x, state):
        """Return the network's outputs for one time step, and the state after it."""
        check_is_fitted(self)
        if self._network.geometry["bidirectional"]:
            raise ValueError("predict_step is not defined for bidirectional=True")
        x = as_floats("x", x, self._dtype, 2)
        if x.shape[1] != self._input_size:
            raise ValueError(f"x must have shape (n_samples, {self._input_size}), got {x.shape}")
        with np.errstate(over="ignore"):  # infinity is found below
            x = as_scaled("x", (x - self._x_mean) / self._x_scale, self._dtype)
        with thread_limit(self.n_threads):
            return self._network.step(x, state)
