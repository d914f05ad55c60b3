"""The straight line: from measurements and half a law to the whole law."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from udesys.assess.covariance import uncertainty
from udesys.assess.estimate import Estimate
from udesys.assess.forecast import heldout_error, simulate_law
from udesys.data import Dataset
from udesys.fit import FitResult, fit
from udesys.model import HybridODE
from udesys.model.closed_form import ClosedForm
from udesys.search import SearchOptions, chosen_engines
from udesys.select import select

SCHEMA = 1  # of result.json
LAST_ITERATIONS = 60  # of the final refit
MOST_LISTED = 60  # ranked laws handed on
MOST_SCORED_ASIDE = 20  # of them scored on held-out data


@dataclass(frozen=True, kw_only=True)
class Residual:
    """A recovered missing term.

    Attributes:
        expression: the formula with named constants, in the names of the equations, such as `c0*prey*predator`.
        constants: constant -> Estimate.
    """

    expression: str
    constants: dict[str, Estimate]


@dataclass(frozen=True, kw_only=True)
class RankedModel:
    """One joint choice of formulas, refitted on the raw data.

    Attributes:
        residuals: term -> formula text with named constants.
        criterion: the selection criterion; lower is better.
        delta: criterion above the lowest; below six the data cannot tell.
        n_constants: estimated constants and parameters.
        error: column -> RMSE over the data it was fitted to [data units].
        heldout_error: column -> RMSE over held-out data; empty without any.
        diverged: its simulation did not reach the end.
    """

    residuals: dict[str, str]
    criterion: float
    delta: float
    n_constants: int
    error: dict[str, float]
    heldout_error: dict[str, float]
    diverged: bool = False


@dataclass(frozen=True, kw_only=True)
class Discovery:
    """The law the data support, with intervals, its rivals, and what the data cannot tell.

    Attributes:
        model: the hybrid that was asked.
        data: the measurements it was fitted to.
        heldout: measurements kept aside, or None.
        seed: of everything random.
        status: "ok", or what is wrong in one word.
        closed_form: the law as a simulator with its constants in place.
        residuals: term -> Residual.
        parameters: parameter -> Estimate; fixed ones too.
        initial: trajectory -> state -> initial value.
        noise: measured column -> standard deviation of the noise.
        error: {"fit": {column: RMSE}, "heldout": {...}} of one plain simulation of the closed form [data units].
        candidates: ranked models, the pick first.
        visited: state -> (lowest, highest) along the trajectories; nothing is claimed outside.
        warnings: what the user should know.
        timing_s: seconds of each step.
        engines: engines that proposed.
        fit: the fit of the hybrid.
    """

    model: HybridODE
    data: Dataset
    heldout: Dataset | None
    seed: int
    status: str
    closed_form: ClosedForm
    residuals: dict[str, Residual]
    parameters: dict[str, Estimate]
    initial: dict[str, dict[str, float]]
    noise: dict[str, float]
    error: dict[str, dict[str, float]]
    candidates: tuple[RankedModel, ...]
    visited: dict[str, tuple[float, float]]
    warnings: tuple[str, ...]
    timing_s: dict[str, float]
    engines: tuple[str, ...]
    fit: FitResult | None = field(repr=False)

    # -------------------------------------------------------------- reading
    @property
    def equations(self) -> dict:
        """state -> SymPy expression of its derivative with all numbers in place."""
        from udesys.model.symbolic import to_sympy

        skip = set(self.model.velocity_of)
        return {s: to_sympy(tree) for s, tree in self.closed_form.numbers_in_place().items() if s not in skip}

    def simulate(self, t, trajectory: int = 0) -> np.ndarray:
        """States (time, state) of the law from a trajectory's initial values.

        Args:
            t: (time,) increasing, from the trajectory's first time on [the data's time unit].
            trajectory: which trajectory's initial values to start from.

        Raises:
            SolveError: the times are not usable, or the law blows up before the last one.
        """
        start = self.data.trajectories[trajectory]
        x0 = np.array([list(self.initial[start.name].values())])
        return simulate_law(self.closed_form, x0, start.t[0], np.asarray(t, float))

    def forecast(self, t, trajectory: int = 0):
        """A pandas DataFrame of the time and every state, simulated as by `simulate`.

        Args:
            t: (time,) increasing, from the trajectory's first time on [the data's time unit].
            trajectory: which trajectory's initial values to start from.
        """
        import pandas as pd

        states = self.simulate(t, trajectory)
        return pd.DataFrame({self.data.time: np.asarray(t, float), **dict(zip(self.model.states, states.T, strict=True))})

    def to_dict(self) -> dict:
        """The content of result.json but for versions and the data's hash."""
        return {
            "schema": SCHEMA,
            "status": self.status,
            "seed": self.seed,
            "equations": self.closed_form.equation_texts(10),
            "residuals": {
                term: {"expression": r.expression, "constants": {c: _number(e) for c, e in r.constants.items()}}
                for term, r in self.residuals.items()
            },
            "parameters": {name: e.to_dict() for name, e in self.parameters.items()},
            "initial": self.initial,
            "noise": self.noise,
            "error": self.error,
            "candidates": [vars(c) for c in self.candidates],
            "warnings": list(self.warnings),
            "timing_s": {k: round(v, 3) for k, v in self.timing_s.items()},
            "engines": list(self.engines),
        }

    def __str__(self) -> str:
        from udesys.assess.summary import summary

        return summary(self)

    def _repr_html_(self) -> str:
        import html

        return f"<pre>{html.escape(str(self))}</pre>"


def _number(estimate: Estimate) -> dict:
    plain = estimate.to_dict()
    return {k: plain[k] for k in ("value", "stderr", "interval")}


# ------------------------------------------------------------------ the line
def discover(model: HybridODE, data: Dataset, *, seed: int = 0, heldout: Dataset | None = None,
             noise: Mapping[str, float] | None = None, options: SearchOptions | None = None,
             progress: Callable | None = None) -> Discovery:
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
        Discovery: the law, its constants with intervals, its rivals, and what the data cannot tell.

    Raises:
        FitError: the data cannot determine anything.
        SearchError: no formula simulates the data.
    """
    fitted = fit(model, data, seed=seed, noise=noise, progress=progress)
    return recover(fitted, heldout=heldout, options=options, progress=progress)


def recover(fitted: FitResult, *, heldout: Dataset | None = None, options: SearchOptions | None = None,
            progress: Callable | None = None) -> Discovery:
    """The second half: from a fitted hybrid to the closed form.

    Args:
        fitted: the fit.
        heldout: measurements kept aside, on which the law is scored.
        options: engines, library and size of the formulas.
        progress: called as progress(stage, step, value), value a number or a formula's text.

    Returns:
        Discovery, as from `discover`.

    Raises:
        SearchError: no formula simulates the data.
    """
    began = time.perf_counter()
    options = options or SearchOptions()
    engines = tuple(chosen_engines(options))
    selection = select(fitted, options, seed=fitted.seed, progress=progress)
    selected = time.perf_counter()
    final = selection.refitter.refit(selection.best.refit.form, selection.best.refit.x0, iterations=LAST_ITERATIONS)
    final = final or selection.best.refit
    known = uncertainty(selection.refitter, final, selection.worth)
    done = time.perf_counter()
    timing = {"fit": fitted.seconds, "search": selection.seconds_proposing,
              "select": selected - began - selection.seconds_proposing, "assess": done - selected,
              "total": fitted.seconds + done - began}
    return _discovery(fitted, selection, final, known, heldout, engines, timing)


def _discovery(fitted, selection, final, known, heldout, engines, timing) -> Discovery:
    model, data, form = fitted.model, fitted.data, final.form
    columns = {c: model.states.index(c) for c in data.columns}
    counts = selection.data.mask.sum(0)
    residuals = {
        term: Residual(expression=form.residual_text(term),
                       constants={c: known.estimates[term, c] for c in form.formulas[term].constants})
        for term in model.terms
    }
    parameters = {
        name: known.estimates.get(name) or Estimate(value=p.start, fixed=True, unit=p.unit, start=p.start)
        for name, p in model.parameters.items()
    }
    error = {"fit": _rmse(final.squares, counts, columns)}
    if heldout is not None:
        error["heldout"] = heldout_error(form, heldout, data, final.x0)
    initial = {
        tr.name: dict(zip(model.states, map(float, x0), strict=True))
        for tr, x0 in zip(data.trajectories, final.x0, strict=True)
    }
    low, high = fitted.unknowns.nodes.min(0), fitted.unknowns.nodes.max(0)
    return Discovery(
        model=model, data=data, heldout=heldout, seed=fitted.seed, status="ok", closed_form=form,
        residuals=residuals, parameters=parameters, initial=initial,
        noise={c: float(known.noise[j]) for c, j in columns.items()}, error=error,
        candidates=_candidates(selection, data, heldout, columns, counts),
        visited={s: (float(a), float(b)) for s, a, b in zip(model.states, low, high, strict=True)},
        warnings=_warnings(fitted, selection, known, columns), timing_s=timing, engines=engines, fit=fitted,
    )


def _rmse(squares, counts, columns) -> dict[str, float]:
    return {c: float(np.sqrt(squares[j] / max(counts[j], 1))) for c, j in columns.items()}


def _candidates(selection, data, heldout, columns, counts) -> tuple[RankedModel, ...]:
    """The pick, then the other choices by criterion; those that diverged come last."""
    lowest, ranked = selection.ranked[0].criterion, []
    others = [law for law in selection.ranked if law is not selection.best]
    for place, law in enumerate([selection.best, *others][:MOST_LISTED]):
        form = law.refit.form
        aside = heldout_error(form, heldout, data, law.refit.x0) if heldout and place < MOST_SCORED_ASIDE else {}
        ranked.append(RankedModel(
            residuals={term: form.residual_text(term) for term in form.model.terms}, criterion=law.criterion,
            delta=law.criterion - lowest, n_constants=law.n_constants,
            error=_rmse(law.refit.squares, counts, columns), heldout_error=aside))
    nothing = float("inf")
    for texts in selection.diverged[: MOST_LISTED - len(ranked)]:
        ranked.append(RankedModel(residuals=texts, criterion=nothing, delta=nothing, n_constants=0, error={},
                                  heldout_error={}, diverged=True))
    return tuple(ranked)


def _warnings(fitted, selection, known, columns) -> tuple[str, ...]:
    warnings = [w for w in fitted.warnings if "is not determined by the hybrid" not in w]
    for name, estimate in known.estimates.items():
        label = name if isinstance(name, str) else f"{name[1]} of {name[0]}"
        if estimate.at_bound is not None:
            warnings.append(f"{label} stopped at its bound {estimate.at_bound:g}; widen it or fix it.")
        elif not estimate.identifiable:
            warnings.append(f"{label} is not identifiable: other constants can make up for any value of it.")
    counts = selection.data.mask.sum(0)
    wandering = [c for c, j in columns.items() if selection.worth[j] < counts[j]]
    if wandering:
        worth = ", ".join(f"{c} {counts[columns[c]]:.0f} as {selection.worth[columns[c]]:.0f}" for c in wandering)
        warnings.append(
            f"the residuals wander: no law tried explains the data down to their noise. Rows are counted for what they "
            f"are worth ({worth}), and intervals are widened accordingly."
        )
    return tuple(warnings)
