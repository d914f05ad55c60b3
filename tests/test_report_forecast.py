"""The figure of a forecast, and the command that draws it."""

import io

import numpy as np
import pandas as pd
import pytest
from laws import discovered, lotka_volterra_rhs, solution
from matplotlib.colors import same_color
from test_cli import run

from udesys import api, runs
from udesys.data import split_holdout
from udesys.errors import DataError
from udesys.report.forecast_figure import MOST_RUNS, OUTSIDE, draw_forecast


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A run directory of the law of predator and prey."""
    return runs.save(discovered(), tmp_path_factory.mktemp("forecasts") / "lv")


def labels(picture):
    return [text.get_text() for legend in picture.legends for text in legend.get_texts()]


def marked(panel):
    """(x, y) of what a panel marks as outside."""
    (line,) = [line for line in panel.lines if same_color(line.get_color(), OUTSIDE["color"])]
    return line.get_xdata(), line.get_ydata()


def test_a_forecast_is_drawn_with_all_that_it_is_set_beside():
    law = discovered()
    picture = draw_forecast(law, 8.0)
    assert set(labels(picture)) == {
        "what the data visited", "measured", "95 % band", "law", "law, outside of what the data visited",
        "hybrid with networks", "persistence",
    }  # fmt: skip
    assert [panel.get_ylabel() for panel in picture.axes] == ["prey", "predator"]
    assert picture.axes[-1].get_xlabel() == "t"


def test_the_law_is_marked_where_it_is_outside_and_nowhere_else():
    law = discovered()
    for panel, name in zip(draw_forecast(law, 12.0).axes, ("prey", "predator"), strict=True):
        t, x = marked(panel)
        t, x = t[np.isfinite(x)], x[np.isfinite(x)]
        assert t.min() >= law.data.trajectories[0].t[-1] - 0.05  # what is fitted is not marked
        exact = solution(lotka_volterra_rhs, [0.44249296, 4.6280594], np.append(0.0, t))[1:]
        low, high = (np.array([law.visited[s][k] for s in ("prey", "predator")]) for k in (0, 1))
        away = ((exact < low) | (exact > high)).any(1)
        assert away.mean() > 0.9  # all but the ends of pieces
        assert x == pytest.approx(exact[:, law.model.states.index(name)], rel=0.2, abs=0.1)


def test_a_law_that_stays_inside_is_not_marked():
    law = discovered()
    picture = draw_forecast(law, 3.0, start=1.0)
    assert "law, outside of what the data visited" not in labels(picture)


def test_what_is_held_out_is_drawn_and_trajectories_stand_side_by_side():
    from test_assess_ahead import law_of

    t = np.linspace(0, 2, 9)
    runs_ = [(t, (x0 * np.exp(-0.5 * t))[:, None]) for x0 in (1.0, 2.0, 3.0, 4.0)]
    law = law_of("x' = -k*x", *runs_)
    data, rest = split_holdout(law.data, {"last": "30%"})
    picture = draw_forecast(api.Law(**{**vars(law), "data": data, "heldout": rest}), 4.0)
    assert len(picture.axes) == MOST_RUNS and "measured, held out" in labels(picture)
    assert "3 of 4 trajectories" in picture.get_suptitle()
    assert len(draw_forecast(law, 4.0, trajectory="4").axes) == 1
    with pytest.raises(DataError, match="there is no trajectory '5'"):
        draw_forecast(law, 4.0, trajectory="5")
    with pytest.raises(DataError, match="until = 1 must be after 2"):
        draw_forecast(law, 1.0)


def test_a_law_draws_its_forecast_itself():
    law = api.Law(**vars(discovered()))
    assert law.plot_forecast(5.0, start=2.0).to_png() == draw_forecast(law, 5.0, start=2.0).to_png()


# --- the command -------------------------------------------------------------------------------------


def test_the_command_draws_and_compares(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("forecast", saved, "--until", 4, "--step", 0.5, "--compare", "-f", "f.png")
    assert done.exit_code == 0, done.output
    table = pd.read_csv(io.StringIO(done.stdout))
    assert {"prey hybrid", "predator persistence"} <= set(table)
    assert "Wrote f.png" in done.stderr and (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
    plain = pd.read_csv(io.StringIO(run("forecast", saved, "--until", 4, "--step", 0.5).stdout))
    assert list(plain) == [name for name in table if not name.endswith((" hybrid", " persistence"))]


def test_files_that_are_there_are_refused_before_anything_is_written(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f.png").write_text("mine")
    done = run("forecast", saved, "--until", 4, "-o", "f.csv", "-f", "f.png")
    assert (done.exit_code, "f.png is there already" in done.stderr) == (1, True)
    assert (tmp_path / "f.png").read_text() == "mine" and not (tmp_path / "f.csv").exists()
    assert run("forecast", saved, "--until", 4, "-o", "f.csv", "-f", "f.png", "--force").exit_code == 0
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
    other = run("forecast", saved, "--until", 4, "-f", "f.pdf")
    assert (other.exit_code, "f.pdf is no name of a PNG file. Write f.png." in other.stderr) == (1, True)
