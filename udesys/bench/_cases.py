"""The simulated cases of `udesys bench residual-terms`: laws, experiments and what is measured of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np

from udesys.bench._laws import Constant, Law
from udesys.data import Dataset, Trajectory
from udesys.errors import DataError, did_you_mean
from udesys.model import HybridODE
from udesys.systems.lotka_volterra import SYSTEM as LOTKA_VOLTERRA

OUTLIER_SIZE = 10  # noise standard deviations


def mean_magnitude(states: np.ndarray) -> np.ndarray:
    """Mean of |state| over the rows."""
    return np.abs(states).mean(0)


def spread(states: np.ndarray) -> np.ndarray:
    """Standard deviation of each state over the rows."""
    return states.std(0)


Named = TypeVar("Named")  # anything with a name


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One data set of a case, and what a fit to it is judged by.

    Attributes:
        model: the hybrid to fit.
        data: to what.
        points: missing term -> (n, arguments), the true states at the sample times [data units].
        truth: missing term -> (n,), its true values there.
        true_model: the hybrid with the true formulas in place of its networks.
        states: state -> (n,), the true states at the sample times.
        law: what all of this was made from.
    """

    model: HybridODE
    data: Dataset
    points: dict[str, np.ndarray]
    truth: dict[str, np.ndarray]
    true_model: HybridODE
    states: dict[str, np.ndarray]
    law: Law


@dataclass(frozen=True, kw_only=True)
class Case:
    """A law, how it is observed, and how well its missing terms should be found.

    Attributes:
        name: of the case.
        aim: relative L2 error of the missing terms to stay below.
        law: the truth.
        runs: generator -> trajectories of all states without noise.
        noise: standard deviation as a share of each state's scale over all trajectories.
        scale: (n, states) -> (states,), the mean magnitude or the standard deviation.
        measured: states with a column; all where it is empty.
        missing: share of cells that are missing.
        outliers: share of cells that are off by ten standard deviations more.
        interpolation: of the inputs.
    """

    name: str
    aim: float
    law: Law
    runs: Callable[[np.random.Generator], list[Trajectory]]
    noise: float
    scale: Callable[[np.ndarray], np.ndarray] = mean_magnitude
    measured: tuple[str, ...] = ()
    missing: float = 0.0
    outliers: float = 0.0
    interpolation: str = "cubic"

    def make(self, seed: int) -> Problem:
        """The case's data and models.

        Args:
            seed: of the experiment's random starts, inputs and times, and of the noise.
        """
        rng = np.random.default_rng(seed)
        runs, model = self.runs(rng), self.law.hybrid()
        exact = np.concatenate([run.y for run in runs])
        states = dict(zip(model.states, exact.T, strict=True))
        truth = self.law.term_values(states)
        points = {t: np.stack([states[a] for a in s.arguments], 1) for s in model.slots for t in s.terms}
        return Problem(
            model=model,
            data=self._dataset(model, runs, self._measurements(exact, rng)),
            points=points,
            truth=truth,
            true_model=self.law.true_form(),
            states=states,
            law=self.law,
        )

    def _measurements(self, exact: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(n, states) with noise, outliers and missing cells."""
        sd = self.noise * self.scale(exact)
        measured = exact + sd * rng.standard_normal(exact.shape)
        if self.outliers:
            off = rng.random(exact.shape) < self.outliers
            measured += off * OUTLIER_SIZE * sd * rng.choice([-1.0, 1.0], exact.shape)
        if self.missing:
            measured[rng.random(exact.shape) < self.missing] = np.nan
        return measured

    def _dataset(self, model: HybridODE, runs: list[Trajectory], measured: np.ndarray) -> Dataset:
        columns = self.measured or model.states
        chosen = measured[:, [model.states.index(name) for name in columns]]
        ends = np.cumsum([len(run.t) for run in runs])[:-1]
        parts = zip(runs, np.split(chosen, ends), strict=True)
        trajectories = tuple(replace(run, y=y) for run, y in parts)
        inputs = dict.fromkeys(self.law.inputs, self.interpolation)
        return Dataset(columns=columns, trajectories=trajectories, time="t", source=self.name, inputs=inputs)


# ------------------------------------------------------------------ laws
BOTH_INTERACTIONS = Law(
    equations=LOTKA_VOLTERRA.equations,
    terms=LOTKA_VOLTERRA.missing,
    constants={
        "beta": Constant(LOTKA_VOLTERRA.constants["beta"], 0.5),
        "gamma": Constant(LOTKA_VOLTERRA.constants["gamma"], 0.5),
    },
    known=LOTKA_VOLTERRA.known,
)
PREDATOR_GROWTH = Law(
    equations="""
        prey' = alpha*prey - beta*prey*predator
        predator' = NN(prey, predator) - delta*predator
    """,
    terms={"NN(prey, predator)": "gamma*prey*predator"},
    constants={"gamma": Constant(LOTKA_VOLTERRA.constants["gamma"], 0.5)},
    known={name: LOTKA_VOLTERRA.constants[name] for name in ("alpha", "beta", "delta")},
)
DUFFING = Law(
    equations="x'' = NN(x) - c*x' + u",
    terms={"NN(x)": "-k1*x - k3*x^3"},
    constants={"k1": Constant(1.0, 0.5), "k3": Constant(1.0, 0.5)},
    estimated={"c": Constant(0.2, 0.1)},
    inputs=("u",),
)
LORENZ = Law(
    equations="""
        x' = 10*(y - x)
        y' = x*(28 - z) - y
        z' = NN(x, y) - 8/3*z
    """,
    terms={"NN(x, y)": "k*x*y"},
    constants={"k": Constant(1.0, 0.5)},
)
ROBERTSON = Law(
    equations="""
        y1' = -0.04*y1 + 1e4*y2*y3
        y2' = 0.04*y1 - 1e4*y2*y3 - NN(y2)
        y3' = NN(y2)
    """,
    terms={"NN(y2)": "k*y2^2"},
    constants={"k": Constant(3e7, 2e7)},
)
VAN_DER_POL = Law(
    equations="x'' = NN(x)*x' - x",
    terms={"NN(x)": "a - b*x^2"},
    constants={"a": Constant(1000.0, 600.0), "b": Constant(1000.0, 1500.0)},
)
MICHAELIS_MENTEN = Law(
    equations="s' = -NN(s)",
    terms={"NN(s)": "Vmax*s/(K + s)"},
    constants={"Vmax": Constant(1.0, 2.0), "K": Constant(0.5, 1.0)},
)
PENDULUM = Law(
    equations="theta'' = -NN(theta) - 0.1*theta'",
    terms={"NN(theta)": "k*sin(theta)"},
    constants={"k": Constant(4.0, 2.5)},
)


# ------------------------------------------------------------------ experiments
def one_run(rng: np.random.Generator, law: Law, x0, t, stiff: bool = False) -> list[Trajectory]:
    """One run from a fixed start, sampled at the times `t`."""
    return [Trajectory(name="0", t=t, y=law.solve(x0, (t[0], t[-1]), stiff=stiff).sol(t).T)]


def many_runs(rng: np.random.Generator, law: Law, starts, t) -> list[Trajectory]:
    """One run from each of the starts, all sampled at the times `t`."""
    return [Trajectory(name=str(k), t=t, y=law.solve(x0, (t[0], t[-1])).sol(t).T) for k, x0 in enumerate(starts)]


def short_runs(rng: np.random.Generator, law: Law, n_runs: int = 30, n_samples: int = 6) -> list[Trajectory]:
    """Short runs from random starts, each sampled at random times of its own in 0 to 3."""
    runs = []
    for k in range(n_runs):
        t = np.sort(rng.uniform(0, 3, n_samples))
        x0 = rng.uniform([0.5, 0.5], [5, 4])
        runs.append(Trajectory(name=str(k), t=t, y=law.solve(x0, (0, 3)).sol(t).T))
    return runs


def driven_run(rng: np.random.Generator, law: Law, n: int = 1000) -> list[Trajectory]:
    """A run from rest, driven by a cubic spline through random knots every half time unit."""
    from scipy.interpolate import CubicSpline

    t = np.linspace(0, 100, n)
    knots = np.linspace(0, 100, 201)
    force = CubicSpline(knots, 1.5 * rng.standard_normal(len(knots)))
    exact = law.solve((0, 0), (0, 100), signals=(force,)).sol(t).T
    return [Trajectory(name="0", t=t, y=exact, u=force(t)[:, None])]


def run_on_the_attractor(rng: np.random.Generator, law: Law, n: int = 2000) -> list[Trajectory]:
    """Forty time units after ten that are left out."""
    arrived = law.solve((1, 1 + rng.standard_normal(), 20), (0, 10)).y[:, -1]
    return one_run(rng, law, arrived, np.linspace(0, 40, n))


def relaxation_run(rng: np.random.Generator, law: Law, n: int = 400) -> list[Trajectory]:
    """Two periods of a relaxation oscillation up to its fourth jump, sampled so that its jumps are followed.

    The samples stand at equal steps of the path length of arcsinh(x/0.1), arcsinh(x'/0.001) and slowly passing time.
    """
    period = 1614.3  # of mu = 1000, a little less so that the last jump is left out
    solution = law.solve((2, 0), (0, 2 * period), stiff=True)
    shape = np.arcsinh(solution.y.T / [0.1, 1e-3])
    path = np.r_[0, np.cumsum(np.linalg.norm(np.diff(shape, axis=0), axis=1))] + 20 * solution.t / period
    t = np.interp(np.linspace(0, path[-1], n), path, solution.t)
    return [Trajectory(name="0", t=t, y=solution.sol(t).T)]


PREY_AND_PREDATOR = tuple(LOTKA_VOLTERRA.starts[0].values())
ROWS_31 = np.round(0.1 * np.arange(31), 1)
ROWS_101 = np.round(0.1 * np.arange(101), 1)
LONG_RUN = partial(one_run, law=BOTH_INTERACTIONS, x0=PREY_AND_PREDATOR, t=ROWS_101)


def _study(level: float, aim: float) -> Case:
    """The study of arXiv:2001.04385 at one noise."""
    runs = partial(one_run, law=BOTH_INTERACTIONS, x0=PREY_AND_PREDATOR, t=ROWS_31)
    return Case(name=f"lv-{100 * level:g}%", aim=aim, law=BOTH_INTERACTIONS, runs=runs, noise=level)


CASES = (
    _study(0.001, 0.02),
    _study(0.005, 0.04),
    _study(0.01, 0.06),
    _study(0.025, 0.1),
    _study(0.05, 0.15),
    Case(name="missing", aim=0.03, law=BOTH_INTERACTIONS, runs=LONG_RUN, noise=0.01, missing=0.4),
    Case(
        name="prey-only",
        aim=0.05,
        law=PREDATOR_GROWTH,
        runs=partial(one_run, law=PREDATOR_GROWTH, x0=PREY_AND_PREDATOR, t=ROWS_101),
        noise=0.01,
        measured=("prey",),
    ),
    Case(
        name="trajectories",
        aim=0.05,
        law=BOTH_INTERACTIONS,
        runs=partial(short_runs, law=BOTH_INTERACTIONS),
        noise=0.05,
    ),
    Case(name="outliers", aim=0.03, law=BOTH_INTERACTIONS, runs=LONG_RUN, noise=0.01, outliers=0.1),
    Case(
        name="duffing",
        aim=0.02,
        law=DUFFING,
        runs=partial(driven_run, law=DUFFING),
        noise=0.01,
        scale=spread,
        measured=("x",),
    ),
    Case(name="lorenz", aim=0.03, law=LORENZ, runs=partial(run_on_the_attractor, law=LORENZ), noise=0.05),
    Case(
        name="robertson",
        aim=0.1,
        law=ROBERTSON,
        runs=partial(one_run, law=ROBERTSON, x0=(1, 0, 0), t=np.r_[0, np.geomspace(1e-4, 1e5, 39)], stiff=True),
        noise=0.01,
    ),
    Case(name="vdp", aim=0.1, law=VAN_DER_POL, runs=partial(relaxation_run, law=VAN_DER_POL), noise=0.01),
    Case(
        name="michaelis-menten",
        aim=0.06,
        law=MICHAELIS_MENTEN,
        runs=partial(many_runs, law=MICHAELIS_MENTEN, starts=[[0.5], [1.5], [4.0]], t=np.linspace(0, 6, 30)),
        noise=0.02,
    ),
    Case(
        name="pendulum",
        aim=0.05,
        law=PENDULUM,
        runs=partial(one_run, law=PENDULUM, x0=(2, 0), t=np.linspace(0, 15, 150)),
        noise=0.02,
        measured=("theta",),
    ),
)


def choose_cases(names: Sequence[str] = ()) -> list[Case]:
    """The named cases, or all of them; see `chosen`."""
    return chosen(CASES, names)


def chosen(cases: Sequence[Named], names: Sequence[str]) -> list[Named]:
    """The named ones of some cases, or all of them.

    Args:
        cases: each with a name.
        names: of cases; a name given twice counts once.

    Raises:
        DataError: there is no case of a name.
    """
    known = {case.name: case for case in cases}
    for name in names:
        if name not in known:
            raise DataError(f"there is no case {name!r}. {did_you_mean(name, known)}")
    return [known[name] for name in dict.fromkeys(names or known)]
