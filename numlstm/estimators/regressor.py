"""`LSTMRegressor`: numbers from sequences. In use: book/08_series.md, book/11_tutorial.md."""

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import d2_pinball_score, r2_score

from numlstm.data.sequences import Sequences, is_ragged
from numlstm.data.validation import as_scaled
from numlstm.estimators.base import scale_of
from numlstm.estimators.predictor import SequencePredictor, by_row
from numlstm.estimators.targets import read_targets
from numlstm.nn.memory import Workspace
from numlstm.training.problem import predict


class LSTMRegressor(RegressorMixin, SequencePredictor):
    """LSTM regression on sequences: one target each, several, or one for each time step.

    Parameters
    ----------
    hidden_size : int
        Units of each LSTM layer and direction.
    n_layers : int
        LSTM layers on top of each other.
    bidirectional : bool
        Each layer also reads the sequences from their ends.
    dropout : float in [0, 1)
        Share of the outputs dropped between layers while training.
    forget_bias : float
        Initial bias of the forget gates.
    variant : LSTMVariant, optional
        Peepholes, projection, layer normalisation, recurrent dropout and more; without it the
        layers are the plain ones.
    loss : {"squared_error", "absolute_error", "huber", "quantile"}
        Mean over targets, on standardised targets if `standardize`. Huber's bend is at 1.
    quantile : float in (0, 1)
        Which quantile of the targets loss "quantile" predicts (Koenker & Bassett 1978).
    solver : {"adam", "sgd", "lbfgs"}
        Adam (Kingma & Ba 2015), gradient descent with momentum 0.9, or SciPy's L-BFGS on all
        samples at once, the right one for small networks.
    learning_rate_init : float
        Of "adam" and "sgd".
    alpha : float
        L2 penalty: alpha / 2 times the squared weights, biases left out, is added to the sum of the
        losses of a batch, as `MLPRegressor` does. Divided by their number, it is in `loss_`.
    batch_size : int
        Sequences per step of "adam" and "sgd".
    max_iter : int
        Epochs, or iterations of "lbfgs".
    clip_norm : float or None
        Largest norm of a gradient; longer ones are scaled down.
    shuffle : bool
        Draw new batches in every epoch, each of sequences of similar length; False trains in the
        order given. Where a step sees all samples ("lbfgs", or no more samples than `batch_size`),
        to weigh 2 or to be there twice is the same, to the last bit.
    early_stopping : bool
        Hold out a part of the samples, stop when its score stops rising, and restore the weights
        that scored best. Otherwise the training loss decides when to stop.
    validation_fraction : float
        Share of the samples to hold out.
    n_iter_no_change : int
        Epochs without improvement by `tol` before stopping.
    tol : float
        See `n_iter_no_change`; for "lbfgs" the largest gradient component at which to stop.
    standardize : bool
        Bring inputs and targets to mean 0 and standard deviation 1, and predictions back.
    warm_start : bool
        Start from the weights of the previous fit.
    random_state : int, RandomState instance or None
        Seed of weights, order and dropout. With an integer, results repeat to the bit, whatever the
        number of threads.
    n_threads : int or None
        Threads to use; by default all that Numba has.
    dtype : {"float32", "float64"}
    verbose : int
        1 shows a progress bar.

    Attributes
    ----------
    n_features_in_ : int
        Features of a 3-D X; time steps of a 2-D one.
    n_outputs_ : int
        Targets per sequence or per step.
    loss_ : float
        Loss of the last epoch.
    loss_curve_ : list of float
        Loss of each epoch.
    best_loss_ : float or None
        Smallest loss; None with early stopping.
    validation_scores_ : list of float or None
        R^2 on the samples held out, by epoch; D^2 of the quantile loss where that is the loss.
    n_iter_ : int
        Epochs done.
    lstm_ : LSTM
        The fitted layers; they see standardised inputs.

    Examples
    --------
    >>> import numpy as np
    >>> from numlstm import LSTMRegressor
    >>> X = np.random.default_rng(0).uniform(size=(200, 10, 1))
    >>> y = X.sum(axis=(1, 2))
    >>> model = LSTMRegressor(8, solver="lbfgs", random_state=0).fit(X[:150], y[:150])
    >>> model.score(X[150:], y[150:]) > 0.99
    True
    """

    def __init__(
        self,
        hidden_size=32,
        n_layers=1,
        *,
        bidirectional=False,
        dropout=0.0,
        forget_bias=1.0,
        variant=None,
        loss="squared_error",
        quantile=0.5,
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
    ):
        self.hidden_size = hidden_size
        self.n_layers = n_layers
        self.bidirectional = bidirectional
        self.dropout = dropout
        self.forget_bias = forget_bias
        self.variant = variant
        self.loss = loss
        self.quantile = quantile
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

    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Fit the network.

        Parameters
        ----------
        X : array, (n_samples, n_timesteps, n_features) or (n_samples, n_timesteps), or list
            Sequences; a list holds arrays (n_timesteps, n_features) of different lengths. A 2-D X
            means sequences of one feature.
        y : array, (n_samples,), (n_samples, n_outputs) or (n_samples, n_timesteps, n_outputs)
            Targets of each sequence, or of each step; a list of arrays (n_timesteps, n_outputs) or
            (n_timesteps,) where X is a list.
        sample_weight : array, (n_samples,), optional
        X_val, y_val : array or list of arrays, optional
            What to validate on after every epoch. With `early_stopping` it takes the place of a
            part of the samples; without, it is scored and decides nothing.
        sample_weight_val : array, optional

        Returns
        -------
        LSTMRegressor
            Itself.

        Raises
        ------
        TypeError, ValueError
            For parameters or data that make no sense, before any work is done.
        """
        self._check_parameters()
        with self._all_or_nothing():
            return self._fit(X, y, sample_weight, X_val, y_val, sample_weight_val)

    def _read_y(self, y, lengths):
        return read_targets(y, lengths)

    def _learn_targets(self, targets, weights):
        """Learn how many outputs there are."""
        self.n_outputs_ = _width(targets)

    def _numbers(self, targets):
        """Return the targets if there are as many outputs as before."""
        if _width(targets) != self.n_outputs_:
            raise ValueError(f"y must have {self.n_outputs_} outputs, got {_width(targets)}")
        return targets

    def _standardize_y(self, problem):
        self._y_mean, self._y_scale = np.zeros(self.n_outputs_), np.ones(self.n_outputs_)
        if self.standardize:
            self._y_mean, self._y_scale = scale_of(*by_row(problem))

    def _scaled_targets(self, targets):
        if isinstance(targets, Sequences):
            return targets._replace(values=self._scaled_targets(targets.values))
        return as_scaled("y", (targets - self._y_mean) / self._y_scale, self._dtype)

    def _upstream(self, out, output):
        """Return the gradient of one of the network's outputs with respect to all (n, K)."""
        d_out = np.zeros_like(out)
        d_out[:, output] = 1
        return d_out

    def _unscaled(self, out):
        return out * self._y_scale + self._y_mean

    def _validation_score(self, network, held):
        """Return a function that scores the network on the problem held out."""
        workspace = Workspace(network.dtype)
        targets, weights = by_row(held)

        def score():
            out = predict(network, held.sequences, workspace).astype(np.float64)
            if not np.isfinite(out).all():  # training diverges
                return -np.inf
            if len(targets) < 2:  # R^2 is not defined for one target
                return -float(np.mean((out - targets) ** 2))
            if self.loss == "quantile":
                return d2_pinball_score(targets, out, sample_weight=weights, alpha=self.quantile)
            return r2_score(targets, out, sample_weight=weights)

        return score

    def _prepare_network(self, network):
        """Set the quantile that the loss looks at."""
        network.quantile = float(self.quantile)

    def predict(self, X):
        """Predict the targets of sequences.

        Parameters
        ----------
        X : array or list of arrays
            As in `fit`.

        Returns
        -------
        array or list of arrays
            (n_samples,) or (n_samples, n_outputs), as y was; with one target per step (n_samples,
            n_timesteps, n_outputs), a list where X is one.

        Raises
        ------
        NotFittedError, TypeError, ValueError
        """
        out, sequences = self._raw_predict(X)
        y = self._unscaled(out)
        if self._y_ndim == 1:
            return y[:, 0]
        if not self._network.per_step:
            return y
        if not is_ragged(X):
            return y.reshape(len(sequences.lengths), -1, self.n_outputs_)
        return np.split(y, np.cumsum(sequences.lengths)[:-1])

    def score(self, X, y, sample_weight=None):
        """Return R^2 of the predictions; with one target per step, over all steps.

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
        if self._y_ndim < 3:
            return r2_score(y, predicted, sample_weight=sample_weight)
        y, predicted, weights = self._by_step(y, predicted, sample_weight)
        return r2_score(y, predicted, sample_weight=weights)

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
        y : array, (n_samples,) or (n_samples, n_outputs)
            What `predict` returns for the sequences up to here.
        state : LSTMState

        Raises
        ------
        NotFittedError, ValueError
        """
        out, state = self._step(x, state)
        y = self._unscaled(out)
        return (y[:, 0] if self._y_ndim == 1 else y), state

    def __sklearn_tags__(self):
        """Return scikit-learn's tags: several targets are fine."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _width(targets):
    """Return how many outputs targets have."""
    return (targets.values if isinstance(targets, Sequences) else targets).shape[1]
