"""What a report says in sentences: how well the constants are known, and what the data cannot tell."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from udesys.assess.summary import RIVAL_DELTA, estimate_cells, estimates_of, mark_of, picked_of

LEVEL = "with 95 % confidence"


@dataclass(frozen=True, kw_only=True)
class Form:
    """One form of a missing term among the laws that the data cannot tell apart.

    Attributes:
        term: the missing term.
        text: the formula, with named constants.
        count: in how many of these laws it stands.
        delta: criterion above the lowest of the best of them.
        picked: it is the one in the law.
    """

    term: str
    text: str
    count: int
    delta: float
    picked: bool


def count(n: int, noun: str, plural: str = "") -> str:
    """A number with its noun: `1 sample`, `3 samples`.

    Args:
        n: how many.
        noun: of one.
        plural: of several; with an s where it is not given.
    """
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def listed(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`.

    Args:
        words: at least one.
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


# ------------------------------------------------------------------ the constants
def constant_sentences(law) -> list[str]:
    """One sentence on each parameter and each constant of the formulas.

    Args:
        law: a Discovery.
    """
    return [_constant_sentence(law, name, estimate) for name, estimate in estimates_of(law).items()]


def _constant_sentence(law, name: str, estimate) -> str:
    owner, _, constant = name.rpartition(".") if name not in law.parameters else ("", "", name)
    who = f"{constant} of {owner}" if owner else name
    value, _, _, unit, _ = estimate_cells(estimate)
    value = f"{value} {unit}" if unit else value
    if estimate.fixed:
        return f"{who} is {value}, as given."
    if not estimate.identifiable:
        return f"{who} is not determined by these data: other constants make up for any value of it."
    if estimate.at_bound is not None:
        bounds = law.model.parameters[name].bounds if name in law.parameters else None
        side = mark_of(estimate, bounds).split(",")[0].lower()
        return f"{who} is {value}: it stopped {side}, so that it has no interval."
    low, high = estimate.interval
    if not np.isfinite([low, high]).all():
        return f"{who} is {value}; how well it is known could not be computed."
    ends = estimate_cells(estimate)[2].strip("[]").split(", ")
    return f"{who} is {value}, and between {ends[0]} and {ends[1]} {LEVEL}."


def simpler_sentence(law) -> str:
    """Which constants may be simple fractions; nothing where none may.

    Args:
        law: a Discovery.
    """
    if not law.simpler:
        return ""
    names = [f"{n if isinstance(n, str) else '.'.join(n)} = {value}" for n, value in law.simpler.items()]
    change = f"the criterion changes by {law.simpler_criterion:+.1f} with that fixed"
    return f"Simpler numbers would do as well: {listed(names)} ({change})."


# ------------------------------------------------------------------ rivals
def rivals_of(law) -> list:
    """Candidates other than the pick that the data cannot tell from the best one.

    Args:
        law: a Discovery.
    """
    if not law.candidates:
        return []
    picked = picked_of(law)
    return [c for c in law.candidates if c is not picked and c.delta < RIVAL_DELTA and not c.diverged]


def doubt_sentences(law) -> list[str]:
    """What the data cannot tell: how many forms are tied, which constants stay open, and where nothing is claimed.

    Args:
        law: a Discovery.
    """
    sentences = []
    if law.residuals and law.candidates:
        sentences.append(_rivals_sentence(law))
    open_ones = [name for name, estimate in estimates_of(law).items() if not estimate.identifiable]
    if open_ones:
        sentences.append(f"They do not determine {listed(open_ones)}.")
    if law.visited:
        ranges = [f"{name} from {low:.4g} to {high:.4g}" for name, (low, high) in law.visited.items()]
        sentences.append(f"Nothing is claimed outside of what they visited: {listed(ranges)}.")
    return sentences


def _rivals_sentence(law) -> str:
    rivals, others = rivals_of(law), len(law.candidates) - 1
    ratio = round(math.exp(RIVAL_DELTA / 2))
    if not others:
        return "Only this form was tried."
    if not rivals:
        return (
            f"None of the {count(others, 'other law')} listed comes within {RIVAL_DELTA:g} of the best criterion, a "
            f"likelihood ratio of about {ratio}: the data single this form out among them."
        )
    ahead = sum(c.delta < picked_of(law).delta for c in rivals)
    better = f" {count(ahead, 'of them has', 'of them have')} a lower criterion." if ahead else ""
    return (
        f"These data cannot tell {len(rivals) + 1} laws apart: all are within {RIVAL_DELTA:g} of the lowest criterion, "
        f"a likelihood ratio of about {ratio}. The law above has the fewest constants among them.{better}"
    )


def difference(law, rival) -> str:
    """How a rival differs from the pick in constants and criterion.

    Args:
        law: a Discovery.
        rival: one of its candidates.
    """
    picked = picked_of(law)
    more, change = rival.n_constants - picked.n_constants, rival.delta - picked.delta
    size = "as many constants" if not more else f"{count(abs(more), 'constant')} {'more' if more > 0 else 'fewer'}"
    return f"{size}, criterion {abs(change):.1f} {'higher' if change > 0 else 'lower'}"


def tied_forms(law) -> list[Form]:
    """The forms of every missing term among the pick and its rivals, the most frequent first.

    Args:
        law: a Discovery.
    """
    if not law.candidates:
        return []
    picked, tied = picked_of(law), [picked_of(law), *rivals_of(law)]
    forms = []
    for term in picked.residuals:
        counts = Counter(c.residuals.get(term, "") for c in tied)
        for text, n in counts.most_common():
            nearest = min(c.delta for c in tied if c.residuals.get(term) == text)
            chosen = text == picked.residuals[term]
            forms.append(Form(term=term, text=text, count=n, delta=nearest, picked=chosen))
    return forms


def strongest_correlations(law, most: int = 3) -> list[str]:
    """The pairs of constants whose estimates go together most, in words.

    Args:
        law: a Discovery.
        most: how many.
    """
    names, values = law.correlation
    pairs = [(abs(values[i, j]), i, j) for i in range(len(names)) for j in range(i) if np.isfinite(values[i, j])]
    strongest = sorted(pairs, key=lambda pair: (-pair[0], pair[1:]))[:most]
    return [f"{names[j]} and {names[i]} {values[i, j]:+.2f}" for _, i, j in strongest]
