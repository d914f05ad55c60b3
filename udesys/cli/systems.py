"""`udesys systems`: the built-in systems, and data and specs of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLE = "udesys systems lotka_volterra --noise 5% --seed 1 -o trial"


def _names() -> list[str]:
    """What a shell completes."""
    from udesys.systems import list_systems, list_tables

    return [*(system.name for system in list_systems()), *list_tables()]


def command(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A system, or a table of systems to list; all are listed otherwise.",
            metavar="[NAME]",
            show_default=False,
            autocompletion=_names,
        ),
    ] = None,
    noise: Annotated[str, typer.Option(help="Noise, as a share of each state's mean.")] = "0.5%",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise.")] = 0,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where NAME.csv and NAME.toml go.")
    ] = Path("."),
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the list, or the files written, as JSON.")] = False,
) -> None:
    """List the built-in systems, or write data and spec of one."""
    import json

    from udesys.systems import get_system, list_systems, list_tables, write_system

    if name is None or name in list_tables():
        shown = list_systems(name)
        if as_json:
            typer.echo(json.dumps({system.name: system.title for system in shown}, indent=2))
            return
        for system in shown:
            typer.echo(f"{system.name:<24}  {system.title}")
        for table in list_tables() if name is None else ():
            entries = f"{len(list_systems(table))} systems as a table; list them:  udesys systems {table}"
            typer.echo(f"{table + ':ID':<24}  {entries}")
        typer.echo("Write the data and the spec of one:  udesys systems NAME")
        return
    system = get_system(name)
    table, spec = write_system(system, output, noise, seed, force=force)
    if as_json:
        typer.echo(json.dumps({"system": system.name, "table": str(table), "spec": str(spec)}, indent=2))
        return
    typer.echo(f"{system}\nWrote {table} and {spec}. Next:  udesys discover {spec}")
