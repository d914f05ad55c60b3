"""`udesys forecast`: a run's law simulated on, with bands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from udesys.cli import _run

EXAMPLE = "udesys forecast runs/hares --until 1930 -o hares_1930.csv"


def command(
    run: _run.RunArgument,
    until: Annotated[float, typer.Option(metavar="T", help="Last time, in the data's unit.")],
    start: Annotated[
        float | None, typer.Option("--from", metavar="T", help="First time; the end of the fitted data otherwise.")
    ] = None,
    step: Annotated[float | None, typer.Option(min=0, help="Between two times; the data's median otherwise.")] = None,
    trajectory: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of which trajectory; of all otherwise.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="CSV", help="Where the table goes; printed otherwise.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Simulate a run's law beyond its data, with 95 % bands from what is known of its constants and starts."""
    from udesys.assess.ahead import forecast_table, table_json
    from udesys.runs import open_run
    from udesys.runs.files import write_new

    law = open_run(run).law(with_fit=False)
    table, notes = forecast_table(law, until, start=start, step=step, trajectory=trajectory)
    text = table_json(table) if as_json else table.to_csv(index=False)
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_new(output, text, force=force)
        typer.echo(f"Wrote {output}", err=True)
    for note in notes:
        typer.echo(f"Note: {note}", err=True)
