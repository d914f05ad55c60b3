"""The command line: what each command prints, writes and exits with."""

import importlib
import json
import subprocess
import sys
import types
from pathlib import Path

import pytest
from test_runs import contents
from typer.testing import CliRunner

from udesys import cli, runs
from udesys.errors import FitError
from udesys.systems import get_system, write_system

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = [
    "bench", "bifurcation", "check", "discover", "doctor", "export", "fit", "forecast", "init", "profile",
    "recover", "report", "suggest", "support", "systems",
]  # fmt: skip


def run(*arguments):
    return CliRunner().invoke(cli.application(), [str(a) for a in arguments])


@pytest.fixture
def spec(tmp_path, monkeypatch):
    """The path of a spec, for the engine that needs nothing, in the current folder, which is otherwise empty."""
    monkeypatch.chdir(tmp_path)
    path = write_system(get_system("lotka_volterra"), ".")[1]
    path.write_text(path.read_text() + '\n[search]\nengines = ["sparse"]\n')
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with a spec and the run that `udesys discover` made of it, and what that printed."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        path = write_system(get_system("lotka_volterra"), ".")[1]
        text = path.read_text().replace('time = "t"', 'time = "t"\nholdout = { last = "10%" }')
        path.write_text(text + '\n[search]\nengines = ["sparse"]\nlibrary = { terms = ["prey*wolf"] }\n')
        done = run("discover", path)
    return folder, done


# --- discover ----------------------------------------------------------------------------------------


def test_discover_prints_the_law_and_saves_the_run(finished):
    folder, done = finished
    assert done.exit_code == 0, done.output
    law = runs.load_run(folder / "runs/lotka_volterra")
    assert done.stdout == f"{law}\n"
    lines = done.stderr.splitlines()
    assert [line.split()[0] for line in lines[:6]] == ["fit", "fit", "search", "search", "select", "select"]
    assert lines[-1] == "Saved in runs/lotka_volterra; the report is runs/lotka_volterra/report.html"
    names = {path.name for path in (folder / "runs/lotka_volterra").iterdir()}
    assert {"spec.toml", "result.json", "equations.py", "log.jsonl", "figures", "report.html"} <= names
    assert list((folder / "runs/lotka_volterra/figures").glob("*.png"))
    log = (folder / "runs/lotka_volterra/log.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in log]
    assert {event["stage"] for event in events} >= {"fit", "multiple shooting", "search", "select"}
    assert any("NN1 = -0." in str(event["value"]) for event in events if event["stage"] == "select")
    (warning, *_) = law.warnings
    assert "'prey*wolf' fits no network" in warning


def test_a_finished_run_is_printed_again_and_not_changed(finished, monkeypatch):
    folder, done = finished
    monkeypatch.chdir(folder)
    before = contents(folder)
    again = run("discover", "lotka_volterra.toml")
    assert (again.exit_code, again.stdout) == (0, done.stdout)
    assert again.stderr == "runs/lotka_volterra is finished; nothing was changed. Run it anew with --overwrite.\n"
    shown = run("discover", "lotka_volterra.toml", "--json", "--quiet")
    assert shown.stdout == Path("runs/lotka_volterra/result.json").read_text()
    other = run("discover", "lotka_volterra.toml", "--seed", 7)
    assert (other.exit_code, other.stdout) == (1, "")
    assert "holds a run of something else: the seed (0 there, 7 now)" in other.stderr
    assert contents(folder) == before


def test_fit_then_recover_with_what_was_asked(spec):
    text = spec.read_text().replace('time = "t"', 'time = "t"\nnoise = { prey = "5%" }\nholdout = { last = "10%" }')
    spec.write_text(text)
    done = run("fit", spec, "--seed", 7, "-o", "a", "--json", "--quiet")
    assert (done.exit_code, done.stderr) == (0, "")
    fitted = json.loads(done.stdout)
    assert (fitted["seed"], fitted["noise"]["prey"]) == (7, pytest.approx(runs.open_run("a").spec.noise["prey"]))
    assert fitted["simulation"]["evaluations"] > 0
    again = run("fit", spec, "--seed", 7, "-o", "a")
    assert f"One simulation: {fitted['simulation']['evaluations']} evaluations of the right side" in again.stdout
    assert again.stderr.endswith("Fit anew with --overwrite.\n")
    before = run("forecast", "a", "--until", 4)
    assert (before.exit_code, "there is no law in a: it has a fit, but no law yet" in before.stderr) == (1, True)
    done = run("recover", "a", "--json", "--quiet")
    assert done.stdout == Path("a/result.json").read_text()
    assert done.stderr == ""
    assert json.loads(done.stdout)["seed"] == 7
    assert 'engines = [\n    "sparse",\n]' in Path("a/spec.toml").read_text()


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (FitError("nothing finite was found. Check the data."), "udesys: nothing finite was found. Check the data.\n"),
        (
            KeyboardInterrupt(),
            "udesys: stopped before there was anything to keep; nothing was written. The same command starts again.\n",
        ),
        (OSError(28, "No space left on device", "x.json"), "udesys: x.json: No space left on device.\n"),
    ],
)  # fmt: skip
def test_a_failure_of_discover_is_one_message_and_leaves_nothing(failure, message, spec, monkeypatch):
    def fit(*_, **__):
        raise failure

    monkeypatch.setattr(runs.going_on, "fit", fit)
    before = sorted(Path().rglob("*"))
    done = run("discover", spec, "--quiet")
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", message)
    assert sorted(Path().rglob("*")) == before


def test_a_defect_keeps_its_traceback(spec, monkeypatch):
    def fit(*_, **__):
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(runs.going_on, "fit", fit)
    assert isinstance(run("discover", spec).exception, ZeroDivisionError)


# --- forecast and report -----------------------------------------------------------------------------


def test_forecast_simulates_on_with_bands_and_says_where_nothing_is_claimed(finished, monkeypatch):
    import io

    import pandas as pd

    monkeypatch.chdir(finished[0])
    done = run("forecast", "runs/lotka_volterra", "--until", 5, "--step", 0.5)
    assert done.exit_code == 0, done.output
    table = pd.read_csv(io.StringIO(done.stdout))
    law = runs.load_run("runs/lotka_volterra")
    assert list(table) == ["t", *(f"{n}{e}" for n in ("prey", "predator") for e in ("", " low", " high")), "inside"]
    assert table["t"].iloc[[0, -1]].tolist() == [law.data.trajectories[0].t[-1], 5.0]
    assert table["prey"].to_numpy() == pytest.approx(law.forecast(table["t"])["prey"].to_numpy(), rel=1e-9)
    assert (table["prey low"] <= table["prey"]).all() and (table["prey"] <= table["prey high"]).all()
    assert not table["inside"].iloc[-1]
    assert "the law leaves what the data visited" in done.stderr
    assert run("forecast", "runs/lotka_volterra", "--until", 5, "-o", "f.csv").exit_code == 0
    again = run("forecast", "runs/lotka_volterra", "--until", 5, "-o", "f.csv")
    assert (again.exit_code, "f.csv is there already" in again.stderr) == (1, True)
    rows = json.loads(run("forecast", "runs/lotka_volterra", "--until", 5, "--step", 0.5, "--json").stdout)
    assert rows[-1]["t"] == 5.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--until", 1], "until = 1 must be after 2.7"),
        (["--until", 5, "--from", -1], "from = -1 is before 0"),
        (["--until", 5, "--step", 0], "step = 0 must be positive"),
        (["--until", 5, "--step", 1e-12], "at most 1000000 rows"),
        (["--until", 5, "--trajectory", "B"], "there is no trajectory 'B'"),
        (["--until", "nan"], "until = nan must be after"),
    ],
)
def test_forecast_refuses_times_that_are_not_usable(options, message, finished):
    done = run("forecast", finished[0] / "runs/lotka_volterra", *options)
    assert (done.exit_code, done.stdout) == (1, "")
    assert message in done.stderr


def test_report_draws_again_and_refuses_where_there_is_no_run(finished, tmp_path):
    import shutil

    folder = finished[0] / "runs/lotka_volterra"
    expected = contents(folder)
    (folder / "report.html").unlink()
    shutil.rmtree(folder / "figures")
    assert run("report", folder).exit_code == 0
    assert {**contents(folder), "run.json": b""} == {**expected, "run.json": b""}
    done = run("report", tmp_path / "nothing")
    assert (done.exit_code, "there is no run in" in done.stderr) == (1, True)


def test_discover_refuses_an_unknown_engine(spec):
    done = run("discover", spec, "--engine", "sparce")
    assert (done.exit_code, Path("runs").exists()) == (1, False)
    assert "there is no engine 'sparce'. Did you mean 'sparse'" in done.stderr


def test_progress_on_a_terminal_is_one_line_that_changes(monkeypatch):
    pytest.importorskip("pty")
    script = """
        from udesys.report.progress import Progress
        with Progress() as progress:
            progress("fit", 1, 10.0)
            progress("select", 2, "NN1 = c0*x[0] " + "y"*200)
    """
    import inspect
    import os
    import pty

    lead, follow = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    code = inspect.cleandoc(script)
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, stderr=follow, env=environment, check=True, timeout=60)
    os.close(follow)
    shown = os.read(lead, 100_000).decode()
    os.close(lead)
    assert "NN1 = c0*x[0]" in shown
    assert "..." in shown
    assert "fit ...\r\n" not in shown


@pytest.mark.slow
@pytest.mark.sample
def test_discover_finds_the_missing_interactions_from_the_command_line(tmp_path):
    command = [sys.executable, "-m", "udesys", "discover", "data/lotka_volterra.toml", "-o", str(tmp_path / "a")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found = runs.load_result(tmp_path / "a")["residuals"]
    assert {term: residual["expression"] for term, residual in found.items()} == {
        "NN1": "c0*prey*predator",
        "NN2": "c0*prey*predator",
    }
    # The constants behind the data; three times the noise of 0.5 % is far above what is lost.
    assert found["NN1"]["constants"]["c0"]["value"] == pytest.approx(-0.9, rel=0.015)
    assert found["NN2"]["constants"]["c0"]["value"] == pytest.approx(0.8, rel=0.015)


# --- check -------------------------------------------------------------------------------------------


def test_check_prints_what_was_understood(spec):
    done = run("check", spec)
    assert (done.exit_code, done.stderr) == (0, "")
    for line in ("NN1(prey, predator): 8 hidden units", "alpha = 1.3, fixed", "Ready. Next:  udesys discover lotka"):
        assert line in done.stdout


# --- systems -----------------------------------------------------------------------------------------


def test_systems_lists_and_writes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "lotka_volterra" in run("systems").stdout
    assert not list(tmp_path.iterdir())
    done = run("systems", "lotka-volterra", "--noise", "5%", "--seed", 2, "-o", "new")
    assert done.exit_code == 0, done.output
    assert "Next:  udesys discover new/lotka_volterra.toml" in done.stdout
    assert run("check", "new/lotka_volterra.toml").exit_code == 0
    again = run("systems", "lotka_volterra", "-o", "new")
    assert (again.exit_code, "lotka_volterra.csv is there already" in again.stderr) == (1, True)
    assert run("systems", "lotka_volterra", "-o", "new", "--force").exit_code == 0


# --- bench -------------------------------------------------------------------------------------------


@pytest.fixture
def comparison(monkeypatch):
    """A comparison in place of those of udesys/bench."""

    def run(seeds: int = 20, json: bool = False) -> None:
        """Count seeds."""
        print(f"{seeds} seeds, json {json}")

    module = types.SimpleNamespace(run=run, TITLE="counts seeds", EXAMPLE="udesys bench seed-count --seeds 3")
    monkeypatch.setattr(importlib.import_module("udesys.cli.bench"), "comparisons", lambda: {"seed-count": module})


def test_bench_lists_the_comparisons(comparison):
    done = run("bench")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0].split(maxsplit=1) == ["seed-count", "counts seeds"]
    assert "counts seeds" in run("bench", "--help").stdout


@pytest.mark.parametrize("name", ["seed-count", "seed_count"])
def test_bench_runs_one_with_its_options(name, comparison):
    assert run("bench", name, "--seeds", 3, "--json").stdout == "3 seeds, json True\n"


def test_bench_refuses_an_unknown_comparison(comparison):
    done = run("bench", "seed-cout")
    assert done.exit_code == 2
    assert "seed-count" in done.stderr


def test_every_comparison_has_a_title_and_a_run():
    for name, module in importlib.import_module("udesys.cli.bench").comparisons().items():
        assert "_" not in name
        assert module.TITLE and callable(module.run)


# --- the whole ---------------------------------------------------------------------------------------


def test_help_lists_the_commands_and_each_has_an_example():
    done = run("--help")
    assert done.exit_code == 0
    assert all(name in done.stdout for name in COMMANDS)
    for name in COMMANDS:
        shown = run(name, "--help").stdout
        assert f"Example: udesys {name}" in " ".join(shown.split())


@pytest.mark.parametrize(
    "arguments",
    [["discver"], ["discover"], ["check", "a", "b"], ["check", "--nope", "a"], ["discover", "a", "--seed", "x"]],
)
def test_a_usage_error_exits_with_2(arguments):
    done = run(*arguments)
    assert done.exit_code == 2
    assert "Traceback" not in done.output


def test_the_version_is_the_one_of_the_project():
    import tomllib

    from udesys import __version__

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert __version__ == project["version"]
    assert run("--version").stdout == f"udesys {__version__}\n"


def test_main_exits_with_the_status_and_one_message(tmp_path):
    command = [sys.executable, "-m", "udesys", "check", str(tmp_path / "no.toml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"udesys: there is no file {tmp_path / 'no.toml'}. A spec is a TOML file.\n"


def test_a_reader_of_a_pipe_may_leave_early():
    code = "import sys; sys.stdin.close()"
    command = f"{sys.executable} -m udesys systems | {sys.executable} -c '{code}'"
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr


def test_what_a_command_understood_or_wrote_is_had_as_json(spec):
    understood = json.loads(run("check", spec, "--json").stdout)
    assert (understood["states"], understood["terms"]) == (["prey", "predator"], ["NN1", "NN2"])
    assert understood["trajectories"] == {"0": 31}
    assert understood["spec"]["search"]["engines"] == ["sparse"]
    assert "lotka_volterra" in json.loads(run("systems", "--json").stdout)
    written = json.loads(run("systems", "lotka_volterra", "-o", "new", "--json").stdout)
    assert Path(written["spec"]).is_file() and Path(written["table"]).is_file()
