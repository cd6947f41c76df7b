"""`LSTMForecaster`: the future of a series from its past. In use: book/08_series.md."""

import numpy as np
from sklearn.metrics import mean_pinball_loss, r2_score
from sklearn.utils.validation import check_is_fitted

from numlstm.data.sequences import from_array
from numlstm.data.series import as_series, check_same_index, usual_spread, window_scales
from numlstm.data.validation import (
    LARGEST_COUNT,
    as_floats,
    as_random_state,
    as_scaled,
    check_choice,
    check_size,
)
from numlstm.estimators.base import SequenceEstimator, scale_of
from numlstm.estimators.forecast_saving import ForecastSaveMixin
from numlstm.kernels._threads import thread_limit
from numlstm.nn.memory import Workspace
from numlstm.training.problem import Problem, predict

STRATEGIES = ("direct", "recursive")


class LSTMForecaster(ForecastSaveMixin, SequenceEstimator):
    """Forecasts of one or several series by an LSTM that reads a window of the past.

    Parameters
    ----------
    window : int
        Past values that the network reads. For a series with seasons, take at least one.
    horizon : int
        Steps ahead to forecast.
    strategy : {"direct", "recursive"}
        "direct": one network with an output for each of the `horizon` steps. "recursive": one step
        ahead, fed back `horizon` times.
    hidden_size, n_layers : int
    bidirectional : bool
    dropout, forget_bias : float
    variant : LSTMVariant, optional
    loss : str
    quantile : float
    solver : str
    learning_rate_init, alpha : float
    batch_size, max_iter : int
    clip_norm : float or None
    shuffle : bool
        All of these as in `LSTMRegressor`.
    early_stopping : bool
        Hold out the last windows (not random ones, because windows overlap), stop when their score
        stops rising, and restore the weights that scored best.
    validation_fraction : float
        Share of the windows to hold out.
    n_iter_no_change : int
    tol : float
        As in `LSTMRegressor`.
    standardize : bool
        Bring every window to mean 0 and standard deviation 1, and its forecast back: levels and
        swings may then grow beyond those of the training series (Kim et al. 2022, reversible
        instance normalisation). A window calmer than usual is divided by the usual deviation, so
        that a run of equal values does no harm. The columns of X are standardised as a whole.
    warm_start : bool
    random_state : int, RandomState instance or None
    n_threads : int or None
    dtype : {"float32", "float64"}
    verbose : int
        As in `LSTMRegressor`.

    Attributes
    ----------
    n_features_in_ : int
        Columns of the exogenous X; 0 without.
    n_outputs_ : int
        Series.
    loss_, best_loss_ : float
    loss_curve_, validation_scores_ : list of float
    n_iter_ : int
    lstm_ : LSTM
        As in `LSTMRegressor`.

    Notes
    -----
    A missing value (NaN) leaves out the windows that would contain it. To forecast, the last
    `window` values must be there.

    Examples
    --------
    >>> from numlstm import LSTMForecaster
    >>> from numlstm.datasets import make_sine
    >>> y = make_sine(600, period=25)
    >>> model = LSTMForecaster(window=30, horizon=5, solver="lbfgs", hidden_size=4, random_state=0)
    >>> forecast = model.fit(y[:-5]).predict()
    >>> bool(abs(forecast - y[-5:]).max() < 0.05)
    True
    """

    def __init__(
        self,
        window=24,
        horizon=1,
        *,
        strategy="direct",
        hidden_size=32,
        n_layers=1,
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
        self.window = window
        self.horizon = horizon
        self.strategy = strategy
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

    def fit(self, y, X=None):
        """Learn from a series.

        Parameters
        ----------
        y : array or pandas object, (n,) or (n, n_series)
            The series, oldest value first. A pandas Series or DataFrame needs an index that can be
            carried on: dates or periods of one frequency, or numbers of one step.
        X : array or DataFrame, (n, n_features), optional
            Other quantities known for the future too, such as a calendar; with the index of y.

        Returns
        -------
        LSTMForecaster
            Itself.

        Raises
        ------
        TypeError, ValueError
            For parameters or data that make no sense; a series too short for one window.
        """
        self._check_parameters()
        with self._all_or_nothing():
            return self._fit(y, X)

    def _fit(self, y, X):
        self._window, self._dtype = int(self.window), np.dtype(self.dtype)
        self._ahead = int(self.horizon) if self.strategy == "direct" else 1  # steps at once
        self._window_scales = bool(self.standardize)
        series, index = as_series("y", y)
        exogenous = self._check_exogenous(X, len(series), "y")
        check_same_index(y, X)
        span = self._window + self._ahead
        if len(series) < span:
            raise ValueError(
                f"y must have at least window + horizon = {span} values, got {len(series)}"
            )
        self.n_outputs_, self._y_ndim, self._univariate = series.shape[1], np.ndim(y), False
        self._check_columns(X, reset=True)
        self._scale_series(series, exogenous)
        windows, targets = self._training_windows(series, exogenous)
        rng = as_random_state(self.random_state)
        network = self._build(targets.shape[1], False, rng)
        network.quantile = float(self.quantile)
        problem = Problem(from_array(windows), targets, np.ones(len(targets)))
        problem, held = self._split(problem, rng)
        score = None if held is None else self._validation_score(network, held)
        self._train(network, problem, rng, score)
        # Copies: the caller may change the arrays later.
        self._history, self._index = series[-self._window :].copy(), index
        self._exogenous = None if exogenous is None else exogenous[-self._window :].copy()
        return self

    def _check_parameters(self):
        super()._check_parameters()
        check_size("window", self.window, LARGEST_COUNT)
        check_size("horizon", self.horizon, LARGEST_COUNT)
        check_choice("strategy", self.strategy, STRATEGIES)

    @property
    def _input_size(self):
        return self.n_outputs_ + self.n_features_in_ * self._ahead

    def _check_exogenous(self, X, n_rows, beside):
        if X is None:
            return None
        array = as_floats("X", X, np.dtype("float64"), 2)
        if not array.shape[1]:
            raise ValueError(f"X must have at least one feature, got 0 (shape {array.shape})")
        if len(array) != n_rows:
            raise ValueError(f"X must have {n_rows} rows, as many as {beside}, got {len(array)}")
        return array

    def _scale_series(self, series, exogenous):
        """Learn the spread of the whole series, and X's scale."""
        known = series[~np.isnan(series).any(axis=1)]
        if not len(known):
            raise ValueError("y must hold values, got missing ones only")
        self._floor = scale_of(known)[1]
        if exogenous is not None:
            n_features = exogenous.shape[1]
            self._x_mean, self._x_scale = np.zeros(n_features), np.ones(n_features)
            if self.standardize:
                self._x_mean, self._x_scale = scale_of(exogenous)

    def _training_windows(self, series, exogenous):
        """Return inputs (n_windows, window, n_inputs) and targets (n_windows, ahead * n_series)."""
        span = self._window + self._ahead
        view = np.lib.stride_tricks.sliding_window_view(series, span, axis=0)
        complete = ~np.isnan(view).any(axis=(1, 2))
        if not complete.any():
            raise ValueError(
                f"y must hold a run of window + horizon = {span} values without a missing one"
            )
        view = view[complete].transpose(0, 2, 1)
        past, future = view[:, : self._window], view[:, self._window :]
        self._floor = usual_spread(past, self._floor)
        mean, scale = window_scales(past, self._floor, self._window_scales)
        inputs = [(past - mean) / scale]
        if exogenous is not None:
            positions = np.flatnonzero(complete)[:, None] + np.arange(self._window)
            inputs += self._exogenous_inputs(exogenous, positions)
        targets = ((future - mean) / scale).reshape(len(future), -1)
        inputs = as_scaled("y (and X)", np.concatenate(inputs, axis=2), self._dtype)
        return inputs, as_scaled("y", targets, self._dtype)

    def _exogenous_inputs(self, exogenous, positions):
        """Return X of the next 1 .. ahead steps at every position of the windows."""
        scaled = (exogenous - self._x_mean) / self._x_scale
        return [scaled[positions + k] for k in range(1, self._ahead + 1)]

    def _split(self, problem, rng):
        if not self.early_stopping:
            return problem, None
        n = len(problem.targets)
        n_held = max(1, round(n * self.validation_fraction))
        if n_held >= n:
            raise ValueError(
                f"early_stopping must leave a window to learn, but validation_fraction holds out "
                f"{n_held} of {n}"
            )
        rows = np.arange(n)
        return problem.subset(rows[:-n_held]), problem.subset(rows[-n_held:])

    def _validation_score(self, network, held):
        workspace = Workspace(network.dtype)

        def score():
            out = predict(network, held.sequences, workspace).astype(np.float64)
            if not np.isfinite(out).all():  # training diverges
                return -np.inf
            if self.loss == "quantile":
                return -mean_pinball_loss(held.targets, out, alpha=self.quantile)
            return -float(np.mean((out - held.targets) ** 2))

        return score

    def predict(self, horizon=None, X=None):
        """Forecast the steps that follow the series of `fit`.

        Parameters
        ----------
        horizon : int, optional
            Steps; by default the parameter of that name. More than that is forecast in blocks, each
            fed back.
        X : array or DataFrame, (horizon, n_features)
            Other quantities over the forecast steps, where `fit` had them.

        Returns
        -------
        array or pandas object, (horizon,) or (horizon, n_series)
            On the scale of the series; pandas, with the index carried on, where y was pandas.

        Raises
        ------
        NotFittedError, TypeError, ValueError
        """
        n = check_size("horizon", self.horizon if horizon is None else horizon, LARGEST_COUNT)
        exogenous = self._check_future(X, n)
        forecast = self._forecast(n, exogenous)
        return self._index.carry_on(forecast[:, 0] if self._y_ndim == 1 else forecast)

    def trace(self, X=None):
        """Return every gate and state of every step while the network reads the last window.

        Parameters
        ----------
        X : array or DataFrame, (horizon, n_features)
            Other quantities over the forecast steps, where `fit` had them.

        Returns
        -------
        LSTMTrace
            i, f, g, o, c, h, each (n_layers * n_directions, 1, window, hidden_size).

        Raises
        ------
        NotFittedError, TypeError, ValueError
        """
        exogenous = self._check_future(X, check_size("horizon", self.horizon, LARGEST_COUNT))
        with thread_limit(self.n_threads):
            return self.lstm_.trace(self._inputs(self._history, exogenous, 0)[0])

    def _check_future(self, X, n):
        """Return X over the window and n steps after it; raise if there is nothing to go on."""
        check_is_fitted(self)
        if (X is None) != (self._exogenous is None):
            raise ValueError(
                "X must be given to predict if, and only if, it was given to fit: "
                f"fit had {'none' if X is not None else 'one'}"
            )
        exogenous = self._check_exogenous(X, n, "steps to forecast")
        self._check_columns(X, reset=False)
        if np.isnan(self._history).any():
            raise ValueError(
                f"the last window = {self._window} values of the series must be there to forecast, "
                f"but {int(np.isnan(self._history).any(axis=1).sum())} are missing"
            )
        if exogenous is None:
            return None
        # What lies beyond the last step asked for is not known, and its forecast not used.
        beyond = np.repeat(exogenous[-1:], self._ahead, axis=0)
        return np.concatenate([self._exogenous, exogenous, beyond])

    def _inputs(self, history, exogenous, done):
        """Return what the network reads (1, window, n_inputs), and the window's mean and scale."""
        mean, scale = window_scales(history[None], self._floor, self._window_scales)
        inputs = [(history[None] - mean) / scale]
        if exogenous is not None:
            positions = done + np.arange(self._window)[None]
            inputs += self._exogenous_inputs(exogenous, positions)
        return as_scaled("y (and X)", np.concatenate(inputs, axis=2), self._dtype), mean, scale

    def _forecast(self, n, exogenous):
        """Return n steps (n, n_series), block after block."""
        history, blocks, ahead = self._history, [], self._ahead
        workspace = Workspace(self._network.dtype)
        with thread_limit(self.n_threads):
            for done in range(0, n, ahead):
                inputs, mean, scale = self._inputs(history, exogenous, done)
                out = predict(self._network, from_array(inputs), workspace)
                block = out.reshape(ahead, -1) * scale[0] + mean[0]
                blocks.append(block)
                history = np.concatenate([history, block])[-self._window :]
        return np.concatenate(blocks)[:n]

    def score(self, y, X=None):
        """Return R^2 of the forecast of the steps that follow the series of `fit`.

        Parameters
        ----------
        y : array or pandas object, (n,) or (n, n_series)
            What came, without missing values.
        X : array or DataFrame, (n, n_features), optional

        Returns
        -------
        float
        """
        check_is_fitted(self)
        actual = as_floats("y", y, np.dtype("float64"), self._y_ndim)
        return r2_score(actual, self.predict(len(actual), X))
