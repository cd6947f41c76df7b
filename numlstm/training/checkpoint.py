"""Checkpoints of text training: all that the rest of it depends on, in one file."""

import hashlib
import math

import numpy as np

from numlstm.persistence import check_arrays, read_model, write_model
from numlstm.training.optimizer import Optimizer

KIND = "text checkpoint"


def fingerprint(tokens):
    """Return a sha256 of an array."""
    return hashlib.sha256(np.ascontiguousarray(tokens)).hexdigest()


def save_checkpoint(path, trainer, identity):
    """Write weights, moments, state, position, random state and history.

    Parameters
    ----------
    path : path
    trainer : TextTrainer
    identity : dict
        What must be the same to go on: parameters of the estimator, fingerprint of the text.
    """
    network, optimizer, history = trainer.network, trainer.optimizer, trainer.history
    arrays = _named("weights", network.get_weights())
    arrays |= _named("m", network.get_weights(optimizer.m))
    if optimizer.v is not None:
        arrays |= _named("v", network.get_weights(optimizer.v))
    if history.best_parameters is not None:
        arrays |= _named("best", network.get_weights(history.best_parameters))
    H = network.stack.hidden_size
    arrays["state.h"] = np.stack([carry.h[:, :H] for carry in trainer.state])
    arrays["state.c"] = np.stack([carry.c[:, :H] for carry in trainer.state])
    name, keys, position, has_gauss, gauss = trainer.rng.get_state()
    arrays["rng"] = keys
    write_model(
        path, KIND, arrays,
        {
            "identity": identity, "rng": [name, int(position), int(has_gauss), float(gauss)],
            "steps": optimizer.t, "epoch": trainer.epoch, "position": trainer.position,
            "total": trainer.total, "count": trainer.count,
            "history": {key: getattr(history, key) for key in _HISTORY},
        },
    )  # fmt: skip


_HISTORY = ("loss_curve", "validation_scores", "best_loss", "best_score", "without_improvement")


def optimizer_state(optimizer, network):
    """Return an optimiser's part of a pickle: moments in plain layout, for any machine."""
    moments = [None if x is None else network.get_weights(x) for x in (optimizer.m, optimizer.v)]
    return optimizer.solver, optimizer.clip_norm, optimizer.t, *moments


def load_optimizer(state, network):
    """Return the `Optimizer` of a network's parameters from its `optimizer_state`."""
    solver, clip_norm, t, m, v = state
    optimizer = Optimizer(solver, network.parameters, clip_norm)
    optimizer.t = t
    network.set_weights(m, optimizer.m)
    if v is not None:
        network.set_weights(v, optimizer.v)
    return optimizer


def _named(prefix, arrays):
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def load_checkpoint(path, trainer, identity):
    """Bring a trainer to where a checkpoint was written.

    Parameters
    ----------
    path : path
    trainer : TextTrainer
        Fresh, built from the same parameters and text.
    identity : dict

    Raises
    ------
    OSError, ValueError
        For a file that cannot be read, or of another training.
    """
    kind, arrays, saved = read_model(path)
    if kind != KIND:
        raise ValueError(f"{path} holds a {kind}, not a {KIND}")
    try:
        was = {key: saved["identity"].get(key) for key in identity}
        if was == identity:
            _restore(path, trainer, arrays, saved)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path} holds a {KIND} that makes no sense: {error}") from None
    for key, value in identity.items():
        if was[key] != value:
            raise ValueError(
                f"the checkpoint {path} is of another training: {key} was {was[key]!r}, now it is "
                f"{value!r}. Remove it to start anew"
            )


def _restore(path, trainer, arrays, saved):
    network, optimizer, history = trainer.network, trainer.optimizer, trainer.history
    groups = ["weights", "m"] + (["v"] if optimizer.v is not None else [])
    groups += ["best"] if "best/dense.b" in arrays else []
    shapes = {f"{g}/{name}": s for g in groups for name, s in network.shapes().items()}
    dtypes = dict.fromkeys(shapes, network.dtype)
    state = (len(trainer.state), trainer.streams.n_streams, network.stack.hidden_size)
    shapes |= {"state.h": state, "state.c": state, "rng": (624,)}
    dtypes |= {"state.h": network.dtype, "state.c": network.dtype, "rng": np.dtype(np.uint32)}
    check_arrays(path, arrays, shapes, dtypes)

    def group(prefix):
        return {name: arrays[f"{prefix}/{name}"] for name in network.shapes()}

    network.set_weights(group("weights"))
    network.set_weights(group("m"), optimizer.m)
    if optimizer.v is not None:
        network.set_weights(group("v"), optimizer.v)
    for key in ("loss_curve", "validation_scores"):
        setattr(history, key, [float(value) for value in saved["history"][key]])
    for key in ("best_loss", "best_score"):
        setattr(history, key, float(saved["history"][key]))
    history.without_improvement = int(saved["history"]["without_improvement"])
    if "best" in groups:
        history.best_parameters = np.zeros_like(network.parameters)
        network.set_weights(group("best"), history.best_parameters)
    for k, carry in enumerate(trainer.state):
        carry.h[:, : state[2]], carry.c[:, : state[2]] = arrays["state.h"][k], arrays["state.c"][k]
    name, place, has_gauss, gauss = saved["rng"]
    _check_range("rng", place, 624)  # NumPy would read on beyond its state
    trainer.rng.set_state((name, arrays["rng"], place, has_gauss, gauss))
    optimizer.t, trainer.epoch = int(saved["steps"]), int(saved["epoch"])
    trainer.position, trainer.total = int(saved["position"]), float(saved["total"])
    trainer.count = int(saved["count"])
    _check_progress(trainer)


def _check_range(name, value, largest):
    if not 0 <= value <= largest:
        raise ValueError(f"{name} must be from 0 to {largest}, got {value}")


def _check_progress(trainer):
    """Raise a ValueError if epochs, steps, losses and characters do not belong together."""
    streams, epoch, done = trainer.streams, trainer.epoch, trainer.position
    _check_range("epoch", epoch, trainer.settings.max_iter)
    _check_range("position", done, streams.n_chunks)
    whole = epoch * streams.n_chunks + done == trainer.optimizer.t
    whole &= len(trainer.history.loss_curve) == epoch
    count = streams.n_streams * min(done * streams.seq_length, streams.length)
    if not whole or trainer.count != count or not math.isfinite(trainer.total):
        raise ValueError("steps, epoch, position, total and count do not belong together")
