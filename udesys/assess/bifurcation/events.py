"""Where the stability of an equilibrium changes along its curve: folds, Hopf points and branch points.

Each is the zero of a function along the curve, found by a scalar method on points that Newton's method puts back on
the curve: the value's share of the tangent at a fold, the determinant of the curve's extended matrix at a branch
point, the product of all sums of two eigenvalues at a Hopf point (Kuznetsov, Elements of Applied Bifurcation Theory
(2004), sec. 10.2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from udesys.assess.bifurcation.continuation import Curves, Place

NEUTRAL = 1e-8  # of the largest eigenvalue: a real part below it is zero
UPRIGHT = 1e-3  # value's share of the tangent at a branch point, below which the curve turns there: a pitchfork
NEAR, BESIDE = 0.02, 0.1  # of a step: how closely a branch point is bracketed, and distance of points beside it
HALVINGS = 6  # of a step in which eigenvalues cross without an event that is seen
FOLD, HOPF, BRANCH = "fold", "Hopf", "branch point"


@dataclass(frozen=True)
class Met:
    """An event on a curve.

    Attributes:
        kind: "fold", "Hopf" or "branch point".
        place: where.
        omega: imaginary part of the crossing pair at a Hopf point; NaN otherwise.
    """

    kind: str
    place: Place
    omega: float = math.nan


def events_between(curves: Curves, place: Place, step: float, following: Place, depth: int = 0) -> list[Met]:
    """What is met within a step, in order.

    Args:
        curves: the equilibria.
        place: where the step starts.
        step: its length along the tangent.
        following: where it leads.
        depth: how often a longer step was halved to this one.
    """
    tests = {FOLD: _fold, BRANCH: _branch, HOPF: _hopf}
    found = []
    for kind, test in tests.items():
        before, after = test(curves, place), test(curves, following)
        if not before * after < 0:
            continue
        at = _zero(curves, place, step, test)
        if at is None:
            continue
        if kind == HOPF:
            omega = _crossing(curves, at.z)
            if omega is None:
                continue  # two real ones of opposite sign, or an eigenvalue that is zero anyway
            found.append(Met(HOPF, at, omega))
        else:
            found.append(Met(kind, at))
    branches = [met for met in found if met.kind == BRANCH]
    # Where a curve turns in a branch point it seems to have a fold: one event.
    found = [m for m in found if m.kind != FOLD or not any(_same(m.place.z, b.place.z) for b in branches)]
    if not _explained(curves, place, following, found) and depth < HALVINGS:
        middle = curves.from_place(place, 0.5 * step)
        if middle is not None:
            rest = float(middle.tangent @ (following.z - middle.z))
            first = events_between(curves, place, 0.5 * step, middle, depth + 1)
            return first + events_between(curves, middle, rest, following, depth + 1)
    return sorted(found, key=lambda met: float(place.tangent @ (met.place.z - place.z)))


def unstable(eigenvalues: np.ndarray) -> np.ndarray:
    """(...,) how many of eigenvalues (..., d) have a positive real part."""
    size = np.abs(eigenvalues).max(-1, keepdims=True)
    return (eigenvalues.real > NEUTRAL * size).sum(-1)


def neutral(eigenvalues: np.ndarray) -> np.ndarray:
    """(...,) whether some of eigenvalues (..., d) have no real part that counts."""
    size = np.abs(eigenvalues).max(-1, keepdims=True)
    return (np.abs(eigenvalues.real) <= NEUTRAL * size).any(-1)


def _explained(curves: Curves, place: Place, following: Place, found: list[Met]) -> bool:
    """Whether as many eigenvalues change sides as the events tell."""
    sides = [curves.eigenvalues(p.z) for p in (place, following)]
    if any(neutral(side) for side in sides):
        return True
    change = abs(int(unstable(sides[1])) - int(unstable(sides[0])))
    most = sum(2 if met.kind == HOPF else 1 for met in found)
    return change <= most and (change - most) % 2 == 0


def _fold(curves: Curves, place: Place) -> float:
    return float(place.tangent[-1])


def _branch(curves: Curves, place: Place) -> float:
    matrix = np.vstack([curves.matrix(place.z)[1], place.tangent])
    return float(np.linalg.det(matrix / np.abs(matrix).max()))  # rows may vanish in it, and keep their sizes


def _hopf(curves: Curves, place: Place) -> float:
    """The product of the sums of two eigenvalues over their sizes; NaN where one of them is nothing but rounding."""
    found = curves.eigenvalues(place.z)
    size = np.abs(found).max()
    if len(found) < 2 or not size > 0:
        return math.nan
    sums = np.array([found[i] + found[j] for i, j in combinations(range(len(found)), 2)]) / size
    return math.nan if np.abs(sums).min() < 1e-11 else float(np.prod(sums).real)


def _crossing(curves: Curves, z: np.ndarray) -> float | None:
    """Imaginary part of the pair on the axis; None where the two that cancel are real."""
    found = curves.eigenvalues(z)
    i, j = min(combinations(range(len(found)), 2), key=lambda pair: abs(found[pair[0]] + found[pair[1]]))
    turns = abs(found[i].imag)
    return float(turns) if turns > 1e-4 * np.abs(found).max() and np.isclose(found[i], found[j].conj()) else None


def _zero(curves: Curves, place: Place, step: float, test) -> Place | None:
    """Where a test is zero within a step; None where the curve is lost on the way."""
    from scipy.optimize import brentq

    def value(part: float) -> float:
        at = place if part == 0.0 else curves.from_place(place, part)
        return 0.0 if at is None else _number(test(curves, at))

    coarse = test is _branch
    try:
        part = brentq(value, 0.0, step, xtol=NEAR * step if coarse else 1e-15, rtol=NEAR if coarse else 1e-14)
    except (ValueError, RuntimeError):
        return None
    return _through(curves, place, part, step) if coarse else curves.from_place(place, part)


def _through(curves: Curves, place: Place, part: float, step: float) -> Place | None:
    """A branch point, from points of the curve on both sides of it: in itself the curve cannot be solved for."""
    nodes = np.array([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0])
    found = [curves.from_place(place, part + BESIDE * step * node) for node in nodes]
    if any(at is None for at in found):
        return None
    tests = [_branch(curves, at) for at in found]
    roots = np.roots(np.polyfit(nodes, tests, len(nodes) - 1))
    roots = roots[np.abs(roots.imag) < 1e-9].real
    if not len(roots) or np.abs(roots).min() > 1.0:
        return None
    root = roots[np.argmin(np.abs(roots))]
    courses = [np.poly1d(np.polyfit(nodes, column, len(nodes) - 1)) for column in np.array([at.z for at in found]).T]
    tangent = np.array([course.deriv()(root) for course in courses])
    return Place(np.array([course(root) for course in courses]), tangent / np.linalg.norm(tangent))


def _number(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.abs(a - b).max() < 1e-4)
