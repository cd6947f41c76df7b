"""Checks of arguments: what came, what was expected, said before any work is done."""

import numbers
import re

import numpy as np

FLOATS = (np.dtype("float32"), np.dtype("float64"))


def check_integer(name, value, low, high=None):
    """Return an integer within [low, high].

    Raises
    ------
    TypeError, ValueError
        Naming the argument, the value and what was expected.
    """
    wanted = f"an integer of at least {low}" if high is None else f"an integer in [{low}, {high}]"
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be {wanted}, got {value!r}")
    if value < low or (high is not None and value > high):
        raise ValueError(f"{name} must be {wanted}, got {value!r}")
    return int(value)


def check_number(name, value, low, high=np.inf, *, above=False, below=False):
    """Return a finite float within [low, high]; `above` and `below` exclude the ends.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, the value and what was expected.
    """
    wanted = (
        f"a number in {'(' if above else '['}{low}, {high}{')' if below or high == np.inf else ']'}"
    )
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be {wanted}, got {value!r}")
    try:
        number = float(value)
    except OverflowError:  # of an integer
        number = np.inf
    fits = (number > low if above else number >= low) and (
        number < high if below else number <= high
    )
    if not fits or not np.isfinite(number):
        raise ValueError(f"{name} must be {wanted}, got {value!r}")
    return number


LARGEST_SIZE, LARGEST_DEPTH, LARGEST_COUNT = 10**6, 1000, 2**31 - 1


def check_size(name, value, largest=LARGEST_SIZE):
    """Return an integer from 1 to the largest: beyond, arrays have sizes that fit no 64 bits.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, the value and what was expected.
    """
    if check_integer(name, value, 1) > largest:
        raise ValueError(f"{name} must be at most {largest}, got {value!r}")
    return int(value)


def check_geometry(what, before, now):
    """Raise a ValueError unless a fitted network is the one that the parameters ask for."""
    if before != now:
        raise ValueError(f"{what} needs the geometry of the previous fit, {before}, got {now}")


def check_forget_bias(value):
    """Return the initial bias of the forget gates; float32 can hold it and what is added to it."""
    return check_number("forget_bias", value, -1e30, 1e30)


def as_random_state(random_state):
    """Return a RandomState for None, a seed or a RandomState.

    Raises
    ------
    ValueError
        For anything else.
    """
    from sklearn.utils import check_random_state

    try:
        return check_random_state(random_state)
    except ValueError:
        raise ValueError(
            "random_state must be None, an integer from 0 to 2**32 - 1 or a RandomState, got "
            f"{random_state!r}"
        ) from None


def check_choice(name, value, choices):
    """Return the value if it is one of the choices, else raise a ValueError that lists them."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return value


def check_bool(name, value):
    """Return a bool, else raise a TypeError."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def check_dtype(dtype):
    """Return float32 or float64 as a NumPy dtype, else raise a ValueError."""
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = None
    # NumPy reads None as float64, in comparisons too.
    if dtype is None or found is None or found not in FLOATS:
        raise ValueError(f"dtype must be 'float32' or 'float64', got {dtype!r}")
    return found


def check_finite(name, array):
    """Raise a ValueError that says where the first NaN or infinity of an array is."""
    finite = np.isfinite(array)
    if not finite.all():
        bad = ~finite
        where = tuple(int(k) for k in np.argwhere(bad)[0])
        what = "NaN" if np.isnan(array[where]) else "infinity"
        raise ValueError(
            f"{name} must be finite, but {int(bad.sum())} of its {array.size} values are not: "
            f"the first is {what} at index {where}"
        )


LARGEST = 1e300  # whose sums and differences still are finite in float64


def as_scaled(name, values, dtype):
    """Return standardised values in the dtype of the network.

    Raises
    ------
    ValueError
        For values that the dtype cannot hold.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        out = np.ascontiguousarray(values, dtype)
    if not np.isfinite(out).all():
        raise ValueError(
            f"{name} must be of a size that {np.dtype(dtype)} can hold, standardised if that is "
            "wanted, by the scale that fit has learnt"
        )
    return out


def _check_numbers(name, array):
    """Raise a ValueError unless an array holds real numbers."""
    values = array.reshape(-1).tolist() if array.dtype.kind == "O" else ()
    if array.dtype.kind == "c" or any(isinstance(v, complex) for v in values):
        raise ValueError(f"{name} must be real, got complex numbers")
    odd = next((v for v in values if not isinstance(v, numbers.Real)), None)
    if array.dtype.kind not in "biufO" and array.size:
        odd = array.reshape(-1)[0]
    if odd is not None:
        raise ValueError(f"{name} must be an array of numbers: got {odd!r}")


def check_unmasked(name, values):
    """Raise a ValueError for masked values: NumPy's conversions lose the mask."""
    if np.ma.is_masked(values):
        raise ValueError(f"{name} must have no masked values, got {np.ma.count_masked(values)}")


TIMES = re.compile("date|time|duration|period|interval", re.IGNORECASE)


def kinds_of(values):
    """Return the kinds of dtypes that an array has, or the columns of a table: a set of letters."""
    dtypes = getattr(values, "dtypes", getattr(values, "dtype", getattr(values, "type", None)))
    if dtypes is None:  # of an Arrow table
        dtypes = getattr(getattr(values, "schema", None), "types", None)
    return {_kind_of(dtype) for dtype in np.ravel(np.array(dtypes, object))}


def _kind_of(dtype):
    """Return NumPy's letter; of dates and durations that are not NumPy's, "M" too."""
    dtype = getattr(getattr(dtype, "categories", None), "dtype", dtype)  # pandas numbers categories
    kind = getattr(dtype, "kind", "O")
    return "M" if kind == "O" and TIMES.search(str(dtype)) else kind


def check_meant(name, values):
    """Raise a ValueError for masked values, dates and durations: NumPy makes numbers of them."""
    check_unmasked(name, values)
    if kinds_of(values) & {"m", "M"}:
        raise ValueError(f"{name} must be an array of numbers, got dates or durations")


def as_numbers(name, values):
    """Return an array of real numbers.

    Raises
    ------
    ValueError
        For values that are not numbers, ragged lists.
    """
    if type(values) is np.ndarray and values.dtype.kind in "biuf":
        return values  # nothing to ask: a short call is as long as the questions
    check_meant(name, values)
    array = as_array(name, values)
    _check_numbers(name, array)
    return array


def as_array(name, values, *dtype, **options):
    """Return `np.asarray` of all arguments but the name, which its errors then say."""
    try:
        return np.asarray(values, *dtype, **options)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of numbers: {error}") from error


def as_floats(name, values, dtype, ndim):
    """Return a finite C-contiguous array of the dtype and number of dimensions.

    Raises
    ------
    ValueError
        For values that are not numbers, ragged lists, other dimensions, NaN, infinity.
    """
    array = as_unchecked_floats(name, values, dtype, ndim)
    check_finite(name, array)
    return array


def as_unchecked_floats(name, values, dtype, ndim):
    """Do what `as_floats` does, and let NaN and infinity pass."""
    array = as_numbers(name, values)
    if array.ndim and not (array.dtype == dtype and array.flags.c_contiguous):
        with np.errstate(over="ignore"):  # infinity is found below
            array = np.ascontiguousarray(array, dtype)
    if not array.flags.writeable:
        array = array.copy()  # a read-only array is a type of its own to Numba, and compiles anew
    if array.ndim != ndim:
        raise ValueError(
            f"{name} must have {ndim} dimensions, got {array.ndim} (shape {array.shape})"
        )
    return array


def check_shape(name, array, shape):
    """Raise a ValueError if the array's shape is not the expected one."""
    if array.shape != tuple(shape):
        raise ValueError(f"{name} must have shape {tuple(shape)}, got {array.shape}")


def check_lengths(lengths, n_samples, n_timesteps):
    """Return lengths as int64, one for each sample, each from 1 to n_timesteps.

    Raises
    ------
    TypeError, ValueError
        For other than whole numbers, another count, a length of 0 or beyond the time steps.
    """
    array = np.asarray(lengths)
    if array.dtype.kind not in "iu":
        raise TypeError(f"lengths must be integers, got dtype {array.dtype}")
    check_shape("lengths", array, (n_samples,))
    bad = np.flatnonzero((array < 1) | (array > n_timesteps))
    if bad.size:
        raise ValueError(
            f"lengths must be from 1 to the {n_timesteps} time steps of X, "
            f"got {int(array[bad[0]])} for sample {int(bad[0])}"
        )
    return array.astype(np.int64)
