"""What a report says in sentences: how well the constants are known, and what the data cannot tell."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from udesys.assess.field_text import stencil_sentences, visited_shown
from udesys.assess.resampling import PARAMETRIC
from udesys.assess.summary import RIVAL_DELTA, error_text, estimate_cells, estimates_of, mark_of, picked_of

LEVEL = "with 95 % confidence"
STAYING = "values that stay what they were"
MOST_REASONS = 3  # why repeats found no law


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
    """One sentence on each parameter, each constant of the formulas and each derived quantity.

    Args:
        law: a Discovery.
    """
    derived = {f"{name} = {quantity.expression}": quantity.estimate for name, quantity in law.quantities.items()}
    named = {_called(law, name): (name, estimate) for name, estimate in estimates_of(law).items()}
    named |= {who: ("", estimate) for who, estimate in derived.items()}
    found = [_constant_sentence(law, who, name, estimate) for who, (name, estimate) in named.items()]
    return found + stencil_sentences(law)


def _called(law, name: str) -> str:
    """A parameter by its name, a constant of a formula as that of its term."""
    owner, _, constant = name.rpartition(".") if name not in law.parameters else ("", "", name)
    return f"{constant} of {owner}" if owner else name


def _constant_sentence(law, who: str, name: str, estimate) -> str:
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
    found = law.identifiability
    sentences += [] if found is None else found.sentences
    told = frozenset() if found is None else found.names
    open_ones = [name for name, e in estimates_of(law).items() if not e.identifiable and name not in told]
    if open_ones:
        sentences.append(f"They do not determine {listed(open_ones)}.")
    sentences += [_open_sentence(profile) for profile in law.profiles.values() if profile.open_low or profile.open_high]
    if law.visited:
        ranges = [f"{name} from {low:.4g} to {high:.4g}" for name, (low, high) in visited_shown(law).items()]
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


def _open_sentence(profile) -> str:
    """A profile whose interval has no end on one side, or on both."""
    if profile.open_low and profile.open_high:
        ends, way = "neither a lower nor an upper end", "either way"
    else:
        ends, way = ("no lower end", "below") if profile.open_low else ("no upper end", "above")
    return f"The 95 % interval of {profile.name} by its profile has {ends}: the law fits almost as well far {way}."


def support_sentences(law) -> list[str]:
    """How often the law's form was found where its discovery was repeated.

    Args:
        law: a Discovery with support.
    """
    found = law.support
    n, own = found.resamples, found.form
    blocks = f"the residuals moved in blocks of {count(found.block_length, 'row')}"
    how = "noise drawn anew" if found.kind == PARAMETRIC else blocks
    sentences = [
        f"The discovery was repeated on {count(n, 'data set')} simulated from the law with {how}. This form was picked "
        f"in {_share(own.picked, n)} of them, and was within reach of the best in {_share(own.near, n)}."
    ]
    others = [form for form in found.forms if form.picked]
    if others:
        most = f"{'the most frequent of them ' * (len(others) > 1)}in {_share(others[0].picked, n)}"
        sentences.append(f"{count(len(others), 'other form was', 'other forms were')} picked, {most}.")
    if found.failed:
        why = "; ".join(f"{reason} ({times})" for reason, times in list(found.failures.items())[:MOST_REASONS])
        sentences.append(f"{_share(found.failed, n)} of them gave no law: {why}.")
    return sentences


def _share(number: int, n: int) -> str:
    """A number of n with its percentage."""
    return f"{number} ({100 * number / n:.0f} %)"


# ------------------------------------------------------------------ errors
def residual_sentence(law) -> str:
    """Whether what the law leaves of the data is noise.

    Args:
        law: a Discovery with diagnostics.
    """
    text = str(law.diagnostics)
    return f"{text[0].upper()}{text[1:]}"


def heldout_sentences(law) -> list[str]:
    """How far the law misses each column that was held out, beside the hybrid and values that stay what they were.

    Args:
        law: a Discovery.
    """
    kinds = {"heldout": "the law", "heldout_hybrid": "the hybrid with networks", "heldout_persistence": STAYING}
    found = []
    for column in law.data.columns:
        errors = {who: law.error[kind].get(column) for kind, who in kinds.items() if law.error.get(kind)}
        known = [_missed(who, error) for who, error in errors.items() if error is not None]
        found += [f"RMSE on what was held out of {column}: {listed(known)}."] if known else []
    return found


def _missed(who: str, error: float) -> str:
    return f"{who} diverges" if math.isinf(error) else f"{error_text(error)} by {who}"


# ------------------------------------------------------------------ what to do next
def suggestion_sentence(law) -> str:
    """The best of the suggested experiments.

    Args:
        law: a Discovery with suggestions.
    """
    asked = law.suggestions
    design = asked.items[0].design
    measured = f"{listed(list(design.columns))} measured at {asked.time} {when(design.t)}"
    aims = {
        "separation": "To tell the laws that stand apart",
        "shrink": "To narrow the intervals that were named",
        "constants": "No rival stands; to narrow the intervals of all constants",
    }
    return f"{aims[asked.by]}, the best experiment looked at is {asked.what()}, with {measured}."


def when(t: Sequence[float]) -> str:
    """Times of measurements: `1923`, or `0 to 10 (21 times)`.

    Args:
        t: at least one, increasing.
    """
    return f"{t[0]:.6g}" if len(t) == 1 else f"{t[0]:.6g} to {t[-1]:.6g} ({len(t)} times)"


def asked_next(law) -> dict[str, str]:
    """Command -> what it would add, of what was not asked for yet; RUN stands for the folder of the run.

    Args:
        law: a Discovery.
    """
    if law.footing is None:
        return {}
    asks = {}
    if law.closed_form.names and not law.profiles:
        asks["udesys profile RUN"] = "how far each constant can go while all others make up for it"
    if law.support is None and law.residuals:
        asks["udesys support RUN"] = "how often this form is found where the discovery is repeated with other noise"
    if law.suggestions is None and law.model.grid is None:
        asks["udesys suggest RUN"] = "where to measure next"
    return {**asks, "udesys forecast RUN --until T": "the law simulated on to the time T, with its band"}


# ------------------------------------------------------------------ forms
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
