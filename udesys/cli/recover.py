"""`udesys recover`: from the fit in a run directory to the equation."""

from __future__ import annotations

import typer

from udesys.cli import _run

EXAMPLE = "udesys recover runs/hares --engine sparse"


def command(
    run: _run.RunArgument,
    engine: _run.EngineOption = None,
    as_json: _run.JsonOption = False,
    quiet: _run.QuietOption = False,
    overwrite: _run.OverwriteOption = False,
) -> None:
    """Find the law from a run's fit; with --overwrite again, the fit stays."""
    from udesys.report.progress import Progress
    from udesys.runs import recover_into, result_text

    with Progress(quiet=quiet) as progress:
        done = recover_into(
            run, engines=engine or (), overwrite=overwrite, progress=progress, illustrate=_run.illustrated(run)
        )
    typer.echo(result_text(done.found) if as_json else str(done.found), nl=not as_json)
    _run.said(run, done.there, quiet, f"; the report is {run / 'report.html'}")
