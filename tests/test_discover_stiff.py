"""`discover` on stiff systems: the law is found by the implicit simulator, kept, forecast and exported."""

import subprocess
import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from laws import dataset, discover, discovered, fitted
from scipy.integrate import solve_ivp
from test_driven_laws import loaded
from test_fit_options import RATES, robertson

import udesys
from udesys.bench._cases import CASES
from udesys.data import split_holdout
from udesys.model import HybridODE
from udesys.report.curves import closed_form_curve, hybrid_curve, runs_of

REACTION = "a' = -k1*a + k3*b*c\nb' = k1*a - k3*b*c - NN(b)\nc' = NN(b)"
KNOWN = {name: RATES[name] for name in ("k1", "k3")}


@cache
def reaction():
    """Robertson's reaction, its fastest step missing, and the truth at the samples."""
    data, exact, _ = robertson()
    return discover(HybridODE(REACTION, KNOWN), data), exact


def solved(rates, x0, t):
    """Robertson's reaction by SciPy."""
    k1, k2, k3 = rates

    def slopes(t, x):
        a, b, c = x
        return [-k1 * a + k3 * b * c, k1 * a - k3 * b * c - k2 * b * b, k2 * b * b]

    return solve_ivp(slopes, (t[0], t[-1]), x0, method="Radau", t_eval=t, rtol=1e-10, atol=1e-16).y.T


# --- laws --------------------------------------------------------------------------------------------


def test_the_fastest_step_of_robertsons_reaction_is_found():
    law, exact = reaction()
    assert law.fit.method == "radau" and law.closed_form.stiff
    assert law.residuals["NN"].expression == "c0*b**2"
    constant = law.residuals["NN"].constants["c0"]
    assert 3e7 in constant and constant.stderr < 0.02 * 3e7
    simulated = law.simulate(law.data.trajectories[0].t)
    assert (np.sqrt(((simulated - exact) ** 2).mean(0)) < list(law.noise.values())).all()


def test_a_fast_state_that_follows_a_slow_one_is_found():
    t = np.linspace(0, 3, 31)
    y0, x0 = np.array([2.0, 1.5]), [4.0, 1.0]

    def slopes(t, z):
        return [-1000 * (z[0] - z[1] ** 2), -0.7 * z[1]]

    rng, runs = np.random.default_rng(0), []
    for start in zip(x0, y0, strict=True):
        exact = solve_ivp(slopes, (0, 3), start, method="Radau", t_eval=t, rtol=1e-9, atol=1e-12).y.T
        runs.append((t, exact + 0.005 * rng.standard_normal(exact.shape)))
    law = discover(HybridODE("x' = -1000*(x - NN(y))\ny' = -k*y"), dataset(("x", "y"), *runs))
    assert law.closed_form.stiff
    assert law.residuals["NN"].expression == "c0*y**2"
    assert 1.0 in law.residuals["NN"].constants["c0"]
    assert 0.7 in law.parameters["k"]


def test_a_stiff_law_with_an_input_and_a_missing_state_is_found():
    """A fast state follows a driven slow one, and only the fast one is measured."""
    t = np.linspace(0, 12, 121)

    def force(t):
        return np.sin(t) + 0.5 * np.sin(2.3 * t)

    def slopes(t, z):
        return [-500 * (z[0] - z[1]), force(t) - 0.8 * z[1] ** 3]

    exact = solve_ivp(slopes, (0, 12), [0.0, 0.0], method="Radau", t_eval=t, rtol=1e-9, atol=1e-12).y.T
    y = exact + 0.01 * np.random.default_rng(1).standard_normal(exact.shape)
    data = dataset(("x",), (t, y[:, :1], force(t)[:, None]), inputs={"F": "cubic"})
    law = discover(HybridODE("x' = -500*(x - y)\ny' = F - NN(y)", inputs=["F"]), data)
    assert law.closed_form.stiff
    assert law.residuals["NN"].expression == "c0*y**3"
    assert 0.8 in law.residuals["NN"].constants["c0"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_damping_of_a_relaxation_oscillation_is_found(seed):
    (case,) = (case for case in CASES if case.name == "vdp")  # mu = 1000: its jumps take a millionth of its period
    law = discover(case.make(seed).model, case.make(seed).data, seed=seed)
    assert law.residuals["NN"].expression == "c0 + c1*x**2"
    for name, truth in (("c0", 1000.0), ("c1", -1000.0)):
        estimate = law.residuals["NN"].constants[name]
        assert abs(estimate.value - truth) < 4 * estimate.stderr < 0.01 * abs(truth)


def test_the_implicit_simulator_finds_the_law_that_the_explicit_one_finds():
    explicit, implicit = discovered(0.005, 0), udesys.recover(replace(fitted(0.005, 0), method="radau"))
    assert implicit.closed_form.stiff and not explicit.closed_form.stiff
    for term, residual in explicit.residuals.items():
        found = implicit.residuals[term]
        assert found.expression == residual.expression
        for name, estimate in residual.constants.items():
            other = found.constants[name]
            assert other.value == pytest.approx(estimate.value, abs=0.01 * estimate.stderr)
            assert other.stderr == pytest.approx(estimate.stderr, rel=0.01)
    t = explicit.data.trajectories[0].t
    size = np.abs(explicit.simulate(t)).max(0)
    assert (np.abs(implicit.simulate(t) - explicit.simulate(t)).max(0) < 1e-4 * size).all()


def test_the_same_seed_gives_the_same_stiff_law():
    law, _ = reaction()
    again = udesys.recover(law.fit)
    assert again.to_dict() | {"timing_s": None} == law.to_dict() | {"timing_s": None}


# --- what is done with one ---------------------------------------------------------------------------


def test_a_stiff_law_is_forecast_with_bands_and_held_out_data():
    data = robertson()[0]
    kept, aside = split_holdout(data, {"last": "20%"})
    law = discover(HybridODE(REACTION, KNOWN), kept, heldout=aside)
    assert law.residuals["NN"].expression == "c0*b**2"
    assert all(law.error["heldout"][c] < 2 * law.noise[c] for c in "abc")
    rates = [0.04, law.residuals["NN"].constants["c0"].value, 1e4]
    t = np.array([0.0, 1e-3, 1.0, 1e2, 1e4])
    table = law.forecast(t)
    start = list(law.initial["1"].values())
    np.testing.assert_allclose(table[["a", "b", "c"]], solved(rates, start, t), rtol=1e-6, atol=1e-12)
    bands = law.bands(t)
    for state in "abc":
        inside = (bands[f"{state} low"] <= table[state]) & (table[state] <= bands[f"{state} high"])
        assert inside.all()


def test_a_kept_stiff_law_is_stiff_again(tmp_path):
    law, _ = reaction()
    again = udesys.load_run(law.save(tmp_path / "run"))
    assert again.closed_form.stiff
    t = np.array([0.0, 1e-3, 10.0, 1e3])
    assert again.simulate(t).tobytes() == law.simulate(t).tobytes()


def test_the_report_draws_hybrid_and_closed_form_of_a_stiff_system():
    law, _ = reaction()
    run = runs_of(law)[0][0]
    (t, closed), (th, hybrid) = closed_form_curve(law, run), hybrid_curve(law, run)
    assert t[-1] == th[-1] == run.t[-1]
    between = np.column_stack([np.interp(th, t, column) for column in closed.T])
    assert (np.abs(hybrid - between).max(0) < 0.05 * np.abs(closed).max(0)).all()


def test_an_exported_stiff_law_simulates_itself(tmp_path):
    law, _ = reaction()
    path = law.save(tmp_path / "run") / "equations.py"
    made, t = loaded(path), [0.0, 1e-3, 1.0, 1e3, 1e6]
    x0 = list(law.initial["1"].values())
    rates = [0.04, law.residuals["NN"].constants["c0"].value, 1e4]
    np.testing.assert_allclose(made.simulate(t, x0), solved(rates, x0, t), rtol=1e-7, atol=1e-14)
    x = [0.7, 2e-5, 0.3]
    k1, k2, k3 = rates
    expected = [[-k1, k3 * x[2], k3 * x[1]], [k1, -k3 * x[2] - 2 * k2 * x[1], -k3 * x[1]], [0, 2 * k2 * x[1], 0]]
    np.testing.assert_allclose(made.jacobian(0.0, x), expected, rtol=1e-14)
    done = subprocess.run([sys.executable, "-I", "-S", path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 41
