"""The straight line: from measurements and half a law to the whole law.

fit the hybrid -> search and select formulas by re-simulation -> refit on the raw data -> assess -> conclude
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from udesys.assess.conclude import conclude
from udesys.assess.covariance import uncertainty
from udesys.assess.derived import quantities_of
from udesys.assess.discovery import Discovery, RankedModel, Residual
from udesys.assess.identifiability import with_identifiability
from udesys.assess.simplify import simplify
from udesys.data import Dataset
from udesys.fit import FitOptions, FitResult, fit
from udesys.model import HybridODE
from udesys.model.derived import check_expressions
from udesys.search import SearchOptions, chosen_engines, idle_engines, propose
from udesys.search.dimensions import law_units
from udesys.search.knowledge import for_model
from udesys.select import select

__all__ = ["Discovery", "RankedModel", "Residual", "discover", "recover"]

LAST_ITERATIONS = 60  # of the final refit


def discover(
    model: HybridODE,
    data: Dataset,
    *,
    seed: int = 0,
    heldout: Dataset | None = None,
    noise: Mapping[str, float] | None = None,
    options: SearchOptions | None = None,
    fit_options: FitOptions | None = None,
    derived: Mapping[str, str] | None = None,
    progress: Callable | None = None,
) -> Discovery:
    """Find the closed form of a hybrid's missing terms from measurements.

    Args:
        model: the known law with networks for what is missing.
        data: measurements; its columns are states or observables of the model.
        seed: of everything random; the same seed gives the same law.
        heldout: measurements kept aside, on which the law is scored.
        noise: column -> standard deviation of the noise [data units]; estimated if not given. Given ones say how the
            columns weigh against each other; standard errors take the size of them all from the residuals.
        options: engines, library and size of the formulas, and what is known of the missing terms.
        fit_options: what the fit of the hybrid is not to choose from the data.
        derived: name -> expression of the constants, such as `{"period": "2*pi/sqrt(alpha*delta)"}`.
        progress: called as progress(stage, step, value), value a number or a formula's text.

    Returns:
        Discovery: the law, its constants with intervals, its rivals, and what the data cannot tell.

    Raises:
        FitError: the data cannot determine anything.
        ModelError: a derived quantity is no expression of constants.
        SearchError: no formula simulates the data.
    """
    options = for_model(options or SearchOptions(), model, data.time)
    check_expressions(model, derived or {})
    fitted = fit(model, data, seed=seed, noise=noise, options=fit_options, progress=progress)
    return recover(fitted, heldout=heldout, options=options, derived=derived, progress=progress)


def recover(
    fitted: FitResult,
    *,
    heldout: Dataset | None = None,
    options: SearchOptions | None = None,
    derived: Mapping[str, str] | None = None,
    progress: Callable | None = None,
    propose: Callable = propose,
    select: Callable = select,
) -> Discovery:
    """The second half: from a fitted hybrid to the closed form.

    Args:
        fitted: the fit.
        heldout: measurements kept aside, on which the law is scored.
        options: engines, library and size of the formulas, and what is known of the missing terms.
        derived: name -> expression of the constants; one with a constant that the law does not have is left out, and a
            warning says so.
        progress: called as progress(stage, step, value), value a number or a formula's text.
        propose: asks the engines, as `udesys.search.propose` does.
        select: chooses among what they propose, as `udesys.select.select` does.

    Returns:
        Discovery, as from `discover`.

    Raises:
        ModelError: a derived quantity is no expression of constants.
        SearchError: no formula simulates the data.
    """
    began = time.perf_counter()
    check_expressions(fitted.model, derived or {})
    options = options or SearchOptions()
    engines, idle = tuple(chosen_engines(options)), () if options.engines else tuple(idle_engines())
    selection = select(fitted, options, seed=fitted.seed, progress=progress, propose=propose)
    selected = time.perf_counter()
    final = selection.refitter.refit(selection.best.refit.form, selection.best.refit.x0, iterations=LAST_ITERATIONS)
    final = final or selection.best.refit
    units = law_units(final.form, options.units, fitted.data.time)
    known = uncertainty(selection.refitter, final, selection.worth, units, fitted.given_noise)
    simpler = simplify(selection.refitter, final, known.estimates, selection.worth)
    done = time.perf_counter()
    timing = {
        "fit": fitted.seconds,
        "search": selection.seconds_proposing,
        "select": selected - began - selection.seconds_proposing,
        "assess": done - selected,
        "total": fitted.seconds + done - began,
    }
    law = conclude(fitted, selection, final, known, simpler, heldout, engines, timing)
    law = with_identifiability(replace(law, idle_engines=idle, options=options))
    quantities, notes = quantities_of(law, derived or {})
    return replace(law, quantities=quantities, warnings=(*law.warnings, *notes))
