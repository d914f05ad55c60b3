"""`udesys init`: from a table to a first spec."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

EXAMPLE = "udesys init data/lynx_hare.csv -o hares.toml"


def command(
    table: Annotated[Path, typer.Argument(help="The measurements: CSV, TSV or Parquet.", metavar="DATA")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="SPEC", help="The spec; DATA with the ending .toml otherwise."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a spec that is there.")] = False,
) -> None:
    """Guess a first spec for a table; it runs as it is written."""
    from udesys.spec.starter import write_starter

    made = write_starter(table, output, force=force)
    spec = shlex.quote(str(made.path))
    typer.echo(f"{made}\nWrote {spec}. Put in what you know, or go on as it is:  udesys discover {spec}")
