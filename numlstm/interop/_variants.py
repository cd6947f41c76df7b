"""What other systems' LSTMs cannot be: refused, and the error says what would be lost."""

from dataclasses import fields

from numlstm.nn.variant import LSTMVariant


def refuse_variant(lstm, name, *, carries=(), made_with=()):
    """Raise a ValueError if a conversion would lose an option of an LSTM's variant.

    Parameters
    ----------
    lstm : LSTM
    name : str
        The conversion.
    carries : tuple of str
        Options that it keeps.
    made_with : dict of str to object
        What the other side will be made with: options that no array holds.
    """
    variant, made_with, lost = lstm.variant or LSTMVariant(), dict(made_with), []
    for field in fields(variant):
        option, own = field.name, getattr(variant, field.name)
        if option in made_with:
            _check_same(name, option, made_with[option], own)
        elif option not in carries and own != field.default:
            lost.append(f"{option}={own}")
    if lost:
        raise ValueError(
            f"{name} can't convert this LSTM, because {', '.join(lost)} would be lost: "
            "numlstm's own save and load keep every variant"
        )


def _check_same(name, option, given, own):
    """Raise a ValueError unless the other side will have an option as the LSTM has it."""
    if given is None and own is not None:
        raise ValueError(
            f"{name} can't convert this LSTM, because {option}={own} would be lost, which no array "
            f"holds: make the cells with it, and pass {option}={own} here too"
        )
    if given != own:
        raise ValueError(f"{option} must be that of the LSTM, {own}, got {given!r}")
