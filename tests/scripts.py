"""Scripts of the repository, which are in no package, as modules."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[1]


def load_script(place):
    """Return the script at a place in the repository as a module of its own."""
    path = ROOT / place
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
