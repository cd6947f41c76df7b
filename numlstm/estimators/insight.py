"""What goes on inside a fitted estimator: its gates, and how much each input matters.

book/10_memory.md does the same for a model of text.
"""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from numlstm.data.sequences import is_ragged, padded, plain
from numlstm.data.validation import check_integer
from numlstm.kernels._threads import thread_limit
from numlstm.training.problem import input_gradients


class InsightMixin:
    """`trace` and `input_gradients` for the estimators that take X."""

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
        check_is_fitted(self)
        sequences = self._scaled(self._check_X(X, reset=False))
        with thread_limit(self.n_threads):
            return self.lstm_.trace(padded(sequences), lengths=sequences.lengths)

    def input_gradients(self, X, *, output=0):
        """Return how an output at the end of each sequence changes with every input.

        Parameters
        ----------
        X : array or list of arrays
            As in `fit`.
        output : int
            Which output. Of a classifier the number of a class in `classes_`; the output is then
            the logarithm of its probability.

        Returns
        -------
        array or list of arrays
            d output / d X, of the shape of X, in units of y over units of X. With one target per
            step, that of the last step is looked at.

        Raises
        ------
        NotFittedError, TypeError
        ValueError
            Also if the gradients overflow: where weights are too large, or layer normalisation
            sees units that hardly differ at every step.

        Notes
        -----
        The gradient of backpropagation through time, as a saliency map (Simonyan et al. 2014): a
        linear approximation around these inputs.
        """
        check_is_fitted(self)
        output = check_integer("output", output, 0, self.n_outputs_ - 1)
        sequences = self._check_X(X, reset=False)
        with thread_limit(self.n_threads):
            gradients = input_gradients(
                self._network, self._scaled(sequences), lambda out: self._upstream(out, output)
            )
        if not np.isfinite(gradients).all():
            raise ValueError(
                f"the gradients of X are beyond {gradients.dtype}: the fitted weights are too "
                "large, or a layer normalisation divides by next to nothing at every step"
            )
        unit = getattr(self, "_y_scale", None)  # classes have none
        with np.errstate(over="ignore"):  # what y's and X's sizes make infinite is so
            gradients = gradients.astype(np.float64) / self._x_scale
            gradients = gradients if unit is None else gradients * unit[output]
        if is_ragged(plain(X)):
            return np.split(gradients, np.cumsum(sequences.lengths)[:-1])
        gradients = gradients.reshape(len(sequences.lengths), -1, gradients.shape[1])
        return gradients[:, :, 0] if np.ndim(X) == 2 else gradients
