"""`udesys init`: from a table to a first spec."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

SAYING = "Where a guess would be wrong"
EXAMPLE = "udesys init data/lynx_hare.csv -o hares.toml"


def _columns(option: str, what: str) -> typer.models.OptionInfo:
    return typer.Option(option, metavar="COLUMN", help=f"{what} Can be repeated.", rich_help_panel=SAYING)


def command(
    table: Annotated[Path, typer.Argument(help="The measurements: CSV, TSV or Parquet.", metavar="DATA")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="SPEC", help="The spec; DATA with the ending .toml otherwise."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a spec that is there.")] = False,
    time: Annotated[
        str | None, typer.Option("--time", metavar="COLUMN", help="The time.", rich_help_panel=SAYING)
    ] = None,
    trajectory: Annotated[list[str], _columns("--trajectory", "Separates runs.")] = [],  # noqa: B006
    state: Annotated[list[str], _columns("--state", "Follows a law that is sought.")] = [],  # noqa: B006
    inputs: Annotated[list[str], _columns("--input", "Drives the system, as a force or a dose.")] = [],  # noqa: B006
    left_out: Annotated[list[str], _columns("--leave-out", "Is not used.")] = [],  # noqa: B006
) -> None:
    """Guess a first spec for a table; it runs as it is written."""
    from udesys.errors import UdesysError, readable
    from udesys.spec.starter import write_starter

    time_columns = [time] if time else []
    options = {"time": time_columns, "trajectory": trajectory, "state": state, "input": inputs, "left out": left_out}
    said: dict[str, str] = {}
    for role, columns in options.items():
        for column in columns:
            if said.setdefault(column, role) != role:
                raise UdesysError(f"{column} cannot be both: {said[column]} and {role}. Name it once.")
    made = write_starter(table, output, force=force, said=said)
    spec = shlex.quote(str(made.path))
    typer.echo(made)
    if len(made.guessed_states) > 1:
        other = f" -o {spec}" if output else ""
        again = f"udesys init {shlex.quote(str(table))}{other} --input {shlex.quote(made.guessed_states[-1])} --force"
        shown = readable(again.replace("\n", " "))
        typer.echo(f"If a state rather drives the others and follows no law of its own, say so:  {shown}")
    typer.echo(f"Wrote {spec}. Put in what you know, or go on as it is:  udesys discover {spec}")
