"""Formulas in place of networks: simulated as SciPy does, with sensitivities that its differences confirm."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from udesys.model import HybridODE, Parameter
from udesys.model.closed_form import ClosedForm, Formula
from udesys.model.grammar import parse_expression
from udesys.model.program import Program
from udesys.model.symbolic import from_sympy, to_sympy

LOTKA_VOLTERRA = HybridODE(
    "prey' = alpha*prey + NN1(prey, predator)\npredator' = NN2(prey, predator) - delta*predator",
    {"alpha": Parameter(1.0)},
)
FORM = ClosedForm(
    LOTKA_VOLTERRA,
    {
        "NN1": Formula(parse_expression("-c0*prey*predator"), {"c0": 0.9}),
        "NN2": Formula(parse_expression("c0*prey*predator/(1 + c1*prey)"), {"c0": 0.8, "c1": 0.05}),
    },
    {"alpha": 1.3, "delta": 1.8},
)


def lotka_volterra(t, x, alpha, delta, a, b, c):
    return [alpha * x[0] - a * x[0] * x[1], b * x[0] * x[1] / (1 + c * x[0]) - delta * x[1]]


def scipys(rhs, x0, t, p):
    """States (time, d) by SciPy, to about twelve digits."""
    return solve_ivp(rhs, (t[0], t[-1]), x0, "DOP853", t_eval=t, args=tuple(p), rtol=1e-12, atol=1e-12).y.T


def one_segment(n):
    return np.array([0]), np.array([n])


def steps(n, number=20):
    return np.full(n, number)


T = np.linspace(0.0, 5.0, 21)
X0 = np.array([0.44, 4.6])


def test_the_unknowns_are_parameters_then_constants():
    assert FORM.names == ("alpha", "delta", ("NN1", "c0"), ("NN2", "c0"), ("NN2", "c1"))
    assert FORM.values.tolist() == [1.3, 1.8, 0.9, 0.8, 0.05]
    assert FORM.parameters == {"alpha": 1.3, "delta": 1.8}


def test_a_simulation_is_scipys():
    states, nothing = FORM.simulate(X0[None], T, one_segment(21), steps(21))
    assert nothing is None
    # SciPy's tolerance of 1e-12 a step, added up over five time units; 400 steps of order 8 err less
    np.testing.assert_allclose(states, scipys(lotka_volterra, X0, T, FORM.values), rtol=1e-9, atol=1e-9)


def differences(function, p, h=1e-3):
    """Central differences of fourth order: (..., unknowns)."""
    columns = []
    for j, step in enumerate(h * np.maximum(np.abs(p), 0.1)):
        at = [function(p + k * step * np.eye(len(p))[j]) for k in (-2, -1, 1, 2)]
        columns.append((at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * step))
    return np.stack(columns, axis=-1)


def test_sensitivities_are_scipys_differences():
    states, sensitivities = FORM.simulate(X0[None], T, one_segment(21), steps(21), sensitivities=True)
    plain, _ = FORM.simulate(X0[None], T, one_segment(21), steps(21))
    p = np.concatenate([FORM.values, X0])
    expected = differences(lambda p: scipys(lotka_volterra, p[5:], T, p[:5]), p)
    assert sensitivities.shape == (21, 2, 7)
    np.testing.assert_array_equal(states, plain)
    np.testing.assert_array_equal(sensitivities[0], np.hstack([np.zeros((2, 5)), np.eye(2)]))
    # the differences' own error: h^4 = 1e-12 times a fifth derivative, and SciPy's 1e-11 over h = 1e-3
    np.testing.assert_allclose(sensitivities, expected, rtol=1e-6, atol=2e-7 * np.abs(expected).max())


def test_segments_start_from_their_own_states():
    starts = np.array([[0.44, 4.6], [2.0, 1.0]])
    t = np.concatenate([T, T[:11] + 1.0])
    segments = np.array([0, 21]), np.array([21, 32])
    states, sensitivities = FORM.simulate(starts, t, segments, steps(32), sensitivities=True)
    for k, (lo, hi) in enumerate(zip(*segments, strict=True)):
        alone = FORM.simulate(starts[[k]], t[lo:hi], one_segment(hi - lo), steps(hi - lo), sensitivities=True)
        np.testing.assert_array_equal(states[lo:hi], alone[0])
        np.testing.assert_array_equal(sensitivities[lo:hi], alone[1])
        expected = scipys(lotka_volterra, starts[k], t[lo:hi], FORM.values)
        np.testing.assert_allclose(states[lo:hi], expected, rtol=1e-9, atol=1e-9)  # as above


def test_a_driven_pendulum_with_time_and_fixed_parameters_is_scipys():
    model = HybridODE("q'' = -g*sin(q) + NN(q, q') + sin(w*t)", {"g": 9.81})
    form = ClosedForm(model, {"NN": Formula(parse_expression("-c*q'*abs(q')"), {"c": 0.3})}, {"w": 1.7})

    def rhs(t, x, w, c):
        return [x[1], -9.81 * np.sin(x[0]) - c * x[1] * abs(x[1]) + np.sin(w * t)]

    x0 = np.array([1.0, 0.5])
    t = np.linspace(0.5, 3.5, 13)
    states, sensitivities = form.simulate(x0[None], t, one_segment(13), steps(13, 50), sensitivities=True)
    # |q'| has a kink at every turn, where any method falls back to a low order
    np.testing.assert_allclose(states, scipys(rhs, x0, t, form.values), rtol=1e-6, atol=1e-6)
    p = np.concatenate([form.values, x0])
    expected = differences(lambda p: scipys(rhs, p[2:], t, p[:2]), p)
    np.testing.assert_allclose(sensitivities, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_a_blow_up_gives_none():
    form = ClosedForm(HybridODE("x' = NN(x)"), {"NN": Formula(parse_expression("c*x^2"), {"c": 1.0})}, {})
    t = np.linspace(0, 3, 7)
    assert form.simulate(np.ones((1, 1)), t, one_segment(7), steps(7, 50)) == (None, None)
    assert form.simulate(np.ones((1, 1)), t, one_segment(7), steps(7, 50), sensitivities=True) == (None, None)
    states, _ = form.simulate(np.ones((1, 1)), t[:2], one_segment(2), steps(2, 50))
    # x = 1/(1 - t): order 8 at a fiftieth of the distance to the pole
    assert states[-1, 0] == pytest.approx(2.0, rel=1e-12)


@pytest.mark.parametrize("formula", ["log(x - 2)", "max(0, log(x - 2))", "min(log(x - 2), 1)", "sqrt(x - 2)"])
def test_a_state_outside_a_functions_domain_gives_none(formula):
    form = ClosedForm(HybridODE("x' = NN(x)"), {"NN": Formula(parse_expression(formula), {})}, {})
    assert form.simulate(np.ones((1, 1)), T, one_segment(21), steps(21)) == (None, None)


def test_other_values_are_taken_for_one_simulation_or_for_good():
    values = FORM.values * 1.1
    other = FORM.with_values(values)
    assert other.names == FORM.names
    np.testing.assert_array_equal(other.values, values)
    assert FORM.values[0] == 1.3, "the first form stays"
    once, _ = FORM.simulate(X0[None], T, one_segment(21), steps(21), values=values)
    good, _ = other.simulate(X0[None], T, one_segment(21), steps(21))
    np.testing.assert_array_equal(once, good)


def test_too_few_values_are_refused():
    with pytest.raises(ValueError, match="zip"):
        FORM.with_values([1.0, 2.0, 3.0])


def test_the_equations_print_with_numbers_in_place_and_signs_drawn_together():
    assert FORM.with_values([1.3, 1.8, -0.9, 0.8, 0.05]).equation_texts() == {
        "prey": "1.3*prey + 0.9*prey*predator",
        "predator": "0.8*prey*predator/(1 + 0.05*prey) - 1.8*predator",
    }
    precise = FORM.with_values([1.23456789, 1.8, 0.9, 0.8, 0.05])
    assert precise.equation_texts(3)["prey"] == "1.23*prey - 0.9*prey*predator"
    assert FORM.residual_text("NN1") == "-c0*prey*predator"


def test_the_printed_equation_of_a_second_order_state_is_that_of_its_velocity():
    model = HybridODE("theta'' = -k*theta + NN(theta')\nx' = theta")
    form = ClosedForm(model, {"NN": Formula(parse_expression("c*theta'"), {"c": -0.2})}, {"k": 4.0})
    assert form.equation_texts() == {"theta'": "-4*theta - 0.2*theta'", "x": "theta"}


def test_constants_of_the_same_name_in_two_terms_stay_apart():
    states, _ = FORM.simulate(X0[None], T, one_segment(21), steps(21), values=[1.3, 1.8, 0.9, 0.0, 0.05])
    # with NN2 = 0 the predator only decays, while NN1 keeps its own c0
    np.testing.assert_allclose(states[:, 1], X0[1] * np.exp(-1.8 * T), rtol=1e-9)  # order 8 in steps of 1/80
    assert states[-1, 0] < X0[0] * np.exp(1.3 * T[-1]) / 2


def test_a_shared_formula_takes_the_arguments_of_each_call():
    model = HybridODE("x' = NN(x, y)\ny' = NN(y, x)")
    form = ClosedForm(model, {"NN": Formula(parse_expression("-c*x + y^2"), {"c": 2.0})}, {})
    assert form.equation_texts() == {"x": "-2*x + y**2", "y": "-2*y + x**2"}


def test_the_way_through_sympy_keeps_the_dynamics():
    point = [1.5, 0.7, *FORM.values, 0.0]
    before = FORM.program.run(point)
    after = Program([from_sympy(to_sympy(tree)) for tree in FORM.rhs], FORM.inputs).run(point)
    np.testing.assert_allclose(after, before, rtol=1e-14)  # SymPy reorders sums and products
