"""Between what a law lies, given how well its constants and initial values are known."""

from __future__ import annotations

import numpy as np

from udesys.assess.draws import STICKING, Likelihood, drawn_laws
from udesys.assess.forecast import Course
from udesys.model.closed_form import ClosedForm

DRAWS, LEAST_DRAWS, STEPS = 400, 100, 4_000_000  # fewer draws where all would take more steps
ENOUGH = 1e-5  # relative change on doubling the steps, for a draw; draws know a band to some percent
TAIL = 2.5  # percent of the draws on either side of a band
LARGEST_DRAW = 1e12  # times the law's own size, beyond which a draw has blown up


def sampled_bands(
    form: ClosedForm,
    x0: np.ndarray,
    course: Course,
    covariance: np.ndarray | None,
    likelihood: Likelihood | None = None,
    *,
    start: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Between what 95 % of the laws drawn about a closed form are, at every time.

    They are sampled, not linearised: where a law is bent, its band is too. A draw that blows up counts as infinite.

    Args:
        form: the closed form at its optimum.
        x0: (1, d), its initial values.
        course: the times.
        covariance: (unknowns + d, unknowns + d) of the form's values and x0; None or NaN where it is not known.
        likelihood: of the measurements, by which draws are weighed; None takes the covariance for all there is.
        start: (1, d) from which all of them are simulated, where that is given and not x0.

    Returns:
        Low and high (time, m) of the states, then the observables; NaN without a covariance.

    Raises:
        SolveError: the law itself blows up.
    """
    states, count = course.converged(form, x0 if start is None else start, ENOUGH)
    best = form.outputs(course.t, states, course.u)
    if covariance is None or not np.isfinite(covariance).all():
        return np.full_like(best, np.nan), np.full_like(best, np.nan)
    cost = course.cost(form, count) * (STICKING if form.jumps else 1)
    n_draws = int(np.clip(STEPS // cost, LEAST_DRAWS, DRAWS))
    draws, size = np.empty((n_draws, *best.shape)), LARGEST_DRAW * (1.0 + np.abs(best).max(0))
    laws = zip(*drawn_laws(form, x0, covariance, n_draws, likelihood), strict=True)
    for draw, (values, drawn) in zip(draws, laws, strict=True):
        states = course.states(form, drawn[None] if start is None else start, count, values)
        outputs = form.outputs(course.t, states, course.u, values=values)
        draw[:] = np.where(np.abs(outputs) < size, outputs, np.inf)
    lost = np.isinf(draws)
    low, high = np.percentile(np.where(lost, best, draws), [TAIL, 100.0 - TAIL], axis=0)
    wild = lost.mean(0) > TAIL / 100.0
    return np.where(wild, -np.inf, low), np.where(wild, np.inf, high)
