"""`udesys forecast`: a run's law simulated on, with bands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from udesys.cli import _run
from udesys.cli._numbers import given_numbers
from udesys.errors import UdesysError

EXAMPLE = "udesys forecast runs/hares --until 1930 -o hares_1930.csv -f hares_1930.png"


def command(
    run: _run.RunArgument,
    until: Annotated[float, typer.Option(metavar="T", help="Last time, in the data's unit.")],
    first: Annotated[
        float | None,
        typer.Option(
            "--from",
            metavar="T",
            help="First time; the end of the fitted data otherwise, of a new run the first time of the data.",
        ),
    ] = None,
    step: Annotated[float | None, typer.Option(min=0, help="Between two times; the data's median otherwise.")] = None,
    trajectory: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of which trajectory, or which run or point of fields; all otherwise."),
    ] = None,
    start: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STATE=NUMBER,...",
            help="Forecast a run that was never made, from here: every state named, as in x=1,y=0.1.",
        ),
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=NUMBER",
            help="A covariate or an input of that run, which stays there; those that all runs share may be left out.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="CSV", help="Where the table goes; printed otherwise.")
    ] = None,
    figure: Annotated[
        Path | None, typer.Option("--figure", "-f", metavar="PNG", help="Draw it too, into this file.")
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Add what the hybrid with its networks and persistence forecast.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Simulate a run's law beyond its data, with 95 % bands from what is known of its constants and starts.

    With --start a run is forecast that was never made. The column `inside` is false where a state leaves what the data
    visited; nothing is claimed there. Of fields there is a row for each time and point.
    """
    from udesys.assess.ahead import forecast_table, table_json
    from udesys.assess.new_run import new_run
    from udesys.runs import open_run
    from udesys.runs.files import refuse_present, write_new

    for path in (output, figure):
        refuse_present(path, force=force)
    if figure is not None and figure.suffix.lower() != ".png":
        raise UdesysError(f"{figure} is no name of a PNG file. Write {figure.with_suffix('.png')}.")
    states, held = given_numbers(start), given_numbers(at)
    opened = open_run(run)
    law = opened.law(with_fit=compare or figure is not None)
    new = None if states is None and held is None else new_run(law, states, held)
    asked = {"start": first, "trajectory": trajectory, "new": new}
    table, notes = forecast_table(law, until, step=step, compare=compare, **asked)
    text = table_json(table) if as_json else table.to_csv(index=False)
    units = {} if opened.spec is None else opened.spec.options.units
    picture = None if figure is None else _picture(law, until, units, **asked)
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_new(output, text, force=force)
        typer.echo(f"Wrote {output}", err=True)
    if picture is not None:
        write_new(figure, picture, force=force)
        typer.echo(f"Wrote {figure}", err=True)
    for note in notes:
        typer.echo(f"Note: {note}", err=True)


def _picture(law, until: float, units: dict, **asked) -> bytes:
    from udesys.report.forecast_figure import draw_forecast
    from udesys.report.units import axis_units

    return draw_forecast(law, until, units=axis_units(law, units), **asked).to_png()
