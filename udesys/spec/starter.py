"""`starter_spec`: a spec for a table that nobody has described yet, which runs as it is written."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tomli_w

from udesys.data.cells import RawTable, numbers
from udesys.data.table import read_raw
from udesys.errors import DataError, ModelError, UdesysError
from udesys.spec.guessing import Guess, guess_roles, shown
from udesys.spec.loading import load_spec
from udesys.spec.naming import model_names
from udesys.spec.result import Spec

COMMENT_COLUMN = 36  # where the comment behind a setting starts
LONGEST_LINE = 120
ROWS_AN_ARGUMENT = 10  # of a term, below which the starter warns
MOST_LISTED = 20  # columns left out that are named one by one
_HELD_OUT = ("val", "valid", "validation", "test", "holdout", "heldout")  # labels of runs that are meant to judge


@dataclass(frozen=True, kw_only=True)
class Starter:
    """A spec for a table, and what was guessed for it.

    Attributes:
        table: the data file.
        path: the spec file that was written, or None.
        text: the spec, TOML with comments; the data file is named relative to the spec's folder.
        spec: the same as `load_spec` reads it.
        guesses: one for each column of the table, in its order.
        names: column -> its name in the equations.
        n_rows: rows of the table.
    """

    table: Path
    text: str
    spec: Spec
    guesses: tuple[Guess, ...]
    names: Mapping[str, str]
    n_rows: int
    path: Path | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know before it is run."""
        arguments = max(len(slot.arguments) for slot in self.spec.model.slots)
        if self.n_rows >= ROWS_AN_ARGUMENT * arguments:
            return self.spec.warnings
        terms = len(self.spec.model.slots)
        what = f"{terms} unknown terms" if terms > 1 else "an unknown term"
        few = f"{self.n_rows} rows say little about {what} of {arguments} arguments. Put in what you know, and take "
        return (*self.spec.warnings, f"{few}out arguments that a term cannot depend on.")

    def __str__(self) -> str:
        lines = [f"Table  {shown(self.table.name)[1:-1]}   {self.n_rows} rows, {len(self.guesses)} columns"]
        named = [(shown(g.column)[1:-1], _role(g, self.names), g.why) for g in self.guesses]
        rows = _first(named, lambda row: row[1] != "left out")
        widths = [max(len(row[k]) for row in rows) for k in (0, 1)]
        lines += [f"  {column:<{widths[0]}}   {role:<{widths[1]}}   {why}" for column, role, why in rows]
        lines += [f"  and {len(named) - len(rows)} more columns, left out"] if len(rows) < len(named) else []
        lines += ["Equations", *(f"  {text}" for text in self.spec.model.equation_of.values())]
        return "\n".join([*lines, *(f"Warning: {warning}" for warning in self.warnings)])


def starter_spec(path: str | Path, folder: str | Path | None = None) -> Starter:
    """Guess a spec from a table's names and numbers.

    Args:
        path: a CSV, TSV or Parquet file.
        folder: the folder that the spec is meant for; the table's own where it is None.

    Returns:
        A spec that passes `udesys check` without an edit, with a network for the whole right side of every state.

    Raises:
        DataError: the file cannot be read, or can be no table of measurements.
        FitError: there are too few rows for any model.
    """
    from udesys.fit import check_enough

    path = Path(path)
    table = read_raw(path)
    guesses = guess_roles(table)
    home = path.parent if folder is None else Path(folder)
    names = _names(guesses)
    text = _text(table, guesses, names, _relative(path, home))
    content = tomllib.loads(text)
    content["data"]["file"] = os.path.realpath(path)  # the spec's folder may not be there yet
    try:
        spec = load_spec(content)
    except ModelError as error:  # no column of a table can be wrong by itself in a model
        raise DataError(f"no spec for {table.source} could be made: {error}", file=table.source) from error
    check_enough(spec.model, spec.data)
    return Starter(table=path, text=text, spec=spec, guesses=guesses, names=names, n_rows=len(table.rows))


def write_starter(path: str | Path, spec: str | Path | None = None, *, force: bool = False) -> Starter:
    """Write a first spec for a table.

    Args:
        path: the table.
        spec: the TOML file to write; its folder is made where it is not there. None is one like the table, beside it.
        force: replace a spec that is there.

    Raises:
        UdesysError: the spec is there already, or is no .toml file.
        DataError, FitError: as `starter_spec`.
    """
    path = Path(path)
    if spec is None:
        spec = path.with_name(f"{path.stem}.toml") if path.name else Path("spec.toml")
    spec = Path(spec)
    if spec.is_dir():
        raise UdesysError(f"{spec} is a folder. Name a file in it, such as {spec / 'spec.toml'}.")
    if spec.suffix.lower() != ".toml":
        raise UdesysError(f"{spec} cannot be the spec, which is a TOML file. Name it {spec.with_suffix('.toml')}.")
    if spec.exists() and not force:
        raise UdesysError(f"{spec} is there already. Name another file with -o, or replace it with --force.")
    made = starter_spec(path, spec.parent)
    spec.parent.mkdir(parents=True, exist_ok=True)
    partial = spec.with_name(f".{spec.name}.{os.getpid()}.partial")
    try:
        partial.write_text(made.text, encoding="utf-8", newline="\n")
        os.replace(partial, spec)
    finally:
        partial.unlink(missing_ok=True)
    return replace(made, path=spec)


def _relative(path: Path, home: Path) -> str:
    """The data file as the spec names it: relative, or in full on another drive."""
    try:
        named = Path(os.path.relpath(os.path.realpath(path), os.path.realpath(home))).as_posix()
    except ValueError:
        named = Path(os.path.realpath(path)).as_posix()
    if not _is_utf8(named):
        raise DataError(
            f"the path {named!r} is no UTF-8 and cannot stand in a spec. Rename the file or the folder.", file=path.name
        )
    return named


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # bytes of a file name that are no UTF-8
        return False
    return True


def _names(guesses: tuple[Guess, ...]) -> dict[str, str]:
    """column -> name, of the columns that the equations speak of; a velocity has its state's, with a prime."""
    plain = [g.column for g in guesses if g.role in ("state", "input", "offered", "covariate")]
    time = next(g.column for g in guesses if g.role == "time")
    names = model_names(plain, taken={time})
    return names | {g.column: f"{names[g.of]}'" for g in guesses if g.role == "velocity"}


def _role(guess: Guess, names: Mapping[str, str]) -> str:
    name = names.get(guess.column, "")
    kind = "input, commented out" if guess.role == "offered" else guess.role
    return kind if name in ("", guess.column) else f"{kind} {name}"


def _first(rows: list, wanted) -> list:
    """Rows of what is used, and the first few of the others."""
    others = [row for row in rows if not wanted(row)][:MOST_LISTED]
    return [row for row in rows if wanted(row) or row in others]


# ------------------------------------------------------------------ the text
def _text(table: RawTable, guesses: tuple[Guess, ...], names: Mapping[str, str], file: str) -> str:
    states = [g for g in guesses if g.role == "state"]
    drivers = [g for role in ("input", "covariate") for g in guesses if g.role == role]
    arguments = [names[g.column] for g in states] + [f"{names[g.column]}'" for g in states if g.second_order]
    called = ", ".join([*arguments, *(names[g.column] for g in drivers)])
    equations = [f"{names[g.column]}{_primes(g)} = NN{number}({called})" for number, g in enumerate(states, start=1)]
    lines = [
        f"# A first spec for {shown(table.source)[1:-1]}, guessed from its names and numbers. It runs as it is;",
        "# put in what you know, and ask again:",
        "#   udesys check SPEC        what was understood, and whether the data suffice",
        "#   udesys discover SPEC     the law",
        "",
        *_data(table, guesses, names, file),
        "",
        "[model]",
        "# x' is the rate of change of x, x'' its acceleration. NN1(x, y) is an unknown term that may depend on",
        "# x and y: a small network first, a formula in the end. Take out arguments that it cannot depend on.",
        'equations = """',
        *equations,
        '"""',
        *_physics(names[states[0].column], called, second_order=states[0].second_order),
        *_positive(table, states, names),
        "",
        *_options(names[states[0].column], second_order=states[0].second_order),
    ]
    return "\n".join([*lines, ""])


def _primes(state: Guess) -> str:
    return "''" if state.second_order else "'"


def _data(table: RawTable, guesses: tuple[Guess, ...], names: Mapping[str, str], file: str) -> list[str]:
    """The section [data], and the columns that it leaves out."""
    time = next(g for g in guesses if g.role == "time")
    runs = [g.column for g in guesses if g.role == "trajectory"]
    one_or_more = _toml(runs[0] if len(runs) == 1 else runs)
    lines = ["[data]", f"file = {_toml(file)}", *_setting(f"time = {_toml(time.column)}", time.why)]
    if runs:
        lines += _setting(f"trajectory = {one_or_more}", "one run for each value; the time increases within it")
    else:
        lines += _setting('# trajectory = "run"', "the column that separates runs, if there were several")
    named = {names[g.column]: g.column for g in guesses if g.role in ("state", "velocity")}
    mapped = {name: column for name, column in named.items() if name != column}
    if mapped:
        lines += _setting(f"columns = {_inline(mapped)}", "the columns of names in the equations")
    lines += _drivers(guesses, names)
    return [
        *lines,
        *_setting(f"# noise = {_inline({next(iter(named)): '5%'})}", "where it is known; else it is estimated"),
        *_setting(f"# holdout = {_held_out(table, runs)}", "rows that are kept aside to judge the law"),
        *_left_out(guesses),
    ]


def _drivers(guesses: tuple[Guess, ...], names: Mapping[str, str]) -> list[str]:
    """The inputs, active or offered, and the covariates."""
    inputs, offered, covariates = (
        {names[g.column]: _driver(g) for g in guesses if g.role == role} for role in ("input", "offered", "covariate")
    )
    lines = []
    if inputs:
        lines += _setting(f"inputs = {_inline(inputs)}", "what drives the system, known in time")
    if offered:
        what = "if this drives it, give it to a network too"
        lines += _setting(f"# inputs = {_inline({**inputs, **offered})}", what)
    if covariates:
        same = all(name == column for name, column in covariates.items())
        value = _toml(list(covariates)) if same else _inline(covariates)
        lines += _setting(f"covariates = {value}", "one number for each run")
    return lines


def _driver(guess: Guess) -> str | dict:
    if guess.interpolation == "linear":
        return guess.column
    return {"column": guess.column, "interpolation": guess.interpolation}


def _held_out(table: RawTable, runs: list[str]) -> str:
    """The held-out part that is offered: runs that are called so, else the last rows."""
    if len(runs) == 1 and isinstance(table.columns[runs[0]], list):
        meant = [label for label in dict.fromkeys(table.columns[runs[0]]) if label.lower() in _HELD_OUT]
        if meant:
            return f"{{ trajectories = {_toml(meant)} }}"
    return '{ last = "20%" }'


def _left_out(guesses: tuple[Guess, ...]) -> list[str]:
    left = [g for g in guesses if g.role == "left out"]
    if not left:
        return []
    lines = [f"#   {shown(g.column)}: {_comment(g.why)}" for g in left[:MOST_LISTED]]
    more = [f"#   and {len(left) - MOST_LISTED} more"] if len(left) > MOST_LISTED else []
    return ["# Columns that are not used:", *lines, *more]


def _physics(x: str, called: str, *, second_order: bool) -> list[str]:
    """Comments that show how known physics goes in, for a state of this table."""
    unknown = f"NN1({called})"
    known = (
        [
            ("gravity", f"{x}'' = -g + {unknown}"),
            ("a spring and damping", f"{x}'' = -k*{x} - c*{x}' + {unknown}"),
        ]
        if second_order
        else [
            ("growth", f"{x}' = growth*{x} + {unknown}"),
            ("supply and decay", f"{x}' = supply - decay*{x} + {unknown}"),
            ("a spring and damping", f"{x}'' = -k*{x} - c*{x}' + NN1({x}, {x}')"),
        ]
    )
    return [
        "# Known physics stands beside the unknown term, which then holds only what is missing:",
        *(f"#   {what + ':':<22} {text}" for what, text in known),
    ]


def _positive(table: RawTable, states: list[Guess], names: Mapping[str, str]) -> list[str]:
    """The offer to keep states above zero, where their columns are."""
    above = [names[g.column] for g in states if np.nanmin(numbers(table, g.column)) >= 0]
    return _setting(f"# positive = {_toml(above)}", "states that can never go below zero") if above else []


def _options(state: str, *, second_order: bool) -> list[str]:
    """The sections that the starter leaves as they are, with an example in each."""
    known, estimated = ("g", "k") if second_order else ("decay", "growth")
    return [
        "# [parameters]                      # of known physics; a name that is not listed is estimated",
        *_setting(f"# {known} = {'9.81' if second_order else '0.1'}", "a known number"),
        *_setting(f"# {estimated} = {{ start = 0.5, bounds = [0, 5] }}", "estimated from its start, inside its bounds"),
        "",
        "# [initial]",
        *_setting(f'# {state} = "data"', 'the first measurement; or "free", which is the default, or a number'),
        "",
        "# [search]                          # what is known before any formula is sought",
        *_setting("# max_terms = 4", "terms of a formula"),
        *_setting("# time_limit = 30", "seconds for an engine and term"),
        *_setting('# forbidden = ["sign"]', "functions that cannot occur"),
        "# [search.terms.NN1]",
        *_setting('# sign = "negative"', 'or "positive"'),
    ]


def _setting(text: str, comment: str) -> list[str]:
    """A line with its comment behind it, or above it where the line is long."""
    comment = f"# {_comment(comment)}"
    if len(text) + len(comment) + 2 > LONGEST_LINE:
        return [comment, text]
    return [f"{text:<{COMMENT_COLUMN - 2}}  {comment}"]


def _comment(text: str) -> str:
    """Text that a comment can hold: one line, without control characters."""
    return "".join(c if c.isprintable() else " " for c in text)


def _toml(value: str | list[str]) -> str:
    """A text or a list of them as TOML writes it in one line."""
    if isinstance(value, list):
        return f"[{', '.join(_toml(entry) for entry in value)}]"
    return tomli_w.dumps({"x": value}).removeprefix("x = ").rstrip("\n")


def _inline(table: Mapping[str, str | Mapping]) -> str:
    """A table as TOML writes it in one line."""
    entries = [
        f"{tomli_w.dumps({name: 0}).removesuffix(' = 0' + chr(10))} = "
        f"{_inline(value) if isinstance(value, Mapping) else _toml(value)}"
        for name, value in table.items()
    ]
    return f"{{ {', '.join(entries)} }}"
