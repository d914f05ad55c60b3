"""The discovery repeated on resampled data sets, on several processes: how far the data support a law's form.

Every repeat is `discover` itself, from the fit of the networks through the search to the refit, with the options, the
given noise and the seed of the law; nothing of the first discovery goes into it. Only what is alike for all is done
once: a process loads its libraries for all of its repeats. Then the law's own form is refitted to the same data set,
whatever was picked there, for the spread of its constants.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from udesys.assess.discovery import Discovery
from udesys.assess.resampling import Resampling, resampling_of
from udesys.assess.support import Outcome, form_of, support_of
from udesys.discover import LAST_ITERATIONS, discover
from udesys.errors import UdesysError
from udesys.fit import FitOptions
from udesys.model import HybridODE
from udesys.model.closed_form import ClosedForm
from udesys.processes import available, run_tasks
from udesys.progress import Portion
from udesys.search import SearchOptions, chosen_engines

LONGEST_REASON = 160  # characters


@dataclass(frozen=True, kw_only=True)
class Question:
    """What every process is told once.

    Attributes:
        model: the hybrid.
        resampling: what the data sets are drawn from.
        closed_form: the law that is examined.
        noise: column -> standard deviation, where it was given.
        options, fit_options: of the discovery.
        law_seed: of the discovery.
        seed: of the resampling.
    """

    model: HybridODE
    resampling: Resampling
    closed_form: ClosedForm
    noise: dict[str, float] | None
    options: SearchOptions
    fit_options: FitOptions
    law_seed: int
    seed: int


def with_support(
    law: Discovery,
    resamples: int = 100,
    *,
    jobs: int | None = None,
    seed: int = 0,
    kind: str | None = None,
    progress: Callable | None = None,
) -> Discovery:
    """The same law with the support of its form: the share of repeated discoveries that find it.

    Args:
        law: what was discovered.
        resamples: how many data sets are drawn, and the discovery repeated on each.
        jobs: processes at a time, each on one thread; None takes as many as there are cores.
        seed: of the data sets; the same seed gives the same answer with any number of processes.
        kind: "parametric" draws normal noise of the law's size, "blocks" moves stretches of its residuals; None takes
            blocks where the residuals are not white.
        progress: called as progress("support", repeats done, text).

    Raises:
        UdesysError: an argument is not usable, an older version found the law, or its engines are not there.
    """
    asked = {"resamples": (resamples, 1), "jobs": (1 if jobs is None else jobs, 1), "seed": (seed, 0)}
    for name, (value, least) in asked.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise UdesysError(f"{name} = {value!r} must be a whole number, {least} or more.")
    if law.fit is None:
        raise UdesysError("this law has no fit, whose options and noise its repeats need. Load the run as a whole.")
    began, jobs = time.perf_counter(), min(jobs or available(), resamples)
    question = question_of(law, resampling_of(law, kind), seed)

    def told(count: int) -> None:
        if progress is not None:
            progress("support", count, Portion(f"{count} of {resamples} resamples", count / resamples))

    told(0)
    tasks = [(number,) for number in range(resamples)]
    outcomes = run_tasks(_repeat, tasks, jobs, _take_up, given=(question,), done=told, died=_died)
    support = support_of(
        form_of(law.closed_form),
        [form_of(rival.closed_form) for rival in law.rivals],
        outcomes,
        model=law.model,
        names=law.closed_form.labels,
        kind=question.resampling.kind,
        block_length=question.resampling.block_length,
        seed=seed,
        seconds=time.perf_counter() - began,
    )
    return replace(law, support=support)


def question_of(law: Discovery, resampling: Resampling, seed: int) -> Question:
    """What the repeats of a discovery are told.

    Args:
        law: what was discovered, with its fit.
        resampling: what the data sets are drawn from.
        seed: of the resampling.

    Raises:
        SearchError: an engine that the law was found with is not there.
    """
    options = replace(law.options or SearchOptions(), engines=law.engines)
    chosen_engines(options)  # the repeats ask the engines that the law was found with
    return Question(
        model=law.model,
        resampling=resampling,
        closed_form=law.closed_form,
        noise={c: law.fit.noise[c] for c in law.fit.given_noise} or None,
        options=options,
        fit_options=law.fit.options,
        law_seed=law.seed,
        seed=seed,
    )


# ------------------------------------------------------------------ in a process
_asked: list[Question] = []


def _take_up(question: Question) -> None:
    _asked[:] = [question]


def _repeat(number: int) -> Outcome:
    """One repeat; what it cannot do is what it came to."""
    return repeat(_asked[0], number)


def repeat(question: Question, number: int) -> Outcome:
    """Draw a data set and discover its law.

    Args:
        question: what is repeated.
        number: of the data set; it is the same for the same number and seed.
    """
    rng = np.random.default_rng(np.random.SeedSequence((question.seed, number)))
    try:
        law = discover(
            question.model,
            question.resampling.draw(rng),
            seed=question.law_seed,
            noise=question.noise,
            options=question.options,
            fit_options=question.fit_options,
        )
    except Exception as failure:  # counted, whatever it is
        kind = "" if isinstance(failure, UdesysError) else f"{type(failure).__name__}: "
        return Outcome(picked=None, failure=_short(f"{kind}{failure}"))
    picked = form_of(law.closed_form)
    near = {form.key: form for form in (picked, *(form_of(rival.closed_form) for rival in law.rivals))}
    return Outcome(picked=picked, near=tuple(near.values()), values=_refitted(question, law))


def _refitted(question: Question, law: Discovery) -> tuple[float, ...] | None:
    """The values of the examined form at its best on the repeat's data; None where that does not simulate."""
    footing = law.footing
    starts = footing.nodes[footing.data.segments[0]]
    with np.errstate(all="ignore"):
        refit = footing.refitter(question.model).refit(
            question.closed_form, starts, robust=True, iterations=LAST_ITERATIONS
        )
    return None if refit is None else tuple(map(float, refit.form.values))


def _died(task: tuple, how: str) -> Outcome:
    return Outcome(picked=None, failure=how)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_REASON else f"{text[: LONGEST_REASON - 3]}..."
