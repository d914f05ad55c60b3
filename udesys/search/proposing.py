"""All engines' proposals for one term in one pool."""

from __future__ import annotations

from udesys.errors import SearchError, did_you_mean
from udesys.search.candidate import Candidate, Front
from udesys.search.engines import engines
from udesys.search.options import SearchOptions
from udesys.search.task import Task


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


def propose(task: Task, options: SearchOptions, seed: int = 0) -> Front:
    """The pool of all chosen engines' candidates for a term, equal forms merged, best score first."""
    best: dict[str, Candidate] = {}
    for engine in chosen_engines(options).values():
        for candidate in engine.propose(task, options, seed):
            if candidate.key not in best or candidate.score < best[candidate.key].score:
                best[candidate.key] = candidate
    return Front(task.term, tuple(sorted(best.values(), key=lambda c: c.score)))
