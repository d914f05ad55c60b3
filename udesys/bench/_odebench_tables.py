"""Headline numbers and tables of systems of which nothing is known: see `odebench`."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from udesys.bench._study import markdown
from udesys.bench._verdict import NOT_PROPOSED, OUTCOMES, PRUNED, RIGHT, TIED

if TYPE_CHECKING:
    from udesys.bench.odebench import Run

GOOD = 0.9  # R2
BEST_OR_TIED = (RIGHT, TIED, PRUNED, NOT_PROPOSED)  # outcomes where the truth scores best, or ties
MEASURES = ("reconstruction", "generalisation", "exact", "exact where the truth is best or tied")
PUBLISHED = {  # as quoted for ODEBench, of which the built-in systems are a part
    "the best published method of each column": {
        "reconstruction, no noise, %": 82,
        "generalisation, no noise, %": 41,
        "exact, no noise, %": 43,
    }
}


def summary(runs: Sequence[Run]) -> dict[str, float | None]:
    """The shares in percent at every setting, the time, and in how many settings each is above every rival's.

    Args:
        runs: of any systems and settings.
    """
    if not runs:
        return {}
    settings = _settings(runs)
    numbers = {name: value for setting in settings for name, value in _numbers(runs, setting).items()}
    numbers["median s"] = _median([r.seconds for r in runs])
    others = rivals_summary(runs).values()
    if others:
        for measure in MEASURES:
            names = [f"{measure}, {said(*setting)}, %" for setting in settings]
            ahead = [all((numbers[n] or 0) > (other.get(n) or 0) for other in others) for n in names]
            numbers[f"settings ahead of every rival in {measure}"] = sum(ahead)
    return numbers


def rivals_summary(runs: Sequence[Run]) -> dict[str, dict[str, float | None]]:
    """Setting of pysindy -> the same numbers.

    Args:
        runs: of any systems and settings.
    """
    found = {}
    for name in dict.fromkeys(rival.setting for r in runs for rival in r.rivals):
        numbers = {n: v for setting in _settings(runs) for n, v in _numbers(runs, setting, name).items()}
        numbers["median s"] = _median([rival.seconds for rival in of_rival(runs, name)])
        found[name] = numbers
    return found


def _numbers(runs: Sequence[Run], setting: tuple[float, float], rival: str = "") -> dict[str, float | None]:
    return {f"{m}, {said(*setting)}, %": _share(_at(runs, setting), m, rival) for m in MEASURES}


def _share(runs: Sequence[Run], measure: str, rival: str = "") -> float | None:
    """Percent of runs in which a measure is good; None of no runs."""
    if measure == MEASURES[3]:
        runs, measure = [r for r in runs if r.outcome in BEST_OR_TIED], "exact"
    found = [getattr(one, measure) for one in of_rival(runs, rival)]
    good = [bool(value) if measure == "exact" else value is not None and value > GOOD for value in found]
    return round(100 * sum(good) / len(good), 1) if good else None


def of_rival(runs: Sequence, rival: str) -> list:
    """What a rival made of the runs' data; the runs themselves, which are udesys' own, where it has no name.

    Args:
        runs: with `rivals`.
        rival: its setting.
    """
    return [one for r in runs for one in r.rivals if one.setting == rival] if rival else list(runs)


def _settings(runs: Sequence[Run]) -> list[tuple[float, float]]:
    return sorted({(r.noise, r.dropped) for r in runs}, key=lambda setting: setting[::-1])


def _at(runs: Sequence[Run], setting: tuple[float, float]) -> list[Run]:
    return [r for r in runs if (r.noise, r.dropped) == setting]


def _median(values: Sequence[float]) -> float | None:
    return round(statistics.median(values), 2) if values else None


def said(noise: float, dropped: float) -> str:
    """A setting in words: 5 % noise, half dropped.

    Args:
        noise: over the value.
        dropped: share of the samples.
    """
    words = f"{100 * noise:g} % noise" if noise else "no noise"
    share = "half" if dropped == 0.5 else f"{100 * dropped:g} %"
    return f"{words}, {share} dropped" if dropped else words


# ------------------------------------------------------------------ text
def table(runs: Sequence[Run], published: Mapping[str, Mapping[str, float]] = PUBLISHED) -> str:
    """The shares at every setting beside the rivals' and the published ones, what misses are due to, and every miss.

    Args:
        runs: of any systems and settings.
        published: who -> headline number -> its value, of the same systems.
    """
    if not runs:
        return "no runs"
    settings = _settings(runs)
    parts = [_of_setting(runs, setting, published) for setting in settings]
    head = ["systems by outcome", *(said(*setting) for setting in settings)]
    counts = [[o, *(sum(r.outcome == o for r in _at(runs, s)) for s in settings)] for o in OUTCOMES]
    parts.append(markdown(head, counts))
    parts.append(_where_the_time_goes(runs))
    missed = [_miss(r) for setting in settings for r in _at(runs, setting) if not r.exact or not _is_good(r)]
    return "\n\n".join([*parts, "\n".join(missed)] if missed else parts)


def _where_the_time_goes(runs: Sequence[Run]) -> str:
    """Shares of the steps in the time of all runs, and of the slowest quarter of the systems."""
    by_system = {number: [r for r in runs if r.system == number] for number in dict.fromkeys(r.system for r in runs)}
    medians = {number: statistics.median(r.seconds for r in found) for number, found in by_system.items()}
    slowest = sorted(medians, key=medians.get)[-max(1, len(medians) // 4) :]
    steps = [name for name in dict.fromkeys(name for r in runs for name in r.steps) if name != "total"]
    rows = []
    for name, chosen in (("all", runs), ("the slowest quarter", [r for r in runs if r.system in slowest])):
        total = sum(r.seconds for r in chosen)
        shares = [f"{100 * sum(r.steps.get(step, 0.0) for r in chosen) / max(total, 1e-9):.0f} %" for step in steps]
        rows.append([name, f"{total:.0f}", *shares, f"{statistics.median(r.seconds for r in chosen):.1f}"])
    told = ", ".join(f"{number} ({medians[number]:.0f} s)" for number in slowest)
    table = markdown(["where the time goes", "s", *steps, "median s"], rows)
    return f"{table}\n\nThe slowest quarter of the systems, with their median times: {told}."


def _of_setting(runs: Sequence[Run], setting: tuple[float, float], published: Mapping) -> str:
    here = _at(runs, setting)
    best = sum(r.outcome in BEST_OR_TIED for r in here)
    rows = []
    for name in ("", *dict.fromkeys(rival.setting for r in here for rival in r.rivals)):
        cells = [_cell(_share(here, measure, name)) for measure in MEASURES]
        rows.append([name or "udesys", *cells, f"{statistics.median(one.seconds for one in of_rival(here, name)):.2f}"])
    for who, numbers in published.items():
        cells = [_cell(numbers.get(f"{measure}, {said(*setting)}, %")) for measure in MEASURES]
        if any(cells):
            rows.append([who, *cells, None])
    head = ["", f"R2 > {GOOD:g} reconstruction", "generalisation", *MEASURES[2:], "median s"]
    first = f"{said(*setting)[0].upper()}{said(*setting)[1:]}: {len(here)} systems"
    return f"{first}; the truth is best or tied for {best}.\n\n{markdown(head, rows)}"


def _cell(share: float | None) -> str | None:
    return None if share is None else f"{share:.0f} %"


def _is_good(run: Run) -> bool:
    return all(score is not None and score > GOOD for score in (run.reconstruction, run.generalisation))


def _miss(run: Run) -> str:
    where = f"- {run.system}, {said(run.noise, run.dropped)}: {run.outcome}"
    if run.failure:
        return f"{where}: {run.failure}"
    delta = "" if run.truth_delta is None else f", the truth at delta {run.truth_delta:+.1f}"
    scores = ", ".join(
        f"{name} {'diverges' if score is None else f'{score:.3g}'}"
        for name, score in (("reconstruction", run.reconstruction), ("generalisation", run.generalisation))
    )
    law = "; ".join(f"{state}' = {right_side}" for state, right_side in run.law.items())
    return f"{where}{delta}; {scores}: {law}"
