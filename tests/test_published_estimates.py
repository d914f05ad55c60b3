"""Laws of known form: estimates, standard errors and intervals beside certified and published values, and SciPy's.

Sources: NIST/ITL, Statistical Reference Datasets, nonlinear regression, https://www.itl.nist.gov/div898/strd/nls (data
and certified values); data/README.md (alpha-pinene, the boarding school).
"""

import math
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm
from scipy.optimize import least_squares
from scipy.stats import t as student

from udesys.data import Dataset
from udesys.discover import discover
from udesys.model import HybridODE, Parameter
from udesys.report.captions import fit_caption
from udesys.report.courses import courses_of
from udesys.report.tables import initial_table
from udesys.spec import load_spec

DATA = Path(__file__).resolve().parent.parent / "data"
DIGITS = 5e-4  # three digits
TINY = 1e-40  # of a complex step


@cache
def shipped(name):
    spec = load_spec(DATA / f"{name}.toml")
    return discover(spec.model, spec.data, seed=0, noise=spec.noise, options=spec.options)


def derivative(function, values):
    """The Jacobian of an analytic function, exact to rounding: by complex steps."""
    values = np.asarray(values, float)
    return np.stack([function(values + 1j * TINY * e).imag / TINY for e in np.eye(len(values))], -1)


def sum_of_squares(law):
    return sum(law.error["fit"][c] ** 2 * law.data.n_measured[c] for c in law.data.columns)


def values_of(law, *names):
    return np.array([law.parameters[n].value for n in names])


def errors_of(law, *names):
    return np.array([law.parameters[n].stderr for n in names])


# --- NIST: regressions whose curve solves an ODE -----------------------------------------------------


MISRA1 = (
    [77.6, 114.9, 141.1, 190.8, 239.9, 289.0, 332.8, 378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0],
    [10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02, 44.82, 50.76, 55.05, 61.01, 66.40, 75.47, 81.78],
)
BOXBOD = ([1, 2, 3, 5, 7, 10], [109, 149, 149, 191, 213, 224])
RAT42 = ([9, 14, 21, 28, 42, 57, 63, 70, 79], [8.93, 10.80, 18.59, 22.33, 39.35, 56.11, 61.73, 64.62, 67.08])
RAT43 = (
    list(range(1, 16)),
    [16.08, 33.83, 65.80, 97.20, 191.55, 326.20, 386.87, 520.53]
    + [590.03, 651.92, 724.93, 699.56, 689.96, 637.56, 717.41],
)
# name: (x, y), certified values, certified standard deviations, certified residual sum of squares, NIST's first starts
CERTIFIED = {
    "Misra1a": (
        MISRA1,
        [2.3894212918e02, 5.5015643181e-04],
        [2.7070075241e00, 7.2668688436e-06],
        1.2455138894e-01,
        [500, 0.0001],
    ),
    "Misra1b": (
        MISRA1,
        [3.3799746163e02, 3.9039091287e-04],
        [3.1643950207e00, 4.2547321834e-06],
        7.5464681533e-02,
        [500, 0.0001],
    ),
    "Misra1c": (
        MISRA1,
        [6.3642725809e02, 2.0813627256e-04],
        [4.6638326572e00, 1.7728423155e-06],
        4.0966836971e-02,
        [500, 0.0001],
    ),
    "Misra1d": (
        MISRA1,
        [4.3736970754e02, 3.0227324449e-04],
        [3.6489174345e00, 2.9334354479e-06],
        5.6419295283e-02,
        [500, 0.0001],
    ),
    "BoxBOD": (
        BOXBOD,
        [2.1380940889e02, 5.4723748542e-01],
        [1.2354515176e01, 1.0455993237e-01],
        1.1680088766e03,
        [1, 1],
    ),
    "Rat42": (
        RAT42,
        [7.2462237576e01, 2.6180768402e00, 6.7359200066e-02],
        [1.7340283401e00, 8.8295217536e-02, 3.4465663377e-03],
        8.0565229338e00,
        [100, 1, 0.1],
    ),
    "Rat43": (
        RAT43,
        [6.9964151270e02, 5.2771253025e00, 7.5962938329e-01, 1.2792483859e00],
        [1.6302297817e01, 2.0828735829e00, 1.9566123451e-01, 6.8761936385e-01],
        8.7864049080e03,
        [100, 10, 1, 1],
    ),
}
CURVES = {
    "Misra1a": lambda b, x: b[0] * (1 - np.exp(-b[1] * x)),
    "Misra1b": lambda b, x: b[0] * (1 - (1 + b[1] * x / 2) ** -2),
    "Misra1c": lambda b, x: b[0] * (1 - (1 + 2 * b[1] * x) ** -0.5),
    "Misra1d": lambda b, x: b[0] * b[1] * x / (1 + b[1] * x),
    "BoxBOD": lambda b, x: b[0] * (1 - np.exp(-b[1] * x)),
    "Rat42": lambda b, x: b[0] / (1 + np.exp(b[1] - b[2] * x)),
    "Rat43": lambda b, x: b[0] / (1 + np.exp(b[1] - b[2] * x)) ** (1 / b[3]),
}
# What these curves solve: decays of order 1, 3/2, 3 and 2 towards b1, and growth to it. b2 of the growth curves is no
# constant of the law: it says when they begin, and is found from the estimated first value.
ODES = {
    "Misra1a": "y' = b2*(b1 - y)",
    "Misra1b": "y' = b1*b2*(1 - y/b1)^1.5",
    "Misra1c": "y' = b1*b2*(1 - y/b1)^3",
    "Misra1d": "y' = b1*b2*(1 - y/b1)^2",
    "BoxBOD": "y' = b2*(b1 - y)",
    "Rat42": "y' = b3*y*(1 - y/b1)",
    "Rat43": "y' = b3/b4*y*(1 - (y/b1)^b4)",
}


def rows(name):
    return tuple(np.array(v, float) for v in CERTIFIED[name][0])


@cache
def nist(name):
    """The law of a data set, started where NIST says it is hard; decays start at zero, where nothing was measured."""
    (x, y), starts = rows(name), dict(zip(("b1", "b2", "b3", "b4"), CERTIFIED[name][4], strict=False))
    grows = name.startswith("Rat")
    if grows:
        del starts["b2"]
    else:
        x, y = np.concatenate([[0.0], x]), np.concatenate([[np.nan], y])
    model = HybridODE(
        ODES[name],
        parameters={b: Parameter(float(v)) for b, v in starts.items()},
        initial={} if grows else {"y": 0.0},
    )
    return discover(model, Dataset.from_frame(pd.DataFrame({"x": x, "y": y}), time="x"), seed=0)


def joint_of(law):
    """The law's values and the initial value that is estimated, with their covariance, by name."""
    names = [*law.closed_form.names, "y0"]
    values = [*(law.parameters[n].value for n in names[:-1]), law.initial["0"]["y"]]
    return names, np.array(values), law.covariance.joint(0)


@pytest.mark.parametrize("name", CERTIFIED)
def test_the_typed_data_give_the_certified_values_with_the_closed_solution(name):
    (x, y), (_, values, deviations, squares, _) = rows(name), CERTIFIED[name]

    def jacobian(b):
        return derivative(lambda c: CURVES[name](c, x), b)

    found = least_squares(
        lambda b: CURVES[name](b, x) - y, values, jac=jacobian, x_scale="jac", xtol=1e-15, ftol=1e-15, gtol=1e-15
    )
    assert found.x == pytest.approx(values, rel=1e-6)
    assert 2 * found.cost == pytest.approx(squares, rel=1e-9)
    slopes = jacobian(found.x)
    covariance = np.linalg.inv(slopes.T @ slopes) * 2 * found.cost / (len(x) - len(values))
    assert np.sqrt(np.diag(covariance)) == pytest.approx(deviations, rel=1e-6)


@pytest.mark.parametrize("name", CERTIFIED)
def test_the_law_of_a_reference_data_set_has_the_certified_values_and_deviations(name):
    law, (_, values, deviations, squares, _) = nist(name), CERTIFIED[name]
    certified = dict(zip(("b1", "b2", "b3", "b4"), zip(values, deviations, strict=True), strict=False))
    for b, estimate in law.parameters.items():
        assert estimate.value == pytest.approx(certified[b][0], rel=1e-5)
        assert estimate.stderr == pytest.approx(certified[b][1], rel=1e-4)
    assert sum_of_squares(law) == pytest.approx(squares, rel=1e-6)
    left = len(rows(name)[0]) - len(values)
    assert law.noise["y"] == pytest.approx(math.sqrt(squares / left), rel=1e-6)
    quantile = student.ppf(0.975, left)
    for estimate in law.parameters.values():
        half = quantile * estimate.stderr
        assert estimate.interval == pytest.approx((estimate.value - half, estimate.value + half), rel=1e-9)


@pytest.mark.parametrize("name", ["Rat42", "Rat43"])
def test_the_first_value_of_a_growth_curve_and_its_error_give_the_certified_shift(name):
    law, (_, values, deviations, _, _) = nist(name), CERTIFIED[name]
    names, found, covariance = joint_of(law)
    first = rows(name)[0][0]

    def shift(q):
        v = dict(zip(names, q, strict=True))
        return v["b3"] * first + np.log((v["b1"] / v["y0"]) ** v.get("b4", 1.0) - 1)

    slope = derivative(shift, found)
    assert shift(found) == pytest.approx(values[1], rel=1e-5)
    assert math.sqrt(slope @ covariance @ slope) == pytest.approx(deviations[1], rel=1e-4)


# --- published estimations in ODEs -------------------------------------------------------------------


PINENE = ("k1", "k2", "k3", "k4", "k5")


def pinene_states(k, t):
    """The five states (time, 5) by the matrix exponential."""
    k1, k2, k3, k4, k5 = k
    rates = [
        [-(k1 + k2), 0, 0, 0, 0],
        [k1, 0, 0, 0, 0],
        [k2, 0, -(k3 + k4), 0, k5],
        [0, 0, k3, 0, 0],
        [0, 0, k4, 0, -k5],
    ]
    return np.stack([expm(np.array(rates) * s) @ [100.0, 0, 0, 0, 0] for s in t])


def test_alpha_pinene_has_the_published_rates_and_sum_of_squares():
    law = shipped("alpha_pinene")
    published = np.array([5.926, 2.963, 2.047, 27.45, 3.998]) * 1e-5  # per minute
    assert values_of(law, *PINENE) == pytest.approx(published, rel=DIGITS)
    assert sum_of_squares(law) == pytest.approx(19.872, abs=5e-4)
    for text in ("5.926e-05", "2.963e-05", "2.047e-05", "0.0002745", "3.998e-05"):
        assert text in str(law)


def test_the_errors_of_alpha_pinenes_rates_are_those_of_least_squares_with_one_noise():
    law = shipped("alpha_pinene")
    run = law.data.trajectories[0]
    t, y = run.t[1:], run.y[1:]
    best = least_squares(
        lambda k: (pinene_states(k * 1e-5, t) - y).ravel(), np.ones(5), jac="3-point", x_scale="jac", xtol=1e-12
    ).x * 1e-5  # fmt: skip
    assert values_of(law, *PINENE) == pytest.approx(best, rel=1e-4)
    slopes = derivative(lambda k: pinene_states(k, t).ravel(), best)
    left = y.size - 5
    variance = ((pinene_states(best, t) - y) ** 2).sum() / left
    errors = np.sqrt(np.diag(np.linalg.inv(slopes.T @ slopes)) * variance)
    assert errors_of(law, *PINENE) == pytest.approx(errors, rel=1e-3)
    assert set(law.noise.values()) == {law.noise["dimer"]}
    assert law.noise["dimer"] == pytest.approx(math.sqrt(variance), rel=1e-5)
    for name, error in zip(PINENE, errors, strict=True):
        low, high = law.parameters[name].interval
        assert (high - low) / 2 == pytest.approx(student.ppf(0.975, left) * error, rel=1e-3)


def test_a_common_noise_of_any_size_gives_the_same_estimates_and_errors():
    spec, law = load_spec(DATA / "alpha_pinene.toml"), shipped("alpha_pinene")
    other = discover(spec.model, spec.data, seed=0, noise={c: 3 * sd for c, sd in spec.noise.items()})
    assert values_of(other, *PINENE) == pytest.approx(values_of(law, *PINENE), rel=1e-4)
    assert errors_of(other, *PINENE) == pytest.approx(errors_of(law, *PINENE), rel=1e-4)


def test_alpha_pinene_starts_where_it_was_said_to_and_no_networks_are_spoken_of():
    law = shipped("alpha_pinene")
    assert list(law.initial["0"].values()) == [100.0, 0.0, 0.0, 0.0, 0.0]
    assert not law.covariance.starts.any()
    assert law.warnings == ()
    assert "network" not in fit_caption(law, *courses_of(law))[0]
    for part in ("Missing", "Candidates", "Engines", "NN"):
        assert part not in str(law)


BOYS = 763


def infected(q, t, *, slopes=False):
    """In bed (time,) by beta, gamma and how many at first; or the derivative by these, from variational equations."""
    beta, gamma, first = q

    def rates(_, z):
        i, r, s = z[0], z[1], z[2:].reshape(2, 3)
        open_ = (BOYS - i - r) / BOYS
        by_state = np.array([[beta * (open_ - i / BOYS) - gamma, -beta * i / BOYS], [gamma, 0.0]])
        by_value = np.array([[i * open_, -i, 0.0], [0.0, i, 0.0]])
        return [beta * i * open_ - gamma * i, gamma * i, *(by_state @ s + by_value).ravel()]

    start = [first, 0.0, 0, 0, 1, 0, 0, 0]
    z = solve_ivp(rates, (t[0], t[-1]), start, t_eval=t, rtol=1e-10, atol=1e-10).y
    return z[2:5].T if slopes else z[0]


def test_the_boarding_school_has_the_published_rates():
    law = shipped("boarding_school")
    assert values_of(law, "beta", "gamma") == pytest.approx([1.788, 0.456], abs=5e-4)
    assert "1.788*in_bed" in str(law) and "0.456" in str(law)
    assert law.parameters["boys"].fixed and law.warnings == ()


def test_initial_values_are_told_with_their_errors_and_given_ones_as_given():
    law = shipped("boarding_school")
    plain = law.to_dict()
    assert plain["initial"]["0"]["in_bed"] == plain["initial_estimates"]["0"]["in_bed"]["value"]
    assert plain["initial_estimates"]["0"]["recovered"] == {
        "value": 0.0, "stderr": None, "interval": [None, None], "fixed": True, "identifiable": True
    }  # fmt: skip
    assert initial_table(law).rows == [("0", "0", "2.1 ± 1.9", "0 (given)")]


def test_the_errors_of_the_boarding_schools_rates_and_of_who_was_ill_first_are_scipys():
    law = shipped("boarding_school")
    run = law.data.trajectories[0]
    y = run.y[:, law.data.columns.index("in_bed")]
    best = least_squares(
        lambda q: infected(q, run.t) - y,
        [1.7, 0.45, 2.0],
        jac=lambda q: infected(q, run.t, slopes=True),
        x_scale="jac",
        xtol=1e-12,
    ).x
    found = [*values_of(law, "beta", "gamma"), law.initial["0"]["in_bed"]]
    assert found == pytest.approx(best, rel=1e-5)
    slopes, left = infected(best, run.t, slopes=True), len(y) - 3
    variance = ((infected(best, run.t) - y) ** 2).sum() / left
    covariance = np.linalg.inv(slopes.T @ slopes) * variance
    assert sum_of_squares(law) == pytest.approx(variance * left, rel=1e-6)
    assert errors_of(law, "beta", "gamma") == pytest.approx(np.sqrt(np.diag(covariance))[:2], rel=1e-3)
    ours = law.covariance.joint(0)
    order = [law.closed_form.names.index("beta"), law.closed_form.names.index("gamma"), 2]
    assert ours[np.ix_(order, order)] == pytest.approx(covariance, rel=2e-3)
    assert not ours[3].any() and not ours[:, 3].any()  # recovered, which was given
    first, half = law.initial_estimates["0"]["in_bed"], student.ppf(0.975, left) * math.sqrt(covariance[2, 2])
    assert first.stderr == pytest.approx(math.sqrt(covariance[2, 2]), rel=1e-3)
    assert first.interval == pytest.approx((best[2] - half, best[2] + half), rel=1e-3)
    assert first.identifiable and not first.fixed
