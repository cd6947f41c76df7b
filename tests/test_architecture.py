"""House rules, read off the syntax trees: who imports whom, who prints, what is documented.

Every rule is a function from source text to a list of complaints. The tests apply each to the
package, and to small sources that break it, so that a rule which never complains is noticed.
"""

import ast
import graphlib
import importlib
import inspect
import itertools
import sys
from pathlib import Path

import pytest

import numlstm

ROOT = Path(__file__).parents[1]
MAX_LINES = 400

# Floor -> the floors it may import. The top (cli and the package itself) may import any.
BELOW = {"kernels": {"kernels"}, "data": {"data"}, "datasets": {"data"}, "persistence": set()}
BELOW["nn"] = {"kernels", "data", "persistence", "nn"}
BELOW["training"] = {"kernels", "nn", "data", "persistence", "training"}
BELOW["estimators"] = BELOW["training"] | {"estimators"}
BELOW["interop"] = BELOW["estimators"] | {"interop"}
BELOW["plotting"] = BELOW["estimators"] | {"plotting"}
BELOW["metrics"] = BELOW["terminal"] = set()
REFERENCE = "numlstm.nn.reference"
TOP = {"numlstm", "cli", "commands", "demo", "__main__"}

# Inside the ground floor, from the bottom up; private modules and `simd` lie below all of them.
KERNEL_LEVELS = (
    {"activations", "checks", "dropout", "optimizers", "products", "team", "vectors"},
    {"cell", "layout", "preactivations", "softmax"},
    {"lstm", "tail"},
    {"bptt", "losses", "stepping", "variants"},
    {"generation", "one_sequence", "variants_backward"},
)


def sources():
    """Map each module of the package to its source text."""
    found = {}
    for path in sorted((ROOT / "numlstm").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        # A package keeps its __init__ here: relative imports count from there.
        found[".".join(parts)] = path.read_text(encoding="utf-8")
    return found


SOURCES = sources()


def imports(module, source):
    """List (line, absolute dotted target) of every import, those inside functions included."""
    targets = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            targets += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*module.split(".")[: -node.level], *base.split(".")]).rstrip(".")
            targets += [(node.lineno, f"{base}.{alias.name}") for alias in node.names]
    return targets


def floor(dotted):
    """Name the part of the package that a dotted name lies in; the package itself is 'numlstm'."""
    parts = [part for part in dotted.split(".") if part != "__init__"]
    return parts[1] if len(parts) > 1 else parts[0]


def kernel_level(dotted):
    """Place a module within the ground floor: 0 is lowest, the package itself highest."""
    brick = [*dotted.split("."), "__init__"][2]
    if brick == "simd" or brick.startswith("_") and brick != "__init__":
        return 0
    levels = [k for k, names in enumerate(KERNEL_LEVELS, 1) if brick in names]
    return levels[0] if levels else len(KERNEL_LEVELS) + 1


def may_import(module, target):
    """Decide whether one module of the package may import from another."""
    here, there = floor(module), floor(target)
    if here == there == "kernels":
        return kernel_level(target) < kernel_level(module) or kernel_level(target) == 0
    return here in TOP or there in BELOW.get(here, ())


def import_complaints(module, source):
    """Complain about imports that go up, about stray matplotlib, and about an impure reference."""
    complaints = []
    if floor(module) not in {*BELOW, *TOP}:
        complaints.append(f"{module}: stands on no floor")
    for line, target in imports(module, source):
        root = target.partition(".")[0]
        if root == "numlstm" and not may_import(module, target):
            complaints.append(f"{module}:{line}: may not import {target}")
        if root == "matplotlib" and floor(module) != "plotting":
            complaints.append(f"{module}:{line}: only numlstm.plotting imports matplotlib")
        pure = root in {"numpy", *sys.stdlib_module_names}
        pure |= module != REFERENCE and target.startswith(REFERENCE + ".")
        if module.startswith(REFERENCE) and not pure:
            complaints.append(f"{module}:{line}: the reference imports nothing but NumPy")
    return complaints


def cycle_complaints(modules):
    """Complain if modules import each other in a ring, which the floors alone do not forbid."""
    graph = {}
    for module, source in modules.items():
        graph[module] = set()
        for _, target in imports(module, source):
            parent = target.rpartition(".")[0]
            candidates = (target, f"{target}.__init__", parent, f"{parent}.__init__")
            graph[module] |= {*[c for c in candidates if c in modules][:1]} - {module}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return [f"import ring: {' <- '.join(error.args[1])}"]
    return []


def print_complaints(module, source):
    """Complain about print: a library speaks through return values, warnings and tqdm."""
    if module in {f"numlstm.{name}" for name in ("cli", "commands", "demo", "terminal")}:
        return []
    return [
        f"{module}:{node.lineno}: prints"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]


def kernel_complaints(module, source):
    """Complain about public kernels without a docstring."""
    if floor(module) != "kernels":
        return []
    return [
        f"{module}:{node.lineno}: {node.name} has no docstring"
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]


def length_complaints(name, source):
    """Complain about files too long to read in one sitting."""
    lines = len(source.splitlines())
    return [f"{name}: {lines} lines, at most {MAX_LINES}"] if lines > MAX_LINES else []


def documented(docstring, sections):
    """List the names that the given numpydoc sections describe, in order."""
    names, inside = [], False
    lines = inspect.cleandoc(docstring or "").splitlines()
    for line, following in itertools.pairwise([*lines, ""]):
        if following and set(following) == {"-"}:
            inside = line in sections
        elif inside and line and not line[0].isspace() and set(line) != {"-"}:
            head = line.partition(":")[0]
            names += [name.strip().lstrip("*") for name in head.split(",")]
    return names


def docstring_complaints(name, thing):
    """Complain if the parameters in a docstring are not those of the signature, in its order."""
    sections = {"Parameters", "Other Parameters"}
    if hasattr(thing, "__match_args__"):
        sections |= {"Attributes"}  # a record: its arguments are what one reads from it later
    expected = [key for key in inspect.signature(thing).parameters if key != "self"]
    found = documented(thing.__doc__, sections)
    return [] if found == expected else [f"{name}: signature {expected}, docstring {found}"]


def public_objects(name, thing):
    """Yield (dotted name, object) for a public class or function, or for all those of a module."""
    if inspect.ismodule(thing):
        for key in getattr(thing, "__all__", [key for key in vars(thing) if key[0] != "_"]):
            child = getattr(thing, key)
            if getattr(child, "__module__", "").startswith("numlstm"):
                yield from public_objects(f"{name}.{key}", child)
    elif inspect.isclass(thing):
        yield name, thing
        ours = [base for base in thing.__mro__ if base.__module__.startswith("numlstm")]
        methods = {key for base in ours for key in vars(base) if key[0] != "_"}
        for key in sorted(methods):
            if inspect.isroutine(getattr(thing, key)):
                yield f"{name}.{key}", getattr(thing, key)
    elif inspect.isroutine(thing):
        yield name, thing


def home(name):
    """Name the module of SOURCES that a public name of the package lives in."""
    dotted = numlstm._HOMES.get(name, f"numlstm.{name}")
    return dotted if dotted in SOURCES else f"{dotted}.__init__"


# The package keeps its rules -----------------------------------------------------------------


@pytest.mark.parametrize("module", SOURCES)
@pytest.mark.parametrize(
    "rule", [import_complaints, print_complaints, kernel_complaints, length_complaints]
)
def test_module_keeps_the_rule(rule, module):
    assert rule(module, SOURCES[module]) == []


def test_no_modules_import_each_other_in_a_ring():
    assert cycle_complaints(SOURCES) == []


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.py")), ids=lambda path: path.name)
def test_tests_are_short_enough_to_read(path):
    assert length_complaints(path.name, path.read_text(encoding="utf-8")) == []


# A name without a home is the business of test_import.py, which fails for it.
@pytest.mark.parametrize("name", [name for name in numlstm.__all__ if home(name) in SOURCES])
def test_docstrings_name_the_parameters_of_the_signature(name):
    things = public_objects(name, getattr(numlstm, name))
    assert [complaint for thing in things for complaint in docstring_complaints(*thing)] == []


# The rules notice when they are broken -------------------------------------------------------

UPWARD = [
    ("numlstm.kernels.lstm", "from numlstm.nn import LSTM"),
    ("numlstm.kernels.lstm", "from numlstm.kernels.dense import forward"),
    ("numlstm.kernels.lstm", "from numlstm.kernels import dense"),
    ("numlstm.kernels.lstm", "from .dense import forward"),
    ("numlstm.kernels.simd", "from numlstm.kernels.activations import tanh"),
    ("numlstm.kernels.lstm", "import numlstm"),
    ("numlstm.kernels.lstm", "import numlstm.kernels"),
    ("numlstm.kernels._jit", "from numlstm.kernels import lstm"),
    ("numlstm.kernels.products", "from . import layout"),
    ("numlstm.data.windows", "from numlstm.kernels.layout import pad"),
    ("numlstm.datasets", "from numlstm.nn import weights"),
    ("numlstm.nn.lstm", "def f():\n    from numlstm.training import loop"),
    ("numlstm.nn.lstm", "from ..training import loop"),
    ("numlstm.data.sequences", "from ..nn import weights"),
    ("numlstm.nn.lstm", "from numlstm import LSTMRegressor"),
    ("numlstm.interop.tf1", "from numlstm.plotting import GateDisplay"),
    ("numlstm.estimators.base", "from numlstm.interop import from_tf1"),
    ("numlstm.training.loop", "from numlstm.estimators import base"),
    ("numlstm.persistence", "from numlstm.estimators import base"),
    ("numlstm.estimators.base", "from numlstm import plotting"),
    ("numlstm.plotting", "from numlstm.cli import main"),
    ("numlstm.nn.reference", "from numlstm.nn.weights import LSTMWeights"),
    ("numlstm.nn.reference", "import scipy.special"),
    ("numlstm.nn.reference", "from numlstm.nn.reference_variants import normalise"),
    ("numlstm.nn.reference_variants", "from numlstm.nn.variant import LSTMVariant"),
    ("numlstm.estimators.base", "def plot():\n    import matplotlib.pyplot as plt"),
    ("numlstm.cellar", "import math"),
]
DOWNWARD = [
    ("numlstm.kernels.lstm", "from numlstm.kernels._jit import kernel\nfrom . import simd, layout"),
    ("numlstm.kernels.lstm", "from numlstm.kernels.activations import tanh"),
    ("numlstm.kernels.activations", "from ._jit import kernel"),
    ("numlstm.kernels.__init__", "from numlstm.kernels.lstm import forward"),
    ("numlstm.nn.lstm", "from numlstm.kernels import lstm\nfrom numlstm.nn import weights"),
    ("numlstm.nn.reference", "import math\nimport numpy as np"),
    ("numlstm.nn.reference_variants", "from numlstm.nn.reference import sigmoid"),
    ("numlstm.datasets", "from numlstm.data.datasets import make_sine"),
    ("numlstm.estimators.base", "from ..training.loop import fit\nfrom sklearn import base"),
    ("numlstm.plotting", "import matplotlib\nfrom numlstm.estimators import regressor"),
    ("numlstm.cli", "from numlstm import LSTMForecaster, plotting"),
    ("numlstm.__init__", "from numlstm.nn.lstm import LSTM"),
]


@pytest.mark.parametrize(("module", "source"), UPWARD)
def test_an_import_that_goes_up_is_noticed(module, source):
    assert len(import_complaints(module, source)) == 1


@pytest.mark.parametrize(("module", "source"), DOWNWARD)
def test_an_import_that_goes_down_is_fine(module, source):
    assert import_complaints(module, source) == []


RING = ["from numlstm.nn import b", "from .b import g", "from . import g", "import numlstm.nn.b"]


@pytest.mark.parametrize("line", RING)
def test_a_ring_of_imports_is_noticed(line):
    ring = {
        "numlstm.nn.__init__": "from numlstm.nn.b import g",
        "numlstm.nn.a": line,
        "numlstm.nn.b": "def g():\n    from numlstm.nn.a import f",
    }
    assert len(cycle_complaints(ring)) == 1
    ring["numlstm.nn.b"] = ""
    assert cycle_complaints(ring) == []


def test_a_print_is_noticed():
    assert print_complaints("numlstm.nn.lstm", "def f():\n    print(1)") != []
    assert print_complaints("numlstm.nn.lstm", '"""print(1)"""\npprint(1)') == []
    assert print_complaints("numlstm.cli", "print(1)") == []


def test_an_undocumented_kernel_is_noticed():
    bare = "@jit\ndef forward(x):\n    return x"
    assert kernel_complaints("numlstm.kernels.lstm", bare) != []
    assert kernel_complaints("numlstm.kernels.lstm", bare.replace("forward", "_forward")) == []
    assert kernel_complaints("numlstm.nn.lstm", bare) == []


def test_a_long_file_is_noticed():
    assert length_complaints("long.py", "pass\n" * (MAX_LINES + 1)) != []
    assert length_complaints("short.py", "pass\n" * MAX_LINES) == []


def documented_example(a, b, *args, c=1, **kwargs):
    """Stand in for a public function.

    Parameters
    ----------
    a, b : ndarray of shape (n, m)
        Two arrays: the first, and the second.
    *args : object
        More.

    c : int, default=1
        A number.
    **kwargs
        Others.

    Returns
    -------
    d : int
        Not a parameter.
    """


def test_a_parameter_missing_renamed_or_moved_in_a_docstring_is_noticed():
    assert docstring_complaints("example", documented_example) == []
    text = documented_example.__doc__
    for changed in (text.replace("a, b", "a"), text.replace("c :", "k :"), None):
        documented_example.__doc__ = changed
        try:
            assert docstring_complaints("example", documented_example) != []
        finally:
            documented_example.__doc__ = text


def test_methods_and_modules_are_searched_for_docstrings():
    holder = type("Holder", (), {"__module__": "numlstm.nn.lstm", "show": lambda self, x: x})
    assert [name for name, _ in public_objects("Holder", holder)] == ["Holder", "Holder.show"]
    assert docstring_complaints("Holder.show", holder.show) != []
    assert dict(public_objects("m", importlib.import_module("graphlib"))) == {}
