"""What the book cites exists, and each of its pages is made as all of them are.

The book itself runs in its own build (see CONTRIBUTING.md). Every rule here is a function from text
to a list of complaints, applied to the pages and to small texts that break it.
"""

import ast
import inspect
import json
import re
from pathlib import Path

import pytest
from scripts import load_script

import numlstm

ROOT = Path(__file__).parents[1]
BOOK, PACKAGE = ROOT / "book", ROOT / "numlstm"
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(BOOK.glob("*.md"))}
CHAPTERS = [name for name in PAGES if name[0].isdigit()]
SOURCES = {path: path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}

LABEL = re.compile(r"^```\{math\}\n:label: (\S+)$", re.M)
CITED = re.compile(r"\beq: ([a-z][a-z0-9, -]*[a-z0-9])")
TEST_ID = re.compile(r"`(tests/\w+\.py)::(\w+)`")
PLACE = re.compile(r"`(numlstm/[\w/]+\.py)::(\w+)`")
CELL = re.compile(r"^```\{code-cell\} ipython3\n((?::[^\n]*\n)*)(.*?)^```$", re.M | re.S)
CHAPTER_PATH = re.compile(r"\bbook/\w+\.md\b")
FETCHES = re.compile(r"^\s*[!%]\s*(pip|conda|wget|curl)\b|urlopen|requests\.|fetch_\w+\(", re.M)


def cited_labels(source):
    """List the equation labels that comments and docstrings cite."""
    return [label for found in CITED.findall(source) for label in found.split(", ")]


def label_complaints(pages):
    """Complain about equation labels that occur twice."""
    labels = [label for text in pages.values() for label in LABEL.findall(text)]
    return [f"{label}: labelled twice" for label in set(labels) if labels.count(label) > 1]


def functions(path):
    """Name every function, method, class and property of a Python file."""
    kinds = ast.FunctionDef | ast.ClassDef
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


def place_complaints(text, pattern):
    """Complain about quoted `file::name` that are not there."""
    complaints = []
    for file, name in pattern.findall(text):
        path = ROOT / file
        if not path.is_file():
            complaints.append(f"{file} does not exist")
        elif name not in functions(path):
            complaints.append(f"{file} has no {name}")
    return complaints


def form_complaints(name, text):
    """Complain about a chapter that lacks a part which all chapters have."""
    parts = {
        "a link to the notebook": rf"\{{nb-download\}}`[^`]*<{name}\.ipynb>`",
        "a question": r"^\*.*\?\*$",
        "a summary": r"^## Summary$",
        "exercises": r"^## Exercises$",
        "tests that guard it": r"\{admonition\} Guarded by",
        "its place in the package": r"\{admonition\} In the package",
    }
    lacking = [what for what, pattern in parts.items() if not re.search(pattern, text, re.M)]
    return [f"{name} lacks {what}" for what in lacking]


def exercise_complaints(text):
    """Complain about exercises without a collapsed solution that runs and asserts."""
    complaints = []
    for label in re.findall(r"^```\{exercise\}\n:label: (\S+)$", text, re.M):
        solution = re.search(
            rf"^```\{{solution-start\}} {label}\n:class: dropdown\n(.*?)^```\{{solution-end\}}$",
            text,
            re.M | re.S,
        )
        if solution is None:
            complaints.append(f"{label} has no collapsed solution")
        elif not any("assert" in body for _, body in CELL.findall(solution[1])):
            complaints.append(f"the solution of {label} asserts nothing")
    return complaints


def fetch_complaints(text):
    """Complain about cells that need a network or change the environment."""
    return [match[0] for _, body in CELL.findall(text) for match in FETCHES.finditer(body)]


# The rules, applied ---------------------------------------------------------------------------


def test_every_label_cited_in_the_package_is_an_equation_of_the_book():
    known = {label for text in PAGES.values() for label in LABEL.findall(text)}
    cited = {label for source in SOURCES.values() for label in cited_labels(source)}
    assert len(cited) >= 25
    assert cited - known == set()
    assert label_complaints(PAGES) == []


@pytest.mark.parametrize("name", PAGES)
def test_every_quoted_test_and_place_exists(name):
    assert place_complaints(PAGES[name], TEST_ID) + place_complaints(PAGES[name], PLACE) == []


@pytest.mark.parametrize("name", CHAPTERS)
def test_chapters_have_all_parts(name):
    assert form_complaints(name, PAGES[name]) == []
    assert len(re.findall(r"^```\{exercise\}$", PAGES[name], re.M)) >= 3


@pytest.mark.parametrize("name", PAGES)
def test_exercises_have_solutions_and_nothing_is_fetched(name):
    assert exercise_complaints(PAGES[name]) + fetch_complaints(PAGES[name]) == []


def test_every_page_is_in_the_table_of_contents_and_every_chapter_in_the_introduction():
    toc = (BOOK / "_toc.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"(?:root|file): (\w+)", toc)) == set(PAGES) - {"README"}
    assert [name for name in CHAPTERS if f"({name}.md)" not in PAGES["intro"]] == []


def test_every_public_name_is_in_the_api_page():
    documented = set(re.findall(r"\.\. auto(?:class|function):: (\S+)", PAGES["c_api"]))
    public = set()
    for name in numlstm.__all__:
        thing = getattr(numlstm, name)
        inner = [f"{name}.{key}" for key in thing.__all__] if inspect.ismodule(thing) else [name]
        public |= {f"numlstm.{key}" for key in inner}
    assert public - documented == set()


def test_every_public_method_is_in_the_api_page():
    for name in numlstm.__all__:
        thing = getattr(numlstm, name)
        if not inspect.isclass(thing) or hasattr(thing, "_fields"):
            continue
        entry = re.search(rf"autoclass:: numlstm\.{name}\n   :members: (.*)$", PAGES["c_api"], re.M)
        ours = [base for base in thing.__mro__ if base.__module__.startswith("numlstm")]
        methods = {
            key
            for base in ours
            for key, value in vars(base).items()
            if key[0] != "_" and inspect.isfunction(value)
        }
        assert methods - set(entry[1].split(", ")) == set(), name


def test_chapters_that_the_package_and_the_readme_point_at_exist():
    texts = [*SOURCES.values(), (ROOT / "README.md").read_text(encoding="utf-8")]
    named = {path for text in texts for path in CHAPTER_PATH.findall(text)}
    assert named
    assert {path for path in named if not (ROOT / path).is_file()} == set()


def test_the_build_is_strict_and_always_runs_every_cell():
    config = (BOOK / "_config.yml").read_text(encoding="utf-8")
    for line in ("execute_notebooks: force", "raise_on_error: true", "stderr_output: error"):
        assert f"  {line}\n" in config
    command = "jupyter-book build book -W -n --keep-going --all"
    for path in (".ci/run", "CONTRIBUTING.md"):
        assert command in (ROOT / path).read_text(encoding="utf-8")


# The rules, broken ----------------------------------------------------------------------------


def test_labels_are_found_in_comments_and_docstrings():
    source = 'def f():\n    """One. eq: a-b, cc.\n    """\n    x = 1  # eq: dd\n'
    assert cited_labels(source) == ["a-b", "cc", "dd"]
    twice = {"one": "```{math}\n:label: a\n", "two": "```{math}\n:label: a\n"}
    assert label_complaints(twice) == ["a: labelled twice"]


def test_a_wrong_place_is_noticed():
    assert place_complaints("`tests/test_book.py::test_a_wrong_place_is_noticed`", TEST_ID) == []
    assert len(place_complaints("`tests/test_book.py::test_nothing`", TEST_ID)) == 1
    assert len(place_complaints("`numlstm/nowhere.py::f`", PLACE)) == 1


def test_a_chapter_without_a_summary_is_noticed():
    name = CHAPTERS[0]
    broken = PAGES[name].replace("## Summary", "## The end")
    assert form_complaints(name, broken) == [f"{name} lacks a summary"]


def test_an_exercise_without_a_solution_that_asserts_is_noticed():
    exercise = "```{exercise}\n:label: ex-a\n\nWhy?\n```\n"
    start, end = "```{solution-start} ex-a\n:class: dropdown\n```\n", "```{solution-end}\n```\n"
    cell = "```{code-cell} ipython3\n%s\n```\n"
    assert exercise_complaints(exercise) == ["ex-a has no collapsed solution"]
    assert len(exercise_complaints(exercise + start + cell % "print(1)" + end)) == 1
    assert exercise_complaints(exercise + start + cell % "assert 1 < 2" + end) == []


@pytest.mark.parametrize("line", ["!pip install x", "urlopen('a')", "fetch_tiny_shakespeare()"])
def test_a_fetch_is_noticed(line):
    assert len(fetch_complaints(f"```{{code-cell}} ipython3\n{line}\n```\n")) == 1


# The built book ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def check_built():
    return load_script("book/check_built.py")


def test_a_sound_page_raises_no_complaint(check_built, tmp_path):
    (tmp_path / "b.html").write_text('<p id="x">')
    html = '<a href="b.html#x"></a><a href="#y"></a><a href="https://doi.org/1"></a><i id="y"></i>'
    pages = {"a.html": check_built.Page(html), "b.html": check_built.Page('<p id="x">')}
    (tmp_path / "a.html").write_text(html)
    assert check_built.link_complaints(tmp_path.resolve(), pages) == []


@pytest.mark.parametrize(
    ("html", "complaint"),
    [
        ('<a href="c.html">', "c.html does not exist"),
        ('<a href="#nowhere">', "no such anchor"),
        ('<script src="https://cdn.example/x.js">', "loads https://cdn.example/x.js"),
        ('<link rel="stylesheet" href="//cdn.example/x.css">', "loads //cdn.example/x.css"),
        ("<style>@import 'https://cdn.example/x'</style>", "loads https://cdn.example/x"),
        ('<script>const url = "http://cdn.example/x"</script>', "loads http://cdn.example/x"),
    ],
)
def test_a_broken_link_and_another_host_are_noticed(check_built, tmp_path, html, complaint):
    (tmp_path / "a.html").write_text(html)
    pages = {"a.html": check_built.Page(html)}
    (found,) = check_built.link_complaints(tmp_path.resolve(), pages)
    assert complaint in found


def test_a_style_sheet_that_loads_a_font_is_noticed(check_built, tmp_path):
    (tmp_path / "a.css").write_text("p { src: url('https://cdn.example/f.woff2') } /* https://x */")
    assert check_built.style_complaints(tmp_path) == ["a.css loads https://cdn.example/f.woff2"]


def test_a_notebook_without_results_is_noticed(check_built, tmp_path):
    page = check_built.Page('<a href="a.ipynb">')
    assert check_built.notebook_complaints(tmp_path, "a", check_built.Page("")) != []
    cell = {"cell_type": "code", "execution_count": 1, "outputs": ["x"]}
    for change, complaint in (
        ({}, None),
        ({"outputs": []}, "no outputs"),
        ({"execution_count": None}, "did not run"),
    ):
        (tmp_path / "a.ipynb").write_text(json.dumps({"cells": [cell | change]}))
        found = check_built.notebook_complaints(tmp_path, "a", page)
        assert found == [] if complaint is None else complaint in found[0]
