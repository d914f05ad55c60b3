"""Profile likelihood: how far a constant, or an expression of constants, can go while all else makes up for it.

Sources: Bates & Watts, Nonlinear Regression Analysis and Its Applications (1988), sec. 6.1 (profile t); Raue et al.,
Bioinformatics 25 (2009) 1923 (ends that are open).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from udesys.assess.derived import estimates_in_order, expression_of, footing_of
from udesys.assess.outward import Outward
from udesys.progress import Portion

if TYPE_CHECKING:
    from udesys.assess.discovery import Discovery


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How the law's misfit rises as a quantity is moved and all else follows.

    Attributes:
        name: a constant, or a derived quantity by its name or its text.
        expression: its text in terms of the constants; the name again for a constant.
        value: where the misfit is lowest.
        values: (points,) where the law was refitted, increasing, `value` among them.
        costs: (points,) squared errors there in units of the noise, above the lowest.
        threshold: cost at the ends of the 95 % interval.
        interval: its ends; infinite where they are open.
        covariance_interval: the interval from the curvature at the optimum; NaNs where there is none.
        notes: what is to be said of it, such as why an end is open.
        unit: of the values.
    """

    name: str
    expression: str
    value: float
    values: tuple[float, ...]
    costs: tuple[float, ...]
    threshold: float
    interval: tuple[float, float]
    covariance_interval: tuple[float, float]
    notes: tuple[str, ...] = ()
    unit: str = ""

    @property
    def open_low(self) -> bool:
        """Whether the misfit stays below the threshold on the lower side."""
        return math.isinf(self.interval[0])

    @property
    def open_high(self) -> bool:
        """Whether it does on the upper side."""
        return math.isinf(self.interval[1])

    def __contains__(self, value: float) -> bool:
        return bool(self.interval[0] <= value <= self.interval[1])

    def to_dict(self) -> dict:
        """Plain values for JSON; an end that is open is None."""
        ends = {"interval": self.interval, "covariance_interval": self.covariance_interval}
        return {
            **({"expression": self.expression} if self.expression != self.name else {}),
            "value": self.value,
            **{key: [float(e) if np.isfinite(e) else None for e in pair] for key, pair in ends.items()},
            **({"unit": self.unit} if self.unit else {}),
            "values": list(self.values),
            "costs": list(self.costs),
            "threshold": self.threshold,
            "notes": list(self.notes),
        }


def profile(law: Discovery, name: str, progress: Callable[[float], None] | None = None) -> Profile:
    """The profile likelihood of a constant or an expression of constants, with its 95 % interval.

    The interval holds what raises the squared errors, in units of the noise, by no more than the square of Student's
    97.5 % quantile; where a law is linear in its constants it is the one from the covariance.

    Args:
        law: what was found.
        name: a parameter, a label such as `NN1.c0`, a derived quantity's name, or an expression such as `alpha/delta`.
        progress: called with the share that is done.

    Raises:
        ModelError: there is no such constant, or it was not estimated.
        UdesysError: the law was found by an older version and does not keep what it stands on.
    """
    footing = footing_of(law)
    asked = law.quantities[name].expression if name in law.quantities else name
    quantity = expression_of(law.closed_form, asked)
    if quantity.place is not None:
        known = estimates_in_order(law)[quantity.place]
    else:
        known = law.quantities[name].estimate if name in law.quantities else law.derived(asked)
    walk = Outward(law.closed_form, footing, quantity, known.stderr)
    points, ends, notes = walk.both_sides(progress or (lambda share: None))
    lowest = walk.best.cost
    return Profile(
        name=name,
        expression=asked,
        value=float(walk.best.value),
        values=tuple(float(p.value) for p in points),
        costs=tuple(float(max(p.cost - lowest, 0.0)) for p in points),
        threshold=walk.quantile**2,
        interval=(float(ends[0]), float(ends[1])),
        covariance_interval=known.interval,
        notes=tuple(notes),
        unit=known.unit,
    )


def profiles(law: Discovery, names: Sequence[str] = (), progress: Callable | None = None) -> dict[str, Profile]:
    """Profiles of several quantities, by name; the law's derived quantities too where none are named.

    Args:
        law: what was found.
        names: as of `profile`; all estimated constants and derived quantities if empty.
        progress: called as progress(stage, step, value).

    Raises:
        ModelError: one is no constant of the law, before any is begun.
        UdesysError: the law was found by an older version and does not keep what it stands on.
    """
    footing_of(law)
    names = list(dict.fromkeys(names)) or profiled_by_default(law)
    for name in names:
        expression_of(law.closed_form, law.quantities[name].expression if name in law.quantities else name)
    made = {}
    for k, name in enumerate(names):

        def told(share: float, k=k, name=name) -> None:
            if progress is not None:
                progress("profile", k, Portion(f"{name}, {k + 1} of {len(names)}", (k + share) / len(names)))

        told(0.0)
        made[name] = profile(law, name, told)
        told(1.0)
    return made


def profiled_by_default(law: Discovery) -> list[str]:
    """The estimated constants of a law as they are printed, then its derived quantities."""
    return [*law.correlation[0], *law.quantities]
