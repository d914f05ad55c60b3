"""The built-in systems from their own data and spec to the law: what `udesys discover` finds of each."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from udesys.bench._parallel import attempt
from udesys.bench._study import Jobs, Json, Keep, Part, Study, carry_out, markdown
from udesys.errors import DataError

TITLE = "what is found of the built-in systems, each from its own data and spec"
EXAMPLE = "udesys bench systems --noise 1% --name pendulum"
HEADLINES = ("found*", "median s")
AIM = 0.8  # share of the systems that are found


@dataclass(frozen=True, kw_only=True)
class Run:
    """One system's discovery.

    Attributes:
        name: of the system.
        noise: as a share of each state's mean magnitude.
        seed: of the noise and the weights.
        found: every missing term has its true form, every coefficient its value.
        listed: the true forms are among the laws within reach of the lowest criterion.
        answer: missing term -> formula, or coefficient -> value, as text.
        error: missing term -> relative L2 error of its formula along the true trajectory; coefficient -> relative
            error.
        seconds: from the files to the law, without imports.
        failure: what stopped the run; empty where nothing did.
    """

    name: str
    noise: float
    seed: int
    found: bool = False
    listed: bool = False
    answer: dict[str, str]
    error: dict[str, float]
    seconds: float
    failure: str = ""


def run(
    name: Annotated[list[str] | None, typer.Option(help="Only this system; may be repeated.")] = None,
    table_name: Annotated[
        str | None, typer.Option("--table", help="The systems of this table, such as odebench, instead.")
    ] = None,
    noise: Annotated[str, typer.Option(help="Noise, as a share of each state's mean.")] = "1%",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise and the weights.")] = 0,
    part: Part = "1/1",
    jobs: Jobs = 1,
    keep: Keep = None,
    json: Json = False,
) -> None:
    """Write every built-in system's data and spec, discover its law from them, and print what was found, how fast."""
    from udesys.data import parse_percent
    from udesys.systems import get_system, list_systems

    if name and table_name:
        raise DataError("name and table exclude each other. Leave one out.")
    names = [get_system(n).name for n in name] if name else [system.name for system in list_systems(table_name)]
    level = parse_percent(noise, name="noise")
    tasks = [(n, level, seed) for n in names]
    runs, seconds = carry_out(discover_system, tasks, warm_up, part=part, jobs=jobs, keep=keep)
    Study(
        bench="systems",
        summary=summary(runs),
        rows=runs,
        published={},
        rivals={},
        seconds=seconds,
        tables=table(runs),
    ).show(json)


def warm_up() -> None:
    """Imports and compilation, so that no run pays for them."""
    import torch

    torch.set_num_threads(1)
    discover_system("lotka_volterra", 0.005, 0)


# ------------------------------------------------------------------ one run
def discover_system(name: str, noise: float, seed: int) -> Run:
    """Write a system's files and discover its law from them; what goes wrong is written down, not raised.

    Args:
        name: of the system.
        noise: as a share of each state's mean magnitude.
        seed: of the noise and the weights.
    """
    from udesys.bench._found import judge_coefficients, judge_terms
    from udesys.discover import discover
    from udesys.spec import load_spec
    from udesys.systems import get_system, write_system

    system = get_system(name)
    with tempfile.TemporaryDirectory() as folder:
        _, path = write_system(system, folder, noise, seed)
        began = time.perf_counter()
        spec = load_spec(path)
        law, failure = attempt(
            lambda: discover(
                spec.model,
                spec.data,
                seed=seed,
                heldout=spec.heldout,
                noise=spec.noise,
                options=spec.options,
                fit_options=spec.fit_options,
            )
        )
        seconds = time.perf_counter() - began
    if failure:
        return Run(name=name, noise=noise, seed=seed, answer={}, error={}, seconds=seconds, failure=failure)
    judged = judge_terms(system, law) if system.missing else judge_coefficients(system, law)
    return Run(name=name, noise=noise, seed=seed, seconds=seconds, **judged)


# ------------------------------------------------------------------ figures
def summary(runs: Sequence[Run]) -> dict[str, object]:
    """The headline numbers: shares found and within reach, and seconds.

    Args:
        runs: at one noise level.
    """
    if not runs:
        return {}
    at, n = f"at {_percent(runs[0].noise)}, %", len(runs)
    return {
        f"found {at}": 100 * sum(r.found for r in runs) / n,
        f"found or within reach {at}": 100 * sum(r.found or r.listed for r in runs) / n,
        "systems": n,
        "failed runs": sum(bool(r.failure) for r in runs),
        "median s": statistics.median(r.seconds for r in runs),
    }


def table(runs: Sequence[Run]) -> str:
    """A row for each system, then how many were found, as Markdown.

    Args:
        runs: one for each.
    """
    if not runs:
        return "no runs"
    found = sum(r.found for r in runs)
    return "\n".join(
        [
            f"Built-in systems at {_percent(runs[0].noise)} noise, seed {runs[0].seed}",
            "",
            markdown(("system", "outcome", "s", "error", "answer"), [_row(r) for r in runs]),
            "",
            f"Found {found} of {len(runs)}, {100 * found / len(runs):.0f} %; aim: {100 * AIM:.0f} %.",
        ]
    )


def _row(run: Run) -> list[object]:
    outcome = "failed" if run.failure else "found" if run.found else "listed" if run.listed else "missed"
    worst = f"{100 * max(run.error.values()):.2g} %" if run.error else None
    answer = run.failure or "; ".join(f"`{name} = {text}`" for name, text in run.answer.items())
    return [run.name, outcome, f"{run.seconds:.1f}", worst, answer]


def _percent(level: float) -> str:
    return f"{100 * level:g} %"
