"""The errors of initial values against SciPy over several runs, and where they have none."""

from dataclasses import replace

import numpy as np
import pytest
from laws import measured
from scipy.optimize import least_squares
from scipy.stats import t as student

from udesys.discover import discover
from udesys.model import HybridODE, Parameter
from udesys.report.tables import initial_table

T = np.linspace(0, 3, 13)
STARTS = [2.0, 0.5, 1.0]
RATE = Parameter(1.0)


def decays(equations="x' = -k*x", starts=STARTS, parameters=None, **more):
    data = measured(lambda t, x: -0.7 * x, [[x] for x in starts], [T] * len(starts), ("x",), noise=0.02)
    return discover(HybridODE(equations, parameters={"k": RATE} if parameters is None else parameters, **more), data)


def test_the_starts_of_several_runs_have_the_errors_of_scipys_joint_fit():
    law = decays()
    y = np.concatenate([run.y[:, 0] for run in law.data.trajectories])

    def simulated(q):
        return np.concatenate([x0 * np.exp(-q[0] * T) for x0 in q[1:]])

    def slopes(q):
        table = np.zeros((len(y), len(q)))
        for k, x0 in enumerate(q[1:]):
            rows = slice(k * len(T), (k + 1) * len(T))
            table[rows, 0], table[rows, 1 + k] = -x0 * T * np.exp(-q[0] * T), np.exp(-q[0] * T)
        return table

    best = least_squares(lambda q: simulated(q) - y, [0.7, *STARTS], jac=slopes, xtol=1e-14, ftol=1e-14).x
    left = len(y) - len(best)
    variance = ((simulated(best) - y) ** 2).sum() / left
    errors = np.sqrt(np.diag(np.linalg.inv(slopes(best).T @ slopes(best))) * variance)
    found = [states["x"] for states in law.initial_estimates.values()]
    assert [law.parameters["k"].value, *(e.value for e in found)] == pytest.approx(best, rel=1e-5)
    assert [law.parameters["k"].stderr, *(e.stderr for e in found)] == pytest.approx(errors, rel=1e-3)
    for estimate, value, error in zip(found, best[1:], errors[1:], strict=True):
        half = student.ppf(0.975, left) * error
        assert estimate.interval == pytest.approx((value - half, value + half), rel=1e-4)


def test_a_start_that_was_given_is_fixed_and_the_others_are_not():
    law = decays(starts=[2.0, 2.0], initial={"x": 2.0})
    assert [e["x"].fixed for e in law.initial_estimates.values()] == [True, True]
    assert {row[2] for row in initial_table(law).rows} == {"2 (given)"}


def test_a_state_that_acts_on_nothing_measured_has_no_known_start():
    law = decays("x' = -k*x\nz' = -z")
    for estimates in law.initial_estimates.values():
        assert estimates["x"].identifiable and not estimates["z"].identifiable
        assert np.isnan(estimates["z"].stderr) and np.isnan(estimates["z"].interval).all()
    assert all(row[3].endswith("(not identifiable)") for row in initial_table(law).rows)


def test_a_factor_and_the_start_that_it_multiplies_are_both_unknown():
    rates = {"k": RATE, "gain": Parameter(1.0, bounds=(0.1, 10.0))}
    law = decays("x' = gain*z - x\nz' = -k*z", parameters=rates)
    assert law.parameters["k"].identifiable
    assert not law.parameters["gain"].identifiable and np.isnan(law.parameters["gain"].stderr)
    assert not any(e["z"].identifiable for e in law.initial_estimates.values())
    assert all(e["x"].identifiable for e in law.initial_estimates.values())


def test_a_positive_state_that_starts_at_zero_is_at_its_bound():
    law = decays(positive=["x"])
    none = replace(law, initial={run: {"x": 0.0} for run in law.initial})
    assert {e["x"].at_bound for e in none.initial_estimates.values()} == {0.0}
    assert all(np.isnan(e["x"].stderr) for e in none.initial_estimates.values())


def test_without_a_covariance_there_are_values_alone():
    law = decays()
    bare = replace(law, covariance=None, footing=None)
    assert all(np.isnan(e["x"].stderr) and not e["x"].fixed for e in bare.initial_estimates.values())
    assert [row[2] for row in initial_table(bare).rows] == [f"{e['x']:.4g}" for e in law.initial.values()]
