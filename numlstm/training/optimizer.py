"""Adam and gradient descent with momentum."""

import math

import numpy as np

from numlstm.kernels._threads import launch
from numlstm.kernels.optimizers import (
    CLIP,
    N_NUMBERS,
    NORM,
    RATE,
    STEPS,
    adam_step_chunk,
    global_norm,
    momentum_step_chunk,
)
from numlstm.nn.memory import aligned_zeros

MOMENTUM = 0.9
BETA1, BETA2, EPS = 0.9, 0.999, 1e-8
STEP_COST = 16  # of a parameter, in multiply-adds


class Optimizer:
    """Adam or gradient descent with momentum, on gradients clipped to a global norm.

    Parameters
    ----------
    solver : {"adam", "sgd"}
    parameters : array
        Updated in place.
    clip_norm : float or None
        Largest norm of a gradient; longer ones are scaled down (Pascanu et al. 2013).
    """

    def __init__(self, solver, parameters, clip_norm):
        self.solver, self.parameters, self.clip_norm = solver, parameters, clip_norm
        self.m = aligned_zeros(parameters.shape, parameters.dtype)
        self.v = aligned_zeros(parameters.shape, parameters.dtype) if solver == "adam" else None
        self._numbers, self._no_loss = np.zeros(N_NUMBERS), np.zeros(1)

    @property
    def t(self):
        """How many steps were done."""
        return int(self._numbers[STEPS])

    @t.setter
    def t(self, count):
        self._numbers[STEPS] = count

    @property
    def norm(self):
        """The norm of the last gradient; where it is not finite, nothing was changed."""
        return float(self._numbers[NORM])

    def step(self, gradient, rate, loss=None):
        """Update the parameters; return False, changing nothing, for numbers that are not finite.

        Parameters
        ----------
        gradient : array
        rate : float
        loss : array of float64, (1,), optional
            Has to be finite too.
        """
        p, numbers, work = self.parameters, self._numbers, STEP_COST * self.parameters.size
        numbers[RATE] = rate
        numbers[CLIP] = np.inf if self.clip_norm is None else self.clip_norm
        launch(global_norm, gradient, self._no_loss if loss is None else loss, numbers, work=0)
        if self.solver == "adam":
            arguments = self.m, self.v, numbers, (BETA1, BETA2), EPS
            launch(adam_step_chunk, p, gradient, *arguments, work=work)
        else:
            launch(momentum_step_chunk, p, gradient, self.m, numbers, MOMENTUM, work=work)
        return math.isfinite(self.norm)
