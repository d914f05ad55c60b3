"""`starter_spec`: a spec for a table that nobody has described yet, which runs as it is written."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from udesys.data.table import read_raw
from udesys.errors import DataError, ModelError, UdesysError
from udesys.spec.found_fields import find_fields
from udesys.spec.guessing import guess_roles
from udesys.spec.loading import load_spec
from udesys.spec.naming import model_names
from udesys.spec.result import Spec
from udesys.spec.starter_text import MOST_LISTED, starter_text
from udesys.spec.vocabulary import Guess, shown

ROWS_AN_ARGUMENT = 10  # of a term, below which the starter warns


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
    def guessed_states(self) -> tuple[str, ...]:
        """Columns that count as states though nothing but their numbers says so."""
        return tuple(g.column for g in self.guesses if g.role == "state" and not g.said)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know before it is run."""
        arguments = max(len(slot.arguments) for slot in self.spec.model.slots)
        if max(self.n_rows, self.spec.data.n_samples) >= ROWS_AN_ARGUMENT * arguments:
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


def starter_spec(
    path: str | Path, folder: str | Path | None = None, *, said: Mapping[str, str] | None = None
) -> Starter:
    """Guess a spec from a table's names and numbers.

    Args:
        path: a CSV, TSV or Parquet file.
        folder: the folder that the spec is meant for; the table's own where it is None.
        said: column -> what it is: "time", "trajectory", "state", "input" or "left out"; the others are guessed.

    Returns:
        A spec that passes `udesys check` without an edit, with a network for the whole right side of every state; of
        fields on a line with diffusion beside it.

    Raises:
        DataError: the file cannot be read, or can be no table of measurements.
        FitError: there are too few rows for any model.
    """
    from udesys.fit import check_enough

    path = Path(path)
    table = read_raw(path)
    fields = find_fields(table, said or {})
    guesses = guess_roles(table, said) if fields is None else fields.guesses(said or {})
    home = path.parent if folder is None else Path(folder)
    position = "" if fields is None else fields.position
    names = _names(guesses, position)
    text = starter_text(table if fields is None else fields.whole, guesses, names, _relative(path, home), position)
    content = tomllib.loads(text)
    content["data"]["file"] = os.path.realpath(path)  # the spec's folder may not be there yet
    try:
        spec = load_spec(content)
    except ModelError as error:  # no column of a table can be wrong by itself in a model
        raise DataError(f"no spec for {table.source} could be made: {error}", file=table.source) from error
    check_enough(spec.model, spec.data)
    return Starter(table=path, text=text, spec=spec, guesses=guesses, names=names, n_rows=len(table.rows))


def write_starter(
    path: str | Path,
    spec: str | Path | None = None,
    *,
    force: bool = False,
    said: Mapping[str, str] | None = None,
) -> Starter:
    """Write a first spec for a table.

    Args:
        path: the table.
        spec: the TOML file to write; its folder is made where it is not there. None is one like the table, beside it.
        force: replace a spec that is there.
        said: as in `starter_spec`.

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
    made = starter_spec(path, spec.parent, said=said)
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


def _names(guesses: tuple[Guess, ...], position: str = "") -> dict[str, str]:
    """column -> name, of the columns that the equations speak of; a velocity has its state's, with a prime."""
    plain = [g.column for g in guesses if g.role in ("state", "input", "offered", "covariate")]
    time = next(g.column for g in guesses if g.role == "time")
    names = model_names(plain, taken={time, position})
    return names | {g.column: f"{names[g.of]}'" for g in guesses if g.role == "velocity"}


def _role(guess: Guess, names: Mapping[str, str]) -> str:
    name = names.get(guess.column, "")
    kind = "input, commented out" if guess.role == "offered" else guess.role
    return kind if name in ("", guess.column) else f"{kind} {name}"


def _first(rows: list, wanted) -> list:
    """Rows of what is used, and the first few of the others."""
    others = [row for row in rows if not wanted(row)][:MOST_LISTED]
    return [row for row in rows if wanted(row) or row in others]
