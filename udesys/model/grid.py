"""Fields on a line by the method of lines: a grid with its ends, difference operators, and learned stencils.

Source: Schiesser, The Numerical Method of Lines (1991); Rackauckas et al., arXiv:2001.04385 (a stencil that is
learned).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from udesys.errors import ModelError, did_you_mean

OPERATORS = ("dx", "dxx", "mean3")  # of a point and its two neighbours
SAME = {"laplace": "dxx"}  # on a line
STENCIL = "conv3"
COEFFICIENTS = ("beta1", "beta2", "beta3")  # of a learned stencil, for u, u_x and -u_xx
ENDS = ("periodic", "neumann", "dirichlet")
LEAST_POINTS = 4
EVEN = 1e-6  # of the spacing: what it may vary by
_CALL = re.compile(r"(dx|dxx|mean3)\((.*)\)\Z", re.DOTALL)


@dataclass(frozen=True)
class Grid:
    """Evenly spaced points on a line, and what holds at its ends.

    Args:
        points: (n,) positions, evenly spaced and increasing.
        ends: "periodic": the point after the last is the first again; "neumann": no slope at the first and at the
            last point; "dirichlet": these two keep their values. One for all fields, or field -> one.
        name: of the position, as the table and the equations have it.

    Raises:
        ModelError: the points are too few or uneven, or the ends are unknown.
    """

    points: tuple[float, ...]
    ends: str | Mapping[str, str] = "periodic"
    name: str = "x"

    def __post_init__(self):
        try:
            points = np.array(self.points, dtype=float)
        except (TypeError, ValueError):
            raise ModelError("the points of a grid must be numbers.") from None
        if points.ndim != 1 or len(points) < LEAST_POINTS or not np.isfinite(points).all():
            raise ModelError(f"a grid needs at least {LEAST_POINTS} points, which are finite numbers.")
        steps = np.diff(points)
        if not (steps > 0).all() or np.ptp(steps) > EVEN * steps.mean():
            low, high = steps.min(), steps.max()
            raise ModelError(
                f"the points of a grid must increase evenly, but their spacing is from {low:.6g} to {high:.6g}. "
                "Interpolate the measurements to even positions, or leave the odd ones out."
            )
        object.__setattr__(self, "points", tuple(points.tolist()))
        for ends in self.ends.values() if isinstance(self.ends, Mapping) else (self.ends,):
            if ends not in ENDS:
                raise ModelError(f"ends = {ends!r} of a grid is unknown. {did_you_mean(str(ends), ENDS)}")

    @property
    def n(self) -> int:
        """Number of points."""
        return len(self.points)

    @property
    def spacing(self) -> float:
        """Distance of neighbouring points."""
        return (self.points[-1] - self.points[0]) / (self.n - 1)

    def ends_of(self, field: str) -> str:
        """What holds at the ends for a field."""
        if not isinstance(self.ends, Mapping):
            return self.ends
        return self.ends.get(field, self.ends.get(field.rstrip("'"), ENDS[0]))

    def neighbours(self, field: str) -> np.ndarray:
        """(n, 3) places of the point before, the point itself and the point after.

        At an end without slope the point beyond is the mirror image of the point within.
        """
        places = np.arange(self.n)[:, None] + np.arange(-1, 2)
        if self.ends_of(field) == "periodic":
            return places % self.n
        places[0, 0], places[-1, 2] = 1, self.n - 2
        return places

    def moving(self, field: str) -> np.ndarray:
        """(n,) 1 where the field follows its equation, 0 where it keeps its value."""
        moving = np.ones(self.n)
        if self.ends_of(field) == "dirichlet":
            moving[[0, -1]] = 0.0
        return moving

    def weights(self, operator: str) -> np.ndarray:
        """(3,) weights of an operator: central differences of second order, or the mean (1, 2, 1)/4."""
        h = self.spacing
        return {
            "dx": np.array([-1.0, 0.0, 1.0]) / (2 * h),
            "dxx": np.array([1.0, -2.0, 1.0]) / h**2,
            "mean3": np.array([1.0, 2.0, 1.0]) / 4,
        }[operator]

    def apply(self, operator: str, values: np.ndarray, field: str) -> np.ndarray:
        """An operator along the grid.

        Args:
            operator: "dx", "dxx" or "mean3".
            values: (..., n).
            field: whose ends hold.
        """
        return np.asarray(values)[..., self.neighbours(field)] @ self.weights(operator)

    def stencil(self, beta1: float, beta2: float, beta3: float) -> np.ndarray:
        """(3,) weights of the learned stencil with these coefficients.

            theta = beta1/4 (1, 2, 1) + beta2/(2h) (-1, 0, 1) + beta3/h^2 (-1, 2, -1)

        The last part is minus the second difference: diffusion with a constant D is beta3 = -D.
        """
        mean, first, second = (self.weights(name) for name in ("mean3", "dx", "dxx"))
        return beta1 * mean + beta2 * first - beta3 * second

    def coefficients(self, theta: Sequence[float]) -> tuple[float, float, float]:
        """beta1, beta2, beta3 of three weights: the inverse of `stencil`, exact."""
        left, middle, right = (float(w) for w in theta)
        h = self.spacing
        return left + middle + right, h * (right - left), h**2 * (middle - left - right) / 4

    def __str__(self) -> str:
        ends = self.ends if isinstance(self.ends, str) else ", ".join(f"{n} {e}" for n, e in self.ends.items())
        return f"{self.n} points of {self.name} from {self.points[0]:g} to {self.points[-1]:g}, {ends} ends"


@dataclass(frozen=True)
class Spatial:
    """An operator applied along the grid to an expression of the fields at each point.

    Attributes:
        name: the symbol that stands for it in the equations, `dxx(u)`.
        operator: one of `OPERATORS`.
        argument: its tree, over fields and numbers.
        field: the field whose ends hold.
    """

    name: str
    operator: str
    argument: object
    field: str


def is_spatial(symbol: str) -> bool:
    """Whether a symbol stands for an operator along the grid."""
    return _CALL.match(symbol) is not None


def spatial_parts(symbol: str) -> tuple[str, str]:
    """Operator and text of the argument of such a symbol."""
    return _CALL.match(symbol).groups()


def coefficient_names(field: str) -> tuple[str, str, str]:
    """Names of the parameters of the stencil that is learned for a field: `beta1_u`, `beta2_u`, `beta3_u`."""
    one, two, three = (f"{name}_{field}".replace("'", "_prime") for name in COEFFICIENTS)
    return one, two, three
