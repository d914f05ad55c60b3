"""Small laws of fields, discovered once for all tests that look at what becomes of a law."""

import functools

import numpy as np
from fields import first, fisher_kpp, second, solved

import udesys as ud
from udesys.data import split_holdout
from udesys.fit import FitOptions
from udesys.search import SearchOptions

QUICK = {"options": SearchOptions(engines=("sparse",)), "fit_options": FitOptions(restarts=1)}
N, TIMES = 10, 8


@functools.cache
def spreading_law():
    """Fisher-KPP with a learned stencil: two runs of ten points, one cell missing, the last two times held out."""
    x, t, _, y = fisher_kpp(N, noise=0.005, until=0.5 * (TIMES - 1))
    _, _, _, other = fisher_kpp(N, noise=0.005, until=0.5 * (TIMES - 1), seed=1)
    y[2, 3] = np.nan
    data, held = split_holdout(ud.Dataset.from_fields(t, x, {"A": {"u": y}, "B": {"u": other}}), {"last": "25%"})
    return ud.discover(ud.HybridODE("u' = conv3(u) + NN(u)", grid=ud.Grid(x)), data, heldout=held, seed=0, **QUICK)


@functools.cache
def carried_law():
    """Burgers' equation, its term of u and its slope unknown, beside a field that follows u: one run."""
    x, t = np.arange(N) / N, np.linspace(0.0, 1.0, TIMES)
    start = np.concatenate([1.0 + 0.5 * np.sin(2 * np.pi * x), 0.5 + 0.3 * np.cos(2 * np.pi * x)])

    def slopes(z):
        u, v = z.reshape(2, N)
        return np.concatenate([0.02 * second(u, 1 / N) - u * first(u, 1 / N), u - v])

    z = solved(slopes, start, t) + 0.003 * np.random.default_rng(0).standard_normal((TIMES, 2 * N))
    data = ud.Dataset.from_fields(t, x, {"u": z[:, :N], "v": z[:, N:]})
    model = ud.HybridODE("u' = nu*dxx(u) + NN(u, dx(u))\nv' = u - k*v", grid=ud.Grid(x))
    return ud.discover(model, data, seed=0, **QUICK)
