"""Whatever is wrong with a spec or its data: exit status 1, one message that names it, nothing written."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from udesys import cli

TABLE = "time,x,y\n" + "".join(f"{k},{1 + k % 3},{2 + k % 2}\n" for k in range(12))
SPEC = """\
[data]
file = "a.csv"
time = "time"

[model]
equations = \"\"\"
x' = a*x + NN1(x, y)
y' = NN2(x, y) - d*y
\"\"\"
"""


def spec(old="", new="", end=""):
    assert old in SPEC
    return SPEC.replace(old, new, 1) + end


def equation(right):
    return spec("a*x + NN1(x, y)", right)


def table(row, new):
    rows = TABLE.splitlines()
    rows[row] = new
    return "\n".join(rows) + "\n"


# what is wrong: (spec, table, what the message must name); None is a file that is not there.
CASES = {
    "the spec is missing": (None, TABLE, ["there is no file", "s.toml"]),
    "the data file is missing": (SPEC, None, ["there is no file", "a.csv"]),
    "the data file is empty": (SPEC, "", ["a.csv is empty"]),
    "the data file has a header only": (SPEC, "time,x,y\n", ["a.csv", "no rows"]),
    "the data file is of no kind that is read": (spec('"a.csv"', '"a.xlsx"'), TABLE, ["a.xlsx"]),
    "the data file is the folder": (spec('"a.csv"', '"."'), TABLE, ["is a folder"]),
    "the data are binary": (SPEC, b"\xff\xd8\x00", ["a.csv is not UTF-8"]),
    "a cell holds text": (SPEC, table(3, "2,high,1"), ["'high' is not a number", "row 4", "column 'x'"]),
    "a decimal comma": (SPEC, table(3, '2,"1,5",1'), ["'1,5' is not a number", "Write decimals with a point"]),
    "times repeat": (SPEC, table(3, "1,1,1"), ["time must increase", "row 4"]),
    "times decrease": (SPEC, table(3, "0.5,1,1"), ["time[2] = 0.5 follows time[1] = 1", "row 4"]),
    "a time is missing": (SPEC, table(3, ",1,1"), ["the time is missing", "row 4"]),
    "a value is infinite": (SPEC, table(3, "2,inf,1"), ["infinite", "row 4", "column 'x'"]),
    "a row is short": (SPEC, table(3, "2,1"), ["2 cells", "row 4"]),
    "the time column is not there": (spec('time = "time"', 'time = "Time"'), TABLE, ["'Time'", "Did you mean 'time'"]),
    "a mapped column is not there": (
        spec('"time"\n', '"time"\ncolumns = { x = "Xs" }\n'), TABLE, ["a.csv has no column 'Xs'"],
    ),
    "a column is mapped to no state": (
        spec('"time"\n', '"time"\ncolumns = { z = "x" }\n'), TABLE, ["'z'", "no state", "States are x, y"],
    ),
    "a network has an argument without an equation": (
        equation("NN1(x, z)"), TABLE, ["NN1 depends on 'z'", "no equation"],
    ),
    "no state is measured": (SPEC, TABLE.replace("x,y", "p,q"), ["no state is measured", "time, p, q"]),
    "all columns are empty": (SPEC, "time,x,y\n0,,\n1,,\n", ["no state is measured", "x, y of a.csv"]),
    "too few samples": (SPEC, "time,x,y\n0,1,2\n1,2,3\n", ["2 samples", "too few"]),
    "no equations": (SPEC.split("[model]")[0], TABLE, ["[model] lacks 'equations'"]),
    "an unknown section": (spec(end="[serach]\n"), TABLE, ["'serach'", "Did you mean 'search'"]),
    "an unknown key in data": (spec("file", "flie"), TABLE, ["'flie'", "[data]", "Did you mean 'file'"]),
    "an unknown key in model": (spec("equations", "equation"), TABLE, ["'equation'", "[model]", "Did you mean"]),
    "an unknown key in a parameter": (
        spec(end="[parameters]\na = { strat = 1 }\n"), TABLE, ["'strat'", "[parameters.a]", "Did you mean 'start'"],
    ),
    "an unknown parameter": (spec(end="[parameters]\nb = 1\n"), TABLE, ["parameter 'b' does not occur"]),
    "an unknown state in initial": (spec(end="[initial]\nX = 1\n"), TABLE, ["initial", "'X'", "Did you mean 'x'"]),
    "an unknown network": (spec(end="[networks.NN3]\nhidden = 8\n"), TABLE, ["network 'NN3' does not occur"]),
    "an unknown key in a network": (
        spec(end="[networks.NN1]\nhiden = 8\n"), TABLE, ["'hiden'", "[networks.NN1]", "Did you mean 'hidden'"],
    ),
    "an unknown key in fit": (spec(end="[fit]\nepochs = 9\n"), TABLE, ["'epochs'", "[fit]"]),
    "an unknown key in search": (
        spec(end="[search]\nmax_term = 9\n"), TABLE, ["'max_term'", "[search]", "Did you mean 'max_terms'"],
    ),
    "what is known of no missing term": (
        spec(end="[search.terms.NN9]\nsign = 'positive'\n"), TABLE, ["'NN9'", "Known are NN1, NN2"],
    ),
    "an unknown unit": (spec(end="[search]\nunits = { x = 'kgg' }\n"), TABLE, ["'kgg' of 'x'", "Did you mean 'kg'"]),
    "an unknown function": (equation("sine(x) + NN1(x, y)"), TABLE, ["'sine'", "Did you mean 'sin'", "column 6"]),
    "a velocity that is no state": (equation("a*y' + NN1(x, y)"), TABLE, ["y' is no state"]),
    "a bracket is not closed": (equation("a*(x + NN1(x, y)"), TABLE, ["'(' is never closed", "column 8"]),
    "a bracket closes nothing": (equation("a*x) + NN1(x, y)"), TABLE, ["')' closes nothing", "column 9"]),
    "code in an equation": (
        equation("__import__('os').system('touch pwned') + NN1(x, y)"), TABLE, ["equation 1, column 17"],
    ),
    "an attribute in an equation": (equation("x.real + NN1(x, y)"), TABLE, ["equation 1, column 7", "Attributes"]),
    "a text in an equation": (equation("'x' + NN1(x, y)"), TABLE, ["equation 1, column 6", "Text in quotes"]),
    "a start outside its bounds": (
        spec(end="[parameters]\na = { start = 9, bounds = [0, 5] }\n"), TABLE, ["parameters.a", "start = 9", "[0, 5]"],
    ),
    "bounds that are no interval": (
        spec(end="[parameters]\na = { bounds = [5, 0] }\n"), TABLE, ["parameters.a", "no interval"],
    ),
    "a network with two numbers of arguments": (
        equation("NN1(x, y) + NN1(x)"), TABLE, ["NN1 is called with 1 arguments, before with 2"],
    ),
    "invalid TOML": ("[data]\nfile = a.csv\n", TABLE, ["s.toml is not valid TOML", "line 2, column 8"]),
    "a spec that is no text": (b"\xff\xfe\x00", TABLE, ["s.toml is not UTF-8"]),
    "equations that are no text": (
        SPEC.split("[model]")[0] + "[model]\nequations = 3\n", TABLE, ["equations", "but is 3"],
    ),
    "a section that is no table": ("data = 3\n" + SPEC.split("\n\n")[1], TABLE, ["[data] must be a table, but is 3"]),
    "noise that is no number": (
        spec('"time"\n', '"time"\nnoise = { x = "much" }\n'), TABLE, ["noise of 'x'", "'much'"],
    ),
    "a holdout that leaves nothing": (
        spec('"time"\n', '"time"\nholdout = { last = "95%" }\n'), TABLE, ["leaves nothing to fit"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("command", ["check", "discover"])
@pytest.mark.parametrize("case", CASES)
def test_it_is_refused(case, command, tmp_path, monkeypatch):
    spec, table, named = CASES[case]
    monkeypatch.chdir(tmp_path)
    for name, content in (("s.toml", spec), ("a.csv", table)):
        if content is not None:
            Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    before = sorted(tmp_path.rglob("*"))
    done = CliRunner().invoke(cli.application(), [command, "s.toml"])
    assert done.exit_code == 1, done.output
    assert done.stdout == ""
    assert done.stderr.startswith("udesys: ") and done.stderr.count("udesys: ") == 1
    assert "Traceback" not in done.stderr
    for words in named:
        assert words in done.stderr
    assert sorted(tmp_path.rglob("*")) == before
