"""`discover` and `recover` for Python and notebooks: a Discovery that can also draw and save itself."""

from __future__ import annotations

import functools
from pathlib import Path

from udesys.discover import Discovery
from udesys.discover import discover as _discover
from udesys.discover import recover as _recover


class Law(Discovery):
    __doc__ = f"{Discovery.__doc__}\n    It can also draw (`plot`) and save (`save`) itself.\n    "

    def plot(self, term: str | None = None):
        """A matplotlib Figure of the data with the law, or of one missing term with its formula.

        Args:
            term: a term's name; None draws the data.

        Raises:
            ModelError: there is no such term.
        """
        from udesys.report.figures import draw_fit, draw_term

        return draw_fit(self) if term is None else draw_term(self, term)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write the run directory: result.json, tables, equations and figures.

        Args:
            folder: where to.
            overwrite: replace a run that is there.

        Raises:
            UdesysError: the folder holds a run already, or something else.
        """
        from udesys.report.figures import save_figures
        from udesys.runs import save

        path = save(self, folder, overwrite=overwrite)
        save_figures(self, path)
        return path


@functools.wraps(_discover)
def discover(*args, **options) -> Law:
    return Law(**vars(_discover(*args, **options)))


@functools.wraps(_recover)
def recover(*args, **options) -> Law:
    return Law(**vars(_recover(*args, **options)))
