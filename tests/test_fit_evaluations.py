"""How many evaluations of the right side one simulation of a fitted hybrid takes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from laws import dataset, fit, fitted, fitted_known, lotka_volterra, lotka_volterra_rhs, solution, wholly_known
from scipy.integrate import solve_ivp
from torchdiffeq import odeint

from udesys.fit import FitOptions, evaluations
from udesys.fit.evaluations import count_evaluations
from udesys.fit.keeping import put_together, taken_apart
from udesys.model import HybridODE, Parameter

LAW = "prey' = a*prey - b*prey*predator\npredator' = c*prey*predator - d*predator"
ROBERTSON = "a' = -k1*a + k3*b*c\nb' = k1*a - k3*b*c - k2*b^2\nc' = k2*b^2"


def recount(result):
    return count_evaluations(result.problem, result.unknowns)


def by_torchdiffeq(rhs, x0, span, spread):
    """Calls of a right side by dopri5, states in units of their spread, to the tolerance that the fit states."""
    unit, calls = torch.tensor(spread), []

    def rate(t, z):
        calls.append(float(t))
        return torch.tensor(rhs(float(t), (z * unit).numpy()), dtype=torch.float64) / unit

    start = torch.tensor(x0, dtype=torch.float64) / unit
    odeint(rate, start, torch.tensor(span, dtype=torch.float64), method="dopri5", rtol=1e-6, atol=1e-6)
    return len(calls)


# --- the number --------------------------------------------------------------------------------------


def test_a_fit_counts_what_torchdiffeq_takes_for_the_true_law():
    result = fitted_known(0.01, 0)
    spread = result.unknowns.spread
    wanted = by_torchdiffeq(lotka_volterra_rhs, [0.44249296, 4.6280594], (0.0, 3.0), spread)
    assert result.evaluations == pytest.approx(wanted, abs=12)  # two steps: the constants are a percent off
    assert result.evaluations > 6 * 5
    # A network in place of the interaction is as smooth as it is.
    assert fitted(0.005, 0).evaluations == pytest.approx(wanted, rel=0.2)


def test_a_stiff_fit_counts_what_radau_takes_for_the_true_law():
    t = np.concatenate([[0.0], np.geomspace(1e-4, 40, 39)])

    def rhs(t, x):
        a, b, c = x
        return [-0.04 * a + 1e4 * b * c, 0.04 * a - 1e4 * b * c - 3e7 * b * b, 3e7 * b * b]

    def slopes(t, x):
        _, b, c = x
        return [[-0.04, 1e4 * c, 1e4 * b], [0.04, -1e4 * c - 6e7 * b, -1e4 * b], [0, 6e7 * b, 0]]

    exact = solve_ivp(rhs, (0, 40), [1.0, 0.0, 0.0], method="Radau", t_eval=t, rtol=1e-10, atol=1e-14).y.T
    result = fit(
        HybridODE(ROBERTSON, {"k1": 0.04, "k2": 3e7, "k3": Parameter(1.2e4)}), dataset(("a", "b", "c"), (t, exact))
    )
    atol = 1e-6 * result.unknowns.spread
    truth = solve_ivp(rhs, (0, 40), [1.0, 0.0, 0.0], method="Radau", jac=slopes, rtol=1e-6, atol=atol)
    assert result.method == "radau"
    assert result.evaluations == pytest.approx(truth.nfev, rel=0.1)
    assert f"One simulation: {result.evaluations} evaluations of the right side (Radau, tolerance 1e-06)" in str(result)


def test_runs_are_one_batch():
    data = lotka_volterra(0.01)
    (run,) = data.trajectories
    later = replace(run, name="later", t=run.t + 100.0)
    model = HybridODE(LAW)
    both = fit(model, replace(data, trajectories=(run, later)))
    assert both.evaluations == pytest.approx(fit(model, data).evaluations, abs=6)  # twice the same: no more steps


def test_units_do_not_matter():
    def in_units(second, predator):
        starts = {"a": 1 / second, "b": 1 / second / predator, "c": 1 / second, "d": 1 / second}
        return HybridODE(LAW, {name: Parameter(value) for name, value in starts.items()})

    data = lotka_volterra(0.01)
    (run,) = data.trajectories
    other = replace(data, trajectories=(replace(run, t=run.t * 60.0, y=run.y * [1.0, 1e3]),))
    assert fit(in_units(1.0, 1.0), data).evaluations == fit(in_units(60.0, 1e3), other).evaluations


def test_inputs_act_on_every_run_at_its_own_times():
    times = (np.array([0.0, 0.4, 1.0, 1.7, 2.0]), np.array([5.0, 5.3, 6.0]))
    pushes = [np.array([1.0, -1.0, 0.5, 2.0, 0.0]), np.array([3.0, 1.0, -2.0])]
    runs = [(t, np.exp(-t)[:, None] + u[:, None], u[:, None]) for t, u in zip(times, pushes, strict=True)]
    result = fit(
        HybridODE("x' = -k*x + F + 0.1*t", inputs=["F"]),
        dataset(("x",), *runs, inputs={"F": "linear"}),
    )
    batch = evaluations._Runs(result.problem, result.unknowns)
    (k, _) = result.parameters["k"]
    for share in (0.0, 0.1, 0.2, 0.65, 0.999, 1.0):
        now = np.array([2.0 * share, 5.0 + share])
        force = [np.interp(t, along, u) for t, along, u in zip(now, times, pushes, strict=True)]
        x = np.array([[0.7], [-0.2]])
        wanted = np.array([2.0, 1.0]) * (-k * x[:, 0] + force + 0.1 * now)
        assert batch.rate(share, x / batch.unit)[:, 0] * batch.unit == pytest.approx(wanted, abs=1e-12)


def test_tensors_count_the_same_as_compiled_code():
    result = fitted(0.005, 0)
    problem = result.problem
    before = problem.compiled
    try:
        problem.__dict__["compiled"] = None
        assert recount(result) == result.evaluations
    finally:
        problem.__dict__["compiled"] = before


@pytest.mark.parametrize("solver", ["rk4", "radau"])
def test_a_solver_that_gives_up_counts_nothing(solver, monkeypatch):
    monkeypatch.setattr(evaluations, "MOST_STEPS", 3)
    result = fit(wholly_known(), lotka_volterra(0.01), options=FitOptions(solver=solver))
    assert result.converged and result.evaluations is None
    assert "evaluations" not in str(result)
    assert result.to_dict()["simulation"]["evaluations"] is None


def test_a_law_that_leaves_the_finite_numbers_counts_nothing():
    t = np.linspace(0, 0.9, 10)
    result = fit(HybridODE("x' = k*x^2", {"k": Parameter(1.0)}), dataset(("x",), (t, 1 / (1 - t)[:, None])))
    assert result.evaluations > 0
    result.unknowns.theta[:] *= 1.5  # x is infinite at t = 2/3
    assert recount(result) is None


def test_the_simulation_that_is_counted_is_that_of_the_law():
    result = fitted_known(0.01, 0)
    batch = evaluations._Runs(result.problem, result.unknowns)
    done = solve_ivp(lambda s, z: batch.rate(s, z[None])[0], (0, 1), batch.start[0], rtol=1e-9, atol=1e-9)
    values = [value for value, _ in result.parameters.values()]
    start = result.states[0][0]
    exact = solution(lambda t, x: lotka_volterra_rhs(t, x, *values), start, [0.0, 3.0])[-1]
    assert done.y[:, -1] * batch.unit == pytest.approx(exact, rel=1e-6)


# --- what is said and kept ---------------------------------------------------------------------------


def test_the_number_is_printed_with_its_solver_and_tolerance():
    result = fitted(0.005, 0)
    line = f"  One simulation: {result.evaluations} evaluations of the right side (dopri5, tolerance 1e-06)"
    assert line in str(result).splitlines()
    wanted = {"evaluations": result.evaluations, "solver": "dopri5", "tolerance": 1e-6}
    assert result.to_dict()["simulation"] == wanted


def test_a_fit_that_was_kept_counts_the_same():
    result = fitted(0.005, 0)
    again = put_together(result.model, result.data, *taken_apart(result))
    assert again.evaluations == result.evaluations
