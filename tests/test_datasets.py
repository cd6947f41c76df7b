import csv
import hashlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from numlstm import datasets
from numlstm.data import datasets as implementation
from numlstm.data import texts

DATA = Path(__file__).parents[1] / "datasets"
NAMES = ("airline_passengers", "sunspots", "co2")


def loader(name):
    return getattr(datasets, f"load_{name}")


@pytest.fixture(params=NAMES)
def series(request):
    return loader(request.param)()


@pytest.mark.parametrize(
    ("name", "length", "missing", "first", "last", "total", "period"),
    [
        ("airline_passengers", 144, 0, 112.0, 432.0, 40363.0, 12),
        ("sunspots", 309, 0, 5.0, 2.9, 15373.4, 11),
        ("co2", 2284, 59, 316.1, 371.5, 756816.5, 52),
    ],
)
def test_figures(name, length, missing, first, last, total, period):
    series = loader(name)()
    assert series.data.shape == series.index.shape == (length,)
    assert series.data.dtype == np.float64
    assert np.isnan(series.data).sum() == missing
    assert (series.data[0], series.data[-1]) == (first, last)
    assert np.nansum(series.data) == pytest.approx(total, abs=1e-6)
    assert (series.name, series.period) == (name, period)


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("airline_passengers", np.datetime64("1949-01-01"), np.datetime64("1960-12-01")),
        ("sunspots", np.datetime64("1700"), np.datetime64("2008")),
        ("co2", np.datetime64("1958-03-29"), np.datetime64("2001-12-29")),
    ],
)
def test_index(name, first, last):
    index = loader(name)().index
    assert (index[0], index[-1], index.dtype) == (first, last, first.dtype)


def test_index_has_no_gap():
    months, years, weeks = (loader(name)().index for name in NAMES)
    assert (np.diff(months.astype("datetime64[M]").astype(int)) == 1).all()
    assert (np.diff(years.astype(int)) == 1).all()
    assert (np.diff(weeks) == np.timedelta64(7, "D")).all()


def test_the_passengers_of_1949_are_those_in_the_book():
    book = [112, 118, 132, 129, 121, 135, 148, 148, 136, 119, 104, 118]
    assert datasets.load_airline_passengers().data[:12].tolist() == book


def test_the_sunspots_are_of_version_1():
    sunspots = datasets.load_sunspots()
    # The highest cycle: 190.2 in version 1.0, 269.3 in version 2.0.
    assert sunspots.data.max() == 190.2
    assert str(sunspots.index[sunspots.data.argmax()]) == "1957"


def test_longest_hole_of_co2_is_18_weeks():
    missing = "".join("x" if hole else " " for hole in np.isnan(datasets.load_co2().data))
    assert max(map(len, missing.split())) == 18


def test_each_call_returns_an_array_of_its_own(series):
    series.data[0] = -1.0
    assert loader(series.name)().data[0] != -1.0


def test_bunch_tells_where_the_series_comes_from(series):
    assert Path(series.filename).name == f"{series.name}.csv"
    assert series.DESCR.startswith(f"## {series.name}\n")
    assert "- Licence: " in series.DESCR and "- Source: " in series.DESCR
    assert series.DESCR.count("\n## ") == 0


def test_readme_has_a_section_for_every_file():
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    files = re.findall(r"^- File: `(\S+)`", readme, re.MULTILINE)
    assert sorted(files) == sorted(path.name for path in DATA.glob("*.csv"))


def test_readme_gives_size_and_hash_of_the_file(series):
    content = Path(series.filename).read_bytes()
    assert f"- Size: {len(content)} bytes." in series.DESCR
    assert f"- SHA-256: `{hashlib.sha256(content).hexdigest()}`" in series.DESCR


def test_files_are_small():
    assert sum(path.stat().st_size for path in DATA.glob("*.csv")) <= 1_000_000


def write_sources(root):
    """Lay our figures out as the packages do, for the script to give our files back."""
    layout = {
        "airline_passengers": ("sktime/datasets/data/Airline/Airline.csv", "Date,Passengers"),
        "sunspots": ("statsmodels/datasets/sunspots/sunspots.csv", '"YEAR","SUNACTIVITY"'),
        "co2": ("statsmodels/datasets/co2/co2.csv", "date,co2"),
    }
    for name, (path, header) in layout.items():
        with (DATA / f"{name}.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))[1:]
        if name == "co2":
            rows = [(day.replace("-", ""), value) for day, value in rows]
        (root / path).parent.mkdir(parents=True)
        lines = [header, *(",".join(row).removesuffix(".0") for row in rows)]
        (root / path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def run_script(sources, output):
    output.mkdir(exist_ok=True)
    command = [sys.executable, DATA / "make_datasets.py", "--statsmodels", sources]
    command += ["--sktime", sources, "--output", output]
    return subprocess.run(command, capture_output=True, text=True)


def test_script_rebuilds_the_files(tmp_path):
    write_sources(tmp_path)
    run = run_script(tmp_path, tmp_path / "out")
    assert run.returncode == 0, run.stderr
    for name in NAMES:
        ours = (DATA / f"{name}.csv").read_bytes()
        assert (tmp_path / "out" / f"{name}.csv").read_bytes() == ours
        assert f"{len(ours)} bytes, sha256 {hashlib.sha256(ours).hexdigest()}" in run.stdout


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\n1700,", "\n1699,", "sunspots: the dates"),
        ("2008,2.9", "2008,2.95", "'2.95' needs more than 1 decimals"),
    ],
)
def test_script_refuses_other_sources(tmp_path, old, new, message):
    write_sources(tmp_path)
    path = tmp_path / "statsmodels/datasets/sunspots/sunspots.csv"
    path.write_text(path.read_text().replace(old, new))
    run = run_script(tmp_path, tmp_path / "out")
    assert run.returncode != 0 and message in run.stderr


@pytest.mark.parametrize(
    ("name", "column", "freq"),
    [
        ("airline_passengers", "passengers", "MS"),
        ("sunspots", "sunspots", "YS-JAN"),
        ("co2", "co2", "W-SAT"),
    ],
)
def test_as_frame_gives_a_series_with_a_frequency(name, column, freq):
    pd = pytest.importorskip("pandas")
    plain, framed = loader(name)(), loader(name)(as_frame=True)
    assert isinstance(framed.data, pd.Series)
    assert framed.data.name == column
    assert framed.data.index.freqstr == freq
    assert (framed.data.index == plain.index).all()
    np.testing.assert_array_equal(framed.data.to_numpy(), plain.data)
    assert all(framed[key] == plain[key] for key in ("name", "period", "DESCR", "filename"))


def test_as_frame_without_pandas_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="as_frame=True needs pandas.*pip install pandas"):
        datasets.load_co2(as_frame=True)
    assert datasets.load_co2().data.size == 2284


def test_as_frame_must_be_a_bool():
    with pytest.raises(ValueError, match="as_frame is 'no'; expected True or False"):
        datasets.load_sunspots(as_frame="no")


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Both places of a package that lies elsewhere, as yet without files."""
    root = Path(implementation.__file__).parents[2]
    assert implementation._PLACES == (root / "numlstm" / "_data", root / "datasets")
    places = (tmp_path / "numlstm" / "_data", tmp_path / "datasets")
    monkeypatch.setattr(implementation, "_PLACES", places)
    return places


def fill(place, first_value):
    place.mkdir(parents=True)
    (place / "sunspots.csv").write_text(f"year,sunspots\n1700,{first_value}\n")
    (place / "README.md").write_text("# Title\n\n## sunspots\n\nText.\n\n## co2\n")


def test_the_package_is_searched_before_its_neighbour(places):
    fill(places[1], 2)
    assert datasets.load_sunspots().data.tolist() == [2.0]
    fill(places[0], 1)
    found = datasets.load_sunspots()
    assert found.data.tolist() == [1.0]
    assert found.filename == str(places[0] / "sunspots.csv")
    assert found.DESCR == "## sunspots\n\nText."


def test_missing_file_names_both_places(places):
    with pytest.raises(FileNotFoundError, match=r"sunspots\.csv is missing") as caught:
        datasets.load_sunspots()
    assert all(str(place) in str(caught.value) for place in places)


def test_sine():
    y = datasets.make_sine()
    assert y.shape == (12000,) and y.dtype == np.float64
    assert y[0] == 0.0 and y[25] == 1.0 and y[75] == -1.0
    np.testing.assert_allclose(y[:-100], y[100:], atol=1e-10)


def test_sine_with_a_broken_period_and_noise():
    clean = datasets.make_sine(50_000, period=12.5)
    noisy = datasets.make_sine(50_000, period=12.5, noise=0.3, random_state=0)
    np.testing.assert_allclose(clean[:3], np.sin(2 * np.pi * np.arange(3) / 12.5))
    assert (noisy - clean).std() == pytest.approx(0.3, rel=0.02)
    assert (noisy - clean).mean() == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize("n_timesteps", [2, 3, 10, 11])
def test_adding_problem(n_timesteps):
    X, y = datasets.make_adding_problem(500, n_timesteps, random_state=0)
    values, marks = X[:, :, 0], X[:, :, 1]
    assert X.shape == (500, n_timesteps, 2) and y.shape == (500,)
    assert X.dtype == y.dtype == np.float64
    assert values.min() >= 0.0 and values.max() < 1.0
    assert np.isin(marks, [0.0, 1.0]).all()
    half = n_timesteps // 2
    assert (marks[:, :half].sum(axis=1) == 1).all() and (marks[:, half:].sum(axis=1) == 1).all()
    assert marks.any(axis=0).all()  # every time step gets marked now and then
    np.testing.assert_array_equal(y, (values * marks).sum(axis=1))


def test_constant_answer_to_the_adding_problem_errs_by_a_sixth():
    _, y = datasets.make_adding_problem(100_000, 10, random_state=0)
    assert np.mean((y - 1.0) ** 2) == pytest.approx(1 / 6, rel=0.02)


@pytest.mark.parametrize("task", ["noise", "sequences"])
def test_random_state_decides(task):
    def make(random_state):
        if task == "noise":
            return datasets.make_sine(20, noise=1.0, random_state=random_state)
        X, y = datasets.make_adding_problem(5, 6, random_state=random_state)
        return np.append(X.ravel(), y)

    assert (make(3) == make(3)).all()
    assert (make(3) == make(np.random.RandomState(3))).all()
    assert (make(3) != make(4)).any()
    assert (make(None) != make(None)).any()


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        ("sine", {"n_samples": 0}, "n_samples is 0; expected an integer of at least 1"),
        ("sine", {"n_samples": 2.0}, "n_samples is 2.0; expected an integer"),
        ("sine", {"n_samples": True}, "n_samples is True; expected an integer"),
        ("sine", {"period": 0}, "period is 0; expected a finite number above 0"),
        ("sine", {"period": np.inf}, "period is inf; expected a finite number above 0"),
        ("sine", {"period": "12"}, "period is '12'; expected a finite number above 0"),
        ("sine", {"noise": -0.1}, "noise is -0.1; expected a finite number of at least 0"),
        ("sine", {"noise": np.nan}, "noise is nan; expected a finite number of at least 0"),
        ("sine", {"random_state": "x"}, "random_state must be None, an integer"),
        ("adding_problem", {"n_samples": -1}, "n_samples is -1; expected an integer of at least 1"),
        ("adding_problem", {"n_timesteps": 1}, "n_timesteps is 1; expected an integer of at least"),
        ("adding_problem", {"random_state": -1}, "random_state must be None, an integer"),
    ],
)
def test_bad_arguments(make, arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        getattr(datasets, f"make_{make}")(**arguments)


def test_public_module_only_re_exports():
    assert datasets.__all__ == sorted(datasets.__all__)
    homes = {**vars(texts), **vars(implementation)}
    assert all(vars(datasets)[name] is homes[name] for name in datasets.__all__)


def test_import_needs_neither_scikit_learn_nor_pandas():
    program = "import sys, numlstm.datasets; sys.exit(bool({'sklearn', 'pandas'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
