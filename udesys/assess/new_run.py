"""A run that was never made: a law simulated from a start that is given, at covariates and inputs that are given."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from udesys.assess.bands import sampled_bands
from udesys.assess.bifurcation.question import beyond_data, checked_start, number_of
from udesys.assess.forecast import Course
from udesys.errors import ModelError, did_you_mean
from udesys.integrate.driving import Driving, sample_values

if TYPE_CHECKING:
    import pandas as pd

    from udesys.assess.discovery import Discovery
    from udesys.assess.draws import Likelihood


@dataclass(frozen=True, kw_only=True)
class NewRun:
    """From where a run that was never made starts, and what it is driven by.

    Attributes:
        start: state -> value, every state in its order [the data's units].
        at: covariate or input -> the number it has all along, every one in its order.
        notes: what of these lies beyond the data.
    """

    start: dict[str, float]
    at: dict[str, float]
    notes: tuple[str, ...]

    @property
    def x0(self) -> np.ndarray:
        """(1, d) the start."""
        return np.array([list(self.start.values())])

    def driving(self, t0: float) -> Driving | None:
        """What drives it from a time on; None without any."""
        if not self.at:
            return None
        names, values = tuple(self.at), np.array(list(self.at.values()))
        return Driving(names=names, t=np.array([t0]), pieces=np.empty((0, len(names), 4)), last=values, varying=())

    def course(self, t: np.ndarray) -> Course:
        """The times (time,) at which it is wanted; it starts at the first of them.

        Raises:
            SolveError: they do not increase.
        """
        t0 = float(t[0]) if t.ndim == 1 and len(t) else 0.0
        return Course(t0, t, self.driving(t0))


def new_run(law: Discovery, start: Mapping[str, float] | None, at: Mapping[str, float] | None = None) -> NewRun:
    """A run that was never made, checked.

    Args:
        law: what was discovered.
        start: state -> value, of every state [the data's units].
        at: covariate or input -> number; covariates that have one value in all runs of the data may be left out.

    Raises:
        ModelError: a name is unknown, a state, input or covariate that differs between runs is missing, or a number is
            not usable; or the law is one of fields.
    """
    model = law.model
    if model.grid is not None:
        raise ModelError(
            "a law of fields starts from a whole profile, which start (--start) cannot give. Leave it and at (--at) "
            "out, and the runs of the data are forecast."
        )
    if start is None:
        raise ModelError(
            "at (--at) is for a run that was never made, and nothing says where it starts. Give start (--start), a "
            f"value for every state: {', '.join(model.states)}."
        )
    begun = checked_start(start, model.states)
    for state in model.positive:
        if begun[state] < 0:
            raise ModelError(f"the start {state} = {begun[state]:g} is negative, but {state} is listed as positive.")
    held = _held(law, {} if at is None else at)
    notes = [n for name, v in held.items() if name in law.visited for n in beyond_data(name, v, v, law.visited[name])]
    return NewRun(start=begun, at=held, notes=tuple(notes))


def forecast_new(law: Discovery, t: np.ndarray, run: NewRun) -> pd.DataFrame:
    """The time, every state and every observable of a new run, as `Discovery.forecast` has them.

    Args:
        law: what was discovered.
        t: (time,) increasing; the run starts at the first [the data's time unit].
        run: the new run.

    Raises:
        SolveError: the times are not usable, or the law blows up before the last one.
    """
    import pandas as pd

    course = run.course(t)
    outputs = law.closed_form.outputs(t, course.converged(law.closed_form, run.x0)[0], course.u)
    return pd.DataFrame({law.data.time: t, **dict(zip(law.model.measurable, outputs.T, strict=True))})


def bands_new(law: Discovery, t: np.ndarray, run: NewRun, likelihood: Likelihood | None) -> pd.DataFrame:
    """Between what 95 % of the laws are that the data allow, all from the start of a new run; as `Discovery.bands`.

    Args:
        law: what was discovered.
        t: as in `forecast_new`.
        run: the new run.
        likelihood: of the measurements, for the start of the first trajectory.

    Raises:
        SolveError: the times are not usable, or the law itself blows up.
    """
    import pandas as pd

    known, edges = None if law.covariance is None else law.covariance.joint(0), {law.data.time: t}
    fitted = np.array([list(law.initial[law.data.trajectories[0].name].values())])
    bands = sampled_bands(law.closed_form, fitted, run.course(t), known, likelihood, start=run.x0)
    for name, low, high in zip(law.model.measurable, *(b.T for b in bands), strict=True):
        edges |= {f"{name} low": low, f"{name} high": high}
    return pd.DataFrame(edges)


def asked_run(law: Discovery, trajectory: int, start, at, *, warn: bool = False) -> NewRun | None:
    """The new run that a law is asked for; None where it is asked for a trajectory of the data.

    Args:
        law: what was discovered.
        trajectory: place of that trajectory.
        start, at: as for `new_run`, or None.
        warn: of what lies beyond the data.

    Raises:
        ModelError: as for `new_run`, or both are asked for.
    """
    if start is None and at is None:
        return None
    if trajectory:
        raise ModelError(f"a new run has its own start, not that of trajectory {trajectory}. Leave one of them out.")
    run = new_run(law, start, at)
    for note in run.notes if warn else ():
        warnings.warn(note, stacklevel=3)
    return run


def _held(law: Discovery, at: Mapping[str, float]) -> dict[str, float]:
    """Every covariate and input with its number."""
    model = law.model
    if not isinstance(at, Mapping):
        raise ModelError(f"at = {at!r} must name its numbers, as {{'name': 1.0}} does.")
    for name, value in at.items():
        _refuse_unknown(law, name)
        if not math.isfinite(number_of(value)):
            raise ModelError(f"{name} = {value} is no finite number to hold it at.")
    common = {name: values[0] for name in model.covariates if len(values := _values(law, name)) == 1}
    missing = [name for name in model.exogenous if name not in at and name not in common]
    if missing:
        told = [
            f"{n} (in the data {_values(law, n)[0]:.5g} to {_values(law, n)[-1]:.5g})" if n in model.covariates else n
            for n in missing
        ]
        raise ModelError(
            f"nothing says what {', '.join(told)} {'is' if len(missing) == 1 else 'are'} in the new run. Give "
            f"{'its number' if len(missing) == 1 else 'their numbers'} in at "
            f"({' '.join(f'--at {n}=NUMBER' for n in missing)})."
        )
    return {name: float(at.get(name, common.get(name, math.nan))) for name in model.exogenous}


def _values(law: Discovery, name: str) -> np.ndarray:
    """What a covariate is in the runs, those held out too: each value once, in order."""
    sets = [law.data, *([law.heldout] if law.heldout is not None else [])]
    return np.unique([sample_values(data, run, [name])[0, 0] for data in sets for run in data.trajectories])


def _refuse_unknown(law: Discovery, name: str) -> None:
    model = law.model
    if name in model.exogenous:
        return
    if name in model.states:
        raise ModelError(f"{name} is a state: it moves by itself. Give where it starts in start (--start).")
    if name in model.parameters or name in law.closed_form.labels:
        raise ModelError(
            f"{name} is a constant of the law, which a new run has as the data have it. Ask for a bifurcation to see "
            "what the law does where it is another."
        )
    if not model.exogenous:
        raise ModelError(f"the law has no covariate and no input, so that there is no {name!r} to set with at (--at).")
    raise ModelError(
        f"the law has no covariate and no input {name!r}. {did_you_mean(name, model.exogenous, listed='It has')}"
    )
