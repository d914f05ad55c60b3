"""Bifurcations against normal forms, published values, and simulations by SciPy."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from laws import RIGHT_SIDES, dataset, discovered, fit, fitted
from scipy.integrate import solve_ivp
from scipy.special import ai_zeros

import udesys as ud
from udesys.assess.bifurcation.ends import Region, Simulator
from udesys.assess.bifurcation.text import side_by_side
from udesys.assess.bifurcation.varied import Varied, numbers_of_fit, numbers_of_model
from udesys.errors import ModelError, UdesysError
from udesys.model import HybridODE
from udesys.model.field import HybridField
from udesys.runs.files import to_json
from udesys.systems import get_system

SOLVED = 1e-8  # to which points are solved for
CUBIC = 2 / (3 * np.sqrt(3))  # folds of x' = r + x - x^3


def along(equations, vary, low, high, visited, *, parameters=None, starts=(), points=9, **options):
    """The analysis of equations whose parameters have values; `vary` is 0.1 where it is not listed."""
    names = {vary: 0.1, **(parameters or {})}
    model = HybridODE(equations, names, positive=options.pop("positive", ()))
    asked = {"visited": visited, "starts": list(starts), "points": points, **options}
    return ud.bifurcation(model, vary, low, high, **asked)


def system(name, vary, low, high, visited, **options):
    built_in = get_system(name)
    return along(built_in.truth, vary, low, high, visited, parameters=built_in.constants, **options)


def values(found, kind):
    return [point.value for point in found.of_kind(kind)]


# --- equilibria and the points where their stability changes ----------------------------------------------


def test_a_branch_is_followed_round_its_fold():
    found = along("x' = r - x^2", "r", -0.5, 1.0, {"x": (-1, 1)})
    (branch,) = found.branches
    assert values(found, "fold") == pytest.approx([0.0], abs=SOLVED) and len(found.points) == 1
    assert branch.x[:, 0] ** 2 == pytest.approx(branch.value, abs=1e-10)
    assert branch.eigenvalues[:, 0].real == pytest.approx(-2 * branch.x[:, 0], abs=1e-10)
    assert sorted(branch.x[[0, -1], 0]) == pytest.approx([-1.0, 1.0])
    off = np.abs(branch.x[:, 0]) > 1e-6
    assert (branch.stable[off] == (branch.x[off, 0] > 0)).all()
    assert [len(branch.value[p]) > 1 for p in branch.pieces] == [True, True]


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e4])
def test_folds_of_a_cubic_do_not_depend_on_the_unit(unit):
    found = along("x' = r + x - x^3/k^2", "r", -unit, unit, {"x": (-1.2 * unit, 1.2 * unit)}, parameters={"k": unit})
    assert values(found, "fold") == pytest.approx([-CUBIC * unit, CUBIC * unit], abs=SOLVED * unit)
    (branch,) = found.branches
    assert [bool(branch.stable[p.stop - 1]) for p in branch.pieces] == [True, False, True]


def test_a_transcritical_point_is_where_two_branches_exchange_their_stability():
    found = along("x' = r*x - x^2", "r", -1.0, 1.0, {"x": (-1, 1)})
    assert values(found, "transcritical") == pytest.approx([0.0], abs=SOLVED) and len(found.points) == 1
    assert len(found.branches) == 2
    for branch in found.branches:
        exact = np.where(np.abs(branch.x[:, 0]).max() < 1e-9, branch.value, -branch.value)
        assert branch.eigenvalues[:, 0].real == pytest.approx(exact, abs=1e-9)


def test_the_hopf_normal_form_has_its_point_at_zero_and_cycles_of_radius_root_mu():
    found = system("hopf", "mu", -0.5, 1.0, {"x": (-1, 1), "y": (-1, 1)}, starts=[{"x": 0.5, "y": 0.2}], until=200.0)
    (point,) = found.points
    assert (point.kind, point.value) == ("Hopf", pytest.approx(0.0, abs=SOLVED))
    assert point.period == pytest.approx(2 * np.pi, rel=1e-9) and point.inside
    up = next(sweep for sweep in found.sweeps if sweep.direction == "up")
    for mu, end in zip(up.value, up.ends, strict=True):
        if mu > 0.1:
            assert (end.kind, end.period) == ("cycle", pytest.approx(2 * np.pi, rel=1e-6))
            assert [*end.high, *-end.low] == pytest.approx([np.sqrt(mu)] * 4, rel=1e-5)
        elif mu < -0.1:
            assert end.kind == "point" and end.at == pytest.approx([0, 0], abs=1e-6)
    assert found.thresholds == ()  # its radius grows from nothing: no jump


def test_lorenz_has_its_pitchfork_at_one_and_its_hopf_points_where_theory_has_them():
    sigma, b = 10.0, 8 / 3
    visited = {"x": (-18, 18), "y": (-24, 24), "z": (3, 45)}
    found = system("lorenz", "rho", 0.0, 30.0, visited)
    assert values(found, "pitchfork") == pytest.approx([1.0], abs=SOLVED)
    critical = sigma * (sigma + b + 3) / (sigma - b - 1)  # 24.7368...
    assert values(found, "Hopf") == pytest.approx([critical] * 2, abs=SOLVED * critical)
    omega = np.sqrt(2 * sigma * (sigma + 1) * b / (sigma - b - 1))
    assert [p.period for p in found.of_kind("Hopf")] == pytest.approx([2 * np.pi / omega] * 2, rel=1e-8)
    assert sorted(p.x["x"] for p in found.of_kind("Hopf")) == pytest.approx(
        [-np.sqrt(b * (critical - 1)), np.sqrt(b * (critical - 1))], rel=1e-7
    )
    assert len(found.points) == 3


def test_the_points_do_not_depend_on_the_order_of_the_states():
    truth = "y' = x*(rho - z) - y\nz' = x*y - 8/3*z\nx' = 10*(y - x)"
    visited = {"x": (-18, 18), "y": (-24, 24), "z": (3, 45)}
    found = along(truth, "rho", 0.0, 30.0, visited)
    assert [p.kind for p in found.points] == ["pitchfork", "Hopf", "Hopf"]
    assert values(found, "Hopf") == pytest.approx([470 / 19] * 2, abs=1e-7)


def test_a_conservative_system_is_neutral_and_has_no_hopf_point():
    known = "x' = a*x - 0.9*x*y\ny' = 0.8*x*y - 1.8*y"
    found = along(known, "a", 0.5, 2.0, {"x": (0.5, 4), "y": (0.5, 4)})
    inner = next(b for b in found.branches if b.x[0].min() > 0.1)
    assert found.points == () and not inner.stable.any() and not inner.unstable.any()
    assert inner.x == pytest.approx(np.column_stack([np.full(len(inner.value), 2.25), inner.value / 0.9]), rel=1e-9)
    assert "neutral" in str(found)


def test_equilibria_that_are_a_continuum_are_said_and_not_followed():
    found = along("s' = -b*s*i\ni' = b*s*i - 0.3*i", "b", 0.5, 1.0, {"s": (0.1, 1), "i": (0.0, 0.5)})
    assert found.branches == () and "continuum" in found.notes[0]


# --- cycles and collapses ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fish():
    """Predator and prey of AUTO's demo pp2, from two starts."""
    starts = [{"x": 1.0, "y": 0.1}, {"x": 0.8, "y": 0.3}]
    visited = {"x": (0.2, 0.8), "y": (0.3, 1.3)}
    return system("predator_prey_collapse", "alpha", 0.5, 0.8, visited, starts=starts, points=31)


def test_the_published_hopf_point_and_collapse_of_predator_and_prey(fish):
    assert values(fish, "Hopf") == pytest.approx([0.671594], abs=1e-6)
    collapse = next(t for t in fish.collapses if t.start == {"x": 1.0, "y": 0.1})
    assert collapse.value == pytest.approx(0.6858, abs=1e-4)
    assert collapse.below.kind == "cycle" and collapse.above.zero == ("x", "y")
    assert collapse.interval[1] - collapse.interval[0] < 1e-5 * collapse.value and not collapse.inside


def test_a_collapse_is_where_scipy_has_it(fish):
    def right(t, z, alpha):
        x, y = z
        return [3 * x * (1 - x) - x * y - alpha * (1 - np.exp(-5 * x)), -y + 3 * x * y]

    for threshold in fish.collapses:
        x0 = list(threshold.start.values())
        beside = threshold.value + np.array([-1e-5, 1e-5])
        ends = [solve_ivp(right, (0, 500), x0, args=(a,), rtol=1e-10, atol=1e-14).y[0, -1] for a in beside]
        assert ends[0] > 0.1 and abs(ends[1]) < 1e-3
    assert len(fish.collapses) == 2


def test_cycles_go_up_to_the_end_and_what_is_extinct_does_not_come_back(fish):
    up, down = (next(s for s in fish.sweeps if s.direction == d) for d in ("up", "down"))
    kinds = {round(v, 2): e for v, e in zip(up.value, up.ends, strict=True)}
    assert kinds[0.6].kind == "point" and kinds[0.69].kind == "cycle" and kinds[0.75].zero == ("x", "y")
    assert all(end.zero == ("x", "y") for end in down.ends)


def test_a_jump_at_a_fold_and_none_without():
    visited, starts = {"x": (-1.2, 1.2)}, [{"x": -1.0}]
    found = along("x' = r + x - x^3", "r", -1.0, 1.0, visited, starts=starts, points=21, until=2000.0)
    (threshold,) = found.thresholds
    # Past the fold it lingers for about pi / sqrt(sqrt(3) * (r - fold)), and is there by the end if that is less.
    late = (np.pi / 2000) ** 2 / np.sqrt(3)
    assert CUBIC - 1e-6 < threshold.value < CUBIC + 3 * late and threshold.kind == "other end"
    up, down = (next(s for s in found.sweeps if s.direction == d) for d in ("up", "down"))
    above = [[value for value, end in zip(s.value.round(1), s.ends, strict=True) if end.at[0] > 0] for s in (up, down)]
    assert (min(above[0]), min(above[1])) == (0.4, -0.3)  # up it stays below to the one fold, down above to the other


def test_what_blows_up_is_a_collapse_and_no_failure():
    found = along("x' = r + x^2", "r", -1.0, 1.0, {"x": (-1, 1)}, starts=[{"x": 0.0}], points=11, until=1000.0)
    (threshold,) = found.collapses
    assert -1e-6 < threshold.value < 2 * (np.pi / 1000) ** 2  # after that it takes less than 1000
    assert threshold.above.gone == ("x",) and "x leaves" in str(found)


def test_a_state_that_is_never_negative_is_gone_below_zero():
    options = {"starts": [{"x": 1.0}], "positive": ["x"], "until": 100.0}
    found = along("x' = r - 0.2 - 0.1*x", "r", 0.0, 0.4, {"x": (0.5, 2)}, **options)
    (threshold,) = found.collapses
    assert threshold.value == pytest.approx(0.2, abs=1e-3) and threshold.below.gone == ("x",)
    assert min(branch.x.min() for branch in found.branches) > -0.1


def test_what_fades_little_by_little_is_no_collapse():
    found = along("x' = r*x - x^2", "r", -1.0, 1.0, {"x": (0.2, 1)}, starts=[{"x": 0.5}], until=2000.0)
    (threshold,) = found.thresholds
    assert threshold.kind == "fading" and threshold.value == pytest.approx(0.0, abs=0.01)


def test_chaos_and_doubled_cycles_are_told_apart():
    side = Varied(numbers_of_model(HybridODE(get_system("lorenz").truth, get_system("lorenz").constants)), "rho")
    region = Region(low=np.array([-18, -24, 3.0]), high=np.array([18, 24, 45.0]), positive=np.zeros(3, bool))
    simulator, x0 = Simulator(side, region, 200.0), np.array([1.0, 2.0, 20.0])
    assert simulator.end(x0, 28.0).kind == "irregular"
    one, two = simulator.end(x0, 100.0), simulator.end(x0, 99.65)  # Sparrow, The Lorenz Equations (1982), ch. 4
    assert (one.kind, two.kind) == ("cycle", "cycle") and two.period == pytest.approx(2 * one.period, rel=0.01)


def van_der_pol(t, z, mu=5.0):
    return [z[1], mu * (1 - z[0] ** 2) * z[1] - z[0]]


def test_a_stiff_side_is_simulated_implicitly_to_the_same_ends():
    numbers = numbers_of_model(HybridODE("x' = y\ny' = mu*(1 - x^2)*y - x", {"mu": 5.0}))
    region = Region(low=np.array([-2, -8.0]), high=np.array([2, 8.0]), positive=np.zeros(2, bool))
    plain, stiff = (Varied(replace(numbers, stiff=s), "mu") for s in (False, True))
    ends = [Simulator(side, region, 200.0).end(np.array([0.1, 0.0]), 5.0) for side in (plain, stiff)]
    assert [end.kind for end in ends] == ["cycle", "cycle"]
    turned = solve_ivp(van_der_pol, (0, 100), [2.0, 0.0], events=lambda t, z: z[1] - 1e-12, rtol=1e-10, atol=1e-12)
    period = turned.t_events[0][-1] - turned.t_events[0][-3]  # two turning points are one period
    assert ends[0].period == pytest.approx(period, rel=1e-6)
    assert ends[1].period == pytest.approx(ends[0].period, rel=1e-3)
    assert ends[1].high == pytest.approx(ends[0].high, rel=1e-3)


def test_what_turns_out_to_be_stiff_is_simulated_implicitly():
    mu = 1000.0
    side = Varied(numbers_of_model(HybridODE("x' = y\ny' = mu*(1 - x^2)*y - x", {"mu": mu})), "mu")
    region = Region(low=np.array([-2, -1.5 * mu]), high=np.array([2, 1.5 * mu]), positive=np.zeros(2, bool))
    end = Simulator(side, region, 20_000.0).end(np.array([2.0, 0.0]), mu)
    # By matched asymptotics, with Airy's first zero; what follows is of the size of log(mu)/mu.
    period = (3 - 2 * np.log(2)) * mu - 3 * ai_zeros(1)[0][0] * mu ** (-1 / 3)
    assert (end.kind, end.period) == ("cycle", pytest.approx(period, rel=1e-4))
    assert [end.low[0], end.high[0]] == pytest.approx([-2.0, 2.0], rel=0.01)


# --- laws and hybrids -------------------------------------------------------------------------------------


WRITTEN_OUT = {n: (*given, ()) for n, given in RIGHT_SIDES.items() if "NN" in given[0] and "(t)" not in given[0]}
WRITTEN_OUT["a state that stays zero"] = ("x' = 2*x - NN(x, y)\ny' = NN(x*y, x)", {}, {}, ("x",))


@pytest.mark.parametrize("name", WRITTEN_OUT)
def test_a_hybrid_written_out_has_the_right_sides_and_jacobians_of_its_tensors(name):
    text, parameters, networks, stays_zero = WRITTEN_OUT[name]
    given = {"parameters": {**parameters, "level": 0.7}, "networks": networks, "stays_zero": stays_zero}
    model = HybridODE(f"{text}\nvaried' = level - varied", **given)
    field, rng = HybridField(model), np.random.default_rng(0)
    theta = rng.standard_normal(field.n_theta)
    for scale in field.scales:
        scale.shift, scale.width = rng.standard_normal(len(scale.shift)), rng.uniform(0.5, 2, len(scale.width))
        scale.output = rng.uniform(0.5, 2, len(scale.output))
    fitted_ = SimpleNamespace(
        model=model, problem=SimpleNamespace(field=field, method="rk4"), unknowns=SimpleNamespace(theta=theta)
    )
    side = Varied(numbers_of_fit(fitted_), "level")
    x = rng.uniform(0.2, 1.5, (5, len(model.states)))
    f, by_state, by_level = side.linearise(x, np.full(5, 0.7))
    point = (torch.zeros(5, dtype=torch.float64), torch.tensor(x), torch.tensor(theta))
    assert f == pytest.approx(field(*point).numpy(), rel=1e-10, abs=1e-10)
    assert by_state == pytest.approx(field.jacobians(*point).by_state.numpy(), rel=1e-9, abs=1e-9)
    assert by_level == pytest.approx(np.tile([0.0] * (len(model.states) - 1) + [1.0], (5, 1)))


def test_a_discovered_law_and_its_hybrid_are_followed_alike():
    law, options = discovered(), {"starts": [], "points": 5}
    found, hybrid = (law.bifurcation("alpha", 1.0, 1.6, hybrid=h, **options) for h in (False, True))
    assert (found.of, hybrid.of, found.kind) == ("law", "hybrid", "parameter")
    for answer, tolerance in ((found, 0.02), (hybrid, 0.1)):
        inner = next(b for b in answer.branches if b.x.min() > 0.3)
        # prey = delta/gamma, predator = alpha/beta; the hybrid knows its terms along the data alone
        exact = np.column_stack([np.full(len(inner.value), 1.8 / 0.8), inner.value / 0.9])
        assert inner.x == pytest.approx(exact, rel=tolerance)
    assert found.trained == (1.3, 1.3) and "alpha = 1.3 alone" in found.notes[0]
    again = ud.bifurcation(fitted(), "alpha", 1.0, 1.6, **options)
    assert str(again).splitlines()[1:] == str(hybrid).splitlines()[1:]


def test_a_constant_of_a_formula_is_varied_under_its_printed_name():
    law = discovered()
    name = next(label for label in law.closed_form.labels if label.startswith("NN1."))
    value = law.residuals["NN1"].constants[name.removeprefix("NN1.")].value
    found = law.bifurcation(name, value - 0.1, value + 0.1, starts=[], points=5)
    assert found.kind == "constant" and found.interval[0] < value < found.interval[1]
    inner = next(b for b in found.branches if b.x.min() > 0.3)
    assert inner.x[:, 1] == pytest.approx(-1.3 / inner.value, rel=1e-6)


@pytest.fixture(scope="module")
def grown():
    """x' = r - s*NN(x) with the covariates r and s, NN = x^2, fitted to six runs."""
    t, rng, runs = np.linspace(0, 4, 25), np.random.default_rng(0), []
    for r in (0.3, 0.6, 1.0):
        for x0, s in ((0.2, 1.0), (1.4, 1.2)):
            y = solve_ivp(lambda t, x, r=r, s=s: r - s * x**2, (0, 4), [x0], t_eval=t, rtol=1e-10, atol=1e-12).y.T
            runs.append((t, y + 0.002 * rng.standard_normal(y.shape), np.zeros((25, 0)), (r, s)))
    data = dataset(("x",), *runs, covariates=("r", "s"))
    return fit(HybridODE("x' = r - s*NN(x)", covariates=["r", "s"]), data, seed=0)


def test_a_covariate_of_a_hybrid_is_varied_and_what_lies_beyond_the_data_is_said(grown):
    found = ud.bifurcation(grown, "r", 0.2, 1.5, points=5, until=40.0)
    branch = max(found.branches, key=lambda b: b.stable.sum())
    trained = (branch.value > 0.3) & (branch.value < 1.0) & (branch.x[:, 0] > 0)
    assert trained.sum() > 10
    assert branch.x[trained, 0] == pytest.approx(np.sqrt(branch.value[trained] / 1.1), rel=0.02)
    assert (found.trained, found.kind, found.held) == ((0.3, 1.0), "covariate", {"s": pytest.approx(1.1)})
    assert found.notes[0] == "the data had r from 0.3 to 1: below 0.3 and above 1 all is extrapolation."
    notes = " ".join(found.notes)
    assert len({tuple(s.start.items()) for s in found.sweeps}) == 3 and "3 of the 6 starts" in notes
    assert "s = 1.1 differs along the data and is held at its mean" in notes and "held: s = 1.1" in str(found)
    rests = found.table[found.table["what"] == "equilibrium"]
    assert not rests.loc[rests["r"] > 1.01, "inside"].any() and rests["inside"].any()


def test_what_is_held_may_be_set(grown):
    found = ud.bifurcation(grown, "s", 0.9, 1.3, at={"r": 0.8}, starts=[], points=5)
    branch = max(found.branches, key=lambda b: b.stable.sum())
    fine = branch.x[:, 0] > 0.5
    assert branch.x[fine, 0] == pytest.approx(np.sqrt(0.8 / branch.value[fine]), rel=0.02)
    assert found.held == {"r": 0.8} and found.sweeps == ()


# --- refusals ---------------------------------------------------------------------------------------------

VISITED = {"x": (-1, 1)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vary": "rr"}, "the model has no number 'rr' to vary. Did you mean 'r'?"),
        ({"vary": "x"}, "x is a state: it moves by itself"),
        ({"low": 1.0, "high": 0.5}, "r is to be varied from 1 to 0.5, which is no range"),
        ({"high": 0.0}, "from 0 to 0, which is no range"),
        ({"high": np.inf}, "between finite numbers, not from 0 to inf"),
        ({"low": np.nan}, "between finite numbers, not from nan"),
        ({"low": "a"}, "must be numbers"),
        ({"until": 0.0}, "until = 0.0 must be a positive time"),
        ({"points": 2}, "points = 2 must be a whole number from 5"),
        ({"starts": [{"y": 1.0}]}, "the start names 'y', which is no state"),
        ({"starts": [{}]}, "the start lacks x. Give a value for every state: x"),
        ({"starts": [{"x": np.nan}]}, "x = nan is no finite number"),
        ({"at": {"q": 1.0}}, "the model has no number 'q' to hold"),
        ({"at": {"r": 1.0}}, "r is varied, and cannot be held at 1.0 as well"),
        ({"at": {"k": np.inf}}, "k = inf is no finite number"),
        ({"visited": {}}, "nothing says where x may be"),
        ({"visited": {"y": (0, 1)}}, "visited names 'y', which is no state"),
        ({"visited": {"x": (1, 0)}}, "visited x = 1 to 0 is no range"),
    ],
)
def test_what_cannot_be_asked_is_refused(change, message):
    model = HybridODE("x' = r - k*x^2", {"r": 0.1, "k": 1.0})
    asked = {"vary": "r", "low": 0.0, "high": 1.0, "visited": VISITED, "starts": [], **change}
    with pytest.raises(ModelError, match=message.replace("?", r"\?").replace(".", r"\.")):
        ud.bifurcation(model, asked.pop("vary"), asked.pop("low"), asked.pop("high"), **asked)


def test_models_that_have_no_answer_are_refused():
    asked = {"visited": VISITED, "starts": []}
    with pytest.raises(ModelError, match="the right side of x depends on t"):
        ud.bifurcation(HybridODE("x' = r*sin(t) - x", {"r": 1.0}), "r", 0, 1, **asked)
    with pytest.raises(ModelError, match="has the network NN, and nothing says what it is"):
        ud.bifurcation(HybridODE("x' = r - NN(x)", {"r": 1.0}), "r", 0, 1, **asked)
    with pytest.raises(ModelError, match=r"the input u has no value\. Give it one with at"):
        ud.bifurcation(HybridODE("x' = r - u*x", {"r": 1.0}, inputs=["u"]), "r", 0, 1, **asked)
    with pytest.raises(ModelError, match="k does not occur in the right sides as they are"):
        ud.bifurcation(HybridODE("x' = r - r*k*x", {"r": 0.0, "k": 1.0}), "k", 0, 1, **asked)
    with pytest.raises(ModelError, match="is no law, no fit and no model"):
        ud.bifurcation("x' = r", "r", 0, 1, **asked)
    with pytest.raises(UdesysError, match="the fit of the hybrid was not kept"):
        replace(discovered(), fit=None).bifurcation("alpha", 0, 1, hybrid=True)


# --- the answer -------------------------------------------------------------------------------------------


def test_the_printed_text(fish):
    text = str(fish)
    assert "Bifurcation  model   the model, alpha from 0.5 to 0.8   simulated to t = 1000" in text
    assert "stable   from 0.5 to 0.67159" in text and "unstable from 0.67159 to 0.8" in text
    assert any(line.split()[:2] == ["Hopf", "0.67159385"] for line in text.splitlines())
    assert "cycle, period 12.5" in text and "-> rest, x, y at zero" in text
    assert "(no claim outside)" in text and max(map(len, text.splitlines())) < 160


def test_the_same_question_has_the_same_answer(fish):
    again = along("x' = r - x^2", "r", -0.5, 1.0, {"x": (-1, 1)}, starts=[{"x": 0.5}])
    assert to_json(again.to_dict()) == to_json(
        along("x' = r - x^2", "r", -0.5, 1.0, {"x": (-1, 1)}, starts=[{"x": 0.5}]).to_dict()
    )
    content = json.loads(to_json(fish.to_dict()))
    assert content["points"][0]["kind"] == "transcritical" and content["trained"] == [None, None]
    assert len(content["sweeps"]) == 6 and len(content["branches"][0]["value"]) > 20


def test_two_analyses_stand_side_by_side(fish):
    lines = side_by_side([fish, replace(fish, of="hybrid", points=fish.of_kind("Hopf"))])
    assert lines[0].split() == ["At", "alpha", "=", "model", "hybrid", "difference"]
    rows = {line.split()[0]: line.split()[1:] for line in lines[1:]}
    assert rows["Hopf"] == ["0.67159385", "0.67159385", "+0"]
    assert rows["transcritical"][1] == "n/a"
