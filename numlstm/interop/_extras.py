"""Packages that only some conversions need: imported when used, and missed with a hint."""

from importlib import import_module


def require(module, purpose):
    """Return a module of the extra `interop`.

    Parameters
    ----------
    module : str
    purpose : str
        What it is needed for, as the subject of a sentence.

    Raises
    ------
    ImportError
        If it is not installed; the message names the extra.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(
            f"{purpose} needs the package {package}, which is not there ({error}): "
            "pip install 'numlstm[interop]'"
        ) from None
