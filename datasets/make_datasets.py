"""Rebuild the series in this directory from the packages that carry their figures.

Unpack a statsmodels wheel and an sktime wheel (a wheel is a zip archive), then run::

    python make_datasets.py --statsmodels DIR --sktime DIR

where each DIR is the directory that holds the package's own directory. The script
prints the size and the SHA-256 of every file it writes; README.md records them.
"""

import argparse
import csv
import hashlib
from datetime import date, datetime, timedelta
from pathlib import Path

AIRLINE = Path("sktime", "datasets", "data", "Airline", "Airline.csv")
SUNSPOTS = Path("statsmodels", "datasets", "sunspots", "sunspots.csv")
CO2 = Path("statsmodels", "datasets", "co2", "co2.csv")


def read_rows(path):
    """Return the rows of a two-column CSV file without its header line."""
    with path.open(newline="", encoding="utf-8") as file:
        return [(key.strip(), value.strip()) for key, value in list(csv.reader(file))[1:]]


def fixed(text, decimals):
    """Return a number's text with so many decimals, refusing to lose a digit."""
    result = f"{float(text):.{decimals}f}"
    if float(result) != float(text):
        raise ValueError(f"{text!r} needs more than {decimals} decimals")
    return result


def check_steps(keys, expected, name):
    """Refuse a source whose dates differ from the expected, gapless ones."""
    if keys != expected:
        raise ValueError(f"{name}: the dates in the source are not the expected ones")


def airline_passengers(root):
    """Return (month, passengers) rows, January 1949 to December 1960."""
    rows = read_rows(root / AIRLINE)
    months = [f"{year}-{month:02d}" for year in range(1949, 1961) for month in range(1, 13)]
    check_steps([key for key, _ in rows], months, "airline_passengers")
    return [(key, fixed(value, 0)) for key, value in rows]


def sunspots(root):
    """Return (year, sunspots) rows, 1700 to 2008."""
    rows = read_rows(root / SUNSPOTS)
    years = [str(year) for year in range(1700, 2009)]
    check_steps([key for key, _ in rows], years, "sunspots")
    return [(key, fixed(value, 1)) for key, value in rows]


def co2(root):
    """Return (week, co2) rows, 1958-03-29 to 2001-12-29; a missing week's value is empty."""
    rows = read_rows(root / CO2)
    days = [datetime.strptime(key, "%Y%m%d").date() for key, _ in rows]
    weeks = [date(1958, 3, 29) + timedelta(weeks=step) for step in range(2284)]
    check_steps(days, weeks, "co2")
    values = [fixed(value, 1) if value else "" for _, value in rows]
    return [(day.isoformat(), value) for day, value in zip(days, values, strict=True)]


def write(path, header, rows):
    """Write a CSV file with LF line ends on every system, so that its hash is fixed."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    content = path.read_bytes()
    print(f"{path.name}: {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}")


def main(argv=None):
    """Rebuild the three series."""
    parser = argparse.ArgumentParser(description="Rebuild the CSV files of the series.")
    parser.add_argument("--statsmodels", type=Path, required=True, help="an unpacked statsmodels")
    parser.add_argument("--sktime", type=Path, required=True, help="an unpacked sktime")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    args = parser.parse_args(argv)
    write(
        args.output / "airline_passengers.csv",
        ("month", "passengers"),
        airline_passengers(args.sktime),
    )
    write(args.output / "sunspots.csv", ("year", "sunspots"), sunspots(args.statsmodels))
    write(args.output / "co2.csv", ("week", "co2"), co2(args.statsmodels))


if __name__ == "__main__":
    main()
