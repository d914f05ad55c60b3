"""`udesys fit`: the hybrid with its networks fitted, into a run directory."""

from __future__ import annotations

from pathlib import Path

import typer

from udesys.cli import _run

EXAMPLE = "udesys fit data/lynx_hare.toml -o runs/hares"


def command(
    spec: _run.SpecArgument,
    output: _run.OutputOption = None,
    seed: _run.SeedOption = 0,
    as_json: _run.JsonOption = False,
    quiet: _run.QuietOption = False,
    overwrite: _run.OverwriteOption = False,
) -> None:
    """Fit the hybrid of a spec, its missing terms as networks; `udesys recover` goes on from there."""
    from udesys.report.progress import Progress
    from udesys.runs import fit_into
    from udesys.runs.files import to_json
    from udesys.spec import load_spec

    folder = output or Path("runs") / spec.stem
    read = load_spec(spec)
    with Progress(quiet=quiet) as progress:
        done = fit_into(folder, read, seed=seed, overwrite=overwrite, progress=progress)
    typer.echo(to_json(done.found.to_dict(), indent=2) if as_json else str(done.found))
    if done.there:
        typer.echo(f"{folder} has this fit already; nothing was changed. Fit anew with --overwrite.", err=True)
    elif not quiet:
        typer.echo(f"Saved in {folder}. Next:  udesys recover {folder}", err=True)
