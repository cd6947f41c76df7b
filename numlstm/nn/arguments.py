"""Arrays of users on their way to a kernel."""

from numlstm.data.validation import as_unchecked_floats, check_finite
from numlstm.kernels.checks import all_finite


def as_finite(name, values, dtype, ndim):
    """Do what `data.validation.as_floats` does, with a compiled check.

    Raises
    ------
    ValueError
        For values that are not numbers, ragged lists, other dimensions, NaN, infinity.
    """
    array = as_unchecked_floats(name, values, dtype, ndim)
    if not all_finite(array.reshape(-1)):
        check_finite(name, array)  # says where
    return array
