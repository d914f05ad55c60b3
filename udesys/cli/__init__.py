"""The command line: one file for each command, found by listing this folder.

A command's file has a function `command` with an `EXAMPLE`, or a `group` of commands of its own. What a
command needs is imported inside it, so that `udesys --help` answers at once. Files whose name starts with
an underscore are shared. A shell completes commands, options and choices (`udesys --install-completion`).
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import Annotated

import typer

from udesys.cli._failures import Commands

TAGLINE = "From measurements and the physics you know to the equation you don't."


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 refused or failed, 2 usage.

    Args:
        arguments: what follows the program's name; taken from the process where it is None.
    """
    application()(args=arguments, prog_name="udesys")


@functools.cache
def application() -> typer.Typer:
    """The commands of this folder as one application."""
    app = typer.Typer(
        cls=Commands,
        help=TAGLINE,
        epilog="Start with: udesys systems lotka_volterra, then: udesys discover lotka_volterra.toml",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    names = [found.name for found in pkgutil.iter_modules(__path__) if not found.name.startswith("_")]
    for name in sorted(names):
        module = importlib.import_module(f"{__name__}.{name}")
        if hasattr(module, "group"):
            app.add_typer(module.group, name=name)
        else:
            app.command(name, epilog=f"Example: {module.EXAMPLE}")(module.command)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        from udesys import __version__

        typer.echo(f"udesys {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    pass
