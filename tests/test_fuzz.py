"""Whatever is read, the end is a result or one UdesysError: one message that can be printed, soon, and nothing is run.

The normal run tries some hundred inputs of each kind; with --slow it is 5,000, and 100,000 for the parser of equations.
`python -m pytest tests/test_fuzz.py --slow -s` prints the counts.
"""

import json
import os
import random
import subprocess
import sys
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fuzzing import EQUATIONS, SPEC, TABLE, equations, garbage, mutate, specs, tables
from hypothesis import HealthCheck, given, settings
from typer.testing import CliRunner

import udesys as ud
from udesys import cli
from udesys.errors import UdesysError
from udesys.model.grammar import parse_expression
from udesys.spec import load_spec
from udesys.spec.starter import starter_spec

ROOT = Path(__file__).resolve().parent.parent
MOST_SECONDS = 10  # of the processor
MOST_MEMORY = 1024  # MiB
LONGEST_MESSAGE = 2500  # characters: a screen, with the places that a command and a spec put before it
STUDY = pytest.mark.parametrize("examples", [150, pytest.param(5000, marks=pytest.mark.slow)])


@dataclass
class Tally:
    """How the inputs of a study ended, and which took longest."""

    ends: Counter = field(default_factory=Counter)
    longest: float = 0.0

    def run(self, name, call):
        """Count how a call ends; anything but a result or one good message fails."""
        began = time.process_time()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # NumPy's, which a user would see between the lines
                call()
            end = "result"
        except UdesysError as error:
            check_message(str(error))
            end = "refused"
        self.end(name, end, time.process_time() - began)

    def end(self, name, end, seconds):
        assert seconds < MOST_SECONDS, f"{name} took {seconds:.1f} s"
        self.ends[f"{name}: {end}"] += 1
        self.longest = max(self.longest, seconds)

    def check(self, *names, share=0.02):
        """Print what was counted; a study in which nearly everything ends alike shows nothing."""
        print(f"\n  {dict(sorted(self.ends.items()))}, longest {self.longest:.2f} s")
        for name in names:
            ends = [self.ends[f"{name}: {end}"] for end in ("result", "refused")]
            assert min(ends) >= share * sum(ends), f"{name}: {ends[0]} results, {ends[1]} refusals"


def check_message(message):
    assert message.strip()
    assert len(message) <= LONGEST_MESSAGE, len(message)
    assert all(character.isprintable() or character == "\n" for character in message), ascii(message)
    message.encode()


def study(inputs, examples, check):
    """Run a check on many inputs, the same ones each time."""
    options = {"deadline": None, "derandomize": True, "database": None, "suppress_health_check": list(HealthCheck)}

    @settings(max_examples=examples, **options)
    @given(inputs)
    def run(case):
        check(case)

    run()


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, where a file `pwned` would appear if anything were evaluated."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not list(tmp_path.rglob("pwned"))


# --- equations ---------------------------------------------------------------------------------------


@STUDY
def test_any_equations(examples, here):
    tally = Tally()

    def check(text):
        tally.run("model", lambda: str(ud.HybridODE(text)))
        tally.run("expression", lambda: parse_expression(text.partition("=")[2]))

    study(equations(), examples, check)
    tally.check("model")


@pytest.mark.parametrize("examples", [3000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_mutations_of_good_equations(examples, here):
    tally, draw = Tally(), random.Random(0)
    for _ in range(examples):
        text = mutate(draw, draw.choice(EQUATIONS)) if draw.random() < 0.7 else garbage(draw)
        tally.run("model", lambda text=text: str(ud.HybridODE(text)))
        tally.run("expression", lambda text=text: parse_expression(text.rpartition("=")[2]))
    tally.check("model", "expression")


DEEP = [
    "(" * 10_000 + "x" + ")" * 10_000,
    "(" * 4000 + "x" + ")" * 4000,
    "sin(" * 2000 + "x" + ")" * 2000,
    "NN1(" * 2000 + "x" + ")" * 2000,
    "x" + "**x" * 3000,
    "x" + "/x" * 4000,
    "-" * 9000 + "x",
    "+" * 9000 + "x",
    "[" * 9000,
    "9**9**9**9**9",
    "2**1024",
    "1e308*1e308 + x",
    "exp(710)*x",
    "x**9**9**9",
    "NN1(x)[" + "9" * 5000 + "]",
    "NN1(x)[" + "0" * 5000 + "]",
    "1" + "0" * 5000,
    "." * 9000,
    "x'" * 4000,
]


@pytest.mark.parametrize("right", DEEP, ids=lambda right: f"{right[:12]}...{len(right)}")
def test_deep_and_huge_equations(right, here):
    tally = Tally()
    tally.run("model", lambda: str(ud.HybridODE(f"x' = {right}")))
    tally.run("expression", lambda: parse_expression(right))


# --- tables ------------------------------------------------------------------------------------------


@STUDY
def test_any_table(examples, here):
    tally = Tally()

    def check(case):
        data, first = case
        path = here / f"a.{('csv', 'csv', 'csv', 'csv', 'tsv', 'txt', 'parquet')[len(data) % 7]}"
        path.write_bytes(data)
        tally.run("read_table", lambda: str(ud.read_table(path, time=first)))
        tally.run("init", lambda: str(starter_spec(path)))
        path.unlink()

    study(tables(), examples, check)
    tally.check("read_table", "init")


@pytest.mark.parametrize("examples", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_any_table_from_the_command_line(examples, here):
    tally = Tally()

    def check(case):
        (here / "a.csv").write_bytes(case[0])
        (here / "a.toml").unlink(missing_ok=True)
        made = run_command(tally, "init", "a.csv")
        assert made == (here / "a.toml").exists()
        if made:  # a spec that is written passes
            assert run_command(tally, "check", "a.toml")

    study(tables(), examples, check)
    tally.check("init")


def run_command(tally, *arguments):
    """Whether a command ends well; it prints one message where it does not, and no traceback."""
    began = time.process_time()
    done = CliRunner().invoke(cli.application(), list(arguments))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code in (0, 1), done.output
    if done.exit_code:
        assert done.stdout == "" and done.stderr.startswith("udesys: ")
        check_message(done.stderr)
    tally.end(arguments[0], "refused" if done.exit_code else "result", time.process_time() - began)
    return done.exit_code == 0


# --- specs -------------------------------------------------------------------------------------------


@pytest.fixture
def spec_folder(here):
    (here / "a.csv").write_text(TABLE)
    (here / "bad.csv").write_text("t,x\n0,a\n")
    (here / "empty.csv").write_text("")
    (here / "folder.csv").mkdir()
    load_spec(SPEC)
    return here


@STUDY
def test_any_spec(examples, spec_folder):
    tally = Tally()

    def check(spec):
        tally.run("dict", lambda: [read := load_spec(spec), str(read), read.to_toml(), json.dumps(read.to_dict())])
        text = as_toml(spec)
        if text is not None:
            (spec_folder / "s.toml").write_bytes(text)
            tally.run("file", lambda: load_spec("s.toml"))

    study(specs(), examples, check)
    tally.check("dict", "file")


@pytest.mark.parametrize("examples", [150, pytest.param(5000, marks=pytest.mark.slow)])
def test_damaged_spec_files_from_the_command_line(examples, spec_folder):
    import tomli_w

    tally, draw, good = Tally(), random.Random(1), tomli_w.dumps(SPEC, multiline_strings=True)
    for _ in range(examples):
        data = mutate(draw, good, edits=draw.choice([1, 1, 1, 3])).encode("utf-8", "surrogatepass")
        if draw.random() < 0.1:
            data = data.decode("utf-8", "replace").encode(draw.choice(["utf-16", "utf-8-sig", "latin-1"]), "replace")
        (spec_folder / "s.toml").write_bytes(data)
        run_command(tally, "check", "s.toml")
    tally.check("check", share=0.01)


def as_toml(spec):
    """The spec as bytes of a file, with numbers of any length; None where TOML has no word for a value in it."""
    import tomli_w

    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        return tomli_w.dumps(spec).encode("utf-8", "surrogatepass")
    except (TypeError, ValueError, AttributeError, RecursionError):
        return None
    finally:
        sys.set_int_max_str_digits(limit)


# --- the nastiest, each in a process of its own ------------------------------------------------------

GOOD_SPEC = '[data]\nfile = "a.csv"\ntime = "t"\n[model]\nequations = """\nx\' = NN1(x)\n"""\n'
GOOD_TABLE = "t,x\n" + "".join(f"{k},{k % 3}\n" for k in range(20))


def wide(names):
    names = ["t", *names]
    return "\n".join(
        [",".join(names), *(",".join(str(k * j % 7 if j else k) for j in range(len(names))) for k in range(8))]
    )


def with_equation(right):
    return GOOD_SPEC.replace("NN1(x)", right)


NASTY_TABLES = {
    "100,000 columns": lambda: wide(f"c{j}" for j in range(99_999)),
    "100,000 columns of nearly one name": lambda: wide("xx" + "a" * 60 + str(j) for j in range(99_999)),
    "a field of 50 MB": lambda: GOOD_TABLE + '21,"' + "a" * 50_000_000 + '"\n',
    "a number of 30 MB": lambda: GOOD_TABLE + "21," + "9" * 30_000_000,
    "a name of 100,000 characters": lambda: "t," + "x" * 100_000 + GOOD_TABLE[3:],
    "quotation marks": lambda: "t,x\n" + '"' * 20_000_000,
    "line ends": lambda: "\n" * 30_000_000,
    "line ends at the end": lambda: GOOD_TABLE + "\n" * 4_000_000,
    "commas": lambda: "," * 30_000_000,
    "commas and semicolons": lambda: "t,;" * 1_500_000,
    "blanks": lambda: " " * 3_000_000 + "\n" + GOOD_TABLE,
    "a row of millions of cells": lambda: GOOD_TABLE + "1," * 4_000_000,
    "more cells than are read": lambda: "t,x\n" + "1,1\n" * 2_600_000,
    "more bytes than are read": lambda: "t,x\n" + " " * 100_000_000,
    "500,000 rows": lambda: "t,x\n" + "".join(f"{k},{k % 3}\n" for k in range(500_000)),
    "500,000 rows with gaps": lambda: "t,x\n" + "".join(f"{k},{k % 3 or ''}\n" for k in range(500_000)),
    "50,000 runs": lambda: "run,t,x\n" + "".join(f"r{k // 4},{k % 4},{k % 3}\n" for k in range(200_000)),
    "labels of 100,000 digits": lambda: (
        "run,t,x\n" + "".join(f"{'9' * 100_000}{k // 10},{k},{k % 3}\n" for k in range(60))
    ),
    "columns of labels": lambda: (
        f"t,{','.join(f'r{j}' for j in range(2000))}\n"
        + "".join(f"{k % 5},{','.join('ab'[k * j % 2] for j in range(2000))}\n" for k in range(200))
    ),
    "thousands of thousands": lambda: "t;x\n" + "".join(f"{k};1{',000' * 30_000}x\n" for k in range(20)),
    "digits before a unit": lambda: "t;x\n" + "".join(f"{k};{'1' * 60_000} m m\n" for k in range(20)),
    "digits and dashes": lambda: "t;x\n" + "".join(f"{k};{'1-' * 30_000}\n" for k in range(20)),
}
NASTY_SPECS = {
    "brackets 10,000 deep": lambda: with_equation("(" * 10_000 + "x" + ")" * 10_000),
    "signs 9,000 deep": lambda: with_equation("-" * 9000 + "x"),
    "powers of powers": lambda: with_equation("x" + "**x" * 3000),
    "thousands of parameters": lambda: with_equation(" + ".join(f"p{k}" for k in range(1500))),
    "900 arguments": lambda: with_equation(f"NN1({', '.join(f'x**{k}' for k in range(1, 900))})"),
    "5,000 states": lambda: with_equation("NN1(x)\n" + "\n".join(f"x{k}' = x" for k in range(5000))),
    "lists without end": lambda: "a = " + "[" * 60_000,
    "tables without end": lambda: "a = " + "{a=" * 20_000,
    "a dotted key without end": lambda: f"[{'.'.join('a' * 32_000)}]",
    "sections without end": lambda: "".join(f"[k{k}]\n" for k in range(6000)),
    "a list of 30,000": lambda: f"a = [{'1,' * 30_000}]",
    "a decimal number of 60,000 digits": lambda: "a = " + "9" * 60_000,
    "a hexadecimal number of 60,000 digits": lambda: "a = 0x" + "f" * 60_000,
    "a fraction of 60,000 digits": lambda: GOOD_SPEC + f"[parameters]\na = 1{'0' * 60_000}.0\n",
    "a text of 60,000 characters": lambda: GOOD_SPEC + f'[initial]\nx = "{"y" * 60_000}"\n',
    "more bytes than are read": lambda: "#" * 50_000_000,
    "units without end": lambda: GOOD_SPEC + f'[search.units]\nx = "m{"*m" * 20_000}"\n',
    "a unit to a power to a power": lambda: GOOD_SPEC + '[search.units]\nx = "m**9**9**9**9"\n',
    "a unit in brackets": lambda: GOOD_SPEC + f'[search.units]\nx = "{"(" * 20_000}m{")" * 20_000}"\n',
    "a unit that is code": lambda: GOOD_SPEC + "[search.units]\nx = \"__import__('os').system('touch pwned')\"\n",
    "templates without end": lambda: (
        GOOD_SPEC + f"[search.library]\ntemplates = {json.dumps([f'x/(K{k} + x)' for k in range(3000)])}\n"
    ),
    "a library of a billion": lambda: GOOD_SPEC + "[search.library]\ndegree = 1000000000\n",
    "a network of 10,000": lambda: GOOD_SPEC + "[networks.NN1]\nhidden = [5000, 5000]\n",
}
QUICK = {"100,000 columns", "a field of 50 MB", "digits before a unit", "commas", "line ends at the end"} | {
    "brackets 10,000 deep", "lists without end", "a dotted key without end", "a unit that is code", "5,000 states",
}  # fmt: skip
NASTY = [("a.csv", name) for name in NASTY_TABLES] + [("s.toml", name) for name in NASTY_SPECS]

# One process imports, and a fork of it runs each command: its own time and memory, without the start.
FORKS = """
import json, os, sys
import udesys.fit, udesys.spec.starter
from udesys.cli import main
for line in sys.stdin:
    arguments = json.loads(line)
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(write, 2)
        main(arguments)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        message = pipe.read().decode()
    _, status, used = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(status)
    print(json.dumps([code, message, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]), flush=True)
"""


@pytest.fixture(scope="module")
def forks():
    if not sys.platform.startswith("linux"):
        pytest.skip("memory is counted in KiB on Linux alone")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", FORKS]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True, env=environment) as process:
        yield process
        process.stdin.close()


@pytest.mark.parametrize(
    ("file", "name"),
    [pytest.param(*case, marks=[] if case[1] in QUICK else pytest.mark.slow, id=", ".join(case)) for case in NASTY],
)
def test_the_nastiest_end_in_time_and_memory(file, name, here, forks):
    (here / "a.csv").write_text(NASTY_TABLES[name]() if file == "a.csv" else GOOD_TABLE)
    (here / "s.toml").write_text(NASTY_SPECS[name]() if file == "s.toml" else GOOD_SPEC)
    for arguments in [["check", f"{here}/s.toml"], ["init", f"{here}/a.csv", "-o", f"{here}/new.toml"]][
        : 1 + (file == "a.csv")
    ]:
        forks.stdin.write(json.dumps(arguments) + "\n")
        forks.stdin.flush()
        code, message, seconds, memory = json.loads(forks.stdout.readline())
        print(f"\n  {arguments[0]}: {code} after {seconds:.1f} s, {memory:.0f} MiB  {message[:150].strip()}", end="")
        assert (code, bool(message)) in ((0, False), (1, True)), message
        assert seconds < MOST_SECONDS and memory < MOST_MEMORY
        if message:
            assert message.startswith("udesys: ")
            check_message(message)


@pytest.mark.parametrize("arguments", [["check", "s.toml"], ["init", "a.csv"]])
def test_files_without_an_end_are_refused(arguments, here):
    if not Path("/dev/zero").exists():
        pytest.skip("there is no /dev/zero")
    tally = Tally()
    for make in (lambda path: path.symlink_to("/dev/zero"), os.mkfifo):
        make(here / arguments[1])
        assert not run_command(tally, *arguments)
        (here / arguments[1]).unlink()
