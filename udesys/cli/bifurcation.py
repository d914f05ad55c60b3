"""`udesys bifurcation`: what a run's law does where one of its numbers is another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from udesys.cli import _run
from udesys.cli._numbers import given_numbers, parsed_numbers
from udesys.errors import UdesysError

EXAMPLE = 'udesys bifurcation runs/fish --vary alpha --from 0.5 --to 0.8 --start "x=1, y=0.1" -f fish.png'


def command(
    run: _run.RunArgument,
    vary: Annotated[
        str, typer.Option(metavar="NAME", help="A covariate, an input, a parameter, or a constant such as NN1.c0.")
    ],
    low: Annotated[float, typer.Option("--from", metavar="A", help="Its lowest value.")],
    high: Annotated[float, typer.Option("--to", metavar="B", help="Its highest value.")],
    start: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STATE=NUMBER,...",
            help="Simulate from here, every state named, as in x=1,y=0.1; may be given again. The starts of the data "
            "otherwise.",
        ),
    ] = None,
    until: Annotated[
        float | None,
        typer.Option(metavar="T", help="Length of a simulation, in the data's unit; 50 times the record otherwise."),
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=NUMBER", help="Set another number; inputs and covariates are at their mean otherwise."
        ),
    ] = None,
    hybrid: Annotated[bool, typer.Option("--hybrid", help="Ask the hybrid with its networks, not the law.")] = False,
    both: Annotated[bool, typer.Option("--both", help="Ask both, and print them side by side.")] = False,
    points: Annotated[int, typer.Option(min=5, metavar="N", help="Values at which it is simulated.")] = 61,
    seed: _run.SeedOption = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="CSV", help="Write every point of every branch and sweep.")
    ] = None,
    figure: Annotated[
        Path | None, typer.Option("--figure", "-f", metavar="PNG", help="Draw the diagram into this file.")
    ] = None,
    as_json: _run.JsonOption = False,
    quiet: _run.QuietOption = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Follow a law's equilibria and cycles along one of its numbers, and find where they lose their stability or end.

    Equilibria by continuation with exact derivatives, cycles and collapses by simulation. Nothing is claimed outside of
    what the data had of that number, and what they visited.
    """
    from udesys.assess.bifurcation.asking import bifurcations
    from udesys.assess.bifurcation.text import side_by_side
    from udesys.report.progress import Progress
    from udesys.runs import open_run
    from udesys.runs.files import refuse_present, to_json, write_new

    for path in (output, figure):
        refuse_present(path, force=force)
    if figure is not None and figure.suffix.lower() != ".png":
        raise UdesysError(f"{figure} is no name of a PNG file. Write {figure.with_suffix('.png')}.")
    asked = {
        "starts": [parsed_numbers(text) for text in start] if start else None,
        "until": until,
        "at": given_numbers(at),
        "points": points,
        "seed": seed,
    }
    opened = open_run(run)
    with Progress(quiet=quiet) as progress:
        of = [
            *([opened.law(with_fit=False)] if both or not hybrid else []),
            *([opened.fit()] if both or hybrid else []),
        ]
        answers = bifurcations(of, vary, low, high, **asked, progress=progress)
    if as_json:
        typer.echo(to_json({a.of: a.to_dict() for a in answers} if both else answers[0].to_dict(), indent=2))
    else:
        texts = [str(answer) for answer in answers]
        typer.echo("\n\n".join([*texts, *(["\n".join(side_by_side(answers))] if both else [])]))
    if output is not None:
        write_new(output, _table(answers), force=force)
        typer.echo(f"Wrote {output}", err=True)
    if figure is not None:
        from udesys.report.bifurcation_figure import draw_bifurcation

        units = {} if opened.spec is None else opened.spec.options.units
        write_new(figure, draw_bifurcation(answers, units=units).to_png(), force=force)
        typer.echo(f"Wrote {figure}", err=True)


def _table(answers) -> str:
    import pandas as pd

    tables = [answer.table for answer in answers]
    if len(tables) > 1:
        for table, answer in zip(tables, answers, strict=True):
            table.insert(0, "of", answer.of)
    return pd.concat(tables, ignore_index=True).to_csv(index=False)
