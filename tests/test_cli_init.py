"""`udesys init`: what it prints and writes, what it never overwrites, and that what it writes is found a law for."""

import os
import shlex
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from udesys import cli, runs

LOTKA_VOLTERRA = (1.3, 0.9, 0.8, 1.8)


def run(*arguments):
    return CliRunner().invoke(cli.application(), [str(a) for a in arguments])


def add_column(table, name, cells):
    lines = table.read_text().splitlines()
    table.write_text("\n".join(f"{line},{cell}" for line, cell in zip(lines, [name, *cells], strict=True)))


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A table in the current folder, which is otherwise empty."""
    monkeypatch.chdir(tmp_path)
    rows = [f"{k / 4},{2 + np.cos(k / 2):.4f},{2 + np.sin(k / 3):.4f}" for k in range(40)]
    Path("hares.csv").write_text("\n".join(["Time (a),Hare (k),lynx", *rows]) + "\n")
    return Path("hares.csv")


def test_it_writes_a_spec_beside_the_table_and_names_the_next_command(table):
    done = run("init", table)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "Table  hares.csv   40 rows, 3 columns",
        "  Time (a)   time         its name, and it increases",
        "  Hare (k)   state hare   changes in time",
        "  lynx       state        changes in time",
        "Equations",
        "  hare' = NN1(hare, lynx)",
        "  lynx' = NN2(hare, lynx)",
        "If a state rather drives the others and follows no law of its own, say so:  "
        "udesys init hares.csv --input lynx --force",
        "Wrote hares.toml. Put in what you know, or go on as it is:  udesys discover hares.toml",
    ]
    assert 'columns = { hare = "Hare (k)" }' in Path("hares.toml").read_text()
    assert run("check", "hares.toml").exit_code == 0


def test_a_spec_in_another_folder_finds_the_table(table, tmp_path, monkeypatch):
    assert run("init", table, "-o", "specs/new/h.toml").exit_code == 0
    assert 'file = "../../hares.csv"' in Path("specs/new/h.toml").read_text()
    monkeypatch.chdir("/")
    assert run("check", tmp_path / "specs/new/h.toml").exit_code == 0


def test_odd_names_are_quoted_for_the_shell_and_printed_without_control_characters(table):
    odd = table.rename("a 'b'\n\x1b[31m.csv")
    done = run("init", odd, "-o", "a 'b'.toml")
    assert done.exit_code == 0, done.output
    assert "\x1b" not in done.stdout and len(done.stdout.splitlines()) == 9
    assert done.stdout.endswith("""udesys discover 'a '"'"'b'"'"'.toml'\n""")
    assert run("check", "a 'b'.toml").stdout.endswith("""udesys discover 'a '"'"'b'"'"'.toml'\n""")
    assert "\x1b" not in run("check", "no\x1b[31m.toml").stderr


def test_a_spec_that_is_there_is_kept_without_force(table):
    Path("hares.toml").write_text("mine")
    done = run("init", table)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        "udesys: hares.toml is there already. Name another file with -o, or replace it with --force.\n"
    )
    assert Path("hares.toml").read_text() == "mine"
    assert run("init", table, "--force").exit_code == 0
    assert "[data]" in Path("hares.toml").read_text()
    assert sorted(os.listdir()) == ["hares.csv", "hares.toml"]


def test_a_table_that_is_refused_leaves_the_old_spec(table):
    Path("hares.toml").write_text("mine")
    table.write_text("x\n1\n")
    done = run("init", table, "--force")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("udesys: hares.csv has one column, 'x', but a table of measurements has a time")
    assert Path("hares.toml").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["hares.csv", "-o", "hares.csv", "--force"],
            "hares.csv cannot be the spec, which is a TOML file. Name it har",
        ),
        (["hares.csv", "-o", "."], ". is a folder. Name a file in it, such as spec.toml."),
        (["hare.csv"], "there is no file hare.csv. Similar files there: hares.csv."),
        (["."], ". is a folder"),
        (["hares.csv", "-o", "/dev/null/a.toml"], "/dev/null: "),
    ],
)
def test_what_cannot_be_read_or_written_is_refused(table, arguments, message):
    before = table.read_text()
    done = run("init", *arguments)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"udesys: {message}") and done.stderr.count("\n") == 1
    assert table.read_text() == before and sorted(os.listdir()) == ["hares.csv"]


def test_the_command_that_it_offers_for_an_input_can_be_pasted(table):
    offered = run("init", table, "-o", "a b.toml").stdout.splitlines()[-2].split("say so:  udesys ")[1]
    assert offered == "init hares.csv -o 'a b.toml' --input lynx --force"
    done = run(*shlex.split(offered))
    assert done.exit_code == 0, done.output
    assert "  hare'' = NN1(hare, hare', lynx)\nWrote" in done.stdout
    assert 'inputs = { lynx = "lynx" }' in Path("a b.toml").read_text()
    assert run("check", "a b.toml").exit_code == 0


@pytest.mark.parametrize(
    ("options", "equations"),
    [
        (["--leave-out", "lynx", "--state", "Hare (k)"], ["hare'' = NN1(hare, hare')"]),
        (["--state", "lynx", "--input", "Hare (k)"], ["lynx'' = NN1(lynx, lynx', hare)"]),
    ],
)
def test_what_the_user_says_goes_before_any_guess(table, options, equations):
    done = run("init", table, *options)
    assert done.exit_code == 0, done.output
    assert done.stdout.split("Equations\n")[1].splitlines()[: len(equations)] == [f"  {e}" for e in equations]
    assert "you say so" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--input", "lynxx"], "hares.csv has no column 'lynxx'. Did you mean 'lynx'?"),
        (["--input", "lynx", "--state", "lynx"], "lynx cannot be both: state and input. Name it once."),
        (["--input", "lynx", "--input", "Hare (k)"], "hares.csv has no column that could be a state beside the time"),
        (["--time", "lynx"], "lynx restarts in row "),
        (["--trajectory", "run", "--time", "lynx"], "lynx does not increase within each 'run' of hares.csv. Sort the"),
    ],
)
def test_what_a_column_cannot_be_is_refused(table, options, message):
    if "run" in options:
        add_column(table, "run", [k // 20 for k in range(40)])
    done = run("init", table, *options)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"udesys: {message}") and not Path("hares.toml").exists()


def test_text_cannot_be_a_state(table):
    add_column(table, "note", [f"a{k}" for k in range(40)])
    assert run("init", table, "--state", "note").stderr == (
        "udesys: 'note' of hares.csv cannot be a state: its cells hold text.\n"
    )


def test_a_failure_while_writing_leaves_the_old_spec(table, monkeypatch):
    Path("hares.toml").write_text("mine")

    def full(*_, **__):
        raise OSError(28, "No space left on device", "hares.toml")

    monkeypatch.setattr(os, "replace", full)
    done = run("init", table, "--force")
    assert (done.exit_code, done.stderr) == (1, "udesys: hares.toml: No space left on device.\n")
    assert Path("hares.toml").read_text() == "mine"
    assert sorted(os.listdir()) == ["hares.csv", "hares.toml"]


@pytest.mark.slow
@pytest.mark.sample
def test_a_law_is_found_for_a_table_without_an_edit(tmp_path, monkeypatch):
    from scipy.integrate import solve_ivp

    monkeypatch.chdir(tmp_path)
    a, b, c, d = LOTKA_VOLTERRA
    t = np.arange(0, 3.05, 0.1)
    x0 = [0.44249296, 4.6280594]
    exact = solve_ivp(
        lambda _, x: [a * x[0] - b * x[0] * x[1], c * x[0] * x[1] - d * x[1]], (0, 3), x0, t_eval=t, rtol=1e-9
    )
    rows = [f"{s:.1f};{x:.6g};{y:.6g}" for s, x, y in zip(t, *exact.y, strict=True)]
    Path("two.csv").write_text("\n".join(["t; Prey (1000); lambda", *rows]))
    assert run("init", "two.csv").exit_code == 0
    done = run("discover", "two.toml", "-o", "law", "--quiet")
    assert done.exit_code == 0, done.output
    assert {"prey", "x_lambda"} == set(runs.load_result("law")["equations"])
