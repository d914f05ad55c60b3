"""`udesys support`: how often a run's form is found where its discovery is repeated on resampled data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from udesys.cli import _run

if TYPE_CHECKING:
    from udesys.assess.discovery import Discovery

EXAMPLE = "udesys support runs/lynx_hare --resamples 100"


def command(
    run: _run.RunArgument,
    resamples: Annotated[
        int, typer.Option(min=1, metavar="N", help="Data sets that are drawn, and discoveries on them.")
    ] = 100,
    jobs: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Processes at a time; as many as there are cores otherwise.")
    ] = None,
    blocks: Annotated[
        bool | None,
        typer.Option(
            "--blocks/--parametric",
            help="Move stretches of the law's residuals, or draw normal noise of the law's size; blocks where the "
            "residuals are not white otherwise.",
        ),
    ] = None,
    seed: _run.SeedOption = 0,
    as_json: _run.JsonOption = False,
    quiet: _run.QuietOption = False,
) -> None:
    """Repeat a run's discovery on resampled data, and add the share of each form and term to the run and its report."""
    from udesys.repeating import with_support
    from udesys.report.progress import Progress
    from udesys.runs import assess_into
    from udesys.runs.files import to_json

    kind = None if blocks is None else "blocks" if blocks else "parametric"

    def assess(law: Discovery) -> Discovery:
        return with_support(law, resamples, jobs=jobs, seed=seed, kind=kind, progress=progress)

    with Progress(quiet=quiet) as progress:
        found = assess_into(run, assess, _run.illustrated(run)).support
    typer.echo(to_json(found.to_dict(), indent=2) if as_json else str(found))
    if not quiet:
        typer.echo(f"Saved in {run}; the report is {run / 'report.html'}", err=True)
