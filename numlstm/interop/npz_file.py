"""Arrays out of an `.npz` file, those that are asked for, after a look at their sizes."""

import io
import math
import os
import zipfile
from collections.abc import Mapping

import numpy as np

from numlstm.interop._files import check_size


class NpzArrays(Mapping):
    """The arrays of floats in an `.npz` file by their names, each read when it is asked for.

    Parameters
    ----------
    file : file
        Open for reading in binary.
    """

    def __init__(self, file):
        self._archive, self._size = zipfile.ZipFile(file), os.fstat(file.fileno()).st_size
        self._names = {name.removesuffix(".npy"): name for name in self._archive.namelist()}

    def __iter__(self):
        """Iterate over the names."""
        return iter(self._names)

    def __len__(self):
        """Return the number of arrays."""
        return len(self._names)

    def __getitem__(self, key):
        """Return an array."""
        name = self._names[key]
        check_size(name, self._archive.getinfo(name).file_size, self._size)
        data = io.BytesIO(self._archive.read(name))
        version = np.lib.format.read_magic(data)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        if version not in read:
            raise ValueError(f"{name} is of version {version}, not one of plain arrays")
        shape, fortran, dtype = read[version](data)
        if dtype.kind != "f":
            raise ValueError(f"{name} must be an array of floats, got {dtype}")
        # A view of what is there: an array of a size that only the header claims is never made.
        array = np.frombuffer(data.getbuffer(), dtype, math.prod(shape), data.tell())
        return array.reshape(shape, order="F" if fortran else "C")
