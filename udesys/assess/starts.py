"""The estimates of a law's initial values."""

from __future__ import annotations

import numpy as np

from udesys.assess.estimate import Estimate

NOT = (float("nan"), float("nan"))


def initial_estimates(law) -> dict[str, dict[str, Estimate]]:
    """trajectory -> state -> Estimate of its initial value, with intervals of Student's t as the constants have.

    What the model gives, as a number or as the first measurement, is fixed. One that is zero where the state is listed
    as positive is at its bound.

    Args:
        law: a Discovery.
    """
    covariance, quantile = law.covariance, np.nan if law.footing is None else law.footing.quantile
    asked = np.array([law.model.initial[state] == "free" for state in law.model.states])
    free = asked if law.footing is None else law.footing.data.free
    shape = (len(law.initial), len(free))
    variances = np.full(shape, np.nan) if covariance is None else np.diagonal(covariance.starts, axis1=1, axis2=2)
    known = covariance is not None and covariance.determined is not None
    determined = covariance.determined if known else np.ones(shape, bool)
    found = {}
    for k, (run, x0) in enumerate(law.initial.items()):
        found[run] = {}
        for j, (state, value) in enumerate(x0.items()):
            at_bound = 0.0 if free[j] and state in law.model.positive and value <= 0 else None
            told = free[j] and determined[k, j] and at_bound is None and variances[k, j] > 0
            error = float(np.sqrt(variances[k, j])) if told else float("nan")
            found[run][state] = Estimate(
                value=value,
                stderr=error,
                interval=(value - quantile * error, value + quantile * error) if told else NOT,
                fixed=not free[j],
                identifiable=bool(determined[k, j] or not free[j]),
                at_bound=at_bound,
            )
    return found
