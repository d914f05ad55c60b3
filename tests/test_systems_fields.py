"""Built-in systems whose states are fields, against differences written by hand and an exact solution."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import ive

from udesys.data import read_table
from udesys.spec import load_spec
from udesys.systems import get_system, list_systems, make_data, simulate, write_system


# Written by hand from the sources; a new system with a grid adds its lines here.
def _ring(u, h):
    before, after = np.roll(u, 1), np.roll(u, -1)
    return (after - before) / (2 * h), (after - 2 * u + before) / h**2


def _fisher_kpp(t, u):
    return u - u**2 + 0.01 * _ring(u, 0.04)[1]


def _burgers(t, u):
    slope, curvature = _ring(u, 0.05)
    return 0.1 * curvature - u * slope


def _brusselator(t, z):
    u, v = z.reshape(26, 2).T
    f = np.stack([1 + u**2 * v - 4 * u, 3 * u - u**2 * v], 1)
    f[1:-1] += 0.02 * np.diff(z.reshape(26, 2), 2, axis=0) / 0.04**2
    f[[0, -1]] = 0.0
    return f.ravel()


def _bump(x):
    return (np.tanh((x - 0.25) / 0.05) - np.tanh((x - 0.75) / 0.05)) / 2


TRUTHS = {
    "brusselator_field": (_brusselator, lambda x: [1 + np.sin(2 * np.pi * x), np.full(26, 3.0)]),
    "burgers": (_burgers, lambda x: [0.3 + np.sin(np.pi * x)]),
    "fisher_kpp": (_fisher_kpp, lambda x: [_bump(x)]),
}
SYSTEMS = [pytest.param(system, id=system.name) for system in list_systems() if system.grid is not None]


def values(data):
    """(times, n, d) of the fields of one run."""
    return np.stack([point.y for point in data.trajectories], 1)


@pytest.mark.parametrize("system", SYSTEMS)
def test_fields_follow_their_stated_equations(system):
    rates, start = TRUTHS[system.name]
    x, t = np.array(system.grid.points), np.array(system.t)
    x0 = np.stack(start(x), 1)
    done = solve_ivp(rates, (t[0], t[-1]), x0.ravel(), "LSODA", t, rtol=1e-10, atol=1e-13)
    found = values(simulate(system))
    # These methods keep their relative tolerance per step; three digits are left for the sum.
    np.testing.assert_allclose(found, done.y.T.reshape(found.shape), rtol=0, atol=1e-6 * np.abs(found).max())
    np.testing.assert_allclose(found[0], x0, rtol=0, atol=1e-15 * np.abs(x0).max())


def test_burgers_is_the_exact_solution_but_for_the_width_of_its_differences():
    # Cole, Quart. Appl. Math. 9 (1951) 225: -2 nu times the slope of the logarithm of what solves the heat equation and
    # starts as exp(cos(pi x) / (2 pi nu)), a Fourier series with modified Bessel functions; 0.3 is a moving frame.
    system = get_system("burgers")
    x, t, nu, drift, k = np.array(system.grid.points), system.t[-1], 0.1, 0.3, np.arange(1, 40)
    zeroth, weights = ive(0, 1 / (2 * np.pi * nu)), ive(k, 1 / (2 * np.pi * nu)) * np.exp(-nu * t * (np.pi * k) ** 2)
    phases = np.pi * np.outer(k, x - drift * t)
    exact = drift + 2 * np.pi * nu * 2 * (k * weights) @ np.sin(phases) / (zeroth + 2 * weights @ np.cos(phases))
    # Differences of second order are off by (pi h)^2/6 of the slope, 0.004 at h = 0.05, over a time of 1.5.
    np.testing.assert_allclose(values(simulate(system))[-1, :, 0], exact, rtol=0, atol=0.01)
    assert np.ptp(exact) < 0.6 * 2  # of the sine that it started as: it has steepened and faded


@pytest.mark.parametrize("system", SYSTEMS)
def test_written_fields_read_back(system, tmp_path):
    table, path = write_system(system, tmp_path, "1%", 3)
    data = read_table(table, time="t", position="x")
    made = make_data(system, 0.01, 3)
    assert data.points == made.points == system.grid.points
    # Ten digits are written.
    np.testing.assert_allclose(values(data), values(made), rtol=1e-9)
    spec = load_spec(path)
    assert spec.model.grid == system.grid
    assert f"fields on {system.grid}" in str(system)
    np.testing.assert_array_equal(values(spec.data), values(data))
