"""Fields simulated by SciPy on the lattice, for tests of what is fitted to them."""

import numpy as np
from scipy.integrate import solve_ivp


def second(u, h):
    """Second difference of u (..., n) on a ring."""
    return (np.roll(u, 1, -1) - 2 * u + np.roll(u, -1, -1)) / h**2


def first(u, h):
    """First difference likewise."""
    return (np.roll(u, -1, -1) - np.roll(u, 1, -1)) / (2 * h)


def solved(slopes, start, t):
    """(times, n) of u' = slopes(u) from start (n,)."""
    return solve_ivp(lambda _, u: slopes(u), (t[0], t[-1]), start, "Radau", t, rtol=1e-9, atol=1e-11).y.T


def fisher_kpp(n=25, *, noise=0.005, seed=0, diffusion=0.01, growth=1.0, until=5.0, every=0.5):
    """Positions, times, the exact field (times, n) and the measured one; noise in units of u."""
    x, t = np.arange(n) / n, np.arange(round(until / every) + 1) * every
    start = (np.tanh((x - 0.25) / 0.05) - np.tanh((x - 0.75) / 0.05)) / 2
    u = solved(lambda u: growth * u * (1 - u) + diffusion * second(u, 1 / n), start, t)
    return x, t, u, u + noise * np.random.default_rng(seed).standard_normal(u.shape)
