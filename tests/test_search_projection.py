"""Variable projection against SciPy's least squares over all constants."""

import numpy as np
import pytest
from scipy.optimize import least_squares

from udesys.model import tree as T
from udesys.model.grammar import parse_expression
from udesys.search import Task
from udesys.search.projection import project


def terms(*texts):
    return [T.substitute(parse_expression(t), {"K": T.Symbol("#0"), "k": T.Symbol("#1")}) for t in texts]


def task(seed=0):
    rng = np.random.default_rng(seed)
    x = np.linspace(0.1, 5, 80)
    values = 1.7 * x / (0.8 + x) + 0.3 * np.exp(-1.1 * x) + 0.02 * rng.standard_normal(80)
    return Task(term="NN", arguments=("x",), points=x[:, None], values=values, std=np.full(80, 0.02))


def test_it_ends_where_least_squares_over_all_constants_ends():
    problem = task()
    x = problem.points[:, 0]
    found = project(terms("x/(K + x)", "exp(k*x)"), {"#0": 2.0, "#1": -0.5}, problem)

    def residual(c):
        return (problem.values - c[0] * x / (c[1] + x) - c[2] * np.exp(c[3] * x)) / problem.std

    best = least_squares(residual, [1.0, 2.0, 0.1, -0.5], xtol=1e-14, ftol=1e-14)
    # it stops at a relative gain of 1e-6, and the constants of the exponential are loose
    assert found.squares == pytest.approx(2 * best.cost, rel=1e-5)
    assert [*found.coefficients, *found.inner.values()] == pytest.approx(best.x[[0, 2, 1, 3]], rel=0.05)
    assert found.loss == pytest.approx(found.squares / 80)


def test_terms_without_constants_are_plain_least_squares():
    problem = task()
    found = project(terms("x", "x^2"), {}, problem)
    design = np.stack([problem.points[:, 0], problem.points[:, 0] ** 2], 1) / problem.std[:, None]
    exact = np.linalg.lstsq(design, problem.values / problem.std, rcond=None)[0]
    np.testing.assert_allclose(found.coefficients, exact, rtol=1e-10)


def test_a_term_of_which_no_decomposition_converges_is_an_event_and_no_exception():
    x = np.linspace(0.1, 5, 80)
    problem = Task(term="NN", arguments=("x",), points=x[:, None], values=x, std=np.full(80, 0.02))
    for rate in (-15.84, -200.0, 90.0, 300.0):
        found = project(terms("sin(exp(K*x))", "exp(k*x)*x"), {"#0": rate, "#1": -rate}, problem)
        assert found is None or np.isfinite(found.squares)


def test_terms_that_say_the_same_or_overflow_come_to_nothing():
    problem = task()
    assert project(terms("x", "2*x"), {}, problem) is None
    assert project(terms("exp(K*x)"), {"#0": 400.0}, problem) is None
