"""What long work does, shown while it does it: live on a terminal and in a notebook, lines elsewhere."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

LONGEST_VALUE = 100  # characters of a formula shown in a line
REFRESHED = 0.2  # s between two looks of a notebook
LEAST_SHARE, LEAST_SECONDS = 0.05, 1.0  # of a stage done, and spent on it, before the time left is told
AFTER_THE_FIT = ("search", "select", "profile", "support", "bifurcation", "report")  # all else is told by the fit


@dataclass
class _Stage:
    """One line of the display."""

    name: str
    began: float
    ended: float | None = None
    share: float = 0.0
    first: float | None = None  # cost at its start
    last: float | str | None = None
    inner: str = ""  # part of the stage that is running
    portion: str = ""

    def take(self, stage: str, value: float | str) -> None:
        before = self.inner
        self.share = max(self.share, getattr(value, "share", self.share))
        self.inner = stage if stage != self.name else self.inner
        if self.inner != before:
            self.first = None
        if isinstance(value, str):
            self.portion, self.last = (str(value), self.last) if self.name == "fit" else ("", str(value))
        else:
            self.first = float(value) if self.first is None else self.first
            self.last = float(value)

    def text(self, now: float) -> str:
        """What it came to, and what is left of it."""
        seconds = (self.ended or now) - self.began
        parts = [f"{self.name:<7} {seconds:6.1f} s"]
        if self.ended is None:
            parts += [part for part in (self.portion, self.inner) if part]
        if isinstance(self.last, str):
            parts.append(shortened(self.last))
        elif self.last is not None:
            parts.append(f"misfit {self.first:.6g} -> {self.last:.6g}")
        if self.ended is None and self.share >= LEAST_SHARE and seconds >= LEAST_SECONDS:
            parts.append(f"at most {_seconds(seconds * (1.0 - self.share) / self.share)} left in this stage")
        return "   ".join(parts)


class Progress:
    """Called as progress(stage, step, value): live lines on a terminal, one line for each finished stage elsewhere.

    Use it in a `with` statement.

    Args:
        quiet: show nothing.
    """

    def __init__(self, *, quiet: bool = False):
        self._quiet = quiet
        self._stages: list[_Stage] = []
        self._live = self._spinner = None

    def __enter__(self) -> Progress:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live
            from rich.spinner import Spinner

            self._spinner = Spinner("dots")
            self._live = Live(get_renderable=self._lines, console=Console(stderr=True), refresh_per_second=8)
            self._live.start()
        elif not self._quiet and in_notebook():
            self._live = _Cell(self._text)
        return self

    def __exit__(self, kind, *failure) -> None:
        if kind is None:
            self._end()
        if self._live is not None:
            self._live.stop()

    def __call__(self, stage: str, step: int, value: float | str) -> None:
        """Show one event.

        Args:
            stage: what is being done.
            step: its iteration.
            value: its cost or criterion, or the best formula so far; a `Portion` also says how much is done.
        """
        name = stage if stage in AFTER_THE_FIT else "fit"
        if not self._stages or self._stages[-1].name != name:
            self._end()
            self._stages.append(_Stage(name, time.monotonic()))
            if not self._quiet and self._live is None:
                print(f"{name} ...", file=sys.stderr, flush=True)
        self._stages[-1].take(stage, value)
        if isinstance(self._live, _Cell):
            self._live.refresh()

    def _end(self) -> None:
        """Close the stage that runs."""
        if not self._stages:
            return
        stage = self._stages[-1]
        stage.ended = time.monotonic()
        if not self._quiet and self._live is None:
            print(stage.text(stage.ended), file=sys.stderr, flush=True)

    def _text(self) -> str:
        now = time.monotonic()
        return "\n".join(stage.text(now) for stage in self._stages)

    def _lines(self):
        from rich.table import Table
        from rich.text import Text

        now, grid = time.monotonic(), Table.grid(padding=(0, 1))
        for stage in self._stages:
            mark = self._spinner if stage.ended is None else Text("done", style="green")
            grid.add_row(mark, Text(stage.text(now), overflow="ellipsis", no_wrap=True))
        return grid


class _Cell:
    """A few lines in the output of a notebook's cell that change in place."""

    def __init__(self, text: Callable[[], str]):
        from IPython.display import display

        self._text, self._shown = text, 0.0
        self._handle = display(self._html(), display_id=True)

    def refresh(self) -> None:
        """Show the lines as they are now, if that was not just done."""
        if time.monotonic() - self._shown > REFRESHED:
            self.stop()

    def stop(self) -> None:
        """Show them as they are now."""
        self._shown = time.monotonic()
        self._handle.update(self._html())

    def _html(self):
        from IPython.display import HTML

        return HTML(f"<pre>{html.escape(self._text())}</pre>")


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and getattr(shell, "kernel", None) is not None


def shortened(text: str) -> str:
    """A formula's text, cut where it is too long for a line."""
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
