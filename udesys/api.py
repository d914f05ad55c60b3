"""`discover` and `recover` for Python and notebooks: a Discovery that can also draw and save itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from udesys.data import Dataset
from udesys.discover import Discovery
from udesys.discover import discover as run_line
from udesys.discover import recover as run_second_half
from udesys.fit import FitResult
from udesys.model import HybridODE
from udesys.search.options import SearchOptions


class Law(Discovery):
    """A Discovery with pictures and a place on disk; see Discovery for what it holds."""

    def plot(self, term: str | None = None):
        """A matplotlib Figure of the data with the law, or of one missing term with its formula.

        Args:
            term: a term's name; None draws the data.
        """
        from udesys.report.figures import draw_fit, draw_term

        return draw_fit(self) if term is None else draw_term(self, term)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write the run directory: result.json, tables, equations, figures.

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


def discover(model: HybridODE, data: Dataset, *, seed: int = 0, heldout: Dataset | None = None,
             noise: Mapping[str, float] | None = None, options: SearchOptions | None = None,
             progress: Callable | None = None) -> Law:
    """Find the closed form of a hybrid's missing terms from measurements.

    Args:
        model: the known law with networks for what is missing.
        data: measurements; its columns are states of the model.
        seed: of everything random; the same seed gives the same law.
        heldout: measurements kept aside, on which the law is scored.
        noise: column -> standard deviation of the noise [data units]; estimated if not given.
        options: engines, library and size of the formulas.
        progress: called as progress(stage, step, value), value a number or a formula's text.

    Returns:
        Law: the law, its constants with intervals, its rivals, and what the data cannot tell.

    Raises:
        FitError: the data cannot determine anything.
        SearchError: no formula simulates the data.
    """
    found = run_line(model, data, seed=seed, heldout=heldout, noise=noise, options=options, progress=progress)
    return Law(**vars(found))


def recover(fitted: FitResult, *, heldout: Dataset | None = None, options: SearchOptions | None = None,
            progress: Callable | None = None) -> Law:
    """The second half of `discover`: from a fitted hybrid to the closed form.

    Args:
        fitted: from `fit`.
        heldout: measurements kept aside, on which the law is scored.
        options: engines, library and size of the formulas.
        progress: called as progress(stage, step, value), value a number or a formula's text.

    Returns:
        Law, as from `discover`.

    Raises:
        SearchError: no formula simulates the data.
    """
    return Law(**vars(run_second_half(fitted, heldout=heldout, options=options, progress=progress)))
