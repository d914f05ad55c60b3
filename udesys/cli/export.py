"""`udesys export`: the law of a run as a text for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from udesys.cli import _run

EXAMPLE = "udesys export runs/lynx_hare --to sbml -o lynx_hare.xml"
FORMATS = "sbml (COPASI, Tellurium, SimBiology), python (a module that simulates), latex (an align), sympy (a module)."


def command(
    run: _run.RunArgument,
    to: Annotated[Literal["sbml", "python", "latex", "sympy"], typer.Option(help=FORMATS)],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The file to write; printed otherwise."),
    ] = None,
    trajectory: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Whose initial values and inputs; in SBML the first's otherwise."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file that is there.")] = False,
) -> None:
    """Write the law of a run as SBML, a Python module, LaTeX or SymPy."""
    from udesys.assess.export import export_text
    from udesys.runs import open_run
    from udesys.runs.files import write_new

    text = export_text(open_run(run).law(with_fit=False), to, trajectory)
    if output is None:
        typer.echo(text, nl=False)
        return
    write_new(output, text, force=force)
    typer.echo(f"Wrote {output}", err=True)
