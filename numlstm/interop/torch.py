"""PyTorch: the state dict of a torch.nn.LSTM, or a safetensors file that holds one.

Gates are in our order, matrices are transposed, and there are two biases.

Names per layer k: ``weight_ih_l{k}`` (4H, D), ``weight_hh_l{k}`` (4H, R), ``bias_ih_l{k}`` and
``bias_hh_l{k}`` (4H,), which PyTorch adds up, and with a projection to R < H features
``weight_hr_l{k}`` (R, H); the reverse direction has ``_reverse`` behind each.
"""

import re

import numpy as np

from numlstm.interop._files import is_path, refusing
from numlstm.interop._variants import refuse_variant
from numlstm.nn.lstm import LSTM
from numlstm.nn.variant import LSTMVariant, LSTMVariantWeights
from numlstm.nn.weights import LSTMWeights

_NAME = re.compile(
    r"(?P<prefix>|.*\.)(?P<name>(?P<kind>weight_(ih|hh|hr)|bias_(ih|hh))"
    r"_l(?P<layer>\d+)(_reverse)?)"
)


def from_torch(state_dict, dtype=None, prefix=None):
    """Make an LSTM of the state dict of a torch.nn.LSTM, or of a model that holds one.

    Parameters
    ----------
    state_dict : mapping of str to array-like or tensor, or path
        The LSTM's names may share a prefix such as ``"encoder.lstm."``; what belongs to other
        modules is left alone. Without any bias (``bias=False``) the biases are zero. Or a
        safetensors file of a state dict; of its arrays only those of the LSTM are read.
    dtype : {"float32", "float64"}, optional
        That of the weights by default; half precision becomes float32.
    prefix : str, optional
        Which LSTM to take, if there are several.

    Returns
    -------
    lstm : LSTM

    Raises
    ------
    ValueError
        If a name is missing, a shape is wrong, or there are several LSTMs; for a file that is
        damaged or something else.
    OSError
        If a file cannot be read.
    """
    if is_path(state_dict):
        with open(state_dict, "rb"):  # an OSError of its own where that cannot be done
            return _from_file(state_dict, dtype, prefix)
    arrays = _arrays_of_one_lstm(state_dict, prefix)
    bidirectional = "weight_ih_l0_reverse" in arrays
    # Not the highest number: a name may claim any.
    n_layers = len({_NAME.fullmatch(name)["layer"] for name in arrays})
    runs = _runs(n_layers, bidirectional)
    _check(arrays, runs)
    weights = []
    for run in runs:
        Wx, Wh = arrays[f"weight_ih{run}"].T, arrays[f"weight_hh{run}"].T
        zero = np.zeros(Wh.shape[1], Wh.dtype)
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is refused later
            b = arrays.get(f"bias_ih{run}", zero) + arrays.get(f"bias_hh{run}", zero)
        Wp = arrays.get(f"weight_hr{run}")
        weights.append(
            LSTMWeights(Wx, Wh, b) if Wp is None else LSTMVariantWeights(Wx, Wh, b, Wp=Wp.T)
        )
    variant = None if Wp is None else LSTMVariant(proj_size=len(Wp))
    return LSTM.from_weights(weights, bidirectional=bidirectional, dtype=dtype, variant=variant)


def to_torch(lstm):
    """Return the weights of an LSTM under the names of torch.nn.LSTM.

    Parameters
    ----------
    lstm : LSTM

    Returns
    -------
    arrays : dict of str to ndarray
        New C-contiguous arrays, in the order of PyTorch's own state dict; the whole bias is in
        ``bias_ih`` and ``bias_hh`` is zero. `torch.from_numpy` makes tensors of them for a
        ``torch.nn.LSTM(..., batch_first=True)``, `safetensors.numpy.save_file` a file.

    Raises
    ------
    ValueError
        If the LSTM has a variant other than a projection (``proj_size``).
    """
    refuse_variant(lstm, "to_torch", carries=("proj_size",))
    arrays = {}
    directions = 2 if lstm.bidirectional else 1
    runs = _runs(len(lstm.weights) // directions, lstm.bidirectional)
    for run, w in zip(runs, lstm.weights, strict=True):
        arrays[f"weight_ih{run}"] = np.array(w.Wx.T, order="C")
        arrays[f"weight_hh{run}"] = np.array(w.Wh.T, order="C")
        arrays[f"bias_ih{run}"] = np.array(w.b)
        arrays[f"bias_hh{run}"] = np.zeros_like(w.b)
        if lstm.variant is not None:
            arrays[f"weight_hr{run}"] = np.array(w.Wp.T, order="C")
    return arrays


def _runs(n_layers, bidirectional):
    """Return the name endings of all layers and directions, in PyTorch's order and ours."""
    directions = ("", "_reverse") if bidirectional else ("",)
    return [f"_l{layer}{direction}" for layer in range(n_layers) for direction in directions]


def _from_file(path, dtype, prefix):
    """Return the LSTM in a safetensors file."""
    from safetensors import SafetensorError, safe_open

    with refusing(path, SafetensorError), safe_open(path, framework="numpy") as file:
        # Other modules may be large, or of dtypes that NumPy has not: their names are enough.
        state_dict = {
            name: _tensor(file, name) if _NAME.fullmatch(name) else None for name in file.keys()
        }
        return from_torch(state_dict, dtype, prefix)


def _tensor(file, name):
    """Return an array of a safetensors file."""
    dtype = file.get_slice(name).get_dtype()
    if dtype not in ("F64", "F32", "F16"):
        raise ValueError(
            f"{name} is of dtype {dtype}, but F64, F32 and F16 can be read: save the state dict of "
            "module.float()"
        )
    return file.get_tensor(name)


def _arrays_of_one_lstm(state_dict, prefix):
    """Return the arrays of the only LSTM among the entries, by their names without prefix."""
    matches = [match for name in state_dict if (match := _NAME.fullmatch(name))]
    if prefix is not None:
        matches = [match for match in matches if match["prefix"] == prefix]
    prefixes = sorted({match["prefix"] for match in matches})
    if not prefixes:
        raise ValueError(
            f"expected names such as {prefix or ''}weight_ih_l0 and {prefix or ''}weight_hh_l0 "
            f"(of a torch.nn.LSTM), got {', '.join(map(str, state_dict)) or 'no names at all'}"
        )
    if len(prefixes) > 1:
        raise ValueError(
            f"expected the weights of one LSTM, got {len(prefixes)}, with the prefixes "
            f"{', '.join(map(repr, prefixes))}: say which one by prefix"
        )
    return {match["name"]: _as_array(state_dict[match[0]]) for match in matches}


def _as_array(value):
    """Return an array of anything NumPy takes, and of a tensor that wants gradients."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        # NumPy has no such dtype, and float32 holds all of its numbers.
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
    array = np.asarray(value)
    # Half precision is widened here: a sum of two biases would lose digits in it.
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _check(arrays, runs):
    """Raise ValueError unless the arrays are those of an LSTM with these layers and directions."""
    kinds = ["weight_ih", "weight_hh"]
    if any(name.startswith("bias") for name in arrays):
        kinds += ["bias_ih", "bias_hh"]
    if any(name.startswith("weight_hr") for name in arrays):
        kinds.append("weight_hr")
    expected = [kind + run for run in runs for kind in kinds]
    if missing := [name for name in expected if name not in arrays]:
        raise ValueError(f"expected {', '.join(missing)} too, got only {', '.join(arrays)}")
    if surplus := [name for name in arrays if name not in expected]:
        raise ValueError(f"got {', '.join(surplus)}, expected only {', '.join(expected)}")
    _check_shapes(arrays, expected)


def _check_shapes(arrays, names):
    """Raise ValueError unless all shapes follow from those of layer 0."""
    projected = "weight_hr_l0" in names
    for name in ("weight_ih_l0", "weight_hh_l0", "weight_hr_l0")[: 3 if projected else 2]:
        if arrays[name].ndim != 2:
            raise ValueError(f"{name} must have two axes, got shape {arrays[name].shape}")
    inputs, features = arrays["weight_ih_l0"].shape[1], arrays["weight_hh_l0"].shape[1]
    units = arrays["weight_hr_l0"].shape[1] if projected else features
    width = features * (2 if "weight_ih_l0_reverse" in names else 1)
    for name in names:
        match = _NAME.fullmatch(name)
        columns = {
            "weight_ih": (inputs if match["layer"] == "0" else width,),
            "weight_hh": (features,),
        }
        shape = (4 * units, *columns.get(match["kind"], ()))
        shape = (features, units) if match["kind"] == "weight_hr" else shape
        if arrays[name].shape != shape:
            raise ValueError(
                f"{name} must have shape {shape} in an LSTM of {units} units, "
                f"got {arrays[name].shape}"
            )
