"""`udesys doctor`: what is installed, what works, and the line that adds the rest."""

from __future__ import annotations

from typing import Annotated

import typer

EXAMPLE = "udesys doctor --test"


def command(
    test: Annotated[bool, typer.Option("--test", help="Discover a small built-in system too: some seconds.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON and nothing else.")] = False,
) -> None:
    """Look at versions, engines and devices, and name the line that adds what is not there."""
    import json

    from udesys.doctor import diagnose

    diagnosis = diagnose(trial=test)
    typer.echo(json.dumps(diagnosis.to_dict(), indent=2) if as_json else str(diagnosis))
    raise typer.Exit(0 if diagnosis.healthy else 1)
