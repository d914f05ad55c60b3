"""`udesys bench`: published comparisons, one file each in udesys/bench, found by listing that folder.

A comparison's file has a TITLE, an EXAMPLE and a function `run` whose annotated parameters become its options.
"""

from __future__ import annotations

import importlib
import pkgutil

import typer
from typer.core import TyperGroup

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
def _list(ctx: typer.Context) -> None:
    if ctx.invoked_subcommand is not None:
        return
    for name, module in comparisons().items():
        typer.echo(f"{name:<24}  {module.TITLE}")
    typer.echo("Run one:  udesys bench NAME")
