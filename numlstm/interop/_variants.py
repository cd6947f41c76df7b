"""What other systems' LSTMs cannot be: refused, and the error says what would be lost."""

from dataclasses import fields


def refuse_variant(lstm, name, *, carries=()):
    """Raise a ValueError if a conversion would lose an option of an LSTM's variant.

    Parameters
    ----------
    lstm : LSTM
    name : str
        The conversion.
    carries : tuple of str
        Options that it keeps.
    """
    if lstm.variant is None:
        return
    lost = [
        f"{field.name}={getattr(lstm.variant, field.name)}"
        for field in fields(lstm.variant)
        if field.name not in carries and getattr(lstm.variant, field.name) != field.default
    ]
    if lost:
        raise ValueError(
            f"{name} can't convert this LSTM, because {', '.join(lost)} would be lost: "
            "numlstm's own save and load keep every variant"
        )
