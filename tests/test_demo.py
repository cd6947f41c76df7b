"""`numlstm demo`: the LSTM beats the baselines it is shown beside."""

import numpy as np
import pytest

from numlstm import demo


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", demo.SERIES)
def test_the_forecast_beats_the_baselines(name, seed):
    result = demo.forecast_series(name, seed=seed)
    (rmse, mase), *baselines = result["scores"].values()
    assert list(result["scores"]) == ["LSTM", "seasonal naive", "last value"]
    for baseline_rmse, baseline_mase in baselines:
        assert rmse < 0.8 * baseline_rmse
        assert mase < 0.8 * baseline_mase
    shapes = {forecast.shape for forecast in result["forecasts"].values()}
    assert shapes == {(demo.SERIES[name]["horizon"],)}
    assert len(result["history"]) + len(result["truth"]) == len(result["index"])


def test_the_scores_are_those_of_the_forecasts(monkeypatch):
    monkeypatch.setitem(demo.SERIES["airline passengers"]["model"], "max_iter", 1)
    result = demo.forecast_series("airline passengers")
    errors = result["truth"] - result["forecasts"]["LSTM"]
    year = np.abs(result["history"][12:] - result["history"][:-12]).mean()
    rmse, mase = result["scores"]["LSTM"]
    assert rmse == pytest.approx(np.sqrt((errors**2).mean()))
    assert mase == pytest.approx(np.abs(errors).mean() / year)


def test_a_little_text_teaches_a_little(monkeypatch):
    monkeypatch.setattr(demo, "HELD_OUT", 4000)
    result = demo.learn_text(20_000, max_iter=2)
    assert 6 < result["before"] < 7  # about 95 characters, all equally probable
    assert result["after"] < result["before"] - 1
    assert 2 < result["counting"] < 4
    assert result["order"] == 5
    assert len(result["sample"]) == 400 and result["sample"].isprintable() is False


def test_what_is_held_out_is_not_learnt(monkeypatch):
    seen = {}

    class Spy:
        def __init__(self, *args, **options):
            pass

        def fit(self, text):
            seen["learnt"] = text
            return self

        def bits_per_char(self, text):
            seen["held"] = text
            return 1.0

        def generate(self, n_chars, **options):
            return "."

        @classmethod
        def best(cls, learnt, held):
            seen.update(counted=learnt, predicted=held)
            baseline = cls()
            baseline.order = 5
            return baseline

    monkeypatch.setattr("numlstm.CharLSTM", Spy)
    monkeypatch.setattr("numlstm.NGramBaseline", Spy)
    demo.learn_text(10**9)  # more than there is
    assert len(seen["held"]) == demo.HELD_OUT
    assert (seen["counted"], seen["predicted"]) == (seen["learnt"], seen["held"])
    assert seen["held"] not in seen["learnt"]
    assert len(seen["learnt"]) > 200_000
    assert set(seen["held"]) <= set(seen["learnt"])


def test_the_demo_prints_its_figures_and_writes_a_picture(monkeypatch, capsys, tmp_path):
    from matplotlib.image import imread

    for plan in demo.SERIES.values():
        monkeypatch.setitem(plan["model"], "max_iter", 1)
    small = demo.learn_text
    monkeypatch.setattr(demo, "HELD_OUT", 2000)
    monkeypatch.setattr(demo, "learn_text", lambda: small(3000, max_iter=1))
    demo.run(tmp_path / "demo.png")
    printed = capsys.readouterr().out
    for name in (
        *demo.SERIES,
        "seasonal naive",
        "last value",
        "-grams, counted",
        "untrained",
        "The ",
    ):
        assert name in printed
    assert str(tmp_path / "demo.png") in printed
    picture = imread(tmp_path / "demo.png")
    assert picture.shape[:2] == (910, 1170)
    assert picture[..., :3].std() > 0.05
