"""All engines' proposals for one term in one pool."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from udesys.errors import SearchError, did_you_mean
from udesys.model import tree as T
from udesys.search.candidate import Candidate, Front
from udesys.search.engines import engines
from udesys.search.guessing import NAME as GUESS
from udesys.search.guessing import guessed
from udesys.search.options import SearchOptions
from udesys.search.rules import Rules
from udesys.search.task import Task

GUESSES = 5  # of the engines before, handed to the next one
LATEST = 1  # place in the pool at which a user's guesses stand at the latest
ENOUGH, SPARE = 24, 4  # formulas; where fewer are admitted, so many times as many are asked for


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


def idle_engines() -> list[str]:
    """Names of the engines that are not ready."""
    return [name for name, engine in engines().items() if engine.ready()]


def linearised_engines(options: SearchOptions) -> list[str]:
    """Names of the chosen engines that work on the raw data about a law, and not on a network's values alone."""
    return [name for name, engine in chosen_engines(options).items() if getattr(engine, "LINEARISED", False)]


def propose(task: Task, options: SearchOptions, seed: int = 0, engines: Iterable[str] | None = None) -> Front:
    """The pool of all chosen engines' candidates for a term, equal forms merged, best score first.

    What is known of the term leaves candidates out. A user's guess is among them and stands second at the latest. An
    engine that fails costs its candidates, and the front's notes say so, as long as another one proposed.

    Args:
        task: the term.
        options: what the user said about the search.
        seed: of engines that are random.
        engines: only these of the chosen ones.

    Raises:
        SearchError: an engine cannot be used, none of them proposed anything, or what is known leaves nothing.
    """
    rules = Rules(task, options)
    pool, notes, exhaustive = _Pool(), [], linearised_engines(options)
    for text in rules.known.guess:
        notes += pool.add_guess(text, rules)
    for name, engine in chosen_engines(rules.options).items():
        if engines is not None and name not in engines:
            continue
        guided = replace(rules.task, guesses=pool.starts(rules.task.arguments))
        try:
            front = engine.propose(guided, rules.options, seed)
            admitted = sum(pool.add(candidate, rules) for candidate in front)
            few = admitted < min(ENOUGH, len(front)) and rules.shape  # signs and slopes are seen only afterwards
            if few and name in exhaustive:
                for candidate in engine.propose(replace(guided, spare=SPARE), rules.options, seed):
                    pool.add(candidate, rules)
        except SearchError as error:
            notes.append(f"engine {name!r} proposed nothing: {error}")
            continue
        notes += front.notes
    if not pool.best:
        reasons = [rules.explanation(), *notes]
        raise SearchError(" ".join(filter(None, reasons)) or f"{task.term}: no engine proposed a formula.")
    return Front(task.term, pool.ordered(), tuple(notes))


class _Pool:
    """Candidates with equal forms merged: over the term's own arguments, and as an engine sees them."""

    def __init__(self):
        self.best: dict[str, Candidate] = {}
        self.seen: dict[str, Candidate] = {}

    def add(self, candidate: Candidate, rules: Rules, *, limited: bool = True) -> bool:
        """Take a candidate in, where no equal form has a better score; False where what is known does not admit it."""
        whole = rules.admitted(candidate, limited=limited)
        if whole is None:
            return False
        before = self.best.get(whole.key)
        if before is None or whole.score < before.score:
            self.best[whole.key], self.seen[whole.key] = whole, candidate
        if before is not None:
            self.best[whole.key] = self.best[whole.key].proposed_too(before).proposed_too(whole)
        return True

    def add_guess(self, text: str, rules: Rules) -> list[str]:
        """Take a user's guess in, and say why where that cannot be."""
        try:
            guess = guessed(text, rules.given)
        except SearchError as error:
            return [str(error)]
        reason = rules.objection(guess, guess, limited=False)
        if reason:
            return [f"{rules.given.term}: guess {text!r} is left out by {reason}."]
        self.add(guess, rules, limited=False)
        return []

    def ordered(self) -> tuple[Candidate, ...]:
        """Best score first, but what a user guessed second at the latest."""
        ranked = sorted(self.best.values(), key=lambda c: c.score)
        late = [c for c in ranked[LATEST:] if GUESS in c.engines]
        return (*ranked[:LATEST], *late, *(c for c in ranked[LATEST:] if GUESS not in c.engines))

    def starts(self, arguments: Sequence[str]) -> tuple[T.Tree, ...]:
        """What an engine may start from: formulas over its arguments, numbers in place."""
        known = (self.seen[c.key].numbers_in_place for c in self.ordered())
        return tuple(tree for tree in known if T.symbols(tree) <= set(arguments))[:GUESSES]
