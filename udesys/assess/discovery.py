"""Discovery: the law the data support, with everything that is known about it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from udesys.assess.bands import sampled_bands
from udesys.assess.covariance import Covariance
from udesys.assess.diagnostics import Diagnostics
from udesys.assess.draws import Likelihood
from udesys.assess.estimate import Estimate
from udesys.assess.field_runs import band_along, point_at, states_along
from udesys.assess.fields import inputs_of
from udesys.assess.footing import Footing, Rival
from udesys.assess.forecast import Course, driving_along, simulate_law
from udesys.data import Dataset
from udesys.errors import UdesysError
from udesys.fit import FitResult
from udesys.model import HybridODE
from udesys.model.closed_form import ClosedForm

if TYPE_CHECKING:
    from udesys.assess.bifurcation.result import Bifurcation
    from udesys.assess.derived import Quantity
    from udesys.assess.identifiability import LawIdentifiability
    from udesys.assess.profile import Profile
    from udesys.assess.suggest.suggestions import Suggestions
    from udesys.assess.support import Support
    from udesys.search import SearchOptions

SCHEMA = 1  # of result.json


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
        complexity: nodes of all its formulas together.
        engines: term -> which engines proposed its form, as text.
    """

    residuals: dict[str, str]
    criterion: float
    delta: float
    n_constants: int
    error: dict[str, float]
    heldout_error: dict[str, float]
    diverged: bool = False
    complexity: int = 0
    engines: dict[str, str] = field(default_factory=dict)


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
        noise_profile: column -> (absolute [data units], relative) parts of noise that grows with what is measured:
            sd^2 = absolute^2 + (relative * value)^2; only where the residuals show it.
        error: {"fit": {column: RMSE}, "heldout": {...}} of one plain simulation of the closed form [data units]; beside
            the latter "heldout_hybrid" of the hybrid, and "heldout_persistence" of values that stay what they were.
        simpler: parameter or (term, constant) -> a simple fraction that it may be; empty where none is offered.
        simpler_criterion: change of the criterion with these fixed and the rest refitted.
        candidates: ranked models, the pick first.
        visited: state, input or covariate -> (lowest, highest) along the trajectories; nothing is claimed outside.
        warnings: what the user should know.
        timing_s: seconds of each step.
        engines: engines that proposed.
        idle_engines: engines that were not ready.
        covariance: of the constants, the estimated parameters and the initial values.
        fit: the fit of the hybrid; None where it was not kept.
        footing: the measurements as they were weighted; None for a run of an older version.
        diagnostics: of the residuals, beside the hybrid's; None for a run of an older version.
        rivals: the other laws within reach of the best, lowest criterion first, with their constants in place.
        identifiability: what the form made identifiable, and what still appears together only; None where it was not
            looked for.
        quantities: name -> an expression of the constants that was asked for, with its interval.
        profiles: constant or derived quantity -> its profile likelihood, of those that were asked for.
        suggestions: experiments that could be made next, where they were asked for.
        support: share of repeated discoveries that find its form, where they were asked for.
        options: of the search that found it; None where they were not kept.
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
    noise_profile: dict[str, tuple[float, float]] = field(default_factory=dict)
    error: dict[str, dict[str, float]]
    candidates: tuple[RankedModel, ...]
    visited: dict[str, tuple[float, float]]
    warnings: tuple[str, ...]
    timing_s: dict[str, float]
    engines: tuple[str, ...]
    fit: FitResult | None = field(repr=False)
    simpler: dict[object, Fraction] = field(default_factory=dict)
    simpler_criterion: float = 0.0
    idle_engines: tuple[str, ...] = ()
    covariance: Covariance | None = field(default=None, repr=False)
    footing: Footing | None = field(default=None, repr=False)
    diagnostics: Diagnostics | None = field(default=None, repr=False)
    rivals: tuple[Rival, ...] = field(default=(), repr=False)
    identifiability: LawIdentifiability | None = None
    quantities: dict[str, Quantity] = field(default_factory=dict)
    profiles: dict[str, Profile] = field(default_factory=dict, repr=False)
    suggestions: Suggestions | None = field(default=None, repr=False)
    support: Support | None = field(default=None, repr=False)
    options: SearchOptions | None = field(default=None, repr=False)

    # -------------------------------------------------------------- reading
    @property
    def equations(self) -> dict:
        """state -> SymPy expression of its derivative with all numbers in place."""
        from udesys.model.symbolic import to_sympy

        skip = set(self.model.velocity_of)
        return {s: to_sympy(tree) for s, tree in self.closed_form.numbers_in_place().items() if s not in skip}

    def simulate(self, t, trajectory: int = 0) -> np.ndarray:
        """States (time, state) of the law from a trajectory's initial values.

        Where the model has inputs, the trajectory's own drive it, those of its held-out rest included; after the last
        sample their last values are held, and a Python warning says so.

        Args:
            t: (time,) increasing, from the trajectory's first time on [the data's time unit].
            trajectory: which trajectory's initial values to start from.

        Raises:
            SolveError: the times are not usable, or the law blows up before the last one.
        """
        return self._simulated(np.asarray(t, float), trajectory)[0]

    def forecast(
        self,
        t,
        trajectory: int = 0,
        *,
        start: Mapping[str, float] | None = None,
        at: Mapping[str, float] | None = None,
    ):
        """A pandas DataFrame of the time, every state and every observable, simulated as by `simulate`.

        Of a new run, one that was never made, where `start` is given; what it has beyond the data, a Python warning
        says.

        Args:
            t: (time,) increasing, from the trajectory's first time on; a new run starts at the first of them [the
                data's time unit].
            trajectory: which trajectory's initial values to start from.
            start: state -> where a new run starts, every state [the data's units].
            at: covariate or input -> its number all along a new run; a covariate that has one value in all runs of the
                data may be left out.

        Raises:
            SolveError: the times are not usable, or the law blows up before the last one.
            ModelError: a name is unknown, one is missing, or a number is not usable.
        """
        import pandas as pd

        from udesys.assess.new_run import asked_run, forecast_new

        t = np.asarray(t, float)
        new = asked_run(self, trajectory, start, at, warn=True)
        if new is not None:
            return forecast_new(self, t, new)
        outputs = self.closed_form.outputs(t, *self._simulated(t, trajectory))
        return pd.DataFrame({self.data.time: t, **dict(zip(self.model.measurable, outputs.T, strict=True))})

    def bands(
        self,
        t,
        trajectory: int = 0,
        *,
        start: Mapping[str, float] | None = None,
        at: Mapping[str, float] | None = None,
    ):
        """Where the law's states and observables are, given how well its constants and initial values are known.

        Of fields by the law linearised in them, which is one simulation of all points of a run. Else sampled, with
        one seed: drawn by their covariance and weighed by how the draws fit the measurements. The noise
        of a measurement is not in it, nor is what the data do not determine at all or hold at a bound. The start of a
        new run is known; its band is that of the constants alone.

        Args:
            t: as in `forecast`.
            trajectory: which trajectory's initial values to start from.
            start: as in `forecast`, of a new run.
            at: as in `forecast`.

        Returns:
            A pandas DataFrame of the time and of `NAME low`, `NAME high`, between which 95 % of the draws are;
            infinite where more than 2.5 % of them blow up, NaN without a covariance.
        """
        import pandas as pd

        from udesys.assess.new_run import asked_run, bands_new

        t = np.asarray(t, float)
        new = asked_run(self, trajectory, start, at)
        if new is not None:
            return bands_new(self, t, new, self._likelihood(0))
        edges = {self.data.time: t}
        if self.model.grid is not None:
            whole, point = point_at(self, trajectory)
            low, high = band_along(self, whole, t)
            for j, name in enumerate(self.model.measurable):
                edges |= {f"{name} low": low[:, point, j], f"{name} high": high[:, point, j]}
            return pd.DataFrame(edges)
        run, x0 = self._start(trajectory)
        joint = None if self.covariance is None else self.covariance.joint(trajectory)
        course = Course(run.t[0], t, driving_along(self.model, self.data, self.heldout, run))
        bands = sampled_bands(self.closed_form, x0, course, joint, self._likelihood(trajectory))
        for name, low, high in zip(self.model.measurable, *(b.T for b in bands), strict=True):
            edges |= {f"{name} low": low, f"{name} high": high}
        return pd.DataFrame(edges)

    @property
    def initial_estimates(self) -> dict[str, dict[str, Estimate]]:
        """trajectory -> state -> how well its initial value is known; fixed where the model gives it."""
        from udesys.assess.starts import initial_estimates

        return initial_estimates(self)

    @property
    def correlation(self) -> tuple[tuple[str, ...], np.ndarray]:
        """Labels of the estimated values, such as `alpha` and `NN1.c0`, and their correlations (values, values)."""
        names = tuple(self.closed_form.labels)
        unknown = np.full((len(names),) * 2, np.nan)
        return names, unknown if self.covariance is None else self.covariance.correlation

    def _likelihood(self, trajectory: int) -> Likelihood | None:
        """Of the measurements, for the start of a trajectory; None where the law's footing was not kept."""
        if self.footing is None:
            return None
        first = sum(len(run.t) for run in self.data.trajectories[:trajectory])
        segment = int(np.searchsorted(self.footing.data.segments[0], first))
        return Likelihood(self.footing, self.closed_form, segment)

    def derived(self, expression: str) -> Estimate:
        """The value of an expression of the constants, with its 95 % interval by the delta method.

        Args:
            expression: over parameters and constants as they are printed, such as `alpha/delta` or `-NN1.c0/alpha`.

        Raises:
            ModelError: it is no expression of the law's constants.
            UdesysError: an older version found the law.
        """
        from udesys.assess.derived import derive

        return derive(self, expression)

    def profile(self, name: str) -> Profile:
        """The profile likelihood of a constant or an expression, with its 95 % interval; made where it is not there.

        Args:
            name: a constant as it is printed (`alpha`, `NN1.c0`), a derived quantity, or an expression (`alpha/delta`).

        Raises:
            ModelError: there is no such constant, or it was not estimated.
            UdesysError: an older version found the law.
        """
        from udesys.assess.profile import profile

        return self.profiles[name] if name in self.profiles else profile(self, name)

    def with_profiles(self, *names: str, progress: Callable | None = None) -> Discovery:
        """The same law with profiles, which are printed, drawn and saved with it.

        Args:
            names: as of `profile`; all estimated constants and derived quantities if there are none.
            progress: called as progress(stage, step, value).

        Raises:
            ModelError: there is no such constant, or it was not estimated.
            UdesysError: an older version found the law.
        """
        from udesys.assess.profile import profiles

        return replace(self, profiles={**self.profiles, **profiles(self, names, progress)})

    def _start(self, trajectory: int):
        """A trajectory, and its initial values (1, d)."""
        run = self.data.trajectories[trajectory]
        return run, np.array([list(self.initial[run.name].values())])

    def _simulated(self, t: np.ndarray, trajectory: int):
        """States (time, d), and the inputs (time, k) or None."""
        if self.model.grid is not None:
            whole, point = point_at(self, trajectory)
            states, drivings = states_along(self, whole, t)
            return states[:, point], inputs_of(self.model, t, drivings and drivings[point])
        run, x0 = self._start(trajectory)
        driving = driving_along(self.model, self.data, self.heldout, run)
        states = simulate_law(self.closed_form, x0, run.t[0], t, driving)
        if driving is None:
            return states, None
        if driving.varying and t[-1] > driving.t[-1]:
            warnings.warn(
                f"{', '.join(driving.varying)} of trajectory {run.name!r} ends at {self.data.time} = "
                f"{driving.t[-1]:g}: the last value is held from there to {t[-1]:g}.",
                stacklevel=3,
            )
        return states, driving.values(t)

    def suggest(
        self,
        initial: Mapping[str, object] | None = None,
        until: float | None = None,
        columns: Sequence[str] | None = None,
        shrink: Sequence[str] = (),
        *,
        samples: int | None = None,
        every: float | None = None,
        most: int = 10,
        seed: int = 0,
    ) -> Suggestions:
        """Where to measure next: experiments ranked by how well they tell this law and its rivals apart.

        Args:
            initial: state -> (lowest, highest) start of a new run, or one number; without it no new run is suggested.
            until: last time of a measurement of a trajectory there is; if None as long again as the record.
            columns: what may be measured; all of the data's columns if None.
            shrink: constants, derived quantities or expressions such as "alpha/delta" whose intervals should become
                narrower; the experiments are ranked by that then.
            samples, every: of a new run, and the time between two; as the median trajectory was measured if None.
            most: experiments in the answer.
            seed: of the starts that are looked at.

        Returns:
            Suggestions: they print themselves, have a pandas `table`, and say by `rows(rank)` what would be measured.

        Raises:
            UdesysError: a name, bound or time is not usable, or an older version found the law.
        """
        from udesys.assess.suggest.asking import suggest

        asked = {"initial": initial, "until": until, "columns": columns, "shrink": shrink}
        return suggest(self, **asked, samples=samples, every=every, most=most, seed=seed)

    def bifurcation(self, vary: str, low: float, high: float, *, hybrid: bool = False, **options) -> Bifurcation:
        """What the law does where one of its numbers is another: equilibria, stability, cycles, and where they end.

        Args:
            vary: a covariate, an input, a parameter, or a constant as it is printed (`NN1.c0`).
            low, high: between which values.
            hybrid: ask the fitted hybrid with its networks instead.
            **options: starts, until, at, visited, points, seed and progress, as of `udesys.bifurcation`.

        Raises:
            ModelError: a name is unknown or a state, a value or start is not usable, or the right sides depend on time.
            UdesysError: there is no fit of a hybrid.
        """
        from udesys.assess.bifurcation.asking import bifurcation

        if hybrid and self.fit is None:
            raise UdesysError("the fit of the hybrid was not kept. Fit it again, or ask the law.")
        return bifurcation(self.fit if hybrid else self, vary, low, high, **options)

    def to_dict(self) -> dict:
        """The content of result.json but for versions and the data's hash; what is not finite is None."""
        from udesys.assess.field_text import grid_plain, visited_shown

        content = {
            "schema": SCHEMA,
            "status": self.status,
            "seed": self.seed,
            "equations": self.closed_form.equation_texts(10),
            **({"observe": self.closed_form.observed_texts(10)} if self.model.observe else {}),
            **({} if self.model.grid is None else grid_plain(self)),
            "residuals": {
                term: {"expression": r.expression, "constants": {c: _number(e) for c, e in r.constants.items()}}
                for term, r in self.residuals.items()
            },
            "parameters": {name: e.to_dict() for name, e in self.parameters.items()},
            **({} if self.identifiability is None else {"identifiability": self.identifiability.to_dict()}),
            **({"derived": {name: q.to_dict() for name, q in self.quantities.items()}} if self.quantities else {}),
            **({"profiles": {name: p.to_dict() for name, p in self.profiles.items()}} if self.profiles else {}),
            **self._initial(),
            **({"suggestions": self.suggestions.to_dict()} if self.suggestions else {}),
            **({"support": self.support.to_dict()} if self.support else {}),
            "noise": self.noise,
            **({"noise_profile": self.noise_profile} if self.noise_profile else {}),
            **({"simpler": self._simpler()} if self.simpler else {}),
            "error": self.error,
            **({} if self.diagnostics is None else {"diagnostics": self._diagnosed()}),
            "visited": {name: list(ends) for name, ends in visited_shown(self).items()},
            **self._correlations(),
            "candidates": [vars(c) for c in self.candidates],
            "warnings": list(self.warnings),
            "timing_s": {k: round(v, 3) for k, v in self.timing_s.items()},
            "engines": list(self.engines),
        }
        return _plain(content)

    def _initial(self) -> dict:
        """Initial values of every trajectory, or of fields their profiles in every run."""
        if self.model.grid is not None:
            from udesys.assess.field_text import initial_plain

            return initial_plain(self)
        estimates = {
            run: {state: _known(e) for state, e in known.items()} for run, known in self.initial_estimates.items()
        }
        return {"initial": self.initial, "initial_estimates": estimates}

    def _diagnosed(self) -> dict:
        if self.model.grid is None:
            return self.diagnostics.to_dict()
        from udesys.assess.field_text import checks_plain

        return {**self.diagnostics.to_dict(), "trajectories": checks_plain(self)}

    def _correlations(self) -> dict:
        if self.covariance is None or not self.closed_form.names:
            return {}
        names, matrix = self.correlation
        return {"correlation": {"names": list(names), "matrix": matrix.tolist()}}

    def _simpler(self) -> dict:
        names = {n if isinstance(n, str) else f"{n[0]}.{n[1]}": str(v) for n, v in self.simpler.items()}
        return {"values": names, "criterion": self.simpler_criterion}

    def __str__(self) -> str:
        from udesys.assess.summary import summary

        return summary(self)

    def _repr_html_(self) -> str:
        import html

        return f"<pre>{html.escape(str(self))}</pre>"


def _number(estimate: Estimate) -> dict:
    plain = estimate.to_dict()
    return {k: plain[k] for k in ("value", "stderr", "interval", *(("unit",) if plain["unit"] else ()))}


def _known(estimate: Estimate) -> dict:
    plain = estimate.to_dict()
    return {k: plain[k] for k in ("value", "stderr", "interval", "fixed", "identifiable")}


def _plain(value):
    """A copy that strict JSON can hold."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
