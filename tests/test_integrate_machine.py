"""The compiled machine: order eight on exact solutions, and exact derivatives of its own steps."""

import numpy as np
import pytest
from scipy.integrate import DOP853, solve_ivp

from udesys.integrate.machine import BLOW_UP, simulate
from udesys.model import tree as T
from udesys.model.grammar import parse_expression
from udesys.model.program import Program

EXACT = {"method": "DOP853", "rtol": 1e-13, "atol": 1e-14}


def program_of(rhs, states, parameters, *, sensitive=False):
    """The program of right sides given as text, with their derivatives if asked for."""
    trees = [parse_expression(text) for text in rhs]
    by_state = [T.derivative(tree, s) for tree in trees for s in states]
    by_parameter = [T.derivative(tree, p) for tree in trees for p in parameters]
    return Program([*trees, *(by_state + by_parameter if sensitive else [])], [*states, *parameters, "t"])


def run(program, d, p, x0, t, steps, **options):
    t = np.asarray(t, dtype=float)
    whole = np.array([0]), np.array([len(t)])
    return simulate(program, d, p, [x0], t, whole, np.broadcast_to(steps, len(t)).astype(np.int64), **options)


def test_a_rotation_comes_back():
    program = program_of(["w*y", "-w*x"], ["x", "y"], ["w"])
    t = np.linspace(0, 1, 11)
    states, _ = run(program, 2, [2 * np.pi], [1.0, 0.0], t, 20)
    exact = np.column_stack([np.cos(2 * np.pi * t), -np.sin(2 * np.pi * t)])
    np.testing.assert_allclose(states, exact, rtol=0, atol=1e-13)  # 200 steps of a few roundings


def test_the_slope_of_log_error_is_eight():
    # The logistic equation from 0.1: x = 1/(1 + 9 exp(-t)).
    program = program_of(["x*(1 - x)"], ["x"], [])
    exact = 1 / (1 + 9 * np.exp(-6.0))
    numbers = [6, 8, 12, 16]
    errors = [abs(run(program, 1, [], [0.1], [0.0, 6.0], n)[0][-1, 0] - exact) for n in numbers]
    assert min(errors) > 5e-13, "far above rounding, or the slope means nothing"
    # only few numbers of steps lie between the first regular one and rounding, hence 0.2
    assert -np.polyfit(np.log(numbers), np.log(errors), 1)[0] == pytest.approx(8, abs=0.2)


def test_one_step_is_the_formula_of_dormand_and_prince():
    program = program_of(["x^2*cos(t) - a"], ["x"], ["a"])
    t0, h, x0, a = 0.3, 0.4, 0.8, 0.2
    slopes = []
    for row, c in zip(DOP853.A, DOP853.C, strict=True):
        x = x0 + h * sum(w * k for w, k in zip(row, slopes, strict=False))
        slopes.append(x**2 * np.cos(t0 + c * h) - a)
    states, _ = run(program, 1, [a], [x0], [t0, t0 + h], 1)
    assert states[1, 0] == pytest.approx(x0 + h * np.dot(DOP853.B, slopes), rel=1e-15)  # a rounding


def test_sensitivities_of_a_linear_system_are_its_exact_derivatives():
    program = program_of(["-a*x + b"], ["x"], ["a", "b"], sensitive=True)
    a, b, x0, t = 0.8, 0.5, 2.0, np.linspace(0, 2, 5)
    decay = np.exp(-a * t)
    states, found = run(program, 1, [a, b], [x0], t, 20, sensitivities=True)
    np.testing.assert_allclose(states[:, 0], x0 * decay + b / a * (1 - decay), rtol=1e-13)  # order 8 at 1/40
    by_a = -t * x0 * decay - b / a**2 * (1 - decay) + b / a * t * decay
    expected = np.column_stack([by_a, (1 - decay) / a, decay])
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-12, atol=1e-13)


def test_sensitivities_are_derivatives_of_the_steps_taken_however_coarse():
    program = program_of(["a*x - x^3 + sin(t)"], ["x"], ["a"], sensitive=True)
    t = np.array([0.0, 1.5, 3.0])
    _, found = run(program, 1, [1.0], [0.5], t, 1, sensitivities=True)
    h = 1e-5

    def end(a, x0):
        return run(program, 1, [a], [x0], t, 1)[0][:, 0]

    by_a, by_x0 = ((end(1 + h, 0.5) - end(1 - h, 0.5)) / (2 * h), (end(1.0, 0.5 + h) - end(1.0, 0.5 - h)) / (2 * h))
    # central differences err by h^2 times a third derivative, and by rounding over h: 1e-10
    np.testing.assert_allclose(found[:, 0], np.column_stack([by_a, by_x0]), rtol=1e-7, atol=1e-8)


def spanning(n, span):
    """Steps of so many samples each."""
    steps = np.zeros(n, dtype=np.int64)
    steps[::span] = 1
    return steps


@pytest.mark.parametrize("span", [2, 5, 7])
def test_states_within_a_step_are_as_scipys_dense_output(span):
    program = program_of(["y", "-x + x^3/6"], ["x", "y"], [])
    t = np.linspace(0.0, 3.0, 15)  # the last step is shorter than the others, but with 7
    states, _ = run(program, 2, [], [1.0, 0.2], t, spanning(15, span))
    exact = solve_ivp(lambda t, x: [x[1], -x[0] + x[0] ** 3 / 6], (0, 3), [1.0, 0.2], t_eval=t, **EXACT).y.T
    solver = DOP853(lambda t, x: [x[1], -x[0] + x[0] ** 3 / 6], 0.0, [1.0, 0.2], 3.0, first_step=t[span], rtol=1e3)
    solver.step()
    first = t[: span + 1]
    np.testing.assert_allclose(states[: span + 1], solver.dense_output()(first).T, rtol=0, atol=1e-14)
    np.testing.assert_allclose(states, exact, rtol=0, atol=1e-9 * span**8)  # order 8, and 7 within


def test_the_slope_of_log_error_within_a_step_is_seven_or_more():
    program, errors, spans = program_of(["x*(1 - x)"], ["x"], []), [], (4, 8, 16)
    t = np.linspace(0.0, 12.0, 97)
    exact = 1 / (1 + 9 * np.exp(-t))
    for span in spans:
        states, _ = run(program, 1, [], [0.1], t, spanning(len(t), span))
        errors.append(np.abs(states[:, 0] - exact).max())
    assert np.polyfit(np.log(spans), np.log(errors), 1)[0] > 7


def test_sensitivities_within_a_step_are_derivatives_of_the_states_there():
    program = program_of(["a*x - x^3 + sin(t)"], ["x"], ["a"], sensitive=True)
    t, h = np.linspace(0.0, 3.0, 9), 1e-5

    def states(a, x0):
        return run(program, 1, [a], [x0], t, spanning(9, 4))[0][:, 0]

    _, found = run(program, 1, [1.0], [0.5], t, spanning(9, 4), sensitivities=True)
    by_a = (states(1 + h, 0.5) - states(1 - h, 0.5)) / (2 * h)
    by_x0 = (states(1.0, 0.5 + h) - states(1.0, 0.5 - h)) / (2 * h)
    np.testing.assert_allclose(found[:, 0], np.column_stack([by_a, by_x0]), rtol=1e-7, atol=1e-7)  # as above


def test_a_segment_that_starts_within_a_step_starts_one_of_its_own():
    program = program_of(["x"], ["x"], [])
    t = np.array([0.0, 0.1, 0.2, 0.3, 0.4])
    segments = np.array([0, 2]), np.array([2, 5])
    states, _ = simulate(program, 1, [], [[1.0], [3.0]], t, segments, spanning(5, 5))
    np.testing.assert_allclose(states[:, 0], [1.0, np.exp(0.1), 3.0, 3 * np.exp(0.1), 3 * np.exp(0.2)], rtol=1e-11)


def test_where_signs_or_inputs_are_no_step_spans_samples():
    t = np.linspace(0.0, 0.9, 10)
    pieces = np.zeros((10, 1, 4))
    pieces[5:, 0, 0] = 1.0  # an input that jumps where a sample is
    driven = Program([parse_expression("u")], ["x", "t", "u"])
    states, _ = run(driven, 1, [], [0.0], t, spanning(10, 10), pieces=pieces)
    np.testing.assert_allclose(states[:, 0], np.maximum(t - 0.5, 0.0), atol=1e-15)
    jumping = Program([parse_expression("2 + s"), parse_expression("x - 1/4")], ["x", "t", "s"])  # s = sign(x - 1/4)
    states, _ = run(jumping, 1, [], [0.0], t, spanning(10, 10), signs=1)
    np.testing.assert_allclose(states[:, 0], np.where(t < 0.25, t, 3 * t - 0.5), atol=1e-13)


def test_segments_of_one_sample_are_their_start():
    program = program_of(["x"], ["x"], [])
    t = np.array([0.0, 5.0, 6.0])
    segments = np.array([0, 1]), np.array([1, 3])
    states, _ = simulate(program, 1, [], [[3.0], [1.0]], t, segments, np.full(3, 10))
    np.testing.assert_allclose(states[:, 0], [3.0, 1.0, np.e], rtol=1e-13)  # order 8 at 1/10


@pytest.mark.parametrize(
    ("rhs", "x0"), [("x^2", 1.0), ("exp(x)", 10.0), ("1/(x - 1)", 1.0), ("log(x)", -1.0), ("x^0.5", -1.0)]
)
def test_a_state_that_leaves_the_finite_numbers_gives_none(rhs, x0):
    program = program_of([rhs], ["x"], [])
    assert run(program, 1, [], [x0], [0.0, 1.0, 3.0], 40) == (None, None)


def test_a_state_beyond_the_limit_gives_none_though_finite():
    program = program_of(["x"], ["x"], [])
    assert run(program, 1, [], [BLOW_UP], [0.0, 0.1], 1) == (None, None)
    assert run(program, 1, [], [BLOW_UP / 2], [0.0, 0.1], 1)[0] is not None


# --- jumps of a sign ---------------------------------------------------------------------------------


def dry_friction(sensitive):
    """x'' = -w2*x - c*sign(x') with the sign as an input."""
    slopes = ["v", "-w2*x - c*s"]
    states, unknowns = ["x", "v"], ["w2", "c"]
    trees = [parse_expression(text) for text in slopes]
    jump = parse_expression("v")
    results = list(trees)
    if sensitive:
        results += [T.derivative(tree, s) for tree in trees for s in states]
        results += [T.derivative(tree, p) for tree in trees for p in unknowns]
    results.append(jump)
    if sensitive:
        results += [T.derivative(jump, s) for s in (*states, *unknowns, "t")]
    return Program(results, [*states, *unknowns, "t", "s"])


def dry_oscillation(t, w2, c, x0):
    """Half waves about c/w2 on either side, each 2*c/w2 smaller (Den Hartog, Mechanical Vibrations, 1956)."""
    w, shift = np.sqrt(w2), c / w2
    half = np.floor(t * w / np.pi)
    size = x0 - 2 * half * shift
    return (-1) ** half * ((size - shift) * np.cos(w * t - half * np.pi) + shift)


@pytest.mark.parametrize("n", [1, 3])
def test_dry_friction_is_exact_across_its_jumps(n):
    t = np.linspace(0, 4, 101)
    states, sensitivities = run(dry_friction(True), 2, [39.5, 2.0], [1.0, 0.0], t, n, sensitivities=True, signs=1)
    plain, _ = run(dry_friction(False), 2, [39.5, 2.0], [1.0, 0.0], t, n, signs=1)
    # steps of 0.25 radians at most, of order eight
    np.testing.assert_allclose(states[:, 0], dry_oscillation(t, 39.5, 2.0, 1.0), rtol=0, atol=1e-11)
    np.testing.assert_array_equal(plain, states)
    for column, (by, step) in enumerate({"w2": 1e-4, "c": 1e-6, "x0": 1e-6}.items()):
        point = {"w2": 39.5, "c": 2.0, "x0": 1.0}
        up, down = ({**point, by: point[by] + d} for d in (step, -step))
        slope = (dry_oscillation(t, **up) - dry_oscillation(t, **down)) / (2 * step)
        inside = np.abs(np.mod(t * np.sqrt(39.5) / np.pi + 0.5, 1) - 0.5) > 1e-3  # off the jumps themselves
        # central differences of the exact solution: their error is 1e-8 beside slopes of order one
        np.testing.assert_allclose(sensitivities[inside, 0, column], slope[inside], rtol=0, atol=2e-7)


def test_what_sticks_is_simulated_to_the_end():
    t = np.linspace(0, 30, 301)
    states, _ = run(dry_friction(False), 2, [39.5, 5.0], [1.0, 0.0], t, 4, signs=1)
    stuck = np.abs(states[t > 15])
    # friction holds whatever is pulled back by less than it: |x| < c / w2
    assert (stuck[:, 0] < 5.0 / 39.5).all() and (stuck[:, 1] < 0.2).all()
