"""`udesys bifurcation` and its figure: what is printed, written, drawn and refused."""

import json

import numpy as np
import pandas as pd
import pytest
from laws import discovered
from matplotlib.colors import same_color
from test_cli import run

from udesys import api, runs
from udesys.cli._numbers import parsed_numbers
from udesys.errors import ModelError
from udesys.model import HybridODE
from udesys.report.bifurcation_figure import COLLAPSE, STABLE, UNSTABLE, draw_bifurcation

ASKED = ["--vary", "alpha", "--from", 1, "--to", 1.6, "--points", 5, "--start", "prey=1, predator=2", "--until", 40]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A run directory of the law of predator and prey."""
    return runs.save(discovered(), tmp_path_factory.mktemp("bifurcations") / "lv")


def test_the_law_and_its_hybrid_are_printed_side_by_side(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("bifurcation", saved, *ASKED, "--both", "-o", "b.csv", "-f", "b.png")
    assert done.exit_code == 0, done.output
    for words in (
        "the law, alpha from 1 to 1.6   simulated to t = 40",
        "the hybrid, alpha from 1 to 1.6",
        "Trained: alpha = 1.3;",
    ):
        assert words in done.stdout
    assert "the data had alpha = 1.3 alone, so that every other value is an extrapolation" in done.stdout
    assert done.stderr.splitlines()[-2:] == ["Wrote b.csv", "Wrote b.png"]
    table = pd.read_csv("b.csv")
    assert list(table)[:4] == ["of", "what", "which", "alpha"] and set(table["of"]) == {"law", "hybrid"}
    assert set(table["what"]) == {"equilibrium", "up", "down", "fresh"}
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")


def test_json_is_one_object(saved):
    done = run("bifurcation", saved, *ASKED, "--json", "--quiet")
    assert (done.exit_code, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert (found["of"], found["varied"], found["trained"]) == ("law", "alpha", [1.3, 1.3])
    assert found["sweeps"][0]["start"] == {"prey": 1.0, "predator": 2.0}
    both = json.loads(run("bifurcation", saved, *ASKED, "--json", "--quiet", "--both").stdout)
    assert list(both) == ["law", "hybrid"] and both["law"] == found
    alone = json.loads(run("bifurcation", saved, *ASKED, "--json", "--quiet", "--hybrid").stdout)
    assert alone == both["hybrid"]


REFUSED = {
    "an unknown name": (["--vary", "alpa"], "the law has no number 'alpa' to vary. Did you mean 'alpha'?"),
    "a state": (["--vary", "prey"], "prey is a state"),
    "no range": (["--from", 2], "alpha is to be varied from 2 to 1.6, which is no range"),
    "an end that is infinite": (["--to", "inf"], "between finite numbers"),
    "a start with an unknown state": (["--start", "pry=1,predator=2"], "the start names 'pry'"),
    "a start that lacks a state": (["--start", "prey=1"], "the start lacks predator"),
    "a start that is no number": (["--start", "prey=many"], "'prey=many' is not understood"),
    "a number that is not there": (["--at", "beta=1"], "the law has no number 'beta' to hold"),
    "no time at all": (["--until", 0], "until = 0.0 must be a positive time"),
    "a figure of another kind": (["-f", "b.pdf"], "b.pdf is no name of a PNG file. Write b.png."),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_in_one_message(case, saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    change, message = REFUSED[case]
    done = run("bifurcation", saved, *ASKED, *change, "--quiet")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("udesys: ") and message in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_constant_that_the_hybrid_lacks_is_refused_before_the_law_is_asked(saved):
    name = next(label for label in discovered().closed_form.labels if label.startswith("NN1."))
    done = run("bifurcation", saved, *ASKED, "--vary", name, "--both", "--quiet")
    assert (done.exit_code, done.stdout) == (1, "") and f"the hybrid has no number '{name}' to vary" in done.stderr


def test_files_that_are_there_and_runs_that_are_not_are_refused(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b.csv").write_text("mine")
    done = run("bifurcation", saved, *ASKED, "-o", "b.csv", "-f", "b.png")
    assert (done.exit_code, "b.csv is there already" in done.stderr) == (1, True)
    assert (tmp_path / "b.csv").read_text() == "mine" and not (tmp_path / "b.png").exists()
    missing = run("bifurcation", "nowhere", *ASKED)
    assert (missing.exit_code, missing.stderr.startswith("udesys: ")) == (1, True)


def test_a_damaged_run_is_refused(saved, tmp_path):
    import shutil

    copy = shutil.copytree(saved, tmp_path / "copy")
    (copy / "law.json").write_text((copy / "law.json").read_text() + " ")
    done = run("bifurcation", copy, *ASKED)
    assert done.exit_code == 1 and "law.json" in done.stderr and "Traceback" not in done.stderr


def test_without_both_ends_it_is_wrong_usage(saved):
    assert run("bifurcation", saved, "--vary", "alpha", "--from", 1).exit_code == 2


def test_numbers_are_read_from_text():
    assert parsed_numbers("x=1, y = -0.1") == {"x": 1.0, "y": -0.1}
    for text in ("x", "x=", "=1", "x=one", "x=1;y=2", ""):
        with pytest.raises(ModelError, match=r"is not understood\. Write NAME=NUMBER"):
            parsed_numbers(text)
    with pytest.raises(ModelError, match="gives x twice"):
        parsed_numbers("x=1,x=2")


# --- the figure ---------------------------------------------------------------------------------------


def collapsing():
    """x' = r + x^2 from two starts: a fold at r = 0, and collapses."""
    import udesys as ud

    model, starts = HybridODE("x' = r + x^2", {"r": -0.5}), [{"x": 0.0}, {"x": 0.5}]
    return ud.bifurcation(model, "r", -1.0, 1.0, visited={"x": (-1, 1)}, starts=starts, points=11)


def test_stability_points_and_collapses_are_drawn_where_they_are():
    found = collapsing()
    picture = draw_bifurcation([found], units={"r": "1/s"})
    (panel,) = picture.axes
    assert panel.get_xlabel() == "r [1/s]" and panel.get_xlim() == (-1.0, 1.0)
    lines = [line for line in panel.lines if same_color(line.get_color(), STABLE["color"])]
    solid = [line for line in lines if line.get_linestyle() == "-"]
    dashed = [line for line in lines if line.get_linewidth() == UNSTABLE["lw"]]
    assert len(solid) == len(dashed) == 1
    assert np.max(solid[0].get_ydata()) < 1e-6 and np.min(dashed[0].get_ydata()) > -1e-6
    drops = sorted(line.get_xdata()[0] for line in panel.lines if same_color(line.get_color(), COLLAPSE["color"]))
    assert drops == pytest.approx([-0.25, 0.0], abs=1e-4)  # the start 0.5 is on the unstable branch at -0.25
    shown = {text.get_text() for legend in picture.legends for text in legend.get_texts()}
    assert {"equilibrium, stable", "equilibrium, unstable", "fold", "collapse from a start"} <= shown
    assert "value in the data" not in shown


def test_equal_analyses_give_equal_pictures():
    assert draw_bifurcation([collapsing()]).to_png() == draw_bifurcation([collapsing()]).to_png()


def test_a_law_draws_its_own_diagram():
    law, options = (
        api.Law(**vars(discovered())),
        {"starts": [{"prey": 1.0, "predator": 2.0}], "points": 5, "until": 40.0},
    )
    picture = law.plot_bifurcation("alpha", 1.0, 1.6, **options)
    assert [panel.get_ylabel() for panel in picture.axes] == ["prey", "predator"]
    shown = {text.get_text() for legend in picture.legends for text in legend.get_texts()}
    assert {"value in the data", "bounds of what was visited"} <= shown
