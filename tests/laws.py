"""Data, models, fits and laws that several test modules need; what costs seconds is made once."""

import functools
import inspect

import numpy as np
from scipy.integrate import solve_ivp

import udesys
from udesys.data import Dataset, Trajectory
from udesys.fit import FitResult
from udesys.model import HybridODE, Network, Parameter
from udesys.systems import get_system, make_data, simulate

SYSTEM = get_system("lotka_volterra")
COLUMNS = ("prey", "predator")
TRUTH = SYSTEM.constants  # alpha, beta, gamma, delta
EXACT = simulate(SYSTEM).trajectories[0]
KNOWN = "prey' = alpha*prey - beta*prey*predator\npredator' = gamma*prey*predator - delta*predator"

# Every kind of right side: its name -> equations, parameters and networks of a `HybridODE`.
RIGHT_SIDES = {
    "one network, two states": ("x' = a*x + NN1(x, y)\ny' = -d*y + NN2(x, y)", {}, {}),
    "softplus": ("x' = a*x + NN(x, y)\ny' = -NN(x, y)", {}, {"NN": Network((5,), "softplus")}),
    "cubic": ("x' = a*x + NN(x, y)\ny' = -NN(x, y)", {}, {"NN": Network((5,), "cubic")}),
    "three hidden layers": ("x' = NN(x, y)\ny' = x*NN(x, y)", {}, {"NN": Network((4, 3, 5), "softplus")}),
    "two deep networks": (
        "x' = NN1(x)*NN2(y)\ny' = exp(-NN2(y)) + NN1(x)^2", {},
        {"NN1": Network((3, 2), "cubic"), "NN2": Network((2, 4), "tanh")},
    ),
    "shared, called with different arguments": (
        "x' = NN(x, y) - a*x\ny' = NN(y, x) + NN(x + y, x*y)*y", {}, {"NN": Network((4,), "tanh")},
    ),
    "several outputs": ("x' = NN(x, y)[2] + b*x\ny' = NN(x, y)[0]*NN(x, y)[1]", {}, {"NN": Network((4, 3), "tanh")}),
    "several outputs, shared": ("x' = NN(x)[1]*y\ny' = NN(y)[0] - NN(x)[0]", {}, {"NN": Network((3,), "cubic")}),
    "parameters inside the arguments": (
        "x' = a*x + NN(x/k, y - c)\ny' = c*NN(y/k, x)", {"k": Parameter(2.0), "c": Parameter(-0.5)},
        {"NN": Network((4,), "tanh")},
    ),
    "second order": ("q'' = -w^2*q + NN(q, q')\np' = q' - NN(p, q)*r", {}, {"NN": Network((4,), "softplus")}),
    "time and fixed parameters": (
        "x' = g*sin(t) + NN(x, t/g)\ny' = y/(1 + x^2) + g*NN(y, cos(w*t))", {"g": 3.0, "w": Parameter(0.7)}, {},
    ),
    "kinks": ("x' = min(x, y)*a + NN(max(x, 0.1*y))\ny' = abs(NN(x))*sign(y)", {}, {}),
    "constant right sides": ("x' = a\ny' = 2\nz' = a*b", {}, {}),
    "no parameter": ("x' = NN(x)", {}, {}),
    "no network": ("x' = a*x - b*x*y\ny' = exp(-c*y)*x", {}, {}),
}  # fmt: skip


def fit(model, data, **options) -> FitResult:
    """`udesys.fit`; a model may be given as its text."""
    return udesys.fit(HybridODE(model) if isinstance(model, str) else model, data, **options)


def discover(model, data, **options):
    """`udesys.discover`, likewise."""
    return udesys.discover(HybridODE(model) if isinstance(model, str) else model, data, **options)


def lotka_volterra_rhs(t, x, alpha=1.3, beta=0.9, gamma=0.8, delta=1.8):
    return [alpha * x[0] - beta * x[0] * x[1], gamma * x[0] * x[1] - delta * x[1]]


def solution(rhs, x0, t):
    """States (time, state) of an ordinary right side by SciPy, far below any noise used here."""
    done = solve_ivp(rhs, (t[0], t[-1]), x0, method="DOP853", t_eval=t, rtol=1e-12, atol=1e-12)
    assert done.success, done.message
    return done.y.T


def dataset(columns, *runs, time="t", inputs=None, covariates=()) -> Dataset:
    """A dataset of (t, y), (t, y, u) or (t, y, u, covariates), named 1, 2, ...

    Args:
        inputs: name -> interpolation.
        covariates: their names.
    """
    parts = ("t", "y", "u", "covariates")
    made = [Trajectory(name=str(k), **dict(zip(parts, run, strict=False))) for k, run in enumerate(runs, start=1)]
    drivers = {"inputs": inputs or {}, "covariates": covariates}
    return Dataset(columns=tuple(columns), trajectories=tuple(made), time=time, source="made", **drivers)


def measured(rhs, starts, times, columns, *, noise=0.0, seed=0, keep=slice(None)) -> Dataset:
    """Simulated runs with Gaussian noise, a share of every column's mean magnitude.

    Args:
        starts: one state for each run.
        times: one array of times for each run.
        keep: states that are measured.
    """
    rng = np.random.default_rng(seed)
    exact = [solution(rhs, x0, t)[:, keep] for x0, t in zip(starts, times, strict=True)]
    size = noise * np.abs(np.concatenate(exact)).mean(0)
    runs = [(t, y + size * rng.standard_normal(y.shape)) for t, y in zip(times, exact, strict=True)]
    return dataset(columns, *runs)


def once(make):
    """Make each result once, however its arguments are written; nobody may change it."""
    signature, cached = inspect.signature(make), functools.cache(make)

    @functools.wraps(make)
    def made(*args, **options):
        bound = signature.bind(*args, **options)
        bound.apply_defaults()
        return cached(*bound.args)

    return made


@once
def lotka_volterra(noise=0.005, seed=0) -> Dataset:
    return make_data(SYSTEM, noise, seed)


def true_noise(noise: float) -> np.ndarray:
    """Standard deviation of the noise that `lotka_volterra` adds to prey and predator."""
    return noise * np.abs(EXACT.y).mean(0)


def half_known(**parameters) -> HybridODE:
    """Lotka-Volterra without its interactions; alpha and delta given unless changed."""
    return HybridODE(SYSTEM.equations, parameters={**SYSTEM.parameters, **parameters})


def wholly_known() -> HybridODE:
    """Lotka-Volterra with four constants to estimate, from starts a third off."""
    return HybridODE(KNOWN, parameters={name: Parameter(1.3 * value) for name, value in TRUTH.items()})


@once
def fitted(noise=0.005, seed=0) -> FitResult:
    """The hybrid fitted to Lotka-Volterra."""
    return fit(half_known(), lotka_volterra(noise, seed), seed=seed)


@once
def fitted_known(noise=0.01, seed=0) -> FitResult:
    """The whole law fitted to Lotka-Volterra."""
    return fit(wholly_known(), lotka_volterra(noise, seed))


@once
def discovered(noise=0.005, seed=0):
    """The law discovered from Lotka-Volterra."""
    return discover(half_known(), lotka_volterra(noise, seed), seed=seed)
