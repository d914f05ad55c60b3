"""The engines' proposals as they come, kept so that a search that was stopped need not ask again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from udesys.errors import UdesysError
from udesys.model.closed_form import Formula
from udesys.model.plain import from_plain, to_plain
from udesys.runs.files import from_exact_json, to_exact_json
from udesys.runs.folder import RunFolder
from udesys.search import Candidate, Front, SearchOptions, Task, propose

NAME = "proposals.json"


class KeptProposals:
    """`search.propose`, answered from what a run has kept as far as the questions are the same.

    Args:
        run: holds the file; every new answer is written into it.
    """

    def __init__(self, run: RunFolder):
        self.run, self.asked = run, 0
        self.kept: list[dict] = _read(run) if NAME in run.files else []

    def __call__(
        self, task: Task, options: SearchOptions, seed: int = 0, engines: Iterable[str] | None = None
    ) -> Front:
        """As `search.propose`."""
        engines = None if engines is None else list(engines)
        question, place = _digest(task, seed, engines), self.asked
        self.asked += 1
        if place < len(self.kept):
            if self.kept[place]["question"] == question:
                return _front(self.kept[place])
            self.kept = self.kept[:place]  # what follows was asked about another law
        front = propose(task, options, seed, engines)
        self.kept.append({"question": question, **_plain(front)})
        self.run.put({NAME: to_exact_json(self.kept)})
        return front


def _digest(task: Task, seed: int, engines: list[str] | None) -> str:
    digest = hashlib.sha256(repr((task.term, task.arguments, seed, engines)).encode())
    for array in (task.points, task.values, task.std, task.response.target):
        digest.update(array.tobytes())
    return digest.hexdigest()


def _plain(front: Front) -> dict:
    return {
        "term": front.term,
        "notes": list(front.notes),
        "candidates": [
            {
                "tree": to_plain(c.formula.tree),
                "constants": dict(c.formula.constants),
                "parts": [[to_plain(tree), name] for tree, name in c.parts],
                "loss": c.loss,
                "score": c.score,
                "prior": c.prior,
                "engine": c.engine,
            }
            for c in front
        ],
    }


def _front(kept: dict) -> Front:
    candidates = tuple(
        Candidate(
            formula=Formula(from_plain(c["tree"]), c["constants"]),
            parts=tuple((from_plain(tree), name) for tree, name in c["parts"]),
            **{key: c[key] for key in ("loss", "score", "prior", "engine")},
        )
        for c in kept["candidates"]
    )
    return Front(kept["term"], candidates, tuple(kept["notes"]))


def _read(run: RunFolder) -> list[dict]:
    try:
        kept = from_exact_json(run.read(NAME))
        for entry in kept:
            _front(entry)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UdesysError(f"{run.path / NAME} does not hold proposals ({error}). Replace the run.") from error
    return kept
