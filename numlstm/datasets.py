"""Data sets to learn from: measured series that ship with the package, texts, made-up tasks."""

from numlstm.data.datasets import (
    load_airline_passengers,
    load_co2,
    load_sunspots,
    make_adding_problem,
    make_sine,
)
from numlstm.data.texts import fetch_tiny_shakespeare, load_python_docs

__all__ = [
    "fetch_tiny_shakespeare",
    "load_airline_passengers",
    "load_co2",
    "load_python_docs",
    "load_sunspots",
    "make_adding_problem",
    "make_sine",
]
