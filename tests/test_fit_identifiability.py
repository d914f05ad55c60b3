"""What a hybrid leaves open whatever the noise: what networks absorb, what appears together only, free states.

That nothing is claimed of what the data do determine is tested beside each claim.
"""

import json

import numpy as np
import pytest
from laws import dataset, fit, half_known, lotka_volterra, lotka_volterra_rhs, measured, solution
from scipy.integrate import solve_ivp

from udesys.fit.identifiability.findings import Identifiability
from udesys.fit.identifiability.of_hybrid import identifiability_of
from udesys.fit.keeping import put_together, taken_apart
from udesys.model import HybridODE, Parameter
from udesys.systems import get_system, make_data

T = np.arange(0, 3.05, 0.1)
START = [0.44249296, 4.6280594]
KNOWN_Y = "\ny' = 0.8*x*y - d*y"


def both(noise=0.01, seed=0, start=START, t=T):
    return measured(lotka_volterra_rhs, [start], [t], ("x", "y"), noise=noise, seed=seed)


def prey_alone():
    return measured(lotka_volterra_rhs, [START], [T], ("x",), noise=0.01, keep=[0])


def sentences(equations, data, **model):
    return fit(HybridODE(equations, **model), data).identifiability.sentences


# --- what networks absorb ----------------------------------------------------------------------------


def test_what_a_network_absorbs_is_named_with_the_sum_that_is_determined():
    found = fit(half_known(alpha=Parameter(1.0), delta=Parameter(1.0)), lotka_volterra(0.01))
    alpha = (
        "alpha is not determined before a formula is found: NN1(prey, predator) can absorb alpha*prey; only their sum "
        "alpha*prey + NN1(prey, predator) is."
    )
    delta = (
        "delta is not determined before a formula is found: NN2(prey, predator) can absorb delta*predator; only "
        "NN2(prey, predator) - delta*predator is."
    )
    assert found.identifiability.sentences == (alpha, delta)
    assert found.warnings == (alpha, delta)
    assert f"  Warning: {alpha}" in str(found).splitlines()
    (first, _) = found.identifiability.findings
    assert first.kind == "absorbed" and first.names == ("alpha",) and first.networks == ("NN1(prey, predator)",)


@pytest.mark.parametrize(
    "prey",
    [
        "alpha*x + NN1(y)",  # x is no function of y
        "alpha*x + NN1(y)*y",
        "alpha*x*y + NN1(x) - NN1(y)",  # nor x*y a sum of such functions
        "alpha*x + NN1(x - y)",
    ],
)
def test_what_a_network_cannot_make_up_for_is_not_named(prey):
    assert sentences(f"x' = {prey}" + KNOWN_Y, both()) == ()


@pytest.mark.parametrize(
    ("prey", "told"),
    [
        ("alpha*x + NN1(y)*x", "NN1(y) can absorb alpha*x; only their sum alpha*x + NN1(y)*x is."),
        ("alpha*NN1(x, y)", "NN1(x, y) can absorb it; only alpha*NN1(x, y) is."),
        ("1.3*x - NN1(y/alpha)*x", "NN1(y/alpha) can absorb it; only NN1(y/alpha) is."),
        ("alpha*x*y + NN1(x*y) + x", "NN1(x*y) can absorb alpha*x*y; only their sum alpha*x*y + NN1(x*y) is."),
        ("alpha*x*y + NN1(x, y)[0] - NN1(x, y)[1]", "can absorb alpha*x*y; only alpha*x*y + NN1(x, y)[0] - NN1(x, y)"),
    ],
)
def test_a_network_absorbs_what_is_a_function_of_its_arguments(prey, told):
    (found,) = sentences(f"x' = {prey}" + KNOWN_Y, both(), parameters={"alpha": Parameter(1.2)})
    assert found.startswith("alpha is not determined before a formula is found: ") and told in found


def test_a_network_of_two_constants_leaves_their_difference():
    (found,) = sentences("x' = a*x + b*y + NN1(x + y) - 0.9*x*y" + KNOWN_Y, both())
    assert found == "a and b are not determined before a formula is found: only their difference a - b is."


def test_a_network_in_two_equations_absorbs_what_fits_both():
    assert sentences("x' = alpha*x - NN(x, y)\ny' = 0.89*NN(x, y) - d*y", both()) == ()
    absorbed = "x' = alpha*x - NN(x, y)\ny' = NN(x, y) - alpha*x + 0.1*x*y - 1.8*y"
    assert "NN(x, y) can absorb" in sentences(absorbed, both())[0]


def test_a_chain_of_networks_passes_on_what_one_absorbs():
    # feed + c, NN1 + c, NN2 + c: nothing changes.
    def rhs(t, x):
        return [0.1 - x[0] / (0.8 + x[0]), x[0] / (0.8 + x[0]) - 0.9 * x[1] / (0.4 + x[1])]

    data = measured(rhs, [[4.0, 0.2]], [np.linspace(0, 8, 60)], ("a", "b"), noise=0.005)
    (found,) = sentences("a' = feed - NN1(a)\nb' = NN1(a) - NN2(b)", data)
    assert found == ("feed is not determined before a formula is found: NN1(a) can absorb feed; only feed - NN1(a) is.")
    assert sentences("a' = feed - NN1(a)\nb' = NN1(a) - 0.9*b/(0.4 + b)", data) == ()


def test_two_networks_in_a_fraction_leave_the_whole_fraction():
    def rhs(t, x):  # drag and added mass of a body in water, in one dimension
        return [-(0.4 * x[0] + 0.05) * x[0] / (1.3 + 0.1 * np.tanh(x[0]))]

    data = measured(rhs, [[0.9], [0.3]], [np.linspace(0, 8, 40)] * 2, ("v",), noise=0.002)
    (found,) = sentences("v' = -NN1(v)*v/(1 + rest + NN2(v))", data)
    assert "NN1(v) and NN2(v) can absorb it; only NN1(v)/(1 + rest + NN2(v)) is." in found
    (found,) = sentences("v' = -(0.4*v + 0.05)*v/(1 + rest + NN2(v))", data)
    assert "NN2(v) can absorb rest; only their sum rest + NN2(v) is." in found


def oscillator():
    t = np.linspace(0, 8, 80)
    return measured(lambda t, s: [s[1], -2 * s[0] - 0.1 * s[1]], [[1.0, 0.0]], [t], ("x", "v"), noise=0.01)


def test_x_is_a_function_of_its_square_where_it_has_one_sign():
    assert sentences("x' = v\nv' = -k*x + NN(x*x) - c*v", oscillator()) == ()
    (found,) = sentences("x' = alpha*x + NN1(x*x) - 0.9*x*y" + KNOWN_Y, both())
    assert "NN1(x*x) can absorb alpha*x" in found


# --- what appears together only ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prey", "found"),
    [
        ("a*b*x", "a and b appear together only: their product a*b is determined, neither by itself."),
        ("(a + b)*x", "a and b appear together only: their sum a + b is determined, neither by itself."),
        ("a*x + b*x", "a and b appear together only: their sum a + b is determined, neither by itself."),
        ("a*x - b*x", "a and b appear together only: their difference a - b is determined, neither by itself."),
        ("a*x/b", "a and b appear together only: their ratio a/b is determined, neither by itself."),
        ("a^2*b*x", "a and b appear together only: a**2*b is determined, neither by itself."),
        ("(a + b)*c*x", "a, b and c are not determined: only (a + b)*c is."),
        ("a*2^b*x", "a and b are not determined: only a*2**b is."),
    ],
)
def test_a_combination_is_named(prey, found):
    assert sentences(f"x' = {prey} - 0.9*x*y" + KNOWN_Y, both()) == (found,)


@pytest.mark.parametrize(
    "equations",
    [
        "x' = a*x - b*x*y" + KNOWN_Y,
        "x' = a*x - b*x^2 - 0.9*x*y" + KNOWN_Y,
        "x' = a*b*x - 0.9*x*y\ny' = a*0.6*x*y - d*y",  # a by itself elsewhere
        "x' = a*b*x - (a + b)*0.4*x*y" + KNOWN_Y,
        "x' = (a + b)*x - 0.9*x*y\ny' = 0.8*x*y - (a - b)*y",
    ],
)
def test_constants_that_differ_somewhere_are_not_named(equations):
    starts = {"a": Parameter(1.1), "b": Parameter(1.4)}
    assert sentences(equations, both(), parameters=starts) == ()


def test_three_constants_in_two_products():
    (found,) = sentences("x' = a*b*x - a*c*x*y" + KNOWN_Y, both())
    assert found == "a, b and c appear together only: a*b and a*c are determined, none of them by itself."


def test_a_swinging_rod_tells_two_ratios_of_its_mass_length_inertia_and_friction():
    def rhs(t, s):
        return [s[1], 60 * np.sin(s[0]) - 0.1 * s[1]]

    data = measured(rhs, [[2.0, 0.0]], [np.arange(0, 4, 0.04)], ("q", "q'"), noise=0.005)
    build = {"a": Parameter(0.15), "m": Parameter(0.16), "k": Parameter(4e-4), "I": Parameter(2e-4)}
    found = sentences("q'' = (a*m*9.81*sin(q) - k*q')/(m*a^2 + I)", data, parameters=build)
    assert found == (
        "a, m and k are not determined: a*m/k is.",
        "I is not determined: only k/(m*a**2 + I) is.",
    )


@pytest.mark.parametrize("kind", ["product", "sum"])
def test_equal_values_do_not_mix_up_a_product_and_a_sum(kind):
    # At a = b = 2 both are 4, and change alike.
    rhs = {"product": "a*b*x", "sum": "(a + b)*x"}[kind]
    data = measured(lambda t, x: [-4.0 * x[0]], [[1.0]], [np.linspace(0, 1, 30)], ("x",), noise=0.001)
    starts = {"a": Parameter(2.0), "b": Parameter(2.0)}
    result = fit(HybridODE(f"x' = -{rhs}", starts), data)
    a, b = (value for value, _ in result.parameters.values())
    assert a == pytest.approx(b, rel=1e-6) and a == pytest.approx(2.0, rel=0.01)
    assert f"their {kind} " in result.identifiability.sentences[0]


def test_what_is_known_otherwise_is_not_named():
    text = "x' = a*b*x - 0.9*x*y" + KNOWN_Y
    assert sentences(text, both(), parameters={"a": 1.2}) == ()
    assert sentences(text, both(), parameters={"a": Parameter(prior=(1.2, 0.1))}) == ()
    absorbed = "x' = alpha*x + NN1(x, y)" + KNOWN_Y
    assert sentences(absorbed, both(), parameters={"alpha": Parameter(prior=(1.3, 0.1))}) == ()


def test_two_conditions_tell_apart_what_one_cannot():
    def run(temperature):
        t = np.linspace(0, 3, 25)
        return t, np.exp(-(0.5 + 0.2 * temperature) * t)[:, None], np.zeros((25, 0)), np.array([temperature])

    def found(*temperatures):
        data = dataset(("x",), *map(run, temperatures), covariates=("temperature",))
        return sentences("x' = -(a + b*temperature)*x", data, covariates=["temperature"])

    assert found(1.0, 3.0) == ()
    assert found(2.137) == ("a and b are not determined: only a + b*temperature is.",)


def test_a_drive_tells_the_mass():
    t = np.linspace(0, 12, 121)
    force = np.sin(1.1 * t) + np.cos(2.3 * t)
    drive = {"F": "cubic"}

    def rhs(now, s):
        return [s[1], (np.sin(1.1 * now) + np.cos(2.3 * now) - 3.0 * s[0] - 0.4 * s[1]) / 2.0]

    def data(f):
        return dataset(("x",), (t, solution(rhs, [1.0, 0.0], t)[:, :1], f[:, None]), inputs=drive)

    assert sentences("x'' = (F - k*x - c*x')/m", data(force), inputs=["F"]) == ()
    free = dataset(("x",), (t, solution(lambda n, s: [s[1], -1.5 * s[0] - 0.2 * s[1]], [1.0, 0.0], t)[:, :1]))
    (found,) = sentences("x'' = (-k*x - c*x')/m", free)
    assert found == "k, c and m appear together only: k/m and c/m are determined, none of them by itself."


# --- states without a column -------------------------------------------------------------------------


def test_the_free_scale_of_an_unmeasured_state_is_named():
    text = "x' = alpha*x - beta*x*y\ny' = gamma*x*y - delta*y"
    (found,) = sentences(text, prey_alone())
    assert found == "y is not measured and its scale is free: beta*y is determined, neither beta nor y by itself."
    assert sentences(text, prey_alone(), parameters={"beta": 0.9}) == ()
    assert sentences(text, prey_alone(), initial={"y": START[1]}) == ()
    assert sentences(text, both()) == ()


def test_an_unmeasured_state_in_a_network_is_free():
    found = sentences("x' = 1.3*x - NN1(x, y)\ny' = gamma*x*y - delta*y", prey_alone())
    # y^p obeys the same equation with p*gamma and p*delta, and NN1 takes the root of its argument.
    assert found == (
        "gamma and delta are not determined before a formula is found: only their ratio gamma/delta is.",
        "y is not measured and its scale and power are free before a formula is found: NN1(x, y) can make up for it.",
    )


def test_a_network_in_the_equation_of_an_unmeasured_state():
    found = sentences("x' = alpha*x - beta*x*y\ny' = NN2(x, y) - delta*y", prey_alone())
    assert found[0] == (
        "alpha and beta are not determined before a formula is found: y is not measured and its scale and origin are "
        "free; only alpha*x - beta*x*y is determined."
    )
    assert found[1].startswith("delta is not determined before a formula is found: NN2(x, y) can absorb delta*y")
    assert sentences("x' = 1.3*x - 0.9*x*y\ny' = NN2(x)*y - delta*y", prey_alone())[0].startswith("delta is not det")
    assert sentences("x' = 1.3*x - 0.9*x*y\ny' = NN2(x) - delta*y", prey_alone()) == ()


def test_the_gain_of_an_observable():
    (run,) = both().trajectories
    data = dataset(("signal", "y"), (run.t, run.y * [2.0, 1.0]))
    observe = {"signal": "gain*x"}
    found = sentences("x' = a*x - b*x*y\ny' = c*x*y - d*y", data, observe=observe)
    assert found == (
        "c and gain appear together only: their ratio c/gain is determined, neither by itself.",
        "x is not measured and its scale is free: c*x is determined, not x by itself.",
    )
    assert sentences("x' = a*x - b*x*y\ny' = 0.8*x*y - d*y", data, observe=observe) == ()


def compartments(equations, noise=0.002, **initial):
    def rhs(t, s):
        return [-0.8 * s[0] + 0.2 * s[1], 0.5 * s[0] - 0.2 * s[1]]

    data = measured(rhs, [[1.0, 0.0]], [np.linspace(0, 8, 40)], ("x",), noise=noise, keep=[0])
    return fit(HybridODE(equations, initial=initial), data)


def test_two_compartments_have_the_invariants_of_the_textbook():
    result = compartments("x' = -(k12 + k10)*x + k21*y\ny' = k12*x - k21*y")
    first, second = result.identifiability.sentences
    told = "k12, k10 and k21 appear together only: k10*k21 and k12 + k10 + k21 are determined"
    assert first == f"{told}, none of them by itself."
    assert second.startswith("y is not measured and its size is free")
    # The characteristic polynomial is s^2 + (k12 + k10 + k21) s + k10 k21, and y(0) sets the slope of x at the start.
    t = np.linspace(0, 8, 30)

    def course(k12, k10, k21):
        slope = -0.8 * 1.0
        y0 = (slope + (k12 + k10)) / k21
        rhs = lambda t, s: [-(k12 + k10) * s[0] + k21 * s[1], k12 * s[0] - k21 * s[1]]  # noqa: E731
        return solve_ivp(rhs, (0, 8), [1.0, y0], t_eval=t, rtol=1e-11, atol=1e-12).y[0]

    assert course(0.5, 0.3, 0.2) == pytest.approx(course(1.0 - 0.24 - 0.25, 0.24, 0.25), abs=1e-9)
    assert compartments("x' = -(k12 + k10)*x + k21*y\ny' = k12*x - k21*y", y=0.0).identifiability.sentences == ()


def test_what_nothing_measured_depends_on():
    found = compartments("x' = -a*x\nz' = x - k*z", z=0.0).identifiability
    assert "k and z are not determined: nothing that is measured depends on them." in found.sentences
    assert [finding.kind for finding in found.findings] == ["unseen"]


def test_a_velocity_without_a_column_is_determined():
    data = measured(lambda t, s: [s[1], -2 * s[0]], [[1.0, 0.0]], [np.linspace(0, 8, 80)], ("x",), keep=[0], noise=0.01)
    (found,) = sentences("x'' = -k*x + NN(x, x')", data)
    assert found.startswith("k is not determined before a formula is found: NN(x, x') can absorb -k*x")
    assert sentences("x'' = -k*x + NN(x')", data) == ()


# --- all kinds of data -------------------------------------------------------------------------------


def test_a_stiff_system():
    t = np.concatenate([[0.0], np.geomspace(1e-4, 40, 39)])

    def rhs(t, x):
        a, b, c = x
        return [-0.04 * a + 1e4 * b * c, 0.04 * a - 1e4 * b * c - 3e7 * b * b, 3e7 * b * b]

    exact = solve_ivp(rhs, (0, 40), [1.0, 0.0, 0.0], method="Radau", t_eval=t, rtol=1e-10, atol=1e-14).y.T
    noisy = exact * (1.0 + 0.01 * np.random.default_rng(0).standard_normal(exact.shape))
    data = dataset(("a", "b", "c"), (t, noisy))
    text = "a' = -k*r*a + 1e4*b*c\nb' = k*r*a - 1e4*b*c - k2*b^2\nc' = k2*b^2"
    result = fit(HybridODE(text, {"k": Parameter(0.1), "r": Parameter(0.4), "k2": 3e7}), data)
    assert result.method == "radau"
    (found,) = result.identifiability.sentences
    assert found == "k and r appear together only: their product k*r is determined, neither by itself."


def lorenz(t, x):
    return [10 * (x[1] - x[0]), x[0] * (28 - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]]


def test_a_chaotic_system():
    t = np.arange(0, 20, 0.02)
    data = measured(lorenz, [[-8.0, 7.0, 27.0]], [t], ("x", "y", "z"), noise=0.005)
    text = "x' = s*r*(y - x)\ny' = x*(28 - z) - y\nz' = x*y - beta*z"
    (found,) = sentences(text, data, parameters={"s": Parameter(3.0), "r": Parameter(3.0), "beta": Parameter(2.0)})
    assert "their product s*r" in found


def test_units_do_not_matter():
    def found(second, thousand):
        (run,) = both().trajectories
        data = dataset(("x", "y"), (run.t * second, run.y * [1.0, thousand]))
        starts = {"a": Parameter(1 / second), "b": Parameter(1.0), "alpha": Parameter(1 / second)}
        text = f"x' = a*b*x - {0.9 / thousand / second:.9g}*x*y\ny' = alpha*y + NN(x, y)"
        return sentences(text, data, parameters=starts)

    assert found(1.0, 1.0) == found(3600.0, 1e6) != ()


def test_missing_cells_and_several_runs():
    whole = measured(lotka_volterra_rhs, [START, [2.0, 1.0]], [T, T[::2]], ("x", "y"), noise=0.01)
    seen = [np.stack([np.arange(len(run.t)) % 3 != 1, np.ones(len(run.t), bool)], 1) for run in whole.trajectories]
    runs = [(run.t, np.where(kept, run.y, np.nan)) for run, kept in zip(whole.trajectories, seen, strict=True)]
    data = dataset(("x", "y"), *runs)
    (found,) = sentences("x' = a*b*x - 0.9*x*y" + KNOWN_Y, data)
    assert found.startswith("a and b appear together only: their product a*b")
    assert sentences("x' = alpha*x + NN(y)" + KNOWN_Y, data) == ()


@pytest.mark.parametrize("name", ["sir", "duffing", "damped_oscillator", "seir", "lorenz", "fene_p"])
def test_nothing_is_claimed_of_systems_whose_constants_are_determined(name):
    system = get_system(name)
    free = {n: Parameter(v if isinstance(v, float) else v["start"]) for n, v in system.parameters.items()}
    model = HybridODE(system.equations, free, inputs=list(system.inputs))
    result = fit(model, make_data(system, 0.01, 0))
    assert model.estimated and result.identifiability == Identifiability()
    assert not any("determined" in w for w in result.warnings)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("pendulum", "NN(theta, theta') can absorb c*theta'"),
        ("brusselator", "NN(x, y) can absorb B*x"),  # and A stays determined
        ("roessler", "NN(x, z) can absorb b and c*z"),  # and a does
    ],
)
def test_what_networks_absorb_of_known_systems(name, what):
    system = get_system(name)
    free = {n: Parameter(v) for n, v in system.parameters.items()}
    (found,) = sentences(system.equations, make_data(system, 0.01, 0), parameters=free)
    assert what in found


# --- what is kept and what is refused ----------------------------------------------------------------


def test_findings_are_plain_values_for_json_and_come_back_with_a_fit():
    result = fit("x' = alpha*x + NN1(x, y)\ny' = a*b*x*y - d*y", both())
    plain = result.to_dict()["identifiability"]
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert [f["names"] for f in plain] == [["a", "b"], ["alpha"]]
    assert [f["determined"] for f in plain] == [["a*b"], ["alpha*x + NN1(x, y)"]]
    again = put_together(result.model, result.data, *taken_apart(result))
    assert again.identifiability == result.identifiability


def test_a_law_that_cannot_be_simulated_claims_nothing():
    result = fit("x' = a*b*x - 0.9*x*y" + KNOWN_Y, both())
    values = {name: 1e200 for name in result.parameters}
    assert identifiability_of(result.problem, result.unknowns, values) == Identifiability()


def test_what_is_barely_determined_is_called_that():
    result = fit("x' = 1.3*x + NN1(y)*x + e*x^2" + KNOWN_Y, both(noise=0.03, seed=4))  # e is zero
    assert result.identifiability.sentences == ()
    value, error = result.parameters["e"]
    assert error > abs(value)
    assert result.warnings == (
        f"e is barely determined by the hybrid (its standard error, {error:.2g}, exceeds it); the closed form may tell "
        "it better.",
    )


# --- a study -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_absorption_is_named_for_every_seed_and_never_its_twin():
    for seed in range(10):
        data = both(seed=seed)
        (found,) = sentences("x' = alpha*x + NN1(x, y)\ny' = 0.8*x*y - 1.8*y", data)
        assert "NN1(x, y) can absorb alpha*x" in found
        assert sentences("x' = alpha*x + NN1(y)\ny' = 0.8*x*y - 1.8*y", data) == ()
