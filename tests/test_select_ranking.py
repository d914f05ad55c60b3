"""The joint choice of formulas on the Lotka-Volterra case."""

import functools

import numpy as np
import pytest
from laws import TRUTH, fit, fitted, lotka_volterra

from udesys.errors import SearchError
from udesys.model import HybridODE, Parameter
from udesys.search import Library, SearchOptions
from udesys.search.prior import known_forms, law_length
from udesys.select import Refitter, criterion, select
from udesys.select.criterion import FLOOR
from udesys.select.ranking import MOST_FIRST

TRUE_KEY = ("predator*prey", "predator*prey")


@functools.cache
def selected():
    told = []
    found = select(fitted(0.005, 0), SearchOptions(), progress=lambda *what: told.append(what))
    return found, told


def test_the_true_forms_are_picked_with_their_constants():
    best = selected()[0].best
    assert best.key == TRUE_KEY
    # At half a percent of noise a few parts in a thousand.
    assert best.refit.form.values == pytest.approx([-TRUTH["beta"], TRUTH["gamma"]], rel=0.03)
    assert {t: next(iter(c.formula.constants.values())) for t, c in best.choice.items()} == pytest.approx(
        dict(zip(("NN1", "NN2"), best.refit.form.values, strict=True))
    )


def test_laws_are_ranked_by_a_criterion_that_anyone_can_recompute():
    found, _ = selected()
    assert [r.criterion for r in found.ranked] == sorted(r.criterion for r in found.ranked)
    counts = found.data.mask.sum(0)
    floor = FLOOR * np.abs(found.data.y).mean(0)
    known = known_forms(fitted(0.005, 0).model)
    for law in found.ranked[:20]:
        squares = ((law.refit.states - found.data.y) ** 2).sum(0)
        prior = law_length({t: c.forms for t, c in law.choice.items()}, known)
        assert law.criterion == pytest.approx(
            criterion(squares, counts, found.worth, floor, len(law.refit.form.values), prior), abs=1e-6
        )


def test_every_law_is_listed_once_and_reaches_the_end():
    found, _ = selected()
    keys = [law.key for law in found.ranked]
    assert len(set(keys)) == len(keys) > 10
    assert all(np.isfinite(law.refit.states).all() for law in found.ranked)
    assert found.n_refits >= len(keys) and found.seconds_proposing > 0


def test_the_noise_is_estimated_again_from_the_best_law():
    found, _ = selected()
    best = min(found.ranked, key=lambda r: r.criterion)
    sd = np.sqrt(best.refit.squares / 31)
    assert np.broadcast_to(found.data.sigma, (2,)) == pytest.approx(sd, rel=0.15)  # degrees of freedom apart


def test_progress_tells_the_best_formula_so_far():
    _, told = selected()
    assert {stage for stage, _, _ in told} <= {"search", "select"}
    assert [step for _, step, _ in told] == sorted(step for _, step, _ in told)
    assert "prey*predator" in told[-1][2]


def test_nothing_that_simulates_the_data_is_an_error(monkeypatch):
    monkeypatch.setattr(Refitter, "refit", lambda *args, **options: None)
    with pytest.raises(SearchError, match=r"no proposed formula simulates the data\. Extend the library"):
        select(fitted(0.005, 0), SearchOptions())


def test_where_the_leaders_do_not_simulate_together_short_choices_are_tried(monkeypatch):
    refit, calls = Refitter.refit, iter(range(MOST_FIRST))

    def first_none(self, *args, **options):
        return None if next(calls, None) is not None else refit(self, *args, **options)

    monkeypatch.setattr(Refitter, "refit", first_none)
    assert select(fitted(0.005, 0), SearchOptions()).best.key == TRUE_KEY


def test_a_law_that_is_wholly_known_is_only_refitted():
    model = HybridODE(
        "prey' = alpha*prey - 0.9*prey*predator\npredator' = 0.8*prey*predator - 1.8*predator",
        parameters={"alpha": Parameter(1.0)},
    )
    found = select(fit(model, lotka_volterra(0.005)), SearchOptions())
    assert len(found.ranked) == 1 and found.best.choice == {}
    assert found.best.refit.form.parameters["alpha"] == pytest.approx(1.3, rel=0.01)


def test_terms_that_say_nothing_are_dropped():
    found = select(fitted(0.005, 0), SearchOptions(library=Library(degree=2, functions=()), max_terms=3))
    assert found.best.key == TRUE_KEY
