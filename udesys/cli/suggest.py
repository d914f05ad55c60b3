"""`udesys suggest`: where to measure next."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from udesys.cli import _run

if TYPE_CHECKING:
    from udesys.assess.discovery import Discovery

EXAMPLE = "udesys suggest runs/lynx_hare --initial hare=1:100 --initial lynx=5:60"


def command(
    run: _run.RunArgument,
    initial: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STATE=LOW:HIGH",
            help="Also suggest new runs that start between these; STATE=NUMBER starts there. Once for each state.",
        ),
    ] = None,
    until: Annotated[
        float | None,
        typer.Option(metavar="T", help="Last time in a trajectory there is; as long again as the record otherwise."),
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="What may be measured; may be given again. All otherwise.")
    ] = None,
    shrink: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Rank by how much narrower this interval becomes: a constant, a derived quantity, or an expression "
            "such as alpha/delta; may be given again.",
        ),
    ] = None,
    samples: Annotated[int | None, typer.Option(min=2, help="Of a new run; as the median trajectory has.")] = None,
    every: Annotated[
        float | None, typer.Option(metavar="DT", help="Time between two samples of a new run; the data's median.")
    ] = None,
    most: Annotated[int, typer.Option(min=1, help="Experiments in the answer.")] = 10,
    seed: _run.SeedOption = 0,
    as_json: _run.JsonOption = False,
    quiet: _run.QuietOption = False,
) -> None:
    """Rank experiments by how well they tell a run's law and its rivals apart, and add them to the run and report."""
    from udesys.assess.suggest.designs import parsed_starts
    from udesys.runs import assess_into
    from udesys.runs.files import to_json

    starts = parsed_starts(initial or ())

    def assess(law: Discovery) -> Discovery:
        asked = {"until": until, "columns": column or None, "shrink": shrink or (), "samples": samples, "every": every}
        return replace(law, suggestions=law.suggest(starts, **asked, most=most, seed=seed))

    found = assess_into(run, assess, _run.illustrated(run)).suggestions
    typer.echo(to_json(found.to_dict(), indent=2) if as_json else str(found))
    if not quiet:
        typer.echo(f"Saved in {run}; the report is {run / 'report.html'}", err=True)
