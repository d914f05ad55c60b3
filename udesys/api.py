"""`discover` and `recover` for Python and notebooks: a Discovery that can also draw and save itself."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
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

    def plot_residuals(self):
        """A matplotlib Figure of what the law leaves of the data, in units of the noise, beside the hybrid's.

        Raises:
            UdesysError: an older version found the law.
        """
        from udesys.errors import UdesysError
        from udesys.report.figures import draw_residuals

        if self.diagnostics is None:
            raise UdesysError("this law was found without residual diagnostics. Discover it again.")
        return draw_residuals(self)

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

    def with_support(
        self,
        resamples: int = 100,
        *,
        jobs: int | None = None,
        seed: int = 0,
        kind: str | None = None,
        progress: Callable | None = None,
    ) -> Law:
        """The same law with the support of its form: the share of discoveries on resampled data that find it.

        Every repeat is the whole discovery, with the options, the given noise and the seed of this one; held-out data
        stay aside. Its shares are in `support`, which prints itself, and are printed, drawn and saved with the law.

        Args:
            resamples: how many data sets are drawn, and the discovery repeated on each.
            jobs: processes at a time, each on one thread; None takes as many as there are cores.
            seed: of the data sets; the same seed gives the same answer with any number of processes.
            kind: "parametric" draws normal noise of the law's size, "blocks" moves stretches of its residuals; None
                takes blocks where the residuals are not white.
            progress: called as progress("support", repeats done, text).

        Raises:
            UdesysError: an argument is not usable, an older version found the law, or its engines are not there.
        """
        from udesys.repeating import with_support

        return Law(**vars(_shown(with_support, self, resamples, jobs=jobs, seed=seed, kind=kind, progress=progress)))

    def plot_forecast(
        self,
        until: float,
        *,
        start: float | Mapping[str, float] | None = None,
        trajectory: str | None = None,
        at: Mapping[str, float] | None = None,
    ):
        """A matplotlib Figure of the law forecast to a time, its band, the hybrid, and where it leaves the data.

        Args:
            until: the last time [the data's time unit].
            start: the time where the forecast starts, the last fitted sample if None; or of a new run state -> where
                it starts, at the first time of the data.
            trajectory: its name; the first three if None.
            at: as of `forecast`, of a new run.

        Raises:
            DataError: there is no such trajectory, or the times are not usable.
            ModelError: as of `forecast`.
            SolveError: the law blows up before `until`.
        """
        from udesys.assess.new_run import new_run
        from udesys.report.forecast_figure import draw_forecast

        if at is None and not isinstance(start, Mapping):
            return draw_forecast(self, until, start=start, trajectory=trajectory)
        states = start if isinstance(start, Mapping) else None
        return draw_forecast(self, until, trajectory=trajectory, new=new_run(self, states, at))

    def plot_bifurcation(self, vary: str, low: float, high: float, **options):
        """A matplotlib Figure of what the law does between two values of one of its numbers.

        Args:
            vary: a covariate, an input, a parameter, or a constant as it is printed (`NN1.c0`).
            low, high: between which values.
            **options: as of `bifurcation`.

        Raises:
            ModelError: a name is unknown or a state, a value or start is not usable, or the right sides depend on time.
        """
        from udesys.report.bifurcation_figure import draw_bifurcation

        return draw_bifurcation([self.bifurcation(vary, low, high, **options)])

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
