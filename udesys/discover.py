"""The straight line: from measurements and half a law to the whole law."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from udesys.assess.estimate import Estimate
from udesys.data import Dataset
from udesys.fit import FitResult
from udesys.model import HybridODE
from udesys.model.closed_form import ClosedForm


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
        delta: criterion above the best one's.
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
        candidates: ranked models, best first.
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
