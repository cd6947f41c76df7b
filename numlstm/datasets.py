"""Data sets to learn from: measured series that ship with the package, and made-up tasks."""

from numlstm.data.datasets import (
    load_airline_passengers,
    load_co2,
    load_sunspots,
    make_adding_problem,
    make_sine,
)

__all__ = [
    "load_airline_passengers",
    "load_co2",
    "load_sunspots",
    "make_adding_problem",
    "make_sine",
]
