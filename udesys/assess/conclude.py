"""From a selection and its uncertainty to the Discovery that a user reads."""

from __future__ import annotations

import numpy as np

from udesys.assess.beside import hybrid_error, persistence_error
from udesys.assess.covariance import Uncertainty
from udesys.assess.diagnostics import Diagnostics
from udesys.assess.discovery import Discovery, RankedModel, Residual
from udesys.assess.estimate import Estimate
from udesys.assess.footing import Rival
from udesys.assess.forecast import heldout_error
from udesys.assess.residual_tests import diagnose
from udesys.assess.simplify import Simplification
from udesys.data import Dataset
from udesys.fit import FitResult
from udesys.fit.profiles_on_grid import without_operators
from udesys.model import tree as T
from udesys.search.prior import form_name, known_forms
from udesys.select import Refit, Selection

MOST_LISTED = 60  # ranked laws handed on
MOST_RIVALS = 30  # kept with their constants
MOST_SCORED_ASIDE = 20  # of them scored on held-out data
LEAST_EXPLAINED = 0.5  # share of a column's variance, below which a law does not follow the column


def conclude(
    fitted: FitResult,
    selection: Selection,
    final: Refit,
    known: Uncertainty,
    simpler: Simplification | None,
    heldout: Dataset | None,
    engines: tuple[str, ...],
    timing: dict[str, float],
) -> Discovery:
    """Everything that was found, as one result."""
    model, data, form = fitted.model, without_operators(fitted.model, fitted.data), final.form
    columns = {c: model.measurable.index(c) for c in data.columns}
    counts = selection.data.mask.sum(0)
    starts = np.isin(selection.data.segments[0], fitted.problem.first)  # of trajectories, where they were cut
    diagnostics = diagnose(fitted, selection, final)
    residuals = {
        term: Residual(
            expression=form.residual_text(term),
            constants={c: known.estimates[term, c] for c in form.formulas[term].constants},
        )
        for term in model.terms
    }
    parameters = {
        name: known.estimates.get(name) or Estimate(value=p.start, fixed=True, unit=p.unit, start=p.start)
        for name, p in model.parameters.items()
    }
    error = {"fit": _rmse(final.squares, counts, columns)}
    if heldout is not None:
        error["heldout"] = heldout_error(form, heldout, data, final.x0[starts])
        error |= {"heldout_hybrid": hybrid_error(fitted, form, heldout, final.x0[starts])} if model.slots else {}
        error["heldout_persistence"] = persistence_error(model, heldout, data)
    initial = {
        tr.name: dict(zip(model.states, map(float, x0), strict=True))
        for tr, x0 in zip(data.trajectories, final.x0[starts], strict=True)
    }
    return Discovery(
        model=model,
        data=data,
        heldout=heldout,
        seed=fitted.seed,
        status="ok",
        closed_form=form,
        residuals=residuals,
        parameters=parameters,
        initial=initial,
        noise={c: float(known.noise[j]) for c, j in columns.items()},
        noise_profile={c: (p.absolute, p.relative) for c, p in selection.profiles.items()},
        error=error,
        simpler={} if simpler is None else simpler.values,
        simpler_criterion=0.0 if simpler is None else simpler.criterion,
        candidates=_candidates(selection, final, data, heldout, columns, counts, starts),
        visited=_visited(fitted, selection),
        warnings=_warnings(fitted, selection, final, known, columns, diagnostics),
        timing_s=timing,
        engines=engines,
        covariance=known.covariance.of(starts),
        fit=fitted,
        footing=known.footing,
        diagnostics=diagnostics,
        rivals=_rivals(selection),
    )


def _rivals(selection: Selection) -> tuple[Rival, ...]:
    others = [law for law in selection.within_reach if law is not selection.best][:MOST_RIVALS]
    return tuple(Rival(closed_form=r.refit.form, x0=r.refit.x0, criterion=r.criterion) for r in others)


def _visited(fitted, selection) -> dict[str, tuple[float, float]]:
    """Range of every state along the fit, and of every input and covariate."""
    columns = np.concatenate([fitted.unknowns.nodes, *([] if selection.data.u is None else [selection.data.u])], 1)
    names = (*fitted.model.states, *fitted.model.exogenous)
    return {n: (float(a), float(b)) for n, a, b in zip(names, columns.min(0), columns.max(0), strict=True)}


def _rmse(squares, counts, columns) -> dict[str, float]:
    return {c: float(np.sqrt(squares[j] / max(counts[j], 1))) for c, j in columns.items()}


def _candidates(selection, final, data, heldout, columns, counts, starts) -> tuple[RankedModel, ...]:
    """The pick, then the other choices by criterion; those that diverged come last."""
    lowest, ranked = selection.ranked[0].criterion, []
    others = [law for law in selection.ranked if law is not selection.best]
    for place, law in enumerate([selection.best, *others][:MOST_LISTED]):
        refit = law.refit if place else final
        form = refit.form
        aside = heldout_error(form, heldout, data, refit.x0[starts]) if heldout and place < MOST_SCORED_ASIDE else {}
        ranked.append(
            RankedModel(
                residuals={term: form.residual_text(term) for term in form.model.terms},
                criterion=law.criterion,
                delta=law.criterion - lowest,
                n_constants=law.n_constants,
                error=_rmse(refit.squares, counts, columns),
                heldout_error=aside,
                complexity=sum(c.complexity for c in law.choice.values()),
                engines={term: c.engine for term, c in law.choice.items()},
            )
        )
    nothing = float("inf")
    for texts in selection.diverged[: MOST_LISTED - len(ranked)]:
        ranked.append(
            RankedModel(
                residuals=texts,
                criterion=nothing,
                delta=nothing,
                n_constants=0,
                error={},
                heldout_error={},
                diverged=True,
            )
        )
    return tuple(ranked)


def _warnings(fitted, selection, final, known, columns, diagnostics: Diagnostics) -> tuple[str, ...]:
    taken_up = ("barely determined by the hybrid", "are outliers", *fitted.identifiability.sentences)  # said of the law
    warnings = [w for w in fitted.warnings if not any(words in w for words in taken_up)]
    missed = _missed(selection, final, columns)
    if missed:
        told = ", ".join(f"{share:.0%} of the variance of {c}" for c, share in missed.items())
        warnings.append(
            f"the law does not follow the data: it explains {told}. What acts on the system may be missing from the "
            "table, or stands in it as a state: make a column that drives the system an input."
        )
    warnings += [*diagnostics.warnings, *selection.notes, *_merged(selection, followed=not missed)]
    measured, used = int(fitted.problem.mask.sum()), int(selection.data.mask.sum())
    if used < measured:
        warnings.append(f"{measured - used} of {measured} measured values are outliers: the law was refitted without.")
    for name, estimate in known.estimates.items():
        label = name if isinstance(name, str) else f"{name[1]} of {name[0]}"
        if estimate.at_bound is not None:
            warnings.append(f"{label} stopped at its bound {estimate.at_bound:g}; widen it or fix it.")
        elif not estimate.identifiable:
            warnings.append(f"{label} is not identifiable: other constants can make up for any value of it.")
    pieces = len(selection.data.segments[0])
    if pieces > len(fitted.data.trajectories):
        warnings.append(
            f"no law tried follows the data in one long simulation (chaos, or jumps): laws were compared over {pieces} "
            "windows, each with a start of its own, and errors are over these windows."
        )
    counts = selection.data.mask.sum(0)
    wandering = [c for c, j in columns.items() if selection.worth[j] < counts[j]]
    if wandering:
        worth = ", ".join(f"{c} {counts[columns[c]]:.0f} as {selection.worth[columns[c]]:.0f}" for c in wandering)
        why = "rows" if diagnostics.warnings else "no law tried explains the data down to their noise. Rows"
        warnings.append(
            f"the residuals wander: {why} are counted for what they are worth ({worth}), and intervals are widened "
            "accordingly."
        )
    return tuple(warnings)


def _missed(selection: Selection, final: Refit, columns: dict[str, int]) -> dict[str, float]:
    """Column -> share of its variance that the law explains, where that is little."""
    data, missed = selection.data, {}
    for column, j in columns.items():
        values = data.y[data.mask[:, j] > 0, j]
        spread = ((values - values.mean()) ** 2).sum() if len(values) else 0.0
        if spread > 0 and final.squares[j] > (1.0 - LEAST_EXPLAINED) * spread:
            missed[column] = max(0.0, 1.0 - float(final.squares[j] / spread))
    return missed


def _merged(selection: Selection, *, followed: bool) -> list[str]:
    """Missing terms that came to nothing, or to what the equations have already."""
    notes, choice = [], selection.best.choice
    model = selection.best.refit.form.model
    known = known_forms(model)
    for term, candidate in choice.items():
        if not candidate.parts:
            why = "the known terms explain these data without it" if followed else "no form tried does better"
            notes.append(f"{term} = 0: {why}.")
        for part, name in candidate.parts:
            if form_name(part) in known[term]:
                what = model.formula_text(term, T.mul(T.Symbol(name), part))
                notes.append(
                    f"{what} in {term} has the form of a known term of its equation: it corrects that term's constant. "
                    "Estimate that constant instead of fixing it."
                )
    return notes
