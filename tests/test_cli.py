"""The command line: what each command prints, writes and exits with."""

import importlib
import json
import subprocess
import sys
import types
from pathlib import Path

import pytest
from test_runs import make_law
from typer.testing import CliRunner

from udesys import cli, runs
from udesys.errors import FitError
from udesys.systems import get_system, write_system

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = ["bench", "check", "discover", "systems"]


def run(*arguments):
    return CliRunner().invoke(cli.application(), [str(a) for a in arguments])


@pytest.fixture
def spec(tmp_path, monkeypatch):
    """The path of a spec in the current folder, which is otherwise empty."""
    monkeypatch.chdir(tmp_path)
    return write_system(get_system("lotka_volterra"), ".")[1]


@pytest.fixture
def calls(monkeypatch):
    """`discover` replaced by one that answers at once; what it was called with."""
    found = []

    def discover(model, data, *, progress, **options):
        found.append({"model": model, "data": data, **options})
        for event in [("fit", 1, 10.0), ("fit", 2, 9.5), ("select", 1, "NN1 = c0*x[0]")]:
            progress(*event)
        return make_law()

    monkeypatch.setattr(importlib.import_module("udesys.discover"), "discover", discover)
    return found


# --- discover ----------------------------------------------------------------------------------------


def test_discover_prints_the_law_and_saves_the_run(spec, calls):
    done = run("discover", spec)
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{make_law()}\n"
    assert done.stderr.splitlines() == ["fit ...", "select ...", "Saved in runs/lotka_volterra"]
    folder = Path("runs/lotka_volterra")
    names = {path.name for path in folder.iterdir()}
    assert {"spec.toml", "result.json", "equations.py", "log.jsonl", "figures"} <= names
    assert list((folder / "figures").glob("*.png"))
    events = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert events[2] == {"stage": "select", "step": 1, "value": "NN1 = c0*x[0]"}


def test_discover_passes_on_what_was_asked(spec, calls):
    text = spec.read_text().replace('time = "t"', 'time = "t"\nnoise = { prey = "5%" }\nholdout = { last = "10%" }')
    spec.write_text(text)
    assert run("discover", spec, "--seed", 7, "--engine", "sparse", "-o", "a").exit_code == 0
    (call,) = calls
    assert (call["seed"], call["options"].engines) == (7, ("sparse",))
    assert list(call["noise"]) == ["prey"]
    assert (call["data"].n_samples, call["heldout"].n_samples) == (28, 3)
    assert 'engines = [\n    "sparse",\n]' in Path("a/spec.toml").read_text()


def test_discover_prints_json_and_nothing_else_on_request(spec, calls):
    done = run("discover", spec, "--json", "--quiet", "-o", "a")
    assert done.stdout == Path("a/result.json").read_text()
    assert json.loads(done.stdout)["schema"] == 1
    assert done.stderr == ""


def test_discover_adds_the_warnings_of_the_spec(spec, calls):
    spec.write_text(spec.read_text() + '\n[search]\nlibrary = { terms = ["prey*wolf"] }\n')
    assert run("discover", spec).exit_code == 0
    (warning,) = runs.load_result("runs/lotka_volterra")["warnings"]
    assert "'prey*wolf' fits no network" in warning


def test_discover_refuses_a_run_that_is_there_before_it_works(spec, calls):
    assert run("discover", spec).exit_code == 0
    done = run("discover", spec)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("udesys: runs/lotka_volterra already holds a run.")
    assert len(calls) == 1
    assert run("discover", spec, "--overwrite").exit_code == 0
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (FitError("nothing finite was found. Check the data."), "udesys: nothing finite was found. Check the data.\n"),
        (
            KeyboardInterrupt(),
            "udesys: stopped before there was a law; nothing was written. The same command starts again.\n",
        ),
        (OSError(28, "No space left on device", "x.json"), "udesys: x.json: No space left on device.\n"),
    ],
)  # fmt: skip
def test_a_failure_of_discover_is_one_message_and_leaves_nothing(failure, message, spec, monkeypatch):
    def discover(*_, **__):
        raise failure

    monkeypatch.setattr(importlib.import_module("udesys.discover"), "discover", discover)
    before = sorted(Path().rglob("*"))
    done = run("discover", spec)
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", message)
    assert sorted(Path().rglob("*")) == before


def test_a_defect_keeps_its_traceback(spec, monkeypatch):
    def discover(*_, **__):
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(importlib.import_module("udesys.discover"), "discover", discover)
    assert isinstance(run("discover", spec).exception, ZeroDivisionError)


def test_discover_refuses_an_unknown_engine(spec, calls):
    done = run("discover", spec, "--engine", "sparce")
    assert (done.exit_code, calls) == (1, [])
    assert "there is no engine 'sparce'. Did you mean 'sparse'" in done.stderr


def test_progress_on_a_terminal_is_one_line_that_changes(monkeypatch):
    pytest.importorskip("pty")
    script = """
        from udesys.cli._progress import Progress
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

    module = types.SimpleNamespace(run=run, TITLE="counts seeds")
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
