"""What a long command does, shown while it does it."""

from __future__ import annotations

import sys

import typer

LONGEST_VALUE = 100  # characters of a formula shown in a line


class Progress:
    """Called as progress(stage, step, value): a spinner on a terminal, plain lines at new stages elsewhere.

    Use it in a `with` statement.

    Args:
        quiet: show nothing.

    Attributes:
        events: what was reported, in order, for the log.
    """

    def __init__(self, *, quiet: bool = False):
        self.events: list[dict] = []
        self._quiet = quiet
        self._stage = ""
        self._status = None

    def __enter__(self) -> Progress:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console

            self._status = Console(stderr=True).status("starting")
            self._status.start()
        return self

    def __exit__(self, *failure) -> None:
        if self._status is not None:
            self._status.stop()

    def __call__(self, stage: str, step: int, value: float | str) -> None:
        """Show and keep one event.

        Args:
            stage: what is being done.
            step: its iteration.
            value: its cost or criterion, or the best formula so far.
        """
        self.events.append({"stage": stage, "step": step, "value": value})
        if self._status is not None:
            from rich.text import Text

            self._status.update(Text(self._line(stage, step, value), overflow="ellipsis", no_wrap=True))
        elif stage != self._stage and not self._quiet:
            typer.echo(f"{stage} ...", err=True)
        self._stage = stage

    def _line(self, stage: str, step: int, value: float | str) -> str:
        shown = value if isinstance(value, str) else f"{float(value):.6g}"
        shown = shown if len(shown) <= LONGEST_VALUE else shown[: LONGEST_VALUE - 3] + "..."
        return f"{stage}  step {step}  {shown}"
