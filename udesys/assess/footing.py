"""What a law stands on: the measurements as they were weighted, and the laws that came near it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.stats import t as student

from udesys.model import HybridODE
from udesys.model.closed_form import ClosedForm
from udesys.search.measurements import Measurements
from udesys.select.field_refit import refitter_of
from udesys.select.refit import Point, Refit, Refitter

LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Footing:
    """The measurements on which laws are refitted once more, with weights in which squared errors are a likelihood.

    Attributes:
        data: the measurements; their `sigma` is widened where rows are worth less than one each.
        nodes: (samples, d) states of the hybrid fit, from which a refit that fails starts again.
        steps: (samples,) solver steps between a sample and the next.
        x0: (segments, d) starts of the law, one for each of the data's segments.
        degrees: of freedom that the residuals have left.
        measured_noise: (m,) standard deviation of the noise of one measurement [data units]; NaN where unmeasured.
    """

    data: Measurements = field(repr=False)
    nodes: np.ndarray = field(repr=False)
    steps: np.ndarray = field(repr=False)
    x0: np.ndarray = field(repr=False)
    degrees: float
    measured_noise: np.ndarray

    @property
    def quantile(self) -> float:
        """Of Student's t, between which and its negative 95 % are."""
        return float(student.ppf(0.5 + LEVEL / 2, self.degrees))

    def refitter(self, model: HybridODE) -> Refitter:
        """Refits closed forms of a model to these measurements.

        Args:
            model: the hybrid, whose bounds and priors hold.
        """
        return refitter_of(model, self.data, self.nodes, self.steps).freed()


@dataclass(frozen=True, kw_only=True)
class Rival:
    """Another law that the data cannot tell from the best one.

    Attributes:
        closed_form: the law with its constants in place.
        x0: (segments, d) its starts, one for each segment of the footing's data.
        criterion: of the selection; lower is better.
    """

    closed_form: ClosedForm = field(repr=False)
    x0: np.ndarray = field(repr=False)
    criterion: float

    @property
    def residuals(self) -> dict[str, str]:
        """term -> its formula with named constants."""
        form = self.closed_form
        return {term: form.residual_text(term) for term in form.model.terms}


def at_optimum(refit: Refit, data: Measurements) -> Point:
    """A refitted law as a point to linearise at.

    Args:
        refit: the law.
        data: what it was refitted to.
    """
    return Point(refit.form.values, refit.x0, 0.0, np.zeros_like(data.y), refit.states, refit.outputs)
