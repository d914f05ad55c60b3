"""`udesys bench fields`: what counts as a constant of the law, the figures of made-up runs, and one run."""

from types import SimpleNamespace

import pytest

from udesys.bench.fields import (
    CASES,
    COARSE,
    FINE,
    RATIO,
    Run,
    _constants,
    find_once,
    largest,
    ratio_of,
    summary,
    system_of,
    table,
)


def estimate(value):
    return SimpleNamespace(value=value, interval=(value - 0.1, value + 0.1))


def law(text, **constants):
    residual = SimpleNamespace(expression=text, constants={n: estimate(v) for n, v in constants.items()})
    return SimpleNamespace(residuals={"NN": residual}, parameters={"beta3_u": estimate(-0.01)})


def test_a_constant_before_two_monomials_counts_by_the_one_that_is_farther_off():
    values, inside = _constants(law("c0*u + c1*u**2", c0=1.02, c1=-0.95), "NN", CASES[COARSE])
    assert values == {"beta3_u": -0.01, "r": 0.95}
    assert inside == {"beta3_u": True, "r": True}
    values, inside = _constants(law("c0*u - c1*u**2", c0=1.5, c1=1.0), "NN", CASES[COARSE])
    assert values["r"] == 1.5
    assert not inside["r"]


@pytest.mark.parametrize("text", ["c0*u", "c0*u**2 + c1*abs(u)", "c0*u + c1*u**2 + c0*u**3", "c0*u*(1 - c1*u)"])
def test_another_formula_has_no_such_constant(text):
    assert "r" not in _constants(law(text, c0=1.0, c1=-1.0), "NN", CASES[COARSE])[0]


def test_figures_of_made_up_runs():
    def run(case, seed, seconds, r):
        found = {"law": {"beta3_u": -0.0102, "r": r}, "hybrid": {"beta3_u": -0.0099}}
        found |= {"term": {"hybrid": 0.02, "law": 0.01}, "formula": "c0*u", "seconds": seconds}
        return Run(case=case, points=25, seed=seed, right=seed == 0, **found)

    runs = [run(COARSE, 0, 4.0, 1.01), run(COARSE, 1, 6.0, 0.97), run(FINE, 0, 50.0, 1.0)]
    numbers = summary(runs)
    assert numbers["fisher-kpp, beta3_u, largest error, %"] == pytest.approx(2.0)
    assert largest(runs, "hybrid")["fisher-kpp, beta3_u, largest error, %"] == pytest.approx(1.0)
    assert numbers["fisher-kpp, r, largest error, %"] == pytest.approx(3.0)
    assert "fisher-kpp, r, largest error, %" not in largest(runs, "hybrid"), "it is inside the network"
    assert numbers[RATIO] == ratio_of(runs) == pytest.approx(10.0)
    text = table(runs)
    assert "400 points take 10.0 times as long as 25." in text
    assert "its constants within the aim (beta3_u 5 %, r 2 %) in 1" in text
    assert ratio_of(runs[:2]) is None
    assert summary([]) == {}


def test_fisher_kpp_is_as_the_study_has_it():
    system = system_of(FINE)
    assert system.grid.n == 400
    assert system.grid.spacing == pytest.approx(1 / 400)
    assert system.t[-1] == 5.0


@pytest.mark.slow
def test_fisher_kpp_with_a_learned_stencil_is_found():
    run = find_once(COARSE, 0)
    assert not run.failure
    assert run.right
    assert run.error("law", "beta3_u") < 5
    assert run.error("law", "r") < 2
    assert run.inside["beta1_u"]
    assert run.inside["beta2_u"]
    assert run.error("hybrid", "beta3_u") < 5
