"""The floating body: drag and added mass in closed form, and the law's forecasts beside those of a pure neural ODE.

64 runs of 8 s, a fifth of them held out. The pure neural ODE knows nothing, sees the same runs and is trained for as
long as the law took; one more is udesys' own fit of the same question. All start from the held-out runs' first rows
and are compared with the true states at whole seconds.

Source of the neural ODE's training on short pieces of the runs: the example of torchdiffeq, Chen et al.,
arXiv:1806.07366.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np

    from udesys.data import Dataset

TITLE = "drag and added mass of a floating body, its forecasts beside a pure neural ODE's"
EXAMPLE = "udesys bench floating-body --noise 0.1%"
SYSTEM = "floating_body"
AIM = 100.0  # times lower test error than the pure neural ODE's
SECONDS = tuple(map(float, range(9)))  # at which forecasts are compared
WIDTH, RATE = 64, 3e-3  # units of each of two hidden layers, and Adam's rate, which falls to zero
PIECES, LENGTH = 256, 20  # pieces of runs in one step of the training, and their samples


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """How one model forecasts the held-out runs.

    Attributes:
        model: in words.
        seconds: of its training.
        errors: (9,) mean squared error over runs and states at 0, 1, ..., 8 s [m^2 and m^2/s^2].
        mean: of these.
        note: what was found, or how it was trained.
    """

    model: str
    seconds: float
    errors: tuple[float, ...]
    mean: float
    note: str


def run(
    noise: Annotated[str, typer.Option(help="Noise, as a share of each state's mean.")] = "0%",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise and the weights.")] = 0,
    every: Annotated[int, typer.Option(min=1, help="Keep one sample in so many.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Discover drag and added mass, train a pure neural ODE for as long, and compare their forecasts."""
    import torch

    from udesys.data import parse_percent
    from udesys.systems import get_system, make_data

    torch.set_num_threads(1)
    data = make_data(get_system(SYSTEM), parse_percent(noise, name="noise"), seed)
    train = _kept(data, every)
    results = [_told(law_forecast(train, seed))]
    results.append(_told(trained_forecast(train, seed, results[0].seconds)))
    results.append(_told(fitted_forecast(train, seed)))
    if json:
        import json as writer

        typer.echo(writer.dumps([asdict(r) for r in results], indent=1))
    else:
        typer.echo(table(results))


def _told(forecast: Forecast) -> Forecast:
    """A line on stderr as a model is done: each takes minutes."""
    typer.echo(f"{forecast.model}: {forecast.seconds:.0f} s, {forecast.note}", err=True)
    return forecast


def _kept(data: Dataset, every: int) -> Dataset:
    """The runs that are not held out, thinned."""
    from udesys.systems import get_system

    heldout = get_system(SYSTEM).heldout
    runs = tuple(r.rows(slice(None, None, every)) for r in data.trajectories if r.name not in heldout)
    return replace(data, trajectories=runs, sha256="")


def _forecast(model: str, seconds: float, simulated: Callable[[np.ndarray], np.ndarray], note: str) -> Forecast:
    """Score a model: `simulated` takes starts (runs, 4) to states (runs, 9, 4) at whole seconds."""
    true = _heldout()
    errors = ((simulated(true[:, 0]) - true) ** 2).mean((0, 2))
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
def law_forecast(train: Dataset, seed: int) -> Forecast:
    """Drag and added mass found by `discover`, as the system's spec asks it."""
    import numpy as np

    from udesys.discover import discover
    from udesys.systems import get_system
    from udesys.systems.exact import solve_exactly

    began = time.perf_counter()
    law = discover(get_system(SYSTEM).hybrid(), train, seed=seed)
    seconds = time.perf_counter() - began
    right_sides, states = list(law.closed_form.numbers_in_place().values()), law.model.states

    def simulated(starts):
        return np.stack([solve_exactly(right_sides, states, x0, (0.0, 8.0)).sol(SECONDS).T for x0 in starts])

    terms = [f"{name} = {_in_slip(law, name)}" for name in law.residuals]
    return _forecast("known part with formulas (udesys)", seconds, simulated, "; ".join(terms))


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
    return _forecast("pure neural ODE, Adam", seconds, _network_runs(field), note)


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
    return _forecast(
        "pure neural ODE, multiple shooting (udesys)",
        seconds,
        _network_runs(lambda t, x: fitted.problem.field(t, x, theta)),
        note,
    )


def _network_runs(field):
    def simulated(starts):
        import torch

        from udesys.integrate import solve

        with torch.no_grad():
            return solve(field, torch.tensor(starts), torch.tensor(SECONDS), method="rk4", substeps=100).x.numpy()

    return simulated


# ------------------------------------------------------------------ text
def table(results: list[Forecast]) -> str:
    """The models' test errors at whole seconds, and how many times lower the law's is.

    Args:
        results: the law first.
    """
    lines = ["Mean squared error over the held-out runs at whole seconds, all from the true starts"]
    width = max(len(r.model) for r in results)
    lines.append(f"{'model':<{width}}  {'trained s':>9}  {'mean':>9}  " + "  ".join(f"{s:>7.0f} s" for s in SECONDS))
    for r in results:
        errors = "  ".join(f"{e:>9.2e}" for e in r.errors)
        lines.append(f"{r.model:<{width}}  {r.seconds:>9.1f}  {r.mean:>9.2e}  {errors}")
    lines += [f"  {r.model}: {r.note}" for r in results]
    law, *others = results
    for r in others:
        lines.append(f"The law's error is {r.mean / max(law.mean, 1e-300):.3g} times below that of the {r.model}.")
    return "\n".join([*lines, f"aim: {AIM:g} times below the one that was trained for as long"])
