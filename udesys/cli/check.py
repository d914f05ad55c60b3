"""`udesys check`: what a spec says, and whether its data can be fitted."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

EXAMPLE = "udesys check data/lynx_hare.toml"


def command(
    spec: Annotated[Path, typer.Argument(help="The spec, a TOML file.", metavar="SPEC")],
    as_json: Annotated[bool, typer.Option("--json", help="Print what was understood as JSON.")] = False,
) -> None:
    """Print what a spec says, and whether its data suffice."""
    from udesys.fit import check_enough
    from udesys.spec import load_spec

    read = load_spec(spec)
    check_enough(read.model, read.data, read.noise)
    if as_json:
        import json

        typer.echo(json.dumps(read.to_dict(), indent=2, ensure_ascii=False))
        return
    typer.echo(str(read))
    typer.echo(f"Ready. Next:  udesys discover {shlex.quote(str(spec))}")
