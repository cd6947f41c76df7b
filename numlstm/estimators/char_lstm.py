"""`CharLSTM`: learns a text character by character, writes more of it, and measures texts.

book/09_characters.md is about such a model, and book/10_memory.md looks inside one.
"""

import copy
import os

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from numlstm.data.texts import held_out
from numlstm.data.validation import (
    LARGEST_DEPTH,
    as_random_state,
    check_bool,
    check_choice,
    check_dtype,
    check_forget_bias,
    check_geometry,
    check_integer,
    check_number,
    check_size,
)
from numlstm.data.vocabulary import Vocabulary, check_text
from numlstm.estimators.char_generation import CharGenerationMixin
from numlstm.estimators.char_saving import CharSaveMixin
from numlstm.kernels._threads import thread_limit
from numlstm.nn.char_network import CharNetwork
from numlstm.training.char_loop import Streams, TextSettings, TextTrainer, run
from numlstm.training.checkpoint import (
    load_checkpoint,
    load_optimizer,
    optimizer_state,
    save_checkpoint,
)
from numlstm.training.history import History
from numlstm.training.loop import report
from numlstm.training.optimizer import Optimizer

SCHEDULES = ("constant", "cosine", "step")


class CharLSTM(CharGenerationMixin, CharSaveMixin, BaseEstimator):
    """A character-level language model.

    Parameters
    ----------
    hidden_size : int
        Units of each LSTM layer.
    n_layers : int
    embedding_size : int or None
        Numbers that stand for a character; None: one-hot.
    seq_length : int
        Characters that the gradient reaches back over. The state reaches further: it is carried
        along the whole text.
    dropout : float in [0, 1)
        Share of the outputs dropped between layers while training.
    forget_bias : float
        Initial bias of the forget gates.
    solver : {"adam", "sgd"}
    learning_rate : {"constant", "cosine", "step"}
        "cosine" falls to a hundredth over `max_iter` epochs; "step" halves after 1/2, 3/4 and 7/8.
    learning_rate_init : float
    alpha : float
        L2 penalty: alpha / 2 times the squared weights, biases and embedding left out.
    batch_size : int
        Streams of the text that are read side by side.
    max_iter : int
        Epochs.
    clip_norm : float or None
        Largest norm of a gradient; longer ones are scaled down.
    early_stopping : bool
        Stop when the score of the validation text stops rising, and restore the best weights.
        Without a `validation_text` the end of the text is held out.
    validation_fraction : float
        Share of the text to hold out.
    n_iter_no_change : int
        Epochs without improvement by `tol` before stopping.
    tol : float
    warm_start : bool
        Start from the weights of the previous fit, if it had the same vocabulary.
    random_state : int, RandomState instance or None
        Seed of weights and dropout, and of `generate` where it is given none.
    n_threads : int or None
        Threads to use; by default all that Numba has.
    dtype : {"float32", "float64"}
    verbose : int
        1 shows a progress bar; 2 also a sample of text after each epoch.

    Attributes
    ----------
    vocabulary_ : str
        The distinct characters (Unicode code points) of the text, sorted.
    loss_ : float
        Mean cross-entropy of the last epoch, in nats per character.
    loss_curve_ : list of float
        That of each epoch.
    validation_scores_ : list of float or None
        Mean log-likelihood of the validation text, in nats per character, after each epoch.
    best_loss_ : float or None
    n_iter_ : int
        Epochs done.
    lstm_ : LSTM
        The fitted layers; they read embedded (or one-hot) characters.

    Examples
    --------
    >>> from numlstm import CharLSTM
    >>> model = CharLSTM(32, 1, seq_length=16, batch_size=4, max_iter=60, learning_rate_init=0.01,
    ...                  random_state=0)
    >>> model.fit("the quick brown fox jumps over the lazy dog. " * 40).generate(
    ...     20, prompt="the quick", temperature=0)
    ' brown fox jumps ove'
    """

    def __init__(
        self,
        hidden_size=256,
        n_layers=2,
        *,
        embedding_size=64,
        seq_length=64,
        dropout=0.0,
        forget_bias=1.0,
        solver="adam",
        learning_rate="constant",
        learning_rate_init=2e-3,
        alpha=0.0,
        batch_size=64,
        max_iter=10,
        clip_norm=5.0,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=3,
        tol=1e-4,
        warm_start=False,
        random_state=None,
        n_threads=None,
        dtype="float32",
        verbose=0,
    ):
        self.hidden_size = hidden_size
        self.n_layers = n_layers
        self.embedding_size = embedding_size
        self.seq_length = seq_length
        self.dropout = dropout
        self.forget_bias = forget_bias
        self.solver = solver
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.alpha = alpha
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.clip_norm = clip_norm
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.random_state = random_state
        self.n_threads = n_threads
        self.dtype = dtype
        self.verbose = verbose

    def _check_parameters(self):
        check_size("hidden_size", self.hidden_size)
        check_size("n_layers", self.n_layers, LARGEST_DEPTH)
        for name in ("seq_length", "batch_size", "n_iter_no_change"):
            check_integer(name, getattr(self, name), 1)
        if self.embedding_size is not None:
            check_size("embedding_size", self.embedding_size)
        check_integer("max_iter", self.max_iter, 0)
        check_number("dropout", self.dropout, 0, 1, below=True)
        check_forget_bias(self.forget_bias)
        check_choice("solver", self.solver, ("adam", "sgd"))
        check_choice("learning_rate", self.learning_rate, SCHEDULES)
        check_number("learning_rate_init", self.learning_rate_init, 0, above=True)
        check_number("alpha", self.alpha, 0)
        check_number("tol", self.tol, 0)
        if self.clip_norm is not None:
            check_number("clip_norm", self.clip_norm, 0, above=True)
        check_bool("early_stopping", self.early_stopping)
        check_bool("warm_start", self.warm_start)
        check_number("validation_fraction", self.validation_fraction, 0, 1, above=True, below=True)
        if self.n_threads is not None:
            check_integer("n_threads", self.n_threads, 1)
        check_dtype(self.dtype)
        if not isinstance(self.verbose, (bool, np.bool_)):
            check_integer("verbose", self.verbose, 0)
        as_random_state(self.random_state)

    def fit(self, text, validation_text=None, *, checkpoint=None, checkpoint_steps=100):
        """Learn a text.

        Parameters
        ----------
        text : str
        validation_text : str, optional
            Scored after each epoch; its characters must occur in the text.
        checkpoint : path, optional
            Write all that the rest of the training depends on to this file, and go on from it if
            it is there: however often the training is stopped, it ends with the same weights. The
            file is removed at the end.
        checkpoint_steps : int
            Steps between two writes.

        Returns
        -------
        CharLSTM
            Itself.

        Raises
        ------
        TypeError, ValueError
            For parameters or texts that make no sense, before any work is done; for a checkpoint of
            another training.
        """
        self._check_parameters()
        check_integer("checkpoint_steps", checkpoint_steps, 1)
        check_text("text", text, 2)
        vocabulary = Vocabulary.of(text)
        tokens = vocabulary.encode("text", text)
        tokens, held = self._held_out(tokens, validation_text, vocabulary)
        rng = as_random_state(self.random_state)
        network = self._new_network(vocabulary, rng)
        trainer = self._trainer(network, tokens, rng)
        if checkpoint is not None:
            identity = self._identity(tokens, held, vocabulary)
            if os.path.exists(checkpoint):
                load_checkpoint(checkpoint, trainer, identity)
            else:  # a path that cannot be written to is an error now, not after an hour
                save_checkpoint(checkpoint, trainer, identity)
            checkpoint = (checkpoint, identity, checkpoint_steps)
        outcome = self._run(trainer, self.max_iter, held, vocabulary, checkpoint)
        self._finish(trainer, vocabulary, outcome, held is not None and self.early_stopping)
        if checkpoint is not None and outcome != "interrupted" and os.path.exists(checkpoint[0]):
            os.remove(checkpoint[0])
        return self

    def partial_fit(self, text):
        """Go on learning for one epoch of a text, with the optimiser's moments of the last call.

        `max_iter` calls with one text are a `fit` of it. The schedule of `learning_rate` is that of
        a training of `max_iter` epochs of which `n_iter_` are done, those of a `fit` included; past
        its end the last rate stays. A larger `max_iter`, or "constant", makes it higher again.

        Parameters
        ----------
        text : str
            On the first call it sets the vocabulary; later its characters must be in it.

        Returns
        -------
        CharLSTM
            Itself.

        Raises
        ------
        TypeError, ValueError
        """
        self._check_parameters()
        if self.early_stopping:
            raise ValueError("partial_fit does not know when to stop: early_stopping must be False")
        check_text("text", text, 2)
        first = not hasattr(self, "_network")
        vocabulary = Vocabulary.of(text) if first else self._vocabulary
        tokens = vocabulary.encode("text", text)
        # Copies: should a call fail, what was fitted is whole.
        rng = copy.deepcopy(getattr(self, "_rng", None)) or as_random_state(self.random_state)
        if not first:
            check_geometry("partial_fit", self._network.geometry, self._geometry(vocabulary))
        network = self._new_network(vocabulary, rng) if first else copy.deepcopy(self._network)
        trainer = self._trainer(network, tokens, rng, [] if first else self.loss_curve_)
        previous = getattr(self, "_optimizer", None)
        if previous is not None and previous.solver == self.solver:
            trainer.optimizer = load_optimizer(optimizer_state(previous, self._network), network)
            trainer.optimizer.clip_norm = self.clip_norm
        outcome = self._run(trainer, trainer.epoch + 1, None, vocabulary, None)
        self._finish(trainer, vocabulary, outcome, False)
        return self

    def _held_out(self, tokens, validation_text, vocabulary):
        """Return the tokens to learn, and those to validate on, or None."""
        if validation_text is not None:
            check_text("validation_text", validation_text, 2)
            return tokens, vocabulary.encode("validation_text", validation_text)
        if not self.early_stopping:
            return tokens, None
        n = held_out(len(tokens), self.validation_fraction)
        if len(tokens) - n < 2:
            raise ValueError(
                f"early_stopping must leave 2 characters to learn, but validation_fraction holds "
                f"out {n} of {len(tokens)}"
            )
        return tokens[:-n], tokens[-n:]

    def _new_network(self, vocabulary, rng):
        geometry = self._geometry(vocabulary)
        if self.warm_start and hasattr(self, "_network"):
            if self._vocabulary.characters != vocabulary.characters:
                raise ValueError("warm_start needs a text with the vocabulary of the previous fit")
            check_geometry("warm_start", self._network.geometry, geometry)
            return copy.deepcopy(self._network)
        network = CharNetwork(**geometry)
        network.initialise(float(self.forget_bias), rng)
        return network

    def _geometry(self, vocabulary):
        e = self.embedding_size
        return {
            "n_tokens": len(vocabulary),
            "hidden_size": int(self.hidden_size),
            "embedding_size": None if e is None else int(e),
            "n_layers": int(self.n_layers),
            "dropout": float(self.dropout),
            "dtype": str(np.dtype(self.dtype)),
        }

    def _trainer(self, network, tokens, rng, losses=()):
        """Return what trains a network; `losses` are those of the epochs done before."""
        settings = TextSettings(
            self.solver, self.learning_rate, float(self.learning_rate_init), float(self.alpha),
            int(self.batch_size), int(self.seq_length), int(self.max_iter), self.clip_norm,
            float(self.tol), int(self.n_iter_no_change),
        )  # fmt: skip
        streams = Streams(tokens, settings.batch_size, settings.seq_length)
        optimizer = Optimizer(self.solver, network.parameters, self.clip_norm)
        history = History(self.tol, self.n_iter_no_change)
        history.loss_curve, history.best_loss = list(losses), min(losses, default=np.inf)
        return TextTrainer(network, optimizer, streams, settings, rng, history, len(losses))

    def _run(self, trainer, last_epoch, held, vocabulary, checkpoint):
        """Train to the end, to Ctrl-C or to a gradient that is not finite; return which."""

        def sample():
            return self._generate_with(trainer.network, vocabulary, 200, np.random.RandomState(0))

        save = None
        if checkpoint:
            path, identity, steps = checkpoint
            save = (lambda: save_checkpoint(path, trainer, identity)), steps
        with thread_limit(self.n_threads):
            return run(trainer, last_epoch, held, self.early_stopping, self.verbose, sample, save)

    def _finish(self, trainer, vocabulary, outcome, restore_best):
        """Set the fitted attributes."""
        history, network = trainer.history, trainer.network
        best = history.best_parameters
        if outcome == "diverged":
            network.parameters[...] = trainer.start if best is None else best
        elif restore_best and best is not None:
            network.parameters[...] = best
        self._set_fitted(network, vocabulary, history)
        # The moments of a divergence would end the next `partial_fit` as well.
        self._optimizer = None if outcome == "diverged" else trainer.optimizer
        self._rng = trainer.rng
        report(outcome, history)

    def _set_fitted(self, network, vocabulary, history):
        self._network, self._vocabulary, self._model = network, vocabulary, None
        self.vocabulary_ = vocabulary.characters
        self.loss_curve_ = history.loss_curve
        self.loss_ = history.loss_curve[-1] if history.loss_curve else None
        self.validation_scores_ = history.validation_scores or None
        scored = self.validation_scores_ is not None
        self.best_loss_ = None if scored or not history.loss_curve else history.best_loss
        self.best_validation_score_ = history.best_score if scored else None
        self.n_iter_ = len(history.loss_curve)

    @property
    def lstm_(self):
        """The fitted layers, as an `LSTM` that reads embedded (or one-hot) characters."""
        check_is_fitted(self, "vocabulary_")
        return self._network.lstm()

    def __sklearn_is_fitted__(self):
        """Return whether there is a network."""
        return hasattr(self, "_network")
