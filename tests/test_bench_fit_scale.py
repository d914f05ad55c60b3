"""The fit-scale comparison: its data, what it measures of a small fit, its table and the command."""

import importlib
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from udesys.bench import fit_scale as scale
from udesys.bench._alone import Ended, run_alone
from udesys.bench.fit_scale import Run
from udesys.cli import application
from udesys.systems import get_system

BROKEN = 333  # samples of a fit that fails


def cost(samples, iteration, peak, trajectories=1, **more):
    figures = {"iterations": 20, "seconds": 30 * iteration, "converged": True, "seed": 0, **more}
    return Run(trajectories=trajectories, samples=samples, iteration_seconds=iteration, peak_mib=peak, **figures)


def bench(*arguments):
    return CliRunner().invoke(application(), ["bench", "fit-scale", *map(str, arguments)])


# --- data --------------------------------------------------------------------------------------------


def test_a_long_record_stays_on_its_orbit():
    data = scale.make_data(1, 600, 0)
    (run,) = data.trajectories
    assert run.y.shape == (600, 2) and np.diff(run.t) == pytest.approx(0.1)
    # gamma x - delta ln x + beta y - alpha ln y is constant along Lotka-Volterra; 1 % noise moves it a little.
    c = get_system("lotka_volterra").constants
    x, y = run.y.T
    kept = c["gamma"] * x - c["delta"] * np.log(x) + c["beta"] * y - c["alpha"] * np.log(y)
    assert np.median(kept[-100:]) == pytest.approx(np.median(kept[:100]), rel=0.02)


def test_several_trajectories_start_apart_and_repeat_under_a_seed():
    data = scale.make_data(3, 30, 5)
    starts = np.array([run.y[0] for run in data.trajectories])
    assert starts.shape == (3, 2) and len(np.unique(starts.round(1), axis=0)) == 3
    again = scale.make_data(3, 30, 5)
    assert all((a.y == b.y).all() for a, b in zip(data.trajectories, again.trajectories, strict=True))


# --- measuring ---------------------------------------------------------------------------------------


def test_one_fit_is_measured_from_the_stage_that_iterates_on_the_whole_record(monkeypatch):
    began = []
    stages = [
        {"name": "gradient matching", "iterations": 9, "seconds": 5.0, "samples": 60},
        {"name": "multiple shooting", "iterations": 7, "seconds": 2.0, "samples": 50},  # on windows
        {"name": "multiple shooting", "iterations": 6, "seconds": 3.0, "samples": 60},
        {"name": "multiple shooting", "iterations": 4, "seconds": 1.0, "samples": 60},
    ]
    fitted = {"stages": [type("Stage", (), s) for s in stages], "seconds": 11.0, "converged": True}
    room = importlib.import_module("udesys.fit")
    monkeypatch.setattr(room, "fit", lambda model, data, seed: type("Fit", (), fitted))
    found = scale.measure(lambda: began.append(True), 2, 30, 0)
    assert began == [True]
    assert (found.trajectories, found.samples, found.iterations) == (2, 60, 10)
    assert (found.iteration_seconds, found.seconds, found.converged) == (0.4, 11.0, True)
    assert found.peak_mib >= 0


def hold_64_mib(begin):
    before = scale.peak_mib()
    held = np.ones(2**23)
    return scale.peak_mib() - before if held.all() else None


def test_the_peak_is_what_the_process_itself_held():
    assert 48 < run_alone(hold_64_mib).value < 80


# --- the table ---------------------------------------------------------------------------------------


def cells(text):
    """Of all rows but the heads."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in rows if row[0].isdecimal()]


def test_a_row_stands_beside_the_one_before():
    first, second = cells(scale.table([cost(100, 0.01, 2.0), cost(1000, 0.05, 15.0)]))
    assert first == ["100", "1", "20", "0.01", "0.3", "2", "-", "-", "-", "-"]
    assert second == ["1000", "1", "20", "0.05", "1.5", "15", "x10", "x5", "x5", "x7.5"]


def test_nothing_is_said_beside_a_row_without_memory_of_its_own():
    text = scale.table([cost(30, 0.01, 0.0), cost(900, 0.1, 9.0, 30, converged=False)])
    assert cells(text)[1] == ["900", "30", "20", "0.1", "3", "9", "x30", "x10", "x4.75", "-"]
    assert text.splitlines()[-1] == "- 900 samples: the fit did not converge."


def test_growth_is_told_per_decade_whatever_the_step():
    # Time as the power 1.5 of the samples: tenfold samples take 10^1.5 as long, from whichever row.
    for samples in (300, 1000, 25_000):
        rows = cells(scale.table([cost(100, 1e-2, 1.0), cost(samples, 1e-5 * samples**1.5, 1.0)]))
        assert rows[1][-2] == "x31.6"
    assert cells(scale.table([cost(100, 0.1, 1.0), cost(100, 0.2, 1.0)]))[1][-3:] == ["x2", "-", "x1"]


def test_the_headline_numbers_are_those_of_every_size():
    runs = [cost(100, 0.01, 2.0), cost(BROKEN, 0.0, 0.0, failure="MemoryError: full"), cost(300, 0.02, 3.0, 10)]
    assert scale.summary(runs) == {
        "s per iteration, 100 samples": 0.01,
        "s, 100 samples": 0.3,
        "peak MiB, 100 samples": 2.0,
        "s per iteration, 333 samples": None,
        "s, 333 samples": None,
        "peak MiB, 333 samples": None,
        "s per iteration, 10 trajectories of 30 samples": 0.02,
        "s, 10 trajectories of 30 samples": 0.6,
        "peak MiB, 10 trajectories of 30 samples": 3.0,
    }
    assert scale.table([]) == "no runs" and scale.summary([]) == {}


# --- the command -------------------------------------------------------------------------------------


@pytest.fixture
def instant(monkeypatch):
    sizes = []

    def alone(work, count, each, seed):
        sizes.append((count, each))
        if each == BROKEN:
            return Ended(seconds=4.0, failure="MemoryError: full")
        return Ended(value=cost(count * each, 0.1, 1.0, count))

    monkeypatch.setattr("udesys.bench._alone.run_alone", alone)
    return sizes


def test_all_sizes_run_in_two_tables(instant):
    done = bench()
    assert done.exit_code == 0
    assert instant == [(1, 100), (1, 1000), (1, 10_000), (1, 100_000), (1, 30), (10, 30), (100, 30), (300, 30)]
    titles = [line for line in done.stdout.splitlines() if line and not line.startswith("|")]
    assert [title.partition(",")[0] for title in titles] == ["One trajectory", "Trajectories of 30 samples"]
    rows = cells(done.stdout)
    assert len(rows) == 8 and rows[1][6] == "x10" and rows[0][6] == rows[4][6] == "-"


def test_only_the_sizes_asked_for_run(instant):
    found = json.loads(bench("--samples", 50, "--samples", 500, "--json").stdout)
    assert instant == [(1, 50), (1, 500)] and [r["samples"] for r in found["rows"]] == [50, 500]
    assert "One trajectory" not in bench("--trajectories", 7).stdout and instant[-1] == (7, 30)


def test_sizes_are_shared_out_and_none_is_fitted_twice(instant, tmp_path):
    options = ("--samples", 50, "--samples", 500, "--trajectories", 7, "--keep", tmp_path / "runs.jsonl")
    for part in ("2/2", "1/2"):
        assert bench(*options, "--part", part).exit_code == 0
    assert instant == [(1, 500), (1, 50), (7, 30)]
    found = json.loads(bench(*options, "--json").stdout)
    assert len(instant) == 3 and [r["samples"] for r in found["rows"]] == [50, 500, 210]


def test_a_fit_that_failed_says_why_and_the_next_stands_beside_the_last_good_one(instant):
    text = bench("--samples", 100, "--samples", BROKEN, "--samples", 1000).stdout
    assert f"- {BROKEN} samples failed after 4.0 s: MemoryError: full" in text
    rows = cells(text)
    assert rows[1] == [str(BROKEN), "1", *["-"] * 8] and rows[2][6] == "x10"


def test_the_comparison_is_listed():
    assert scale.TITLE in CliRunner().invoke(application(), ["bench"]).output


@pytest.mark.slow
def test_a_small_fit_in_a_process_of_its_own():
    done = bench("--samples", 60, "--json")
    (found,) = json.loads(done.stdout)["rows"]
    assert found["failure"] == "" and found["iterations"] > 0
    assert found["iteration_seconds"] * found["iterations"] <= found["seconds"]
    assert 0 <= found["peak_mib"] < 500
