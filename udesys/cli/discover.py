"""`udesys discover`: from a spec to the equation, into a run directory."""

from __future__ import annotations

from pathlib import Path

import typer

from udesys.cli import _run

EXAMPLE = "udesys discover data/lynx_hare.toml -o runs/hares --seed 1"


def command(
    spec: _run.SpecArgument,
    output: _run.OutputOption = None,
    seed: _run.SeedOption = 0,
    engine: _run.EngineOption = None,
    as_json: _run.JsonOption = False,
    quiet: _run.QuietOption = False,
    overwrite: _run.OverwriteOption = False,
) -> None:
    """Find the whole law behind the data of a spec; a run that was stopped goes on where it was."""
    from udesys.report.progress import Progress
    from udesys.runs import discover_into, result_text
    from udesys.spec import load_spec

    folder = output or Path("runs") / spec.stem
    read = load_spec(spec)
    if engine:
        read = read.with_engines(engine)
    with Progress(quiet=quiet) as progress:
        done = discover_into(
            folder, read, seed=seed, overwrite=overwrite, progress=progress, illustrate=_run.illustrated(folder)
        )
    typer.echo(result_text(done.found) if as_json else str(done.found), nl=not as_json)
    _run.said(folder, done.there, quiet, f"; the report is {folder / 'report.html'}")
