"""Long simulations with error control: exact solutions, order, and what happens where there is none."""

import numpy as np
import pytest

from udesys.integrate.adaptive_machine import DONE, FULL, LEFT, evaluate, follow
from udesys.model.grammar import parse_expression
from udesys.model.program import Program

EVERYWHERE = 1e9


def run(rights, x0, until, *, p=0.0, skip=0.0, rtol=1e-10, bound=EVERYWHERE, **options):
    """Steps of x' = ..., y' = ... over x, y and p."""
    names = ("x", "y")[: len(rights)]
    program = Program([parse_expression(right) for right in rights], [*names, "p"])
    bounds = (np.full(len(names), -bound), np.full(len(names), bound))
    return follow(program, [p], x0, skip, until, rtol=rtol, atol=np.full(len(names), 1e-12), bounds=bounds, **options)


def test_an_oscillator_comes_back_after_a_hundred_turns():
    steps = run(["y", "-p*p*x"], [1.0, 0.0], 100 * np.pi, p=2.0)
    assert (steps.ended, steps.time) == (DONE, 100 * np.pi)
    assert steps.at == pytest.approx([1.0, 0.0], abs=1e-6)  # 1e-10 a step, some 20,000 of them
    assert steps.x == pytest.approx(np.column_stack([np.cos(2 * steps.t), -2 * np.sin(2 * steps.t)]), abs=1e-6)
    assert steps.slope == pytest.approx(np.column_stack([steps.x[:, 1], -4 * steps.x[:, 0]]), abs=1e-12)


def test_the_error_follows_the_tolerance():
    errors = [abs(run(["-x*x"], [1.0], 9.0, rtol=r).at[0] - 0.1) for r in (1e-6, 1e-8, 1e-10)]
    assert errors[0] < 1e-6 and errors[1] < 0.1 * errors[0] and errors[2] < 0.1 * errors[1]


def test_steps_are_kept_from_the_time_asked_for_on_and_as_many_as_there_is_room_for():
    steps = run(["-x"], [1.0], 3.0, skip=2.0)
    assert (steps.t[0], steps.t[-1]) == (2.0, 3.0) and steps.x[0, 0] == pytest.approx(np.exp(-2.0), rel=1e-9)
    full = run(["y", "-x"], [1.0, 0.0], 50.0, room=7)
    assert full.ended == FULL and len(full.t) == 7 and full.time < 50.0


@pytest.mark.parametrize("right", ["x*x", "exp(x)", "1/(1 - x)^2", "log(x) - 1"])
def test_what_blows_up_or_is_not_defined_ends_as_having_left(right):
    steps = run([right], [0.4], 100.0)
    assert steps.ended == LEFT and steps.time < 10.0


def test_a_state_beyond_its_bounds_ends_it_there():
    steps = run(["x"], [1.0], 100.0, bound=10.0)
    assert steps.ended == LEFT and 10.0 < steps.at[0] < 30.0
    assert steps.time == pytest.approx(np.log(steps.at[0]), rel=1e-6)


def test_a_program_is_evaluated_at_many_points():
    trees = [parse_expression(text) for text in ("x*y - 2", "exp(-x)/y", "3", "min(x, y)^-2", "log(x)")]
    points = np.array([[0.3, 2.0], [1.5, -0.7], [-1.0, 0.0]])
    x, y = points.T
    with np.errstate(all="ignore"):
        exact = [x * y - 2, np.exp(-x) / y, np.full(3, 3.0), np.minimum(x, y) ** -2.0, np.log(x)]
    found = evaluate(Program(trees, ["x", "y"]), points)
    assert found == pytest.approx(np.column_stack(exact), rel=1e-14, nan_ok=True)
