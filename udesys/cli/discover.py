"""`udesys discover`: from a spec to the equation, into a run directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLE = "udesys discover data/lynx_hare.toml -o runs/hares --seed 1"


def command(
    spec: Annotated[Path, typer.Argument(help="The spec, a TOML file.", metavar="SPEC")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="RUN", help="The run directory; runs/NAME otherwise."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    engine: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A search engine to use, not all; may be given again."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON and nothing else.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run that is there.")] = False,
) -> None:
    """Find the whole law behind the data of a spec."""
    from udesys.runs import check_folder, result_text, save

    folder = output or Path("runs") / spec.stem
    check_folder(folder, overwrite=overwrite)
    law, read, events = _discover(spec, seed, tuple(engine or ()), quiet)

    from udesys.report.figures import save_figures  # after the refusals, which are not to wait for it

    typer.echo(result_text(law) if as_json else str(law), nl=not as_json)
    save(law, folder, spec=read, log=events, overwrite=overwrite)
    save_figures(law, folder)
    if not quiet:
        typer.echo(f"Saved in {folder}", err=True)


def _discover(spec: Path, seed: int, engines: tuple[str, ...], quiet: bool):
    """The law, the spec it came from, and the events on the way."""
    from dataclasses import replace

    from udesys.cli._progress import Progress
    from udesys.discover import discover
    from udesys.errors import UdesysError
    from udesys.spec import load_spec

    read = load_spec(spec)
    if engines:
        read = read.with_engines(engines)
    try:
        with Progress(quiet=quiet) as progress:
            law = discover(
                read.model,
                read.data,
                seed=seed,
                heldout=read.heldout,
                noise=read.noise,
                options=read.options,
                fit_options=read.fit_options,
                progress=progress,
            )
    except KeyboardInterrupt:
        message = "stopped before there was a law; nothing was written. The same command starts again."
        raise UdesysError(message) from None
    return replace(law, warnings=(*read.warnings, *law.warnings)), read, progress.events
