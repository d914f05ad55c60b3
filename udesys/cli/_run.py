"""What the commands on run directories share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from udesys.assess.discovery import Discovery


def _engine_names() -> list[str]:
    """What a shell completes."""
    from udesys.search.engines import engines

    return list(engines())


SpecArgument = Annotated[Path, typer.Argument(help="The spec, a TOML file.", metavar="SPEC")]
RunArgument = Annotated[Path, typer.Argument(help="The run directory.", metavar="RUN")]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="RUN", help="The run directory; runs/NAME otherwise."),
]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
EngineOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME", help="A search engine to use, not all; may be given again.", autocompletion=_engine_names
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON and nothing else.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace the run that is there.")]


def illustrated(folder: Path):
    """law -> the figures and the report of a run.

    Args:
        folder: the run directory, which the report names.
    """

    def files(law: Discovery) -> dict[str, bytes | str]:
        from udesys.report.files import drawn_files

        spec = folder / "spec.toml"
        return drawn_files(law, spec=spec.read_text("utf-8") if spec.exists() else "")

    return files


def said(folder: Path, there: bool, quiet: bool, what: str = "") -> None:
    """The last line of a command on stderr.

    Args:
        folder: the run directory.
        there: the run was finished before.
        quiet: say nothing where something was done.
        what: to do next.
    """
    if there:
        typer.echo(f"{folder} is finished; nothing was changed. Run it anew with --overwrite.", err=True)
    elif not quiet:
        typer.echo(f"Saved in {folder}{what}", err=True)
