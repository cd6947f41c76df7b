"""Full-batch training by SciPy's L-BFGS: the right solver for small networks."""

import math

import numpy as np

from numlstm.kernels._ahead import compile_ahead
from numlstm.training.loop import describe, progress_bar
from numlstm.training.problem import accumulate, add_penalty, part_of, passes


def train_lbfgs(network, problem, settings, history, validation_score=None):
    """Minimise the loss over all sequences at once.

    Parameters
    ----------
    network : SequenceNetwork
        Its parameters are updated.
    problem : Problem
    settings : Settings
        `max_iter` counts L-BFGS iterations, `tol` is its tolerance on the gradient.
    history : History
        Recorded into.
    validation_score : callable, optional
        Called after every iteration; higher is better.

    Returns
    -------
    str
        "converged", "max_iter", "interrupted" or "diverged".

    Notes
    -----
    Liu & Nocedal (1989), as `scipy.optimize.minimize(method="L-BFGS-B")`. Evaluations sum the
    passes in one order, so that a fit repeats to the bit.
    """
    from scipy.optimize import minimize

    if not settings.max_iter:  # SciPy would do one iteration
        return "max_iter"
    lengths = problem.sequences.lengths
    parts = [part_of(problem, rows) for rows in passes(len(lengths), lengths)]
    weight = math.fsum(part.total_weight for part in parts)
    start = network.parameters.astype(np.float64)
    best, outcome = [start], ["max_iter"]

    def evaluate(flat):
        network.parameters[...] = flat
        network.gradient.fill(0)
        total = sum(accumulate(network, problem, part, 1 / weight, settings.loss) for part in parts)
        loss = total / weight + add_penalty(network, settings.alpha / weight)
        return loss, network.gradient.astype(np.float64)

    def after_iteration(intermediate_result):
        if not np.isfinite(intermediate_result.fun):
            raise StopIteration
        network.parameters[...] = intermediate_result.x
        score = validation_score() if validation_score else None
        history.record(network.parameters, intermediate_result.fun, score)
        history.n_steps += 1
        bar.set_postfix_str(describe(intermediate_result.fun, score), refresh=False)
        bar.update()
        best[0] = intermediate_result.x.copy()  # SciPy overwrites it in the next line search
        if validation_score and history.by_score and history.out_of_patience:
            outcome[0] = "converged"
            raise StopIteration

    with progress_bar(settings, "iteration") as bar:
        try:
            compile_ahead(accumulate, network, problem, parts[0], 1 / weight, settings.loss)
            result = minimize(
                evaluate, start, jac=True, method="L-BFGS-B", callback=after_iteration,
                options={
                    "maxiter": settings.max_iter, "maxfun": 15 * settings.max_iter,
                    "gtol": settings.tol, "ftol": 64 * np.finfo(float).eps, "maxcor": 20,
                },
            )  # fmt: skip
            if not np.isfinite(result.fun):
                outcome[0] = "diverged"
            elif result.success:
                outcome[0] = "converged"
        except KeyboardInterrupt:
            outcome[0] = "interrupted"
    network.parameters[...] = best[0]
    return outcome[0]
