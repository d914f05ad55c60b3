"""`udesys bench`: published comparisons, one file each in udesys/bench, found by listing that folder.

A comparison's file has a TITLE, an EXAMPLE and a function `run` whose annotated parameters become its options.
What these print with --json `udesys bench --table` makes a table of.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from udesys.errors import UdesysError

EXAMPLE = "udesys bench lotka-volterra"


def comparisons() -> dict[str, object]:
    """Command name -> module, for every comparison."""
    folder = importlib.import_module("udesys.bench")
    modules = [
        importlib.import_module(f"udesys.bench.{found.name}")
        for found in pkgutil.iter_modules(folder.__path__)
        if not found.name.startswith("_")
    ]
    return {m.__name__.rpartition(".")[2].replace("_", "-"): m for m in modules if hasattr(m, "run")}


class Comparisons(TyperGroup):
    """A group that lists udesys/bench only when it is asked for."""

    def parse_args(self, ctx, args):
        for name, module in comparisons().items():
            app = typer.Typer(add_completion=False)
            about = {"help": module.run.__doc__ or module.TITLE, "short_help": module.TITLE}
            app.command(name, epilog=f"Example: {module.EXAMPLE}", **about)(module.run)
            self.commands[name] = typer.main.get_command(app)
        return super().parse_args(ctx, args)

    def get_command(self, ctx, cmd_name):
        return super().get_command(ctx, cmd_name.replace("_", "-"))


group = typer.Typer(
    cls=Comparisons,
    help="Rerun a published comparison, beside its published figures.",
    epilog=f"Example: {EXAMPLE}",
    invoke_without_command=True,
)


@group.callback()
def _list(
    ctx: typer.Context,
    table: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Print the table of the studies in this folder, as --json wrote them."),
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Put that table into this Markdown file, between its two marker lines."),
    ] = None,
) -> None:
    if ctx.invoked_subcommand is not None:
        if table or into:
            raise UdesysError("--table and --into stand without a comparison. Leave its name out.")
    elif table:
        _tabulate(table, into)
    elif into:
        raise UdesysError("--into needs --table FOLDER, with the studies that the table is made of.")
    else:
        for name, module in comparisons().items():
            typer.echo(f"{name:<24}  {module.TITLE}")
        typer.echo("Run one:  udesys bench NAME")


def _tabulate(folder: Path, into: Path | None) -> None:
    """Print the table of results, or put it into a file."""
    from udesys.bench._results import put_between, read_studies, results_text
    from udesys.runs.files import write_whole

    modules = comparisons()
    studies = read_studies(folder, modules)
    text = results_text(studies, modules)
    if into is None:
        typer.echo(text)
        return
    try:
        before = into.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise UdesysError(f"{into} is no text in UTF-8. Name a Markdown file.") from None
    after = put_between(before, text, str(into))
    if after == before:
        typer.echo(f"{into} has the table of {folder} already; nothing was changed.")
    else:
        write_whole(into, after)
        typer.echo(f"{into} has the table of {folder} now: {', '.join(studies)}.")
