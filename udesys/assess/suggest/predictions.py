"""What each of the laws that still stand predicts of an experiment, and how surely."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from udesys.assess.covariance import Covariance, joint_covariance
from udesys.assess.suggest.designs import NewRun, Running
from udesys.assess.summary import picked_of
from udesys.integrate.driving import Driving
from udesys.model.closed_form import ClosedForm
from udesys.select.refit import Refit

if TYPE_CHECKING:
    from udesys.assess.discovery import Discovery

SET_TO = 1.0  # noise standard deviations: a start is taken to be set as exactly as it is measured
SET_UNSEEN = 0.05  # how exactly a state is set that is not measured, as a share of its size
AGREEMENT = 1e-3  # of a state's range, to which steps are doubled
FINEST = 16  # times the steps of the refits
ITERATIONS = 30  # of the refits


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A law that the data cannot tell from the best one, refitted on the footing.

    Attributes:
        refit: its constants, starts and simulation.
        covariance: of its constants and starts.
        known: (unknowns,) which constants are free and identifiable.
        criterion: of the selection; lower is better.
    """

    refit: Refit = field(repr=False)
    covariance: Covariance = field(repr=False)
    known: np.ndarray = field(repr=False)
    criterion: float

    @property
    def form(self) -> ClosedForm:
        """The law."""
        return self.refit.form

    @property
    def name(self) -> str:
        """Its missing terms, or nothing where there are none."""
        return ", ".join(f"{term} = {self.form.residual_text(term)}" for term in self.form.model.terms)


def standing_laws(law: Discovery) -> tuple[list[Standing], int]:
    """The pick, then its rivals, lowest criterion first; and how many of them could not be refitted or linearised.

    Args:
        law: what was discovered, with a footing.
    """
    refitter = law.footing.refitter(law.model)
    asked = [(law.closed_form, law.footing.x0, picked_of(law).criterion)]
    asked += [(r.closed_form, r.x0, r.criterion) for r in law.rivals]
    found, lost = [], 0
    for form, x0, criterion in asked:
        refit = refitter.refit(form, x0, iterations=ITERATIONS)
        covariance, identifiable, known = (None,) * 3 if refit is None else joint_covariance(refitter, refit)
        solved = refit is not None and (known.any() or not len(known)) and np.isfinite(covariance.values).all()
        if solved:
            known = known & identifiable
            found.append(Standing(refit=refit, covariance=covariance, known=known, criterion=criterion))
        elif not found:
            return [], 1 + len(law.rivals)
        else:
            lost += 1
    return found, lost


def weights_of(laws: list[Standing]) -> np.ndarray:
    """(laws,) posterior probabilities among them by their criteria.

    Source: Kass & Raftery, J. Am. Stat. Assoc. 90 (1995) 773, sec. 4.1.3.
    """
    criteria = np.array([one.criterion for one in laws])
    weights = np.exp(-0.5 * (criteria - criteria.min()))
    return weights / weights.sum()


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What one law predicts, linearised in its constants and in the start of the run.

    Attributes:
        mean: (designs, time, m) states and observables; NaN where the law blows up.
        states: (designs, time, d).
        slopes: (designs, time, m, unknowns + d).
        covariance: (unknowns + d, unknowns + d).
    """

    mean: np.ndarray
    states: np.ndarray
    slopes: np.ndarray
    covariance: np.ndarray


def predict_running(law: Standing, run: Running, spacing: float) -> Prediction:
    """A running trajectory at the times that are looked at, as one design.

    Args:
        law: the law.
        run: the trajectory.
        spacing: longest step of the solver.
    """
    x0 = law.refit.x0[run.segment : run.segment + 1]
    mean, states, slopes = simulated(law.form, x0, run.t0, run.t, run.driving, spacing)
    return Prediction(mean=mean, states=states, slopes=slopes, covariance=law.covariance.joint(run.segment))


def predict_new(law: Standing, run: NewRun, starts: np.ndarray, wide: np.ndarray, spacing: float) -> Prediction:
    """New runs, one a design, whose starts are estimated from what is measured of them.

    Args:
        law: the law.
        run: how they are measured.
        starts: (designs, d).
        wide: (d,) standard deviation of a start about the one wanted; zero where it is given.
        spacing: longest step of the solver.
    """
    mean, states, slopes = simulated(law.form, starts, float(run.t[0]), run.t, run.driving, spacing)
    n, d = len(law.form.values), law.form.d
    covariance = np.zeros((n + d, n + d))
    covariance[:n, :n], covariance[n:, n:] = law.covariance.values, np.diag(wide**2)
    return Prediction(mean=mean, states=states, slopes=slopes, covariance=covariance)


def simulated(
    form: ClosedForm, starts: np.ndarray, t0: float, t: np.ndarray, driving: Driving | None, spacing: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """States and observables from several starts at the same times, with sensitivities.

    Args:
        starts: (starts, d) at t0.
        t: (time,) increasing from t0 on.
        spacing: longest step of the solver to begin with; steps are halved until that no longer matters.

    Returns:
        States and observables (starts, time, m), states (starts, time, d) and slopes (starts, time, m, unknowns + d);
        NaN from where a law blows up.
    """
    grid = t if t[0] == t0 else np.concatenate([[t0], t])
    grid = grid if driving is None else driving.grid(grid)
    rows = np.searchsorted(grid, t)
    pieces, u = (None, None) if driving is None else (driving.along(grid), driving.values(t))
    base = np.maximum(np.ceil(np.append(np.diff(grid), 0.0) / spacing - 1e-9), 1).astype(np.int64)
    segment = (np.array([0], np.int64), np.array([len(grid)], np.int64))

    def run(start, count, sensitivities=False):
        options = {"pieces": pieces, "sensitivities": sensitivities, "partial": True}
        return form.simulate(start[None], grid, segment, base * count, **options)

    mean, paths, slopes = [], [], []
    for start in starts:
        count, coarse = 1, run(start, 1, True)
        while count < FINEST and not form.stiff:
            count *= 2
            fine = run(start, count)[0]
            if _agree(coarse[0], fine):
                break
            coarse = run(start, count, True)
        states, sensitivities = (part[rows] for part in coarse)
        blown = ~np.isfinite(states).all(1) | ~np.isfinite(sensitivities).all((1, 2))
        with np.errstate(all="ignore"):
            outputs = form.outputs(t, states, u)
            by = form.output_sensitivities(t, states, sensitivities, u)
        mean.append(np.where(blown[:, None], np.nan, outputs))
        slopes.append(np.where(blown[:, None, None], 0.0, by))
        paths.append(states)
    return np.stack(mean), np.stack(paths), np.stack(slopes)


def _agree(coarse: np.ndarray, fine: np.ndarray) -> bool:
    """Whether a simulation with half the steps gives the same as far as the finer one stays finite."""
    finite = np.isfinite(fine).all(1)
    size = np.abs(fine[finite]).max(0, initial=0.0) + 1e-300
    with np.errstate(invalid="ignore"):
        return bool((np.abs(coarse[finite] - fine[finite]) <= AGREEMENT * size).all())


def noise_at(law: Discovery, values: np.ndarray) -> np.ndarray:
    """(..., m) standard deviation of a measurement's noise where a law predicts values (..., m) [data units].

    Where rows of the data are worth less than one each, so is a new one: its noise counts as larger.
    """
    sigma, counts = law.footing.data.sigma, law.footing.data.mask.sum()
    sd = np.broadcast_to(sigma, values.shape).copy()
    for column, (absolute, relative) in law.noise_profile.items():
        j = law.model.measurable.index(column)
        worth = row_worth(law)
        sd[..., j] = np.sqrt((absolute**2 + (relative * values[..., j]) ** 2) / worth)
    return np.maximum(sd, 1e-300) if counts else sd


def row_worth(law: Discovery) -> float:
    """How many independent measurements one amounts to."""
    data = law.footing.data
    unknowns = len(law.closed_form.names) + int(data.free.sum()) * len(data.segments[0])
    return float(np.clip((law.footing.degrees + unknowns) / max(data.mask.sum(), 1.0), 1e-3, 1.0))
