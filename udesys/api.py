"""`discover` and `recover` for Python and notebooks: a Discovery that can also draw and save itself."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from udesys.discover import Discovery
from udesys.discover import discover as _discover
from udesys.discover import recover as _recover


class Law(Discovery):
    __doc__ = f"{Discovery.__doc__}\n    It can also draw (`plot`), report (`report`) and save (`save`) itself.\n    "

    def plot(self, term: str | None = None):
        """A matplotlib Figure of the data with the law, or of one missing term with its formula.

        Args:
            term: a term's name; None draws the data.

        Raises:
            ModelError: there is no such term.
        """
        from udesys.report.figures import draw_fit, draw_term

        return draw_fit(self) if term is None else draw_term(self, term)

    def plot_profiles(self, *names: str):
        """A matplotlib Figure of profile likelihoods, made where they are not there.

        Args:
            names: as of `profile`; those of the law if there are none, and all of its constants if it has none.

        Raises:
            ModelError: there is no such constant, or it was not estimated.
            UdesysError: an older version found the law.
        """
        from udesys.report.figures import draw_profiles

        law = self if self.profiles and not names else self.with_profiles(*names)
        return draw_profiles([law.profiles[name] for name in names or law.profiles])

    def report(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the report alone: one page of HTML that loads nothing.

        Args:
            path: the file.
            overwrite: replace a file that is there.

        Returns:
            The file.

        Raises:
            UdesysError: it is there already, or cannot be written.
        """
        from udesys.report.html import report_html
        from udesys.runs.files import write_new

        write_new(Path(path), report_html(self), force=overwrite, again="overwrite=True")
        return Path(path)

    def _repr_html_(self) -> str:
        from udesys.report.notebook import law_html

        return law_html(self)

    def _repr_latex_(self) -> str:
        from udesys.model.export import latex_equations

        return latex_equations(self.closed_form)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write the run directory: result.json, tables, equations, figures and the report.

        Args:
            folder: where to.
            overwrite: replace a run that is there.

        Raises:
            UdesysError: the folder holds a run already, or something else.
        """
        from udesys.report.files import drawn_files
        from udesys.runs import save

        return save(self, folder, more=drawn_files(self), overwrite=overwrite)


@functools.wraps(_discover)
def discover(*args, **options) -> Law:
    return Law(**vars(_shown(_discover, *args, **options)))


@functools.wraps(_recover)
def recover(*args, **options) -> Law:
    return Law(**vars(_shown(_recover, *args, **options)))


def _shown(work: Callable, *args, **options):
    """The work, its progress shown in the cell of a notebook unless it goes elsewhere."""
    from udesys.report.progress import Progress, in_notebook

    if options.get("progress") is not None or not in_notebook():
        return work(*args, **options)
    with Progress() as progress:
        return work(*args, **{**options, "progress": progress})


def load_run(folder: str | Path) -> Law:
    """The law of a run directory, its fit included.

    Args:
        folder: the run directory.

    Raises:
        UdesysError: there is no run, it has no law yet, or a file is not what the run wrote.
    """
    from udesys.runs import load_run

    return Law(**vars(load_run(folder)))
