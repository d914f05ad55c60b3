"""Fields by banded implicit steps: against exact solutions of lattices, SciPy, and each other."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from udesys.integrate.lattice import sensitivities, simulate, waves
from udesys.model import Grid, HybridODE
from udesys.model.along_grid import FormAlongGrid
from udesys.model.closed_form import ClosedForm

N = 12
X = np.arange(N) / N
T = np.array([0.0, 0.1, 0.25, 0.6])
STEPS = np.array([8, 8, 16])


def law_of(equations, grid, **parameters):
    model = HybridODE(equations, grid=grid)
    return FormAlongGrid(ClosedForm(model, {}, parameters))


def second_difference(n, h, ends):
    matrix = -2 * np.eye(n) + np.eye(n, k=1) + np.eye(n, k=-1)
    if ends == "periodic":
        matrix[0, -1] = matrix[-1, 0] = 1
    if ends == "neumann":
        matrix[0, 1] = matrix[-1, -2] = 2
    if ends == "dirichlet":
        matrix[[0, -1]] = 0
    return matrix / h**2


@pytest.mark.parametrize("ends", ["periodic", "neumann", "dirichlet"])
@pytest.mark.parametrize("n", [N, N + 1])
def test_diffusion_on_a_lattice_is_the_matrix_exponential(ends, n):
    grid = Grid(np.arange(n) / n, ends=ends)
    law, start = law_of("u' = D*dxx(u)", grid, D=0.05), np.sin(7 * np.arange(n)) + 1.5
    course = simulate(law.lattice, law, start[:, None], T, STEPS)
    matrix = 0.05 * second_difference(n, grid.spacing, ends)
    exact = np.array([expm(t * matrix) @ start for t in T])
    np.testing.assert_allclose(course.states[:, :, 0], exact, atol=1e-8)


def test_sensitivities_of_a_linear_lattice_are_those_of_its_exponential():
    law, start = law_of("u' = D*dxx(u) - k*u", Grid(X), D=0.05, k=0.7), np.cos(2 * np.pi * X)
    course = simulate(law.lattice, law, start[:, None], T, 4 * STEPS)
    slopes = sensitivities(law.lattice, law, course, T, 4 * STEPS, starts=np.eye(N))
    rate = -0.05 * (2 * N * np.sin(np.pi / N)) ** 2 - 0.7
    wave = np.exp(rate * T)[:, None] * start
    by_d = -((2 * N * np.sin(np.pi / N)) ** 2) * T[:, None] * wave
    np.testing.assert_allclose(slopes[:, :, 0, 0], by_d, atol=1e-8)
    np.testing.assert_allclose(slopes[:, :, 0, 1], -T[:, None] * wave, atol=1e-8)
    matrix = 0.05 * second_difference(N, 1 / N, "periodic") - 0.7 * np.eye(N)
    np.testing.assert_allclose(slopes[-1, :, 0, 2:], expm(T[-1] * matrix), atol=1e-8)
    alone = sensitivities(law.lattice, law, course, T, 4 * STEPS)
    np.testing.assert_array_equal(alone, slopes[..., :2])


def test_two_coupled_fields_with_other_ends_agree_with_scipy():
    grid = Grid(np.linspace(0, 1, N), ends={"u": "neumann", "v": "dirichlet"})
    law = law_of("u' = a - 4*u + u^2*v + D*dxx(u)\nv' = 3*u - u^2*v + 0.02*dxx(v^2)", grid, a=1.0, D=0.01)
    h, first = grid.spacing, np.stack([1 + 0.3 * np.sin(5 * X), 3 + 0.5 * np.cos(3 * X)], 1)

    def slopes(_, y):
        u, v = y.reshape(N, 2).T
        du = 1 - 4 * u + u**2 * v + 0.01 * second_difference(N, h, "neumann") @ u
        dv = 3 * u - u**2 * v + 0.02 * second_difference(N, h, "neumann") @ v**2
        dv[[0, -1]] = 0
        return np.stack([du, dv], 1).reshape(-1)

    course = simulate(law.lattice, law, first, T, 4 * STEPS)
    exact = solve_ivp(slopes, (0, T[-1]), first.reshape(-1), "Radau", T, rtol=1e-10, atol=1e-12).y.T
    np.testing.assert_allclose(course.states.reshape(len(T), -1), exact, atol=1e-7)


def test_a_wave_of_second_order_keeps_its_energy():
    grid = Grid(X)
    law, omega = law_of("u'' = c2*dxx(u)", grid, c2=0.5), np.sqrt(0.5) * 2 * N * np.sin(np.pi / N)
    first = np.stack([np.cos(2 * np.pi * X), np.zeros(N)], 1)
    course = simulate(law.lattice, law, first, T, 8 * STEPS)
    np.testing.assert_allclose(course.states[:, :, 0], np.cos(omega * T)[:, None] * first[:, 0], atol=1e-6)


def test_an_expression_under_an_operator_has_its_own_sensitivities():
    model = HybridODE("u' = k*dxx(u^3)", grid=Grid(X))
    form, start = ClosedForm(model, {}, {"k": 0.01}), 1 + 0.5 * np.cos(2 * np.pi * X)[:, None]
    law = FormAlongGrid(form)
    course = simulate(law.lattice, law, start, T, STEPS)
    slopes = sensitivities(law.lattice, law, course, T, STEPS, starts=np.eye(N))
    away, step = np.random.default_rng(0).standard_normal(N)[:, None], 1e-5
    ends = [simulate(law.lattice, law, start + sign * step * away, T, STEPS).states[-1] for sign in (1, -1)]
    np.testing.assert_allclose(slopes[-1, :, :, 1:] @ away[:, 0], (ends[0] - ends[1]) / (2 * step), atol=1e-7)


def test_what_blows_up_is_lost_and_said_so():
    law = law_of("u' = k*u^2 + 0*dxx(u)", Grid(X), k=1.0)
    course = simulate(law.lattice, law, np.full((N, 1), 5.0), np.array([0.0, 0.1, 1.0]), np.array([4, 4]))
    assert course.lost
    assert np.isfinite(course.states[:2]).all()
    assert np.isnan(course.states[2]).all()


def test_the_width_of_the_band_does_not_grow_with_the_points():
    widths = [law_of("u' = D*dxx(u)", Grid(np.arange(n) / n), D=1.0).lattice.width for n in (25, 400)]
    assert widths[0] == widths[1] <= 9


@pytest.mark.parametrize("ring", [True, False])
def test_waves_are_orthonormal_and_all_of_them_span_every_start(ring):
    for n in (12, 13):
        basis = waves(n, n, ring=ring)
        np.testing.assert_allclose(basis.T @ basis, np.eye(n), atol=1e-12)


@pytest.mark.parametrize("ends", ["periodic", "neumann"])
def test_on_many_points_the_waves_taken_tell_all_that_a_start_does_to_later_states(ends):
    n, t, steps = 200, np.array([0.0, 0.1, 0.25]), np.array([8, 8])
    law = law_of("u' = D*dxx(u) - u", Grid(np.arange(n) / n, ends=ends), D=0.02)
    start = 1 + np.cos(2 * np.pi * np.arange(n) / n)[:, None]
    course, modes = simulate(law.lattice, law, start, t, steps), law.start_modes()
    slopes = modes.sensitivities(law.lattice, law, course, t, steps)
    assert modes.count < n
    away = np.random.default_rng(0).standard_normal((n, 1))
    known = modes.changes @ (modes.changes.T @ away)
    np.testing.assert_allclose(known + modes.rest(away), away, atol=1e-12)
    matrix = 0.02 * second_difference(n, 1 / n, ends) - np.eye(n)
    exact = expm(t[-1] * matrix) @ away
    np.testing.assert_allclose(slopes[-1, :, :, 1:] @ (modes.changes.T @ away)[:, 0], exact, atol=0.02)


def test_without_diffusion_every_point_of_a_start_stays_and_all_waves_are_taken():
    n, t, steps = 100, np.array([0.0, 0.1, 0.25]), np.array([2, 2])
    law = law_of("u' = -k*u + 0*dx(u)", Grid(np.arange(n) / n), k=1.0)
    course, modes = simulate(law.lattice, law, np.ones((n, 1)), t, steps), law.start_modes()
    modes.sensitivities(law.lattice, law, course, t, steps)
    assert modes.whole
