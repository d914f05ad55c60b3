"""`discover`: from measurements and half a law to the whole law, on systems whose law is known."""

import json
from dataclasses import replace

import numpy as np
import pytest
from laws import (
    COLUMNS,
    EXACT,
    TRUTH,
    discover,
    discovered,
    fitted,
    half_known,
    lotka_volterra,
    measured,
    solution,
    true_noise,
    wholly_known,
)
from scipy.integrate import solve_ivp
from scipy.stats import binom

import udesys
from udesys.data import Dataset, Trajectory, split_holdout
from udesys.errors import SearchError
from udesys.model import HybridODE, Parameter
from udesys.search import Library, SearchOptions

KEYS = [
    "schema",
    "status",
    "seed",
    "equations",
    "residuals",
    "parameters",
    "identifiability",
    "initial",
    "initial_estimates",
    "noise",
    "error",
    "diagnostics",
    "visited",
    "correlation",
    "candidates",
    "warnings",
    "timing_s",
    "engines",
]


def pendulum(t, x):
    return [x[1], -9.0 * np.sin(x[0]) - 0.3 * x[1]]


# --- Lotka-Volterra ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_both_interactions_are_found_with_the_truth_inside_their_intervals(seed):
    law = discovered(0.005, seed)
    assert law.status == "ok"
    assert {t: r.expression for t, r in law.residuals.items()} == dict.fromkeys(("NN1", "NN2"), "c0*prey*predator")
    assert -TRUTH["beta"] in law.residuals["NN1"].constants["c0"]
    assert TRUTH["gamma"] in law.residuals["NN2"].constants["c0"]
    assert law.candidates[0].delta == 0.0 and law.candidates[0].n_constants == 2


def test_the_law_simulates_at_the_noise():
    law = discovered(0.005, 0)
    away = np.sqrt(((law.simulate(EXACT.t) - EXACT.y) ** 2).mean(0))
    assert (away < 0.5 * true_noise(0.005)).all()  # four unknowns from 62 measurements: a quarter of the noise
    assert list(law.error["fit"].values()) == pytest.approx(true_noise(0.005), rel=0.3)
    assert list(law.noise.values()) == pytest.approx(true_noise(0.005), rel=0.3)


def test_the_equations_have_their_numbers_in_place():
    law = discovered(0.005, 0)
    beta = law.residuals["NN1"].constants["c0"].value
    at = {"prey": 1.7, "predator": 0.4}
    slope = law.equations["prey"]
    assert {s.name for s in slope.free_symbols} == set(at)
    found = slope.evalf(subs={s: at[s.name] for s in slope.free_symbols})
    assert float(found) == pytest.approx(1.3 * 1.7 + beta * 1.7 * 0.4)


def test_a_forecast_is_a_table_over_time():
    law = discovered(0.005, 0)
    table = law.forecast([3.0, 4.0, 5.0])
    assert list(table.columns) == ["t", *COLUMNS]
    exact = solution(
        lambda t, x: [1.3 * x[0] - 0.9 * x[0] * x[1], 0.8 * x[0] * x[1] - 1.8 * x[1]], EXACT.y[0], [0.0, 3, 4, 5]
    )
    assert table[list(COLUMNS)].to_numpy() == pytest.approx(exact[1:], rel=0.05)


def test_the_result_has_the_agreed_keys_and_is_json():
    plain = discovered(0.005, 0).to_dict()
    assert list(plain) == KEYS
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert set(plain["residuals"]["NN1"]) == {"expression", "constants"}
    assert set(plain["residuals"]["NN1"]["constants"]["c0"]) == {"value", "stderr", "interval"}
    assert set(plain["parameters"]["alpha"]) == {"value", "stderr", "interval", "fixed", "identifiable", "unit"}
    assert set(plain["candidates"][0]) == {
        "residuals",
        "criterion",
        "delta",
        "n_constants",
        "complexity",
        "engines",
        "error",
        "heldout_error",
        "diverged",
    }
    assert plain["parameters"]["alpha"] == {
        "value": 1.3,
        "stderr": None,
        "interval": [None, None],
        "fixed": True,
        "identifiable": True,
        "unit": "",
    }
    assert plain["engines"] and plain["schema"] == 1 and list(plain["initial"]) == ["0"]
    assert {"fit", "search", "select", "assess", "total"} == set(plain["timing_s"])


def test_what_is_not_finite_is_null_in_the_plain_result():
    law = discovered(0.005, 0)
    lost = replace(law.candidates[0], criterion=np.inf, delta=np.inf, error={"prey": np.nan}, diverged=True)
    plain = replace(law, candidates=(lost,), error={"fit": {}, "heldout": {"prey": np.inf}}).to_dict()
    assert plain["candidates"][0]["criterion"] is plain["candidates"][0]["error"]["prey"] is None
    assert plain["error"]["heldout"] == {"prey": None}


def test_changing_the_plain_result_does_not_change_the_law():
    law = discovered(0.005, 0)
    plain = law.to_dict()
    plain["candidates"][0]["delta"] = plain["initial"]["0"]["prey"] = plain["error"]["fit"]["prey"] = "changed"
    plain["noise"]["prey"] = plain["candidates"][0]["error"]["prey"] = "changed"
    assert "changed" not in json.dumps(law.to_dict())


def test_the_same_seed_gives_the_same_law():
    again = discover(half_known(), lotka_volterra(0.005, 1), seed=1).to_dict()
    assert {**again, "timing_s": None} == {**discovered(0.005, 1).to_dict(), "timing_s": None}


def test_rivals_are_refitted_and_listed_behind():
    candidates = discovered(0.005, 0).candidates
    assert len(candidates) > 10
    assert [c.delta for c in candidates[1:]] == sorted(c.delta for c in candidates[1:])
    assert all(np.isinf(c.criterion) == c.diverged for c in candidates)


def test_fit_then_recover_is_discover():
    halves = udesys.recover(fitted(0.005, 0))
    assert {**halves.to_dict(), "timing_s": None} == {**discovered(0.005, 0).to_dict(), "timing_s": None}


def test_a_fit_can_be_recovered_with_another_library():
    law = udesys.recover(
        fitted(0.005, 0), options=SearchOptions(library=Library(degree=1, functions=(), terms=["prey*predator"]))
    )
    assert law.residuals["NN1"].expression == "c0*prey*predator"
    with pytest.raises(SearchError, match=r"there is no engine 'spares'\. Did you mean 'sparse'"):
        udesys.recover(fitted(0.005, 0), options=SearchOptions(engines=["spares"]))


def test_held_out_data_score_the_law_and_are_not_fitted():
    data, heldout = split_holdout(lotka_volterra(0.005, 1), {"last": "20%"})
    law = discover(half_known(), data, heldout=heldout)
    (rest,) = heldout.trajectories
    expected = np.sqrt(((law.simulate(rest.t) - rest.y) ** 2).mean(0))
    assert list(law.error["heldout"].values()) == pytest.approx(expected, rel=1e-6)
    assert law.candidates[0].heldout_error == pytest.approx(law.error["heldout"], rel=1e-3)
    assert law.data is data and law.heldout is heldout
    assert (expected < 3 * true_noise(0.005)).all()  # a forecast a quarter of the record ahead
    assert law.residuals["NN1"].expression == "c0*prey*predator"


def test_given_noise_is_used():
    noise = dict(zip(COLUMNS, true_noise(0.005).tolist(), strict=True))
    law = discover(half_known(), lotka_volterra(0.005, 0), noise=noise)
    assert law.fit.noise == noise
    assert law.residuals["NN1"].expression == "c0*prey*predator"


# --- other shapes of law -----------------------------------------------------------------------------


def test_a_law_without_networks_is_refitted():
    law = discover(wholly_known(), lotka_volterra(0.005, 0))
    assert law.residuals == {} and len(law.candidates) == 1
    for name, true in TRUTH.items():
        estimate = law.parameters[name]
        assert abs(estimate.value - true) < 4 * estimate.stderr
        assert estimate.start == pytest.approx(1.3 * true) and not estimate.fixed


def test_what_one_state_loses_another_gains():
    t = np.linspace(0, 4, 31)
    data = measured(lambda t, x: [-0.5 * x[0] ** 2, 0.5 * x[0] ** 2], [[2.0, 0.1]], [t], ("a", "b"), noise=0.005)
    law = discover("a' = -NN(a)\nb' = NN(a)", data)
    assert law.residuals["NN"].expression == "c0*a**2"
    assert 0.5 in law.residuals["NN"].constants["c0"]
    assert law.closed_form.equation_texts(4)["a"].startswith("-")
    states = law.simulate(t)
    assert states.sum(1) == pytest.approx(states[0].sum())  # nothing is lost on the way


def test_a_pendulum_is_found_from_its_angle_alone():
    data = measured(pendulum, [[2.0, 0.0]], [np.linspace(0, 4, 81)], ("theta",), noise=0.01, keep=[0])
    law = discover("theta'' = NN(theta) - b*theta'", data)
    assert law.residuals["NN"].expression == "c0*sin(theta)"
    assert -9.0 in law.residuals["NN"].constants["c0"] and 0.3 in law.parameters["b"]
    assert list(law.equations) == ["theta'"] and list(law.to_dict()["equations"]) == ["theta'"]
    assert list(law.noise) == ["theta"]


def test_an_unmeasured_state_that_is_not_a_velocity_is_found():
    t = np.linspace(0, 6, 60)
    data = measured(lambda t, x: [2 * x[1], -x[0] - 0.3 * x[1]], [[1.0, 0.0]], [t], ("x",), noise=0.005, keep=[0])
    law = discover("x' = 2*z\nz' = -x + NN(z)", data)
    assert law.residuals["NN"].expression == "c0*z"
    assert -0.3 in law.residuals["NN"].constants["c0"]


def test_states_may_be_called_like_constants():
    def rhs(t, x):
        return [-0.8 * x[0] + 0.3 * x[1], 0.8 * x[0] - 0.3 * x[1] - 0.2 * x[1] ** 2]

    data = measured(rhs, [[2.0, 0.5]], [np.linspace(0, 6, 60)], ("c0", "c1"), noise=0.005)
    law = discover("c0' = -k*c0 + q*c1\nc1' = k*c0 - q*c1 + NN(c0, c1)".replace("k", "0.8").replace("q", "0.3"), data)
    ((name, constant),) = law.residuals["NN"].constants.items()
    assert name not in ("c0", "c1") and law.residuals["NN"].expression == f"{name}*c1**2"
    assert -0.2 in constant
    assert name not in law.to_dict()["equations"]["c1"]


def test_several_runs_of_different_times_give_one_law():
    times = [np.linspace(0, 2, 15), np.sort(np.random.default_rng(1).uniform(0, 3, 20))]
    data = measured(
        lambda t, x: [1.3 * x[0] - 0.9 * x[0] * x[1], 0.8 * x[0] * x[1] - 1.8 * x[1]],
        [[0.5, 3.0], [1.5, 0.5]],
        times,
        COLUMNS,
        noise=0.01,
    )
    law = discover(half_known(), data)
    assert {r.expression for r in law.residuals.values()} == {"c0*prey*predator"}
    assert list(law.initial) == ["1", "2"]
    assert law.simulate([1.0, 2.0], trajectory=1).shape == (2, 2)


# --- how often the intervals hold the truth ----------------------------------------------------------


def coverage(runs):
    """How often each constant's 95 % interval holds the truth, among the runs with the right forms."""
    inside, right = dict.fromkeys(TRUTH, 0), 0
    model = half_known(alpha=Parameter(1.0), delta=Parameter(1.5))
    for seed in range(runs):
        law = discover(model, lotka_volterra(0.01, 100 + seed), seed=seed)
        if {r.expression for r in law.residuals.values()} != {"c0*prey*predator"}:
            continue
        right += 1
        inside["alpha"] += TRUTH["alpha"] in law.parameters["alpha"]
        inside["delta"] += TRUTH["delta"] in law.parameters["delta"]
        inside["beta"] += -TRUTH["beta"] in law.residuals["NN1"].constants["c0"]
        inside["gamma"] += TRUTH["gamma"] in law.residuals["NN2"].constants["c0"]
    return inside, right


@pytest.mark.slow
def test_the_intervals_hold_the_truth_as_often_as_they_say():
    inside, right = coverage(40)
    assert right >= 38
    assert binom.cdf(32, 40, 0.95) < 1e-3  # fewer than 33 would be beyond chance
    assert min(inside.values()) >= 33, inside


@pytest.mark.slow
@pytest.mark.sample
def test_the_intervals_hold_the_truth_in_a_few_runs():
    inside, right = coverage(5)
    assert right == 5
    assert min(inside.values()) >= 3, inside  # of five at 95 %, fewer in one series in a thousand


# --- a law that is not quite there -------------------------------------------------------------------


@pytest.mark.slow
def test_wandering_residuals_count_for_less_and_the_simple_law_is_kept():
    t = np.linspace(0, 12, 300)  # decay beside a slow disturbance that no formula in x can express
    exact = solve_ivp(lambda t, x: [-x[0] + 0.05 * np.sin(1.3 * t)], (0, 12), [2.0], t_eval=t, rtol=1e-10).y.T
    y = exact + 0.002 * np.random.default_rng(0).standard_normal(exact.shape)
    data = Dataset(columns=("x",), trajectories=(Trajectory(name="0", t=t, y=y),), time="t", source="made")
    law = discover(HybridODE("x' = NN(x)"), data, seed=0)
    assert any("the residuals wander" in w for w in law.warnings)
    assert law.residuals["NN"].expression == "c0*x"
    assert law.residuals["NN"].constants["c0"].value == pytest.approx(-1.0, abs=0.1)  # the disturbance's size


# --- chaos -------------------------------------------------------------------------------------------


def lorenz(t, x):
    return [10 * (x[1] - x[0]), x[0] * (28 - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]]


@pytest.mark.slow
@pytest.mark.sample
def test_a_chaotic_record_is_compared_over_windows_and_gives_its_law():
    t = np.linspace(0, 30, 900)
    exact = solve_ivp(lorenz, (0, 30), [1, 1, 20], t_eval=t, rtol=1e-10, atol=1e-10, method="DOP853").y.T
    y = exact + 0.01 * np.abs(exact).mean(0) * np.random.default_rng(0).standard_normal(exact.shape)
    model = HybridODE("x' = 10*(y - x)\ny' = x*(28 - z) - y\nz' = NN(x, y) - 8/3*z")
    run = Trajectory(name="0", t=t, y=y)
    data = Dataset(columns=("x", "y", "z"), trajectories=(run,), time="t", source="lorenz")
    law = discover(model, data, seed=0)
    assert law.residuals["NN"].expression == "c0*x*y"
    assert law.residuals["NN"].constants["c0"].value == pytest.approx(1.0, abs=0.01)  # a few standard errors
    assert any("over 15 windows" in w for w in law.warnings)
    assert law.initial["0"]["z"] == pytest.approx(20, abs=1.0)  # the first window's start is the record's
