"""The floating body: drag and added mass in closed form, and the law's forecasts beside those of a pure neural ODE.

64 runs of 8 s, a fifth of them held out. The pure neural ODE knows nothing, sees the same runs and is trained for as
long as the law took; one more is udesys' own fit of the same question. All start from the held-out runs' first rows
and are compared with the true states at whole seconds.

Source of the neural ODE's training on short pieces of the runs: the example of torchdiffeq, Chen et al.,
arXiv:1806.07366.
"""

from __future__ import annotations

import functools
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated

import typer

from udesys.bench._parallel import attempt
from udesys.bench._study import Jobs, Json, Keep, Part, Study, carry_out, markdown

if TYPE_CHECKING:
    import numpy as np

    from udesys.data import Dataset
    from udesys.discover import Discovery

TITLE = "drag and added mass of a floating body, its forecasts beside a pure neural ODE's"
EXAMPLE = "udesys bench floating-body --noise 0.1%"
SYSTEM = "floating_body"
NOISE = ("0%",)
AIM = 100.0  # times lower test error than the pure neural ODE's
SECONDS = tuple(map(float, range(9)))  # at which forecasts are compared
WIDTH, RATE = 64, 3e-3  # units of each of two hidden layers, and Adam's rate, which falls to zero
PIECES, LENGTH = 256, 20  # pieces of runs in one step of the training, and their samples
LAW = "known part with formulas (udesys)"
NEURAL, SHOOTING = "pure neural ODE, Adam", "pure neural ODE, multiple shooting (udesys)"
HEADLINES = ("both terms found*", "mean squared error*")
LESS_IS_BETTER = HEADLINES[1:]


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """How one model forecasts the held-out runs.

    Attributes:
        model: in words.
        seconds: of its training.
        errors: (9,) mean squared error over runs and states at 0, 1, ..., 8 s [m^2 and m^2/s^2]; infinite where a
            simulation does not get there.
        mean: of these.
        note: what was found, or how it was trained.
        failure: what stopped it; empty where nothing did.
    """

    model: str
    seconds: float
    errors: tuple[float, ...] = (math.inf,) * len(SECONDS)
    mean: float = math.inf
    note: str = ""
    failure: str = ""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One set of runs, and how each model that was trained on it forecasts the held-out ones.

    Attributes:
        level: noise as a share of each state's mean.
        seed: of the noise and the weights.
        every: one sample in so many was kept.
        found: drag and added mass have their true forms.
        error: missing term -> relative L2 error of its formula along the true trajectories.
        forecasts: the law's first.
    """

    level: float
    seed: int
    every: int
    found: bool = False
    error: dict[str, float] = field(default_factory=dict)
    forecasts: tuple[Forecast, ...]

    @property
    def law(self) -> Forecast:
        """The law's forecast."""
        return self.forecasts[0]


def run(
    noise: Annotated[
        list[str] | None, typer.Option(help="Noise, as a share of each state's mean; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise and the weights.")] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="So many seeds, from that one on.")] = 1,
    every: Annotated[int, typer.Option(min=1, help="Keep one sample in so many.")] = 1,
    part: Part = "1/1",
    jobs: Jobs = 1,
    keep: Keep = None,
    json: Json = False,
) -> None:
    """Discover drag and added mass, train a pure neural ODE for as long, and compare their forecasts."""
    from udesys.data import parse_percent

    levels = [parse_percent(n, name="noise") for n in noise or NOISE]
    tasks = [(level, seed + k, every) for level in levels for k in range(seeds)]
    runs, seconds = carry_out(compare_once, tasks, _warm_up, part=part, jobs=jobs, keep=keep)
    Study(
        bench="floating-body",
        summary=summary(runs),
        rows=runs,
        published={},
        rivals={model: _numbers(runs, model) for model in (NEURAL, SHOOTING)},
        seconds=seconds,
        tables=table(runs),
    ).show(json)


def _warm_up() -> None:
    import torch

    torch.set_num_threads(1)


def compare_once(level: float, seed: int, every: int) -> Run:
    """One set of runs and all three models; what fails is written down, not raised.

    Args:
        level: noise as a share of each state's mean.
        seed: of the noise and the weights.
        every: keep one sample in so many.
    """
    from udesys.systems import get_system, make_data

    train = _kept(make_data(get_system(SYSTEM), level, seed), every)
    began = time.perf_counter()
    law, failure = attempt(lambda: discovered(train, seed))
    spent = time.perf_counter() - began
    if failure:
        judged, first = {}, Forecast(model=LAW, seconds=spent, failure=failure)
    else:
        judged, first = _judged(law), law_forecast(law, spent)
    others = [
        _attempted(NEURAL, lambda: trained_forecast(train, seed, spent)),
        _attempted(SHOOTING, lambda: fitted_forecast(train, seed)),
    ]
    return Run(level=level, seed=seed, every=every, forecasts=(first, *others), **judged)


def _attempted(model: str, trained: Callable[[], Forecast]) -> Forecast:
    began = time.perf_counter()
    forecast, failure = attempt(trained)
    return forecast or Forecast(model=model, seconds=time.perf_counter() - began, failure=failure)


def _judged(law: Discovery) -> dict:
    """Whether drag and added mass have their true forms, and the errors of the formulas found."""
    from udesys.bench._found import judge_terms
    from udesys.systems import get_system

    judged = judge_terms(get_system(SYSTEM), law)
    return {"found": judged["found"], "error": judged["error"]}


def _kept(data: Dataset, every: int) -> Dataset:
    """The runs that are not held out, thinned."""
    from udesys.systems import get_system

    heldout = get_system(SYSTEM).heldout
    runs = tuple(r.rows(slice(None, None, every)) for r in data.trajectories if r.name not in heldout)
    return replace(data, trajectories=runs, sha256="")


def _forecast(model: str, seconds: float, simulated: Callable[[np.ndarray], np.ndarray], note: str) -> Forecast:
    """Score a model: `simulated` takes starts (runs, 4) to states (runs, 9, 4) at whole seconds."""
    import numpy as np

    true = _heldout()
    states, failure = attempt(lambda: simulated(true[:, 0]))
    if failure:
        return Forecast(model=model, seconds=seconds, note=note, failure=failure)
    with np.errstate(all="ignore"):
        squares = ((states - true) ** 2).mean((0, 2))
    errors = np.where(np.isfinite(squares), squares, np.inf)
    return Forecast(model=model, seconds=seconds, errors=tuple(errors.tolist()), mean=float(errors.mean()), note=note)


@functools.cache
def _heldout() -> np.ndarray:
    """(runs, 9, 4), the true states of the held-out runs at whole seconds."""
    import numpy as np

    from udesys.systems import get_system, simulate

    system = get_system(SYSTEM)
    exact = [run for run in simulate(system).trajectories if run.name in system.heldout]
    rows = np.searchsorted(exact[0].t, np.subtract(SECONDS, 1e-9))
    return np.stack([run.y[rows] for run in exact])


# ------------------------------------------------------------------ the three models
def discovered(train: Dataset, seed: int) -> Discovery:
    """The law, as the system's spec asks for it."""
    from udesys.discover import discover
    from udesys.systems import get_system

    return discover(get_system(SYSTEM).hybrid(), train, seed=seed)


def law_forecast(law: Discovery, seconds: float) -> Forecast:
    """Forecasts by drag and added mass in closed form.

    Args:
        law: that was discovered.
        seconds: that this took.
    """
    import numpy as np

    from udesys.systems.exact import solve_exactly

    right_sides, states = list(law.closed_form.numbers_in_place().values()), law.model.states

    def simulated(starts):
        return np.stack([solve_exactly(right_sides, states, x0, (0.0, 8.0)).sol(SECONDS).T for x0 in starts])

    terms = [f"{name} = {_in_slip(law, name)}" for name in law.residuals]
    return _forecast(LAW, seconds, simulated, "; ".join(terms))


def _in_slip(law, term: str) -> str:
    """A formula over the slip speed s, with its constants' values in place."""
    from udesys.model import tree as T

    formula = law.closed_form.formulas[term]
    (argument,) = next(slot.arguments for slot in law.model.slots if term in slot.terms)
    numbers = {name: T.Number(estimate.value) for name, estimate in law.residuals[term].constants.items()}
    return T.to_text(T.substitute(formula.tree, {**numbers, argument: T.Symbol("s")}), 5)


def trained_forecast(train: Dataset, seed: int, limit: float) -> Forecast:
    """A pure neural ODE of plain torch, trained by Adam on short pieces of the runs for `limit` seconds."""
    import numpy as np
    import torch

    from udesys.integrate import solve

    rng = np.random.default_rng(seed)
    t, y = torch.tensor(train.trajectories[0].t), torch.tensor(np.stack([r.y for r in train.trajectories]))
    scale = y.std((0, 1))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = [torch.nn.Linear(4, WIDTH), torch.nn.Tanh(), torch.nn.Linear(WIDTH, WIDTH), torch.nn.Tanh()]
        network = torch.nn.Sequential(*layers, torch.nn.Linear(WIDTH, 4)).double()

    def field(_, x):
        return network(x / scale) * scale

    length = min(LENGTH, len(t) - 1)
    adam = torch.optim.Adam(network.parameters(), lr=RATE)
    began, steps = time.perf_counter(), 0
    while (spent := time.perf_counter() - began) < limit:
        for group in adam.param_groups:
            group["lr"] = 0.5 * RATE * (1 + np.cos(np.pi * spent / limit))
        which, first = rng.integers(len(y), size=PIECES), rng.integers(len(t) - length, size=PIECES)
        rows = torch.tensor(first[:, None] + np.arange(length + 1))
        wanted = y[torch.tensor(which)[:, None], rows]
        adam.zero_grad()
        simulated = solve(field, wanted[:, 0], t[: length + 1], method="rk4").x
        (((simulated - wanted) / scale) ** 2).mean().backward()
        adam.step()
        steps += 1
    seconds = time.perf_counter() - began
    note = f"2 x {WIDTH} tanh units, {steps} steps of Adam"
    return _forecast(NEURAL, seconds, _network_runs(field), note)


def fitted_forecast(train: Dataset, seed: int) -> Forecast:
    """A pure neural ODE fitted by udesys' own multiple shooting."""
    import torch

    from udesys.fit import fit
    from udesys.model import HybridODE

    model = HybridODE("x'' = NN(x, x', y, y')[0]\ny'' = NN(x, x', y, y')[1]")
    began = time.perf_counter()
    fitted = fit(model, train, seed=seed)
    seconds = time.perf_counter() - began
    theta = torch.as_tensor(fitted.unknowns.theta)
    note = "it is told that velocities are derivatives"
    return _forecast(SHOOTING, seconds, _network_runs(lambda t, x: fitted.problem.field(t, x, theta)), note)


def _network_runs(field):
    def simulated(starts):
        import torch

        from udesys.integrate import solve

        with torch.no_grad():
            return solve(field, torch.tensor(starts), torch.tensor(SECONDS), method="rk4", substeps=100).x.numpy()

    return simulated


# ------------------------------------------------------------------ figures
def summary(runs: Sequence[Run]) -> dict[str, float]:
    """How often both terms are found, and the law's median error and seconds, at each noise.

    Args:
        runs: of one noise level or several.
    """
    found = {}
    for level in _levels(runs):
        at = [r.found for r in runs if r.level == level]
        found[f"both terms found at {100 * level:g} % noise, %"] = 100 * sum(at) / len(at)
    return {**found, **_numbers(runs, LAW)}


def _numbers(runs: Sequence[Run], model: str) -> dict[str, float]:
    numbers = {}
    for level in _levels(runs):
        at = [f for r in runs if r.level == level for f in r.forecasts if f.model == model]
        noise = f"{100 * level:g} % noise"
        numbers[f"mean squared error at {noise}"] = statistics.median(f.mean for f in at)
        numbers[f"training at {noise}, s"] = statistics.median(f.seconds for f in at)
    return numbers


def _levels(runs: Sequence[Run]) -> list[float]:
    return list(dict.fromkeys(r.level for r in runs))


# ------------------------------------------------------------------ text
def table(runs: Sequence[Run]) -> str:
    """The models' test errors at whole seconds as Markdown, and how many times lower the law's is.

    Args:
        runs: of any noise and seed.
    """
    head = ["model", "trained s", "mean", *(f"{s:.0f} s" for s in SECONDS)]
    parts = ["Mean squared error over the held-out runs at whole seconds, all from the true starts"]
    for r in runs:
        parts.append(f"{100 * r.level:g} % noise, seed {r.seed}, one sample in {r.every}:")
        rows = [[f.model, f"{f.seconds:.1f}", f"{f.mean:.2e}", *(f"{e:.2e}" for e in f.errors)] for f in r.forecasts]
        parts.append(markdown(head, rows))
        parts.append("\n".join(f"- {f.model}: {'; '.join(filter(None, (f.note, f.failure)))}" for f in r.forecasts))
        for f in r.forecasts[1:]:
            if math.isfinite(f.mean) and math.isfinite(r.law.mean):
                times = f"{f.mean / max(r.law.mean, 1e-300):.3g}"
                parts.append(f"The law's error is {times} times below that of the {f.model}.")
    return "\n\n".join([*parts, f"Aim: {AIM:g} times below the one that was trained for as long."])
