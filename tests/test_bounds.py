"""`.ci/lowest.txt` pins what `pyproject.toml` allows at least, and companions of the tests."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_lowest_versions_are_those_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bounds = dict(
        re.fullmatch(r"([\w-]+)>=([\d.]+)", line).groups() for line in project["dependencies"]
    )
    lines = (ROOT / ".ci" / "lowest.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    lowest = {name: version + ".0" for name, version in bounds.items()}
    assert {name: pins.get(name) for name in lowest} == lowest
    assert pins.keys() - lowest.keys() == {"pandas", "python-dateutil", "pyparsing"}
