"""How well a law found on a short record forecasts, beside the best that record allows, the hybrid and persistence.

The Lotka-Volterra study (Rackauckas et al., arXiv:2001.04385): p = (1.3, 0.9, 0.8, 1.8), 31 samples from t = 0 to 3,
Gaussian noise as a share of each state's mean, alpha and delta given. The law is simulated on to t = 50, about nine
rounds. An error is the root mean square over both states and all times after the record, each state in units of its
own standard deviation over them: the constant mean would have 100 %. The limit is the maximum-likelihood fit of the
true form, started from the true constants and told the noise.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from udesys.bench._parallel import run_tasks

if TYPE_CHECKING:
    import numpy as np

TITLE = "forecasts of a law found on a short record, beside the hybrid and persistence"
EXAMPLE = "udesys bench forecast --seeds 100 --jobs 2"
SYSTEM = "lotka_volterra"
UNTIL, STEP = 50.0, 0.1
NOISE = ("0.5%",)
AIM, LIMIT = 8, 5.6  # % median error of the law, and about that of the limit
COVERED = (90, 99)  # % of states and times inside the 95 % band
FIRST_SEED = 1000  # the runs' noise and weights are seeded FIRST_SEED + k
STEPS = 8  # of the solver between two samples, for the limit


@dataclass(frozen=True, kw_only=True)
class Run:
    """One record, and how its future was forecast.

    Attributes:
        level: noise as a share of each state's mean.
        seed: of the noise and the networks.
        formulas: term -> formula of the law.
        law, limit, hybrid, persistence: relative errors; infinite where a simulation fails.
        inside: state -> share of the times at which the truth is inside the law's 95 % band.
        seconds: of the discovery.
    """

    level: float
    seed: int
    formulas: dict[str, str]
    law: float
    limit: float
    hybrid: float
    persistence: float
    inside: dict[str, float]
    seconds: float

    @property
    def covered(self) -> float:
        """Share of states and times inside the band."""
        return sum(self.inside.values()) / len(self.inside)


def run(
    seeds: Annotated[int, typer.Option(min=1, help="Runs at each noise level.")] = 20,
    noise: Annotated[list[str] | None, typer.Option(help="A level, such as 1%; may be repeated.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes; each uses one core.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print every run as JSON instead of the table.")] = False,
) -> None:
    """Discover the Lotka-Volterra law on t = 0 to 3, forecast to t = 50, and print errors and the bands' coverage."""
    from udesys.data import parse_percent

    levels = [parse_percent(n, name="noise") for n in noise or NOISE]
    tasks = [(level, FIRST_SEED + k) for level in levels for k in range(seeds)]
    runs = run_tasks(forecast_once, tasks, jobs, _warm_up)
    if json:
        import json as writer

        from udesys.runs.files import plain

        typer.echo(writer.dumps([plain(asdict(r)) for r in runs], indent=1))
    else:
        typer.echo(table(runs))


def _warm_up() -> None:
    """Imports and compilation, so that no run pays for them."""
    import torch

    torch.set_num_threads(1)
    forecast_once(0.005, 0)


def forecast_once(level: float, seed: int) -> Run:
    """One record of the study, its law and the forecasts.

    Args:
        level: noise as a share of each state's mean.
        seed: of the noise and the networks.
    """
    import time

    import numpy as np

    from udesys.assess.beside import hybrid_course, last_values
    from udesys.assess.forecast import simulate_law
    from udesys.discover import discover
    from udesys.errors import SolveError
    from udesys.systems import get_system, make_data

    system = get_system(SYSTEM)
    data = make_data(system, level, seed)
    began = time.perf_counter()
    law = discover(system.hybrid(), data, seed=seed)
    seconds = time.perf_counter() - began
    t, true = truth()
    last = last_values(data.trajectories[0], float(data.trajectories[0].t[-1]))
    form, x0 = likeliest(level, data)
    try:
        simulated, inside = law.simulate(t), _inside(law, t, true)
    except SolveError:
        simulated, inside = np.full_like(true, np.nan), dict.fromkeys(system.states, 0.0)
    return Run(
        level=level,
        seed=seed,
        formulas={term: r.expression for term, r in law.residuals.items()},
        law=relative_error(simulated, true),
        limit=relative_error(simulate_law(form, x0, 0.0, t), true),
        hybrid=relative_error(hybrid_course(law.fit, law.fit.states[0][0], 0.0, t), true),
        persistence=relative_error(np.broadcast_to(last, true.shape), true),
        inside=inside,
        seconds=seconds,
    )


def truth() -> tuple[np.ndarray, np.ndarray]:
    """Times after the record, and the true states (time, 2) at them."""
    import numpy as np

    from udesys.systems import get_system
    from udesys.systems.exact import solve_exactly

    system = get_system(SYSTEM)
    end = system.t[-1]
    t = end + STEP * np.arange(1, round((UNTIL - end) / STEP) + 1)
    x0 = [system.starts[0][state] for state in system.states]
    return t, solve_exactly(system.true_rhs(), system.states, x0, (0.0, UNTIL)).sol(np.minimum(t, UNTIL)).T


def relative_error(x: np.ndarray, true: np.ndarray) -> float:
    """Root mean square over times and states, each state in units of its standard deviation; infinite where not finite.

    Args:
        x, true: (time, states).
    """
    import numpy as np

    if not np.isfinite(x).all():
        return float("inf")
    return float(np.sqrt((((x - true) / true.std(0)) ** 2).mean()))


def likeliest(level: float, data):
    """The true form with its two unknown constants, and the start (1, 2), where noisy data are likeliest.

    Args:
        level: noise as a share of each state's mean, which the fit is told.
        data: one record.
    """
    import numpy as np

    from udesys.model.closed_form import ClosedForm, Formula
    from udesys.model.grammar import parse_expression
    from udesys.search.measurements import Measurements
    from udesys.select.refit import Refitter
    from udesys.systems import get_system, make_data

    system, (run,) = get_system(SYSTEM), data.trajectories
    product, n = parse_expression("c0*prey*predator"), len(run.t)
    true = {"NN1": -system.constants["beta"], "NN2": system.constants["gamma"]}
    form = ClosedForm(system.hybrid(), {k: Formula(product, {"c0": v}) for k, v in true.items()}, {})
    measurements = Measurements(
        t=run.t,
        y=run.y,
        mask=np.ones_like(run.y),
        sigma=level * np.abs(make_data(system, 0.0, 0).trajectories[0].y).mean(0),
        segments=(np.zeros(1, np.int64), np.array([n])),
        free=np.ones(2, bool),
    )
    x0 = np.array([[system.starts[0][state] for state in system.states]])
    found = Refitter(measurements, np.repeat(x0, n, 0), {}, np.full(n, STEPS)).refit(form, x0)
    return found.form, found.x0


def _inside(law, t: np.ndarray, true: np.ndarray) -> dict[str, float]:
    bands = law.bands(t)
    return {
        name: float(((bands[f"{name} low"] <= x) & (x <= bands[f"{name} high"])).mean())
        for name, x in zip(law.model.states, true.T, strict=True)
    }


# ------------------------------------------------------------------ words
def table(runs: list[Run]) -> str:
    """The runs as text.

    Args:
        runs: of one noise level or several.
    """
    import statistics

    states = list(runs[0].inside)
    lines = [
        f"Lotka-Volterra found on t = 0 to 3 and forecast to t = {UNTIL:g}; medians of the relative error",
        f"noise   runs      law    limit   hybrid (diverged)   persistence   truth inside the 95 % band: "
        f"{', '.join(states)}, both",
    ]
    for level in dict.fromkeys(r.level for r in runs):
        at = [r for r in runs if r.level == level]
        law, limit, hybrid, rest = (
            _percent(statistics.median(getattr(r, who) for r in at))
            for who in ("law", "limit", "hybrid", "persistence")
        )
        lost = f"({sum(r.hybrid == float('inf') for r in at)} of {len(at)})"
        shares = [statistics.mean(r.inside[state] for r in at) for state in states]
        inside = ", ".join(f"{100 * share:.1f} %" for share in [*shares, statistics.mean(shares)])
        lines.append(
            f"{100 * level:3.3g} %   {len(at):4d}  {law:>7}  {limit:>7}  {hybrid:>7} {lost:<12}  {rest:>9}   {inside}"
        )
        low = sum(r.covered < 0.5 for r in at)
        spread = statistics.pstdev(r.covered for r in at)
        lines.append(
            f"        Of single runs between {100 * min(r.covered for r in at):.0f} and "
            f"{100 * max(r.covered for r in at):.0f} %, standard deviation {100 * spread:.0f} %; below half in {low}: "
            "a phase that is missed is missed at all times."
        )
    lines.append(
        f"Aims at 0.5 %: law below {AIM} % (limit about {LIMIT} %), inside at {COVERED[0]} to {COVERED[1]} % of states "
        f"and times. Median time of a discovery: {statistics.median(r.seconds for r in runs):.2f} s"
    )
    return "\n".join(lines)


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %" if share < float("inf") else "diverged"
