"""What `CharLSTM` writes to files, pickles and checkpoints, and how it comes back from them."""

import math
import numbers

import numpy as np

from numlstm.data.vocabulary import Vocabulary
from numlstm.estimators.saving import SaveMixin, check_list
from numlstm.nn.char_network import CharNetwork, array_shapes
from numlstm.training.checkpoint import fingerprint, load_optimizer, optimizer_state
from numlstm.training.history import History


class CharSaveMixin(SaveMixin):
    """`save`, `load` and pickling for `CharLSTM`."""

    def _saved_state(self):
        return self._network.get_weights(), {
            # Not as one string: JSON would read two lone surrogates in a row as one character.
            "vocabulary": list(self.vocabulary_),
            "loss_curve": self.loss_curve_,
            "validation_scores": self.validation_scores_,
        }

    def _empty(self, fitted):
        """Return a network of the saved geometry, and shapes and dtypes of its arrays."""
        network = CharNetwork(**self._geometry(Vocabulary("".join(fitted["vocabulary"]))))
        shapes = network.shapes()
        return network, shapes, dict.fromkeys(shapes, network.dtype)

    def _restore(self, network, arrays, fitted):
        """Set the fitted attributes from a file."""
        network.set_weights(arrays)
        history = History(self.tol, self.n_iter_no_change)
        history.loss_curve = check_list(fitted["loss_curve"])
        history.validation_scores = check_list(fitted["validation_scores"]) or []
        history.best_loss = min(history.loss_curve, default=np.inf)
        history.best_score = max(history.validation_scores, default=-np.inf)
        self._set_fitted(network, Vocabulary("".join(fitted["vocabulary"])), history)

    def _least_size(self, fitted):
        """Return how many numbers the arrays hold together."""
        shapes = array_shapes(**self._geometry("".join(fitted["vocabulary"])))
        return sum(map(math.prod, shapes.values()))

    def __getstate__(self):
        """Return what a copy or a pickle needs."""
        state = dict(super().__getstate__())
        if "_network" in state:
            state["_model"] = None  # it holds the weights once more
        if state.get("_optimizer"):
            state["_optimizer"] = optimizer_state(self._optimizer, self._network)
        return state

    def __setstate__(self, state):
        """Rebuild from `__getstate__`."""
        super().__setstate__(state)
        if state.get("_optimizer"):
            self._optimizer = load_optimizer(state["_optimizer"], self._network)

    def _identity(self, tokens, held, vocabulary):
        """Return what a checkpoint must agree with."""
        parameters = self.get_params()
        for name in ("n_threads", "verbose"):
            del parameters[name]
        if not isinstance(self.random_state, numbers.Integral):
            raise ValueError(
                f"a checkpoint needs an integer random_state, got {self.random_state!r}"
            )
        parameters["dtype"] = np.dtype(self.dtype)  # which has several names
        return {k: str(v) for k, v in parameters.items()} | {
            "text": fingerprint(tokens),
            "validation text": None if held is None else fingerprint(held),
            "vocabulary": list(vocabulary.characters),
        }
