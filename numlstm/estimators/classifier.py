"""`LSTMClassifier`: classes from sequences."""

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from numlstm.data.sequences import Sequences, is_ragged
from numlstm.estimators.class_saving import ClassSaveMixin
from numlstm.estimators.labels import (
    check_class_weight,
    number_of,
    read_classes,
    read_labels,
    weights_of,
)
from numlstm.estimators.predictor import SequencePredictor, by_row, takes_steps
from numlstm.nn.memory import Workspace
from numlstm.training.problem import predict


class LSTMClassifier(ClassifierMixin, ClassSaveMixin, SequencePredictor):
    """LSTM classification of sequences: one label each, or one for each time step.

    Parameters
    ----------
    hidden_size, n_layers : int
    bidirectional : bool
    dropout, forget_bias : float
    variant : LSTMVariant, optional
        As in `LSTMRegressor`.
    loss : {"log_loss"}
        Cross-entropy of the softmax.
    solver : str
    learning_rate_init, alpha : float
    batch_size, max_iter : int
    clip_norm : float or None
    shuffle, early_stopping : bool
    validation_fraction : float
    n_iter_no_change : int
    tol : float
    standardize : bool
        Of the inputs.
    warm_start : bool
    random_state : int, RandomState instance or None
    n_threads : int or None
    dtype : {"float32", "float64"}
    verbose : int
        As in `LSTMRegressor`.
    class_weight : dict, "balanced" or None
        Weights of the classes in the loss; "balanced": inversely proportional to how often a class
        occurs.

    Attributes
    ----------
    classes_ : array, (n_classes,)
        The distinct labels, sorted.
    n_features_in_, n_outputs_, n_iter_ : int
    loss_, best_loss_ : float
    loss_curve_ : list of float
    validation_scores_ : list of float or None
        Accuracy on the samples held out, by epoch.
    lstm_ : LSTM
        As in `LSTMRegressor`.

    Examples
    --------
    >>> import numpy as np
    >>> from numlstm import LSTMClassifier
    >>> X = np.random.default_rng(0).standard_normal((200, 10, 1))
    >>> y = np.where(X.sum(axis=(1, 2)) > 0, "up", "down")
    >>> model = LSTMClassifier(8, solver="lbfgs", random_state=0).fit(X[:150], y[:150])
    >>> model.score(X[150:], y[150:]) > 0.9
    True
    """

    _losses = ("log_loss",)

    def __init__(
        self,
        hidden_size=32,
        n_layers=1,
        *,
        bidirectional=False,
        dropout=0.0,
        forget_bias=1.0,
        variant=None,
        loss="log_loss",
        solver="adam",
        learning_rate_init=1e-3,
        alpha=0.0,
        batch_size=32,
        max_iter=100,
        clip_norm=1.0,
        shuffle=True,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        standardize=True,
        warm_start=False,
        random_state=None,
        n_threads=None,
        dtype="float32",
        verbose=0,
        class_weight=None,
    ):
        self.hidden_size = hidden_size
        self.n_layers = n_layers
        self.bidirectional = bidirectional
        self.dropout = dropout
        self.forget_bias = forget_bias
        self.variant = variant
        self.loss = loss
        self.solver = solver
        self.learning_rate_init = learning_rate_init
        self.alpha = alpha
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.clip_norm = clip_norm
        self.shuffle = shuffle
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.standardize = standardize
        self.warm_start = warm_start
        self.random_state = random_state
        self.n_threads = n_threads
        self.dtype = dtype
        self.verbose = verbose
        self.class_weight = class_weight

    def _check_parameters(self):
        super()._check_parameters()
        check_class_weight(self.class_weight)

    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Fit the network.

        Parameters
        ----------
        X : array, (n_samples, n_timesteps, n_features) or (n_samples, n_timesteps), or list
            Sequences, as in `LSTMRegressor.fit`.
        y : array, (n_samples,) or (n_samples, n_timesteps), or list of arrays
            Labels, numbers or strings, of each sequence or of each step.
        sample_weight : array, (n_samples,), optional
        X_val, y_val : array or list of arrays, optional
        sample_weight_val : array, optional
            As in `LSTMRegressor.fit`.

        Returns
        -------
        LSTMClassifier
            Itself.

        Raises
        ------
        TypeError, ValueError
            For parameters or data that make no sense, before any work is done.
        """
        self._check_parameters()
        with self._all_or_nothing():
            return self._fit(X, y, sample_weight, X_val, y_val, sample_weight_val)

    @available_if(takes_steps)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Go on learning for one epoch of some samples, with the optimiser's moments kept.

        Parameters
        ----------
        X : array or list of arrays
            As in `fit`. The first call sets the scale, if `standardize`: give it a fair sample.
        y : array or list of arrays
        classes : array, (n_classes,), optional
            All labels that will ever come; needed in the first call unless its y has them all.
        sample_weight : array, (n_samples,), optional

        Returns
        -------
        LSTMClassifier
            Itself.

        Raises
        ------
        AttributeError
            For solver "lbfgs".
        TypeError, ValueError
            For parameters or data that make no sense, or unlike those of the first call.
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight 'balanced' needs all labels at once: give partial_fit a dict"
            )
        if classes is not None:
            classes = read_classes(classes)
        if hasattr(self, "_network"):
            if classes is not None and not np.array_equal(classes, self.classes_):
                raise ValueError(
                    f"classes must be those of the first call, {self.classes_}, got {classes}"
                )
            return self._partial_fit(X, y, sample_weight)
        with self._all_or_nothing():
            self._expected = classes
            self._partial_fit(X, y, sample_weight)
            del self._expected
            return self

    def _read_y(self, y, lengths):
        return read_labels(y, lengths)

    def _learn_targets(self, targets, weights):
        """Learn which classes there are, and their weights in the loss."""
        if isinstance(targets, Sequences):
            weights, targets = np.repeat(weights, targets.lengths), targets.values
        labels = targets[:, 0]
        expected = getattr(self, "_expected", None)
        self.classes_ = np.unique(labels) if expected is None else expected
        self.n_outputs_ = len(self.classes_)
        number_of(targets, self.classes_)  # before compute_class_weight says it less clearly
        self._class_weights = weights_of(self.classes_, self.class_weight, labels, weights)

    def _numbers(self, targets):
        """Return the number of each label's class in place of the label."""
        if isinstance(targets, Sequences):
            return targets._replace(values=self._numbers(targets.values))
        return number_of(targets, self.classes_).astype(self._dtype)

    def _standardize_y(self, problem):
        """Leave the labels as they are."""

    def _scaled_targets(self, targets):
        return targets

    def _prepare_network(self, network):
        network.class_weights = self._class_weights

    def _validation_score(self, network, held):
        workspace = Workspace(network.dtype)
        numbers, weights = by_row(held)

        def score():
            out = predict(network, held.sequences, workspace)
            return accuracy_score(numbers[:, 0], out.argmax(axis=1), sample_weight=weights)

        return score

    def _upstream(self, out, output):
        """Return the gradient of one class's log-probability with respect to the logits (n, K)."""
        d_out = -softmax(out, axis=1)
        d_out[:, output] += 1
        return d_out

    def _shaped(self, rows, X, sequences):
        """Return results by row in the shape of the labels of `fit`."""
        if self._y_ndim == 1:
            return rows
        if is_ragged(X):
            return np.split(rows, np.cumsum(sequences.lengths)[:-1])
        return rows.reshape(len(sequences.lengths), -1, *rows.shape[1:])

    def predict(self, X):
        """Predict labels.

        Parameters
        ----------
        X : array or list of arrays
            As in `fit`.

        Returns
        -------
        array or list of arrays
            (n_samples,); with one label per step (n_samples, n_timesteps), a list where X is one.

        Raises
        ------
        NotFittedError, TypeError, ValueError
        """
        out, sequences = self._raw_predict(X)
        return self._shaped(self.classes_[out.argmax(axis=1)], X, sequences)

    def predict_proba(self, X):
        """Predict the probability of every class.

        Parameters
        ----------
        X : array or list of arrays

        Returns
        -------
        array or list of arrays
            (n_samples, n_classes), classes in the order of `classes_`; with one label per step
            (n_samples, n_timesteps, n_classes).
        """
        out, sequences = self._raw_predict(X)
        return self._shaped(softmax(out.astype(np.float64), axis=1), X, sequences)

    def predict_log_proba(self, X):
        """Predict the logarithm of the probability of every class.

        Parameters
        ----------
        X : array or list of arrays

        Returns
        -------
        array or list of arrays
            As of `predict_proba`.
        """
        out, sequences = self._raw_predict(X)
        return self._shaped(log_softmax(out.astype(np.float64), axis=1), X, sequences)

    def decision_function(self, X):
        """Return the logits; of two classes, that of the second less that of the first.

        Parameters
        ----------
        X : array or list of arrays

        Returns
        -------
        array or list of arrays
            (n_samples, n_classes), or (n_samples,) for two classes.
        """
        out, sequences = self._raw_predict(X)
        if self.n_outputs_ == 2:
            out = out[:, 1] - out[:, 0]
        return self._shaped(out, X, sequences)

    def score(self, X, y, sample_weight=None):
        """Return the accuracy; with one label per step, over all steps.

        Parameters
        ----------
        X : array or list of arrays
        y : array or list of arrays
        sample_weight : array, (n_samples,), optional

        Returns
        -------
        float
        """
        predicted = self.predict(X)
        if self._y_ndim == 1:
            return accuracy_score(y, predicted, sample_weight=sample_weight)
        y, predicted, weights = self._by_step(y, predicted, sample_weight)
        return accuracy_score(y[:, 0], predicted, sample_weight=weights)

    def predict_step(self, x, state=None):
        """Predict from one more time step of each sequence, for streams.

        Parameters
        ----------
        x : array, (n_samples, n_features)
            The next step of each sequence.
        state : LSTMState, optional
            As the previous call returned it; zero by default.

        Returns
        -------
        y : array, (n_samples,)
            What `predict` returns for the sequences up to here.
        state : LSTMState
        """
        check_is_fitted(self)
        out, state = self._step(x, state)
        return self.classes_[out.argmax(axis=1)], state
