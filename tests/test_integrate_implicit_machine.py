"""The compiled implicit method: order five, stiff systems as SciPy has them, exact derivatives of its own steps."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.integrate._ivp import radau as scipys
from scipy.linalg import expm
from test_integrate_machine import program_of

from udesys.integrate import machine
from udesys.integrate.implicit_machine import simulate
from udesys.model import tree as T
from udesys.model.grammar import parse_expression
from udesys.model.program import Program

ROBERTSON = ["-k1*a + k3*b*c", "k1*a - k3*b*c - k2*b^2", "k2*b^2"]
RATES = [0.04, 3e7, 1e4]
LOGARITHMIC = np.concatenate([[0.0], np.geomspace(1e-4, 40, 39)])
SQRT_6 = np.sqrt(6.0)
A = np.array(  # Hairer & Wanner, Solving ODEs II (1996), table 5.6
    [
        [(88 - 7 * SQRT_6) / 360, (296 - 169 * SQRT_6) / 1800, (-2 + 3 * SQRT_6) / 225],
        [(296 + 169 * SQRT_6) / 1800, (88 + 7 * SQRT_6) / 360, (-2 - 3 * SQRT_6) / 225],
        [(16 - SQRT_6) / 36, (16 + SQRT_6) / 36, 1 / 9],
    ]
)


def run(program, d, p, x0, t, steps, **options):
    t = np.asarray(t, dtype=float)
    whole = np.array([0]), np.array([len(t)])
    return simulate(program, d, p, np.array([x0], float), t, whole, np.full(len(t), steps), **options)


def beside_size(found, exact):
    """The largest error of each state beside its largest value."""
    return np.abs(found - exact).max(0) / np.abs(exact).max(0)


def robertson_and_derivatives(t, rtol=1e-12, atol=1e-18):
    """States, and their derivatives by the rates and the starts, by SciPy's Radau on the variational equations."""
    k1, k2, k3 = RATES

    def slopes(t, z):
        (a, b, c), s = z[:3], z[3:].reshape(3, 6)
        f = [-k1 * a + k3 * b * c, k1 * a - k3 * b * c - k2 * b * b, k2 * b * b]
        by_state = np.array([[-k1, k3 * c, k3 * b], [k1, -k3 * c - 2 * k2 * b, -k3 * b], [0, 2 * k2 * b, 0]])
        by_rate = np.zeros((3, 6))
        by_rate[:, :3] = [[-a, 0, b * c], [a, -b * b, -b * c], [0, b * b, 0]]
        return np.concatenate([f, (by_state @ s + by_rate).ravel()])

    start = np.concatenate([[1.0, 0.0, 0.0], np.hstack([np.zeros((3, 3)), np.eye(3)]).ravel()])
    scale = np.concatenate([np.ones(3), np.tile([1.0, 1e-7, 1e-4, 1.0, 1.0, 1.0], 3)])
    done = solve_ivp(slopes, (0, t[-1]), start, method="Radau", t_eval=t, rtol=rtol, atol=atol * 1e4 * scale)
    return done.y[:3].T, done.y[3:].T.reshape(-1, 3, 6)


# --- solutions ---------------------------------------------------------------------------------------


def test_robertsons_reaction_is_what_scipys_radau_finds():
    program = program_of(ROBERTSON, ["a", "b", "c"], ["k1", "k2", "k3"], sensitive=True)

    def slopes(t, x):
        a, b, c = x
        return [-0.04 * a + 1e4 * b * c, 0.04 * a - 1e4 * b * c - 3e7 * b * b, 3e7 * b * b]

    done = solve_ivp(slopes, (0, 40), [1, 0, 0], method="Radau", t_eval=LOGARITHMIC, rtol=1e-12, atol=1e-16)
    for steps, allowed in ((1, 1e-4), (4, 1e-7), (16, 1e-10)):  # an order of five and a little
        states, none = run(program, 3, RATES, [1.0, 0.0, 0.0], LOGARITHMIC, steps)
        assert none is None
        assert (beside_size(states, done.y.T) < allowed).all()
        assert np.abs(states.sum(1) - 1.0).max() < 1e-13  # mass is conserved to rounding


def test_a_relaxation_oscillation_is_what_scipys_radau_finds():
    program = program_of(["v", "mu*(1 - x^2)*v - x"], ["x", "v"], ["mu"], sensitive=True)
    t = np.linspace(0, 2000, 201)  # through two jumps, in equal steps that know nothing of them
    done = solve_ivp(
        lambda t, x: [x[1], 1000 * (1 - x[0] ** 2) * x[1] - x[0]],
        (0, 2000),
        [2, 0],
        method="Radau",
        t_eval=t,
        rtol=1e-11,
        atol=1e-13,
        jac=lambda t, x: [[0, 1], [-2000 * x[0] * x[1] - 1, 1000 * (1 - x[0] ** 2)]],
    )
    errors = [np.abs(run(program, 2, [1000.0], [2.0, 0.0], t, n)[0] - done.y.T).max() for n in (1, 4, 16)]
    assert errors[0] < 1e-3 and errors[1] < 1e-6 and errors[2] < 3e-9


def test_a_stiff_linear_system_is_its_exponential():
    matrix = np.array([[-1e6, 1e6 - 1, 0.0], [0.0, -1.0, 3.0], [0.0, -3.0, -1.0]])  # fast, and a slow rotation
    rows = [" + ".join(f"({a!r})*{s}" for a, s in zip(row, "xyz", strict=True)) for row in matrix.tolist()]
    program = program_of(rows, ["x", "y", "z"], [], sensitive=True)
    t, x0 = np.array([0.0, 1e-7, 1e-5, 0.1, 1.0, 3.0]), np.array([3.0, 1.0, 0.5])
    states, by_start = run(program, 3, [], x0, t, 16, sensitivities=True)
    exact = np.stack([expm(matrix * s) for s in t])
    np.testing.assert_allclose(states, exact @ x0, rtol=0, atol=1e-9)
    np.testing.assert_allclose(by_start, exact, rtol=0, atol=1e-9)


def test_the_slope_of_log_error_is_five():
    program = program_of(["w*y", "-w*x"], ["x", "y"], ["w"], sensitive=True)
    t, numbers = np.linspace(0, 1, 31), [1, 2, 3, 4, 6]  # a rotation, by steps so short that none is divided
    errors = [np.abs(run(program, 2, [2 * np.pi], [1.0, 0.0], t, n)[0][-1] - [1.0, 0.0]).max() for n in numbers]
    assert min(errors) > 1e-11, "far above rounding, or the slope means nothing"
    assert -np.polyfit(np.log(numbers), np.log(errors), 1)[0] == pytest.approx(5, abs=0.05)


def test_a_linear_step_is_the_rational_function_of_radau_and_so_is_its_derivative():
    # Hairer & Wanner, Solving ODEs II (1996), table 3.2: Pade's (2, 3) approximation to exp(z)
    program = program_of(["a*x"], ["x"], ["a"], sensitive=True)
    a, t, x0, n = -1.3, np.array([0.0, 0.4]), 2.0, 2
    z = np.poly1d([1.0, 0.0])
    top, bottom = 1 + 2 / 5 * z + 1 / 20 * z**2, 1 - 3 / 5 * z + 3 / 20 * z**2 - 1 / 60 * z**3
    h = t[1] / n
    ratio = (top / 1.0)(a * h) / bottom(a * h)
    slope = (top.deriv()(a * h) * bottom(a * h) - top(a * h) * bottom.deriv()(a * h)) / bottom(a * h) ** 2
    states, found = run(program, 1, [a], [x0], t, n, sensitivities=True)
    assert states[1, 0] == pytest.approx(ratio**n * x0, rel=1e-14)  # a few roundings
    assert found[1, 0] == pytest.approx([n * ratio ** (n - 1) * slope * h * x0, ratio**n], rel=1e-13)


def test_the_coefficients_are_scipys():
    assert pytest.approx(scipys.C, rel=1e-15) == A.sum(1)


def test_inputs_are_followed_within_an_interval():
    trees = [parse_expression(text) for text in ("-1000*(x - F)", "F - y")]
    program = Program([*trees, *(T.derivative(tree, s) for tree in trees for s in "xy")], ["x", "y", "t", "F"])
    # F = t^3 + 3 t^2 keeps y' = F - y on y = t^3, and x near it; both cubics, which the stages hold exactly
    x_of = np.poly1d([1.0, 3.0, 0.0, 0.0])
    lag, part = np.poly1d([0.0]), x_of
    for k in range(4):  # x = F - F'/1000 + F''/1000^2 - ...
        lag = lag + part * (-1e-3) ** k
        part = part.deriv()
    t = np.array([0.0, 0.5, 2.0])
    pieces = np.array([[[x_of.deriv(k)(s) / (1, 1, 2, 6)[k] for k in range(4)]] for s in t])
    states, _ = run(program, 2, [], [lag(0.0), 0.0], t, 1, pieces=pieces)
    np.testing.assert_allclose(states, np.column_stack([lag(t), t**3]), rtol=1e-12, atol=1e-13)


def test_segments_start_by_themselves():
    program = program_of(["-a*x"], ["x"], ["a"], sensitive=True)
    t = np.array([0.0, 1.0, 2.0, 0.0, 0.5])
    segments = np.array([0, 3]), np.array([3, 5])
    states, by = simulate(program, 1, [50.0], np.array([[1.0], [4.0]]), t, segments, np.full(5, 16), sensitivities=True)
    np.testing.assert_allclose(states[:, 0], np.array([1, 1, 1, 4, 4]) * np.exp(-50 * t), rtol=0, atol=1e-9)
    assert by[3, 0].tolist() == [0.0, 1.0]  # of the second one's start


# --- derivatives -------------------------------------------------------------------------------------


def test_sensitivities_of_robertsons_reaction_solve_the_variational_equations():
    program = program_of(ROBERTSON, ["a", "b", "c"], ["k1", "k2", "k3"], sensitive=True)
    exact, slopes = robertson_and_derivatives(LOGARITHMIC)
    states, found = run(program, 3, RATES, [1.0, 0.0, 0.0], LOGARITHMIC, 32, sensitivities=True)
    assert (beside_size(states, exact) < 1e-9).all()
    error = np.abs(found - slopes).max(0) / np.abs(slopes).max(0)  # every state by every unknown in its own size
    assert (error < 1e-8).all()


def test_sensitivities_are_derivatives_of_the_steps_taken_however_coarse():
    """Against Newton's method in complex numbers, whose imaginary part carries the exact derivative of the step."""
    program = program_of(["y", "m*(1 - x^2)*y - x + sin(t)"], ["x", "y"], ["m"], sensitive=True)
    h, t0, x0, m = 0.5, 0.3, np.array([0.4, -0.2]), 2.0

    def step(m, start):
        stages = np.tile(start, (3, 1)).astype(complex)
        times = t0 + A.sum(1) * h
        for _ in range(30):
            x, y = stages.T
            f = np.column_stack([y, m * (1 - x**2) * y - x + np.sin(times)])
            matrix = np.eye(6, dtype=complex)
            for r in range(3):
                by_state = np.array([[0, 1], [-2 * m * x[r] * y[r] - 1, m * (1 - x[r] ** 2)]])
                for s in range(3):
                    matrix[2 * s : 2 * s + 2, 2 * r : 2 * r + 2] -= h * A[s, r] * by_state
            stages = stages - np.linalg.solve(matrix, (stages - start - h * A @ f).ravel()).reshape(3, 2)
        return stages[-1]

    tiny = 1e-30
    moves = [(m + tiny * 1j, x0), (m, x0 + [tiny * 1j, 0]), (m, x0 + [0, tiny * 1j])]
    expected = np.column_stack([step(*move).imag / tiny for move in moves])
    states, found = run(program, 2, [m], x0, [t0, t0 + h], 1, sensitivities=True)
    np.testing.assert_allclose(states[1], step(m, x0).real, rtol=1e-13)
    np.testing.assert_allclose(found[1], expected, rtol=1e-11)


def test_states_are_the_same_with_sensitivities_and_without_and_each_time():
    program = program_of(ROBERTSON, ["a", "b", "c"], ["k1", "k2", "k3"], sensitive=True)
    point = (program, 3, RATES, [1.0, 0.0, 0.0], LOGARITHMIC, 2)
    first, again, with_slopes = run(*point)[0], run(*point)[0], run(*point, sensitivities=True)
    assert first.tobytes() == again.tobytes() == with_slopes[0].tobytes()
    assert with_slopes[1].tobytes() == run(*point, sensitivities=True)[1].tobytes()


def test_it_agrees_with_the_explicit_machine_where_nothing_is_stiff():
    program = program_of(
        ["a*x - b*x*y", "b*x*y - c*y"], ["x", "y"], ["a", "b", "c"], sensitive=True
    )  # fmt: skip
    t, p, x0 = np.linspace(0, 10, 51), [1.3, 0.9, 1.8], [0.44, 4.6]
    implicit = run(program, 2, p, x0, t, 32, sensitivities=True)
    whole = np.array([0]), np.array([len(t)])
    explicit = machine.simulate(program, 2, p, [x0], t, whole, np.full(len(t), 4), sensitivities=True)
    np.testing.assert_allclose(implicit[0], explicit[0], rtol=1e-8)
    np.testing.assert_allclose(implicit[1], explicit[1], rtol=0, atol=1e-7 * np.abs(explicit[1]).max())


# --- events ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "why"),
    [("x^2", "it blows up at t = 1"), ("-sqrt(x) - 1", "x falls below zero"), ("1/(1.5 - x)", "it stops at a pole")],
)
def test_a_solve_that_fails_is_an_event(text, why):
    program = program_of([text], ["x"], [], sensitive=True)
    t = [0.0, 0.1, 5.0, 6.0]
    assert run(program, 1, [], [1.0], t, 1) == (None, None), why
    assert run(program, 1, [], [1.0], t, 1, sensitivities=True) == (None, None)
    reached, _ = run(program, 1, [], [1.0], t, 1, partial=True)
    assert np.isfinite(reached[:2]).all() and np.isnan(reached[2:]).all()


def test_a_jump_of_a_sign_is_passed():
    program = program_of(["-1000*(x - sign(t - 1))"], ["x"], [], sensitive=True)
    t = np.array([0.0, 0.5, 1.5, 2.0])
    states, _ = run(program, 1, [], [-1.0], t, 8)
    np.testing.assert_allclose(states[:, 0], [-1, -1, 1, 1], atol=1e-5)


def test_one_sample_alone_is_its_start():
    program = program_of(["-a*x"], ["x"], ["a"], sensitive=True)
    assert run(program, 1, [2.0], [3.0], [1.0], 1)[0].tolist() == [[3.0]]
