"""Keras 3 files: `.weights.h5`, and `.keras`, a zip archive with the same and a configuration.

Keras names the group of a layer after its class and its turn among the layers of that class:
``lstm``, ``lstm_1``, ``bidirectional``; the arrays are ``cell/vars/0``, ``1`` and ``2`` in it. The
configuration is read as JSON, and nothing in it is made.
"""

import io
import json
import os
import re
import zipfile
import zlib

import numpy as np

from numlstm.interop._extras import require
from numlstm.interop._files import check_size, refusing
from numlstm.interop.keras_config import find_stack

WEIGHTS, CONFIG = "model.weights.h5", "config.json"
_CELL = re.compile(
    r"(?P<where>.*/|)(?P<layer>(lstm|bidirectional)(_(?P<turn>\d+))?)"
    r"(/(?P<way>forward|backward)_layer)?/cell/vars"
)


def read_keras(path):
    """Return the weights of the LSTM layers in a file.

    Parameters
    ----------
    path : path

    Returns
    -------
    groups : list of list of array
        For each layer and direction kernel, recurrent kernel and, if there is one, bias.
    bidirectional : bool

    Raises
    ------
    ImportError, OSError
    ValueError
        For a file that is damaged or something else; for layers that are no stack of LSTMs.
    """
    h5py = require("h5py", "reading a file of Keras")
    size = os.path.getsize(path)
    # In this order: a file that cannot be opened is an OSError, one that makes no sense is not.
    with open(path, "rb") as file, refusing(path, OSError, zipfile.BadZipFile, zlib.error):
        if not zipfile.is_zipfile(file):
            layers = _read_layers(h5py, file, size)
            names = sorted(layers, key=_in_order)
        else:
            with zipfile.ZipFile(file) as archive:
                config = json.loads(_member(archive, CONFIG, size))
                weights = io.BytesIO(_member(archive, WEIGHTS, size))
            layers, names = _read_layers(h5py, weights, size), find_stack(config)
            if lacking := [name for name in names if name not in layers]:
                raise ValueError(f"it lacks the weights of {', '.join(lacking)}")
        directions = {len(layers[name]) for name in names}
        if len(directions) != 1:
            raise ValueError(f"some of the layers {', '.join(names)} are bidirectional, some not")
        return [group for name in names for group in layers[name]], directions == {2}


def _in_order(name):
    """Return the key that sorts lstm, lstm_1, ..., lstm_10."""
    kind, _, turn = name.partition("_")
    return kind, int(turn or 0)


def _member(archive, name, size):
    """Return a member of a zip archive."""
    if name not in archive.namelist():
        raise ValueError(
            f"it holds no {name}, but {', '.join(archive.namelist()[:5]) or 'nothing'}"
        )
    check_size(name, archive.getinfo(name).file_size, size)
    return archive.read(name)


def _read_layers(h5py, file, size):
    """Return a dict from the names of LSTM layers to their weights for each direction."""
    try:
        with h5py.File(file, "r") as store:
            return _by_layer(_cells(h5py, store), size)
    except OSError as error:
        raise ValueError(f"it is damaged, or not an HDF5 file: {error}") from None


def _cells(h5py, store):
    """Return pairs (match of `_CELL`, group) for the arrays of all LSTM cells."""
    if "layer_names" in store.attrs or "model_weights" in list(store):
        raise ValueError("it is of Keras 2: let Keras read it and write a .keras file")
    cells, groups = [], []

    def visit(name, thing):  # each once, and no links, which may lead to other files
        if isinstance(thing, h5py.Group):
            groups.append(name)
            if (match := _CELL.fullmatch(name)) and len(thing):
                cells.append((match, thing))

    store.visititems(visit)
    if not cells:
        found = ", ".join(name for name in groups if name.count("/") == 1) or "nothing"
        raise ValueError(f"it has no LSTM layers; it has: {found}")
    places = sorted({match["where"] for match, _ in cells})
    if len(places) > 1:
        raise ValueError(
            f"it has LSTM layers in several parts of a model: {', '.join(places)}; their order "
            "is not told"
        )
    return cells


def _by_layer(cells, size):
    """Return a dict from the name of a layer to its weights, the forward direction first."""
    layers = {}
    for match, group in cells:
        ways = layers.setdefault(match["layer"], {})
        ways[match["way"]] = [_array(group, k, size) for k in sorted(group)[:4]]
    for name, ways in layers.items():
        expected = {"forward", "backward"} if name.startswith("b") else {None}
        if set(ways) != expected:
            raise ValueError(f"the layer {name} must have {expected}, got {set(ways)}")
    return {
        name: [ways[way] for way in ("forward", "backward", None) if way in ways]
        for name, ways in layers.items()
    }


def _array(group, key, size):
    """Return an array of a group, if it is one of plain floats in this very file."""
    linked = type(group.get(key, getlink=True)).__name__ != "HardLink"
    data, name = None if linked else group[key], f"{group.name}/{key}"
    if getattr(data, "dtype", np.dtype("O")).kind != "f":
        raise ValueError(f"{name} must be an array of floats in this file, got {data!r}")
    if data.external or data.is_virtual:
        raise ValueError(f"{name} lies in another file")
    check_size(name, data.size * data.dtype.itemsize, size)
    return data[()]
