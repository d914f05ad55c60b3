"""What all comparisons have in common: runs that are shared out, kept and taken up again, and one form of the figures.

A comparison makes its runs by `carry_out` and prints a `Study`: Markdown tables, or with --json one object.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shlex
import sys
import time
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from udesys import processes
from udesys.bench._parallel import share_of
from udesys.errors import DataError, UdesysError

# Options that every comparison of many runs has.
Part = Annotated[str, typer.Option(help="Only this part of the runs, such as 3/8.")]
Jobs = Annotated[int, typer.Option(min=1, help="Processes; each uses one core.")]
Keep = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Keep finished runs here, a line each, and make only those that are missing. Parts may share it.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the tables.")]


@dataclass(frozen=True, kw_only=True)
class Study:
    """What a comparison measured, beside what others publish or reach.

    Attributes:
        bench: its name.
        summary: the headline numbers: what it is -> number.
        rows: one for each run.
        published: the same numbers as others publish them: who -> what it is -> number.
        rivals: the same numbers of rivals in the same runs.
        packages: names of the rivals' packages.
        seconds: of all runs together.
        tables: Markdown.
        command: that makes it again.
    """

    bench: str
    summary: Mapping[str, object]
    rows: Sequence[object]
    published: Mapping[str, Mapping[str, object]]
    rivals: Mapping[str, Mapping[str, object]]
    packages: Sequence[str] = ()
    seconds: float
    tables: str
    command: str = ""

    def to_dict(self) -> dict[str, Any]:
        """What --json prints; a number that is not finite is null."""
        from udesys.runs.files import plain

        return plain(
            {
                "bench": self.bench,
                "command": self.command or command_line(),
                "summary": dict(self.summary),
                "rows": [asdict(row) if is_dataclass(row) else row for row in self.rows],
                "published": {who: dict(numbers) for who, numbers in self.published.items()},
                "rivals": {who: dict(numbers) for who, numbers in self.rivals.items()},
                "versions": versions(self.packages),
                "seconds": round(self.seconds, 1),
            }
        )

    def show(self, as_json: bool) -> None:
        """Print it.

        Args:
            as_json: one JSON object, a row on each line; the tables otherwise.
        """
        typer.echo(written(self.to_dict()) if as_json else self.tables)


def written(study: Mapping[str, Any]) -> str:
    """A study as JSON text, a row on each line."""
    rows = ",\n".join(f"  {json.dumps(row, ensure_ascii=False, allow_nan=False)}" for row in study["rows"])
    rest = {**study, "rows": "@rows"}
    text = json.dumps(rest, indent=1, ensure_ascii=False, allow_nan=False)
    return text.replace('"@rows"', f"[\n{rows}\n ]" if rows else "[]")


def command_line() -> str:
    """The command as it was given, without what says only how it is run and shown."""
    words, skip = ["udesys"], False
    for word in sys.argv[1:]:
        if skip or word in ("--json",):
            skip = False
        elif word in ("--keep", "--jobs"):
            skip = True
        elif not word.startswith(("--keep=", "--jobs=")):
            words.append(word)
    return shlex.join(words)


def versions(packages: Sequence[str] = ()) -> dict[str, str]:
    """Package -> version, of what answers depend on and of the rivals, as far as it is installed.

    Args:
        packages: of the rivals.
    """
    from udesys.runs import versions as present

    found = {name: version for name, version in present().items() if version}
    for name in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return {name: version.partition("+")[0] for name, version in found.items()}


# ------------------------------------------------------------------ runs
def carry_out(
    function: Callable,
    tasks: Sequence[tuple],
    warm_up: Callable[[], None] | None,
    *,
    part: str = "1/1",
    jobs: int = 1,
    keep: Path | None = None,
    here: bool = False,
) -> tuple[list, float]:
    """The results of all tasks of a part in their order, and the seconds that all of them took together.

    Every finished one is told on stderr. Where they are kept, those that are there are not made again.

    Args:
        function: of a module, called with a task's values; it returns a dataclass, which its annotation names, and
            raises nothing that a run can go on after.
        tasks: arguments of every call: numbers, texts and paths. A path stands for what its file holds.
        warm_up: of a module, called once in every process before its first task.
        part: such as "3/8".
        jobs: processes at a time.
        keep: a file of finished runs.
        here: call the function in this process, one task at a time, as it starts processes of its own.

    Raises:
        DataError: the part is none, or the file cannot be used.
        UdesysError: the process of a run died.
    """
    chosen = share_of(tasks, part)
    store = None if keep is None else _Kept(keep, function)
    found = (
        {}
        if store is None
        else {k: store.rows[key] for k, t in enumerate(chosen) if (key := store.key(t)) in store.rows}
    )
    missing = [k for k in range(len(chosen)) if k not in found]
    if found:
        typer.echo(f"{len(found)} of {len(chosen)} runs are in {keep}", err=True)

    def ended(place: int, result: tuple) -> None:
        found[missing[place]] = result
        if store is not None:
            store.add(chosen[missing[place]], *result)
        _tell(len(found), len(chosen))

    tasks = [(function, chosen[k]) for k in missing]
    if here:
        if missing and warm_up is not None:
            warm_up()
        for place, task in enumerate(tasks):
            ended(place, _timed(*task))
    else:
        try:
            processes.run_tasks(_timed, tasks, jobs, warm_up, each=ended)
        except processes.Died as death:
            kept = "" if keep is None else f" What is finished is in {keep}; the same command goes on from there."
            raise UdesysError(f"A run could not be made: {death}. Memory may be short; use fewer jobs.{kept}") from None
    if missing and sys.stderr.isatty():
        typer.echo("\r" + " " * 30 + "\r", nl=False, err=True)
    return [found[k][0] for k in range(len(chosen))], sum(seconds for _, seconds in found.values())


def _timed(function: Callable, task: tuple) -> tuple[object, float]:
    began = time.perf_counter()
    return function(*task), time.perf_counter() - began


def _tell(count: int, of: int) -> None:
    if sys.stderr.isatty():
        typer.echo(f"\r{count} of {of} runs", nl=False, err=True)
    else:
        typer.echo(f"{count} of {of} runs", err=True)


BEGINNING = b'{"of": "'  # of every line of a file of finished runs


class _Kept:
    """Finished runs in a file, a line of JSON each: what was run, what came, and how long it took."""

    def __init__(self, path: Path, function: Callable):
        self.path, self.name = path, f"{function.__module__}.{function.__qualname__}"
        self.kind = typing.get_type_hints(function)["return"]
        self.rows: dict[str, tuple[object, float]] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab"):  # refused now rather than after the first run
                pass
            lines = path.read_bytes().split(b"\n")
        except OSError as error:
            raise DataError(f"{path} cannot be used: {error.strerror}.") from None
        for number, line in enumerate(lines, start=1):
            if line and not (number == len(lines) and _cut(line)):
                self._take(line, number)

    def _take(self, line: bytes, number: int) -> None:
        from udesys.runs.files import from_exact_json

        try:
            entry = from_exact_json(line)
            if entry["of"] == self.name:
                self.rows[json.dumps(entry["task"])] = restored(self.kind, entry["row"]), float(entry["seconds"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            why = f"{error} is missing" if isinstance(error, KeyError) else error
            raise DataError(
                f"{self.path}, line {number} is no run of this version ({why}). Name another file."
            ) from None

    def key(self, task: tuple) -> str:
        """What tells tasks apart."""
        return json.dumps(task, default=_digest)

    def add(self, task: tuple, row: object, seconds: float) -> None:
        """Write a finished run; several processes may write at a time."""
        from filelock import FileLock

        from udesys.runs.files import to_exact_json

        entry = {"of": self.name, "task": json.loads(self.key(task)), "row": asdict(row), "seconds": round(seconds, 3)}
        with FileLock(f"{self.path}.lock"), self.path.open("r+b") as file:
            whole = file.read()
            begun = whole[whole.rfind(b"\n") + 1 :]
            if _cut(begun):
                file.truncate(len(whole) - len(begun))
                file.seek(0, 2)
            elif begun:
                file.write(b"\n")
            file.write(to_exact_json(entry).encode() + b"\n")


def _cut(line: bytes) -> bool:
    """Whether a line was begun by `_Kept.add` and not ended, as where the computer stopped."""
    if not (line.startswith(BEGINNING) or BEGINNING.startswith(line)):
        return False
    try:
        json.loads(line)
    except ValueError:
        return bool(line)
    return False


def _digest(path: Path) -> str:
    """What a file holds, or the names of what a folder holds, as a short hash."""
    if not path.exists():
        return f"{path.name}: missing"
    whole = path.read_bytes() if path.is_file() else "\n".join(sorted(p.name for p in path.iterdir())).encode()
    return f"{path.name}:{hashlib.sha256(whole).hexdigest()[:12]}"


def restored(kind, value):
    """A value of an annotated type from what JSON made of it.

    Args:
        kind: a dataclass, or a type that fields of one have.
        value: of JSON.

    Raises:
        TypeError: a dataclass has other fields.
    """
    if is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        known = {f.name for f in fields(kind)}
        if set(value) - known:
            raise TypeError(f"{', '.join(sorted(set(value) - known))} is no field")
        return kind(**{name: restored(hints[name], inner) for name, inner in value.items()})
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if value is None or origin is None:
        return kind(value) if isinstance(value, str) and kind in (int, float, Path) else value  # JSON's keys are texts
    if origin in (types.UnionType, typing.Union):
        kinds = [k for k in inside if k is not type(None)]
        return restored(kinds[0], value) if len(kinds) == 1 else value
    if origin is tuple:
        each = inside[:1] * len(value) if inside[-1] is Ellipsis else inside
        return tuple(restored(k, v) for k, v in zip(each, value, strict=True))
    if origin is list:
        return [restored(inside[0], v) for v in value]
    if isinstance(value, dict) and len(inside) == 2:
        return {restored(inside[0], k): restored(inside[1], v) for k, v in value.items()}
    return value


# ------------------------------------------------------------------ text
def markdown(head: Sequence[str], rows: Sequence[Sequence[object]], left: int = 1) -> str:
    """A Markdown table, padded so that it reads as well in a terminal; all columns but the first are right-aligned.

    Args:
        head: of the columns.
        rows: cells; None is a dash.
        left: so many columns are left-aligned.
    """
    cells = [["-" if cell is None else _one_line(cell) for cell in row] for row in (head, *rows)]
    widths = [max(3, *(len(row[k]) for row in cells)) for k in range(len(head))]

    def line(row: Sequence[str]) -> str:
        padded = [c.ljust(w) if k < left else c.rjust(w) for k, (c, w) in enumerate(zip(row, widths, strict=True))]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * w if k < left else "-" * (w - 1) + ":" for k, w in enumerate(widths)]
    return "\n".join([line(cells[0]), line(rule), *map(line, cells[1:])])


def _one_line(cell: object) -> str:
    """What a cell of a Markdown table can hold."""
    return " ".join(str(cell).replace("|", "\\|").split("\n"))


def percent(count: int, of: int) -> str:
    """A share in words: 95 %, or a dash of nothing."""
    return f"{100 * count / of:.0f} %" if of else "-"
