"""How well a law found on a short record forecasts, beside the best that record allows, the hybrid and persistence.

The Lotka-Volterra study (Rackauckas et al., arXiv:2001.04385): p = (1.3, 0.9, 0.8, 1.8), 31 samples from t = 0 to 3,
Gaussian noise as a share of each state's mean, alpha and delta given. The law is simulated on to t = 50, about nine
rounds. An error is the root mean square over both states and all times after the record, each state in units of its
own standard deviation over them: the constant mean would have 100 %. The limit is the maximum-likelihood fit of the
true form, started from the true constants and told the noise.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from udesys.bench._parallel import attempt
from udesys.bench._study import Jobs, Json, Keep, Part, Study, carry_out, markdown

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
RIVALS = {"limit": "true form refitted", "hybrid": "hybrid with networks", "persistence": "persistence"}
HEADLINES = ("median error*", "truth in the 95 % band*")
LESS_IS_BETTER = ("median error*", "diverged*")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One record, and how its future was forecast.

    Attributes:
        level: noise as a share of each state's mean.
        seed: of the noise and the networks.
        formulas: term -> formula of the law.
        law, limit, hybrid, persistence: relative errors; infinite where a fit or a simulation fails.
        inside: state -> share of the times at which the truth is inside the law's 95 % band; none without a law.
        seconds: of the discovery.
        failure: what stopped the discovery; empty where nothing did.
    """

    level: float
    seed: int
    formulas: dict[str, str] = field(default_factory=dict)
    law: float = math.inf
    limit: float = math.inf
    hybrid: float = math.inf
    persistence: float
    inside: dict[str, float]
    seconds: float
    failure: str = ""

    @property
    def covered(self) -> float:
        """Share of states and times inside the band."""
        return sum(self.inside.values()) / len(self.inside)


def run(
    seeds: Annotated[int, typer.Option(min=1, help="Runs at each noise level.")] = 20,
    noise: Annotated[list[str] | None, typer.Option(help="A level, such as 1%; may be repeated.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first run; the others' follow it.")] = FIRST_SEED,
    part: Part = "1/1",
    jobs: Jobs = 1,
    keep: Keep = None,
    json: Json = False,
) -> None:
    """Discover the Lotka-Volterra law on t = 0 to 3, forecast to t = 50, and print errors and the bands' coverage."""
    from udesys.data import parse_percent

    levels = [parse_percent(n, name="noise") for n in noise or NOISE]
    tasks = [(level, seed + k) for level in levels for k in range(seeds)]
    runs, seconds = carry_out(forecast_once, tasks, _warm_up, part=part, jobs=jobs, keep=keep)
    numbers = summary(runs)
    Study(
        bench="forecast",
        summary=numbers,
        rows=runs,
        published={"nominal": {name: 95.0 for name in numbers if name.startswith("truth in")}},
        rivals={name: _errors(runs, who) for who, name in RIVALS.items()},
        seconds=seconds,
        tables=table(runs),
    ).show(json)


def _warm_up() -> None:
    """Imports and compilation, so that no run pays for them."""
    import torch

    torch.set_num_threads(1)
    forecast_once(0.005, 0)


def forecast_once(level: float, seed: int) -> Run:
    """One record of the study, its law and the forecasts; what fails is written down, not raised.

    Args:
        level: noise as a share of each state's mean.
        seed: of the noise and the networks.
    """
    import numpy as np

    from udesys.assess.beside import hybrid_course, last_values
    from udesys.assess.forecast import simulate_law
    from udesys.discover import discover
    from udesys.systems import get_system, make_data

    system = get_system(SYSTEM)
    data = make_data(system, level, seed)
    began = time.perf_counter()
    law, failure = attempt(lambda: discover(system.hybrid(), data, seed=seed))
    seconds = time.perf_counter() - began
    t, true = truth()
    last = last_values(data.trajectories[0], float(data.trajectories[0].t[-1]))

    def error(simulated) -> float:
        x, stopped = attempt(simulated)
        return math.inf if stopped else relative_error(x, true)

    def limit():
        form, x0 = likeliest(level, data)
        return simulate_law(form, x0, 0.0, t)

    setting = {"level": level, "seed": seed, "seconds": seconds, "limit": error(limit)}
    setting["persistence"] = relative_error(np.broadcast_to(last, true.shape), true)
    nowhere = dict.fromkeys(system.states, 0.0)
    if failure:
        return Run(**setting, inside=nowhere, failure=failure)
    return Run(
        **setting,
        formulas={term: r.expression for term, r in law.residuals.items()},
        law=error(lambda: law.simulate(t)),
        hybrid=error(lambda: hybrid_course(law.fit, law.fit.states[0][0], 0.0, t)),
        inside=attempt(lambda: _inside(law, t, true))[0] or nowhere,
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


# ------------------------------------------------------------------ figures
def summary(runs: Sequence[Run]) -> dict[str, float]:
    """The median error of the law, how many diverge, and what the bands hold, at each noise.

    Args:
        runs: of one noise level or several.
    """
    numbers = _errors(runs, "law")
    for level in _levels(runs):
        at = [r for r in runs if r.level == level]
        numbers[f"truth in the 95 % band at {100 * level:g} % noise, %"] = 100 * statistics.mean(r.covered for r in at)
    return numbers


def _errors(runs: Sequence[Run], who: str) -> dict[str, float]:
    """The median error and the share of runs that diverge, at each noise."""
    numbers = {}
    for level in _levels(runs):
        errors, noise = [getattr(r, who) for r in runs if r.level == level], f"{100 * level:g} % noise, %"
        numbers[f"median error at {noise}"] = 100 * statistics.median(errors)
        numbers[f"diverged at {noise}"] = 100 * sum(map(math.isinf, errors)) / len(errors)
    return numbers


def _levels(runs: Sequence[Run]) -> list[float]:
    return list(dict.fromkeys(r.level for r in runs))


# ------------------------------------------------------------------ text
def table(runs: Sequence[Run]) -> str:
    """The runs as Markdown.

    Args:
        runs: of one noise level or several.
    """
    if not runs:
        return "No runs."
    states, rows, said = list(runs[0].inside), [], []
    for level in _levels(runs):
        at, noise = [r for r in runs if r.level == level], f"{100 * level:.3g} %"
        errors = [_percent(statistics.median(getattr(r, who) for r in at)) for who in ("law", *RIVALS)]
        shares = [100 * statistics.mean(r.inside[state] for r in at) for state in states]
        inside = [f"{share:.1f} %" for share in [*shares, statistics.mean(shares)]]
        rows.append([noise, len(at), *errors, sum(math.isinf(r.hybrid) for r in at), *inside])
        covered = [100 * r.covered for r in at]
        said.append(
            f"{noise} noise: the band of a run holds {min(covered):.0f} to {max(covered):.0f} %, standard deviation "
            f"{statistics.pstdev(covered):.0f} %; below half in {sum(c < 50 for c in covered)}: a phase that "
            "is missed is missed at all times."
        )
    head = ["noise", "runs", "law", *RIVALS.values(), "hybrids lost", *(f"{s} in band" for s in states), "both"]
    said.append(
        f"Aims at 0.5 %: law below {AIM} % (limit about {LIMIT} %), inside at {COVERED[0]} to {COVERED[1]} % of states "
        f"and times. Median time of a discovery: {statistics.median(r.seconds for r in runs):.2f} s."
    )
    said += [f"{100 * r.level:g} %, seed {r.seed}: {r.failure}" for r in runs if r.failure]
    title = f"Lotka-Volterra found on t = 0 to 3 and forecast to t = {UNTIL:g}: medians of the relative error"
    return "\n\n".join([title, markdown(head, rows), *said])


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %" if share < math.inf else "diverged"
