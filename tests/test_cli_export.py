"""`udesys export`: the formats it writes, where to, and what it refuses."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import sympy
from test_cli import run
from test_runs import make_law

from udesys import runs
from udesys.assess.export import FORMATS, export_text
from udesys.cli import export
from udesys.errors import UdesysError


@pytest.fixture
def loaded(monkeypatch, tmp_path):
    """The run of a small law in the current folder."""
    monkeypatch.chdir(tmp_path)
    return runs.save(make_law(), "runs/a")


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_printed_and_nothing_else(name, loaded):
    if name == "sbml":
        pytest.importorskip("libsbml", reason="SBML is written by python-libsbml (the extra `sbml`)")
    done = run("export", "runs/a", "--to", name)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == export_text(make_law(), name)


def test_a_file_is_written_and_replaced_only_on_request(loaded):
    done = run("export", "runs/a", "--to", "latex", "-o", "new/law.tex")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "Wrote new/law.tex\n")
    assert Path("new/law.tex").read_text() == export_text(make_law(), "latex")
    Path("new/law.tex").write_text("mine")
    again = run("export", "runs/a", "--to", "latex", "-o", "new/law.tex")
    assert (again.exit_code, Path("new/law.tex").read_text()) == (1, "mine")
    assert "new/law.tex is there already. Name another file, or replace it with --force." in again.stderr
    assert run("export", "runs/a", "--to", "latex", "-o", "new/law.tex", "--force").exit_code == 0


def test_the_help_names_every_format(loaded):
    shown = run("export", "--help").stdout
    assert all(name in export.FORMATS and name in shown for name in FORMATS)
    done = run("export", "runs/a", "--to", "matlab")
    assert done.exit_code == 2 and "sympy" in done.stderr
    with pytest.raises(UdesysError, match=r"there is no format 'latexx'. Did you mean 'latex'"):
        export_text(make_law(), "latexx")


def test_one_trajectory_may_be_chosen(loaded):
    text = run("export", "runs/a", "--to", "python", "--trajectory", "B").stdout
    assert '"B": {"x": 0.5, "y": 4.0}' in text and '"A":' not in text
    done = run("export", "runs/a", "--to", "latex", "--trajectory", "b")
    assert done.exit_code == 1 and "no trajectory 'b'. Did you mean 'B'?" in done.stderr


def test_the_sympy_module_holds_the_equations_with_every_digit(loaded, tmp_path):
    law = importlib.import_module("test_driven_laws").logistic_law()
    for made, observed in ((make_law(), {}), (law, law.closed_form.observed_in_place())):
        path = tmp_path / "law.py"
        path.write_text(export_text(made, "sympy"))
        space = {}
        exec(path.read_text(), space)
        assert space["equations"] == made.equations
        assert list(space.get("observables", {})) == list(observed)
    assert "# signal = 2.5*x + 0." in path.read_text()
    code = "from law import equations; print(equations['x'].free_symbols)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout == f"{ {sympy.Symbol('x', real=True)} }\n"
