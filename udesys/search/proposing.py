"""All engines' proposals for one term in one pool."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from udesys.errors import SearchError, did_you_mean
from udesys.search.candidate import Candidate, Front
from udesys.search.engines import engines
from udesys.search.options import SearchOptions
from udesys.search.task import Task

GUESSES = 5  # of the engines before, handed to the next one


def chosen_engines(options: SearchOptions) -> dict:
    """name -> engine: those asked for, or all that are ready.

    Raises:
        SearchError: an engine is unknown, or asked for and not ready.
    """
    known = engines()
    for name in options.engines:
        if name not in known:
            raise SearchError(f"there is no engine {name!r}. {did_you_mean(name, known)}")
        if known[name].ready():
            raise SearchError(f"engine {name!r} is not ready: {known[name].ready()}")
    wanted = options.engines or [n for n, e in known.items() if not e.ready()]
    return {name: known[name] for name in wanted}


def linearised_engines(options: SearchOptions) -> list[str]:
    """Names of the chosen engines that work on the raw data about a law, and not on a network's values alone."""
    return [name for name, engine in chosen_engines(options).items() if getattr(engine, "LINEARISED", False)]


def propose(task: Task, options: SearchOptions, seed: int = 0, engines: Iterable[str] | None = None) -> Front:
    """The pool of all chosen engines' candidates for a term, equal forms merged, best score first.

    An engine that fails costs its candidates, and the front's notes say so, as long as another one proposed.

    Args:
        task: the term.
        options: what the user said about the search.
        seed: of engines that are random.
        engines: only these of the chosen ones.

    Raises:
        SearchError: an engine cannot be used, or none of them proposed anything.
    """
    best: dict[str, Candidate] = {}
    notes: list[str] = []
    for name, engine in chosen_engines(options).items():
        if engines is not None and name not in engines:
            continue
        guided = replace(task, guesses=tuple(c.numbers_in_place for c in list(best.values())[:GUESSES]))
        try:
            front = engine.propose(guided, options, seed)
        except SearchError as error:
            notes.append(f"engine {name!r} proposed nothing: {error}")
            continue
        notes += front.notes
        for candidate in front:
            if candidate.key not in best or candidate.score < best[candidate.key].score:
                best[candidate.key] = candidate
        best = dict(sorted(best.items(), key=lambda item: item[1].score))
    if not best:
        raise SearchError(" ".join(notes) or f"{task.term}: no engine proposed a formula.")
    return Front(task.term, tuple(best.values()), tuple(notes))
