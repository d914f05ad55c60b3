"""`udesys profile`: how far a run's constants can go, by profile likelihood."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from udesys.cli import _run

if TYPE_CHECKING:
    from udesys.assess.discovery import Discovery

EXAMPLE = "udesys profile runs/hares alpha NN1.c0 alpha/delta"


def command(
    run: _run.RunArgument,
    name: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="A constant, a derived quantity or an expression such as alpha/delta; all of the law otherwise. "
            "Write -- before one that begins with a minus.",
        ),
    ] = None,
    as_json: _run.JsonOption = False,
    quiet: _run.QuietOption = False,
) -> None:
    """Find the 95 % intervals of a law's constants by profile likelihood, and add them to the run and its report."""
    from udesys.assess.profile import profiled_by_default
    from udesys.assess.profile_text import profile_lines
    from udesys.report.progress import Progress
    from udesys.runs import assess_into
    from udesys.runs.files import to_json

    asked: list[str] = []

    def assess(law: Discovery) -> Discovery:
        asked.extend(name or profiled_by_default(law))
        return law.with_profiles(*asked, progress=progress)

    with Progress(quiet=quiet) as progress:
        law = assess_into(run, assess, _run.illustrated(run))
    found = {each: law.profiles[each] for each in asked}
    if as_json:
        typer.echo(to_json({each: p.to_dict() for each, p in found.items()}, indent=2))
    else:
        typer.echo("\n".join(line.rstrip() for line in profile_lines(found)))
    if not quiet:
        typer.echo(f"Saved in {run}; the report is {run / 'report.html'}", err=True)
