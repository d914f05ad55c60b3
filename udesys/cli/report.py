"""`udesys report`: a run's report and figures, drawn again."""

from __future__ import annotations

import typer

from udesys.cli import _run

EXAMPLE = "udesys report runs/hares"


def command(run: _run.RunArgument, quiet: _run.QuietOption = False) -> None:
    """Draw the report and the figures of a finished run again."""
    from udesys.runs import redraw

    redraw(run, _run.illustrated(run))
    if not quiet:
        typer.echo(f"Wrote {run / 'report.html'}", err=True)
