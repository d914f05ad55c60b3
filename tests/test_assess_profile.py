"""Profile likelihood and derived quantities, against regressions and profiles computed without the package's code."""

import functools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq, least_squares
from scipy.special import lambertw
from scipy.stats import linregress
from scipy.stats import t as student
from typer.testing import CliRunner

import udesys as ud
from udesys import cli
from udesys.data import Dataset, Trajectory
from udesys.errors import ModelError, UdesysError
from udesys.model import HybridODE, Parameter
from udesys.model import tree as T
from udesys.model.derived import check_expressions, parse_derived
from udesys.search import Library, SearchOptions
from udesys.select.refit import Refitter
from udesys.spec import load_spec

TIMES = np.linspace(0, 3, 25)
END = 1e-3  # of the half width, to which an end is found


def data_of(*columns, t=TIMES):
    runs = tuple(Trajectory(name=str(k), t=t, y=np.asarray(y).reshape(-1, 1)) for k, y in enumerate(columns))
    return Dataset(trajectories=runs, columns=("x",), time="t", source="made up")


@functools.cache
def line():
    """x' = a with noise, and its law."""
    y = 1.0 + 0.7 * TIMES + 0.2 * np.random.default_rng(1).standard_normal(len(TIMES))
    return y, ud.discover(HybridODE("x' = a"), data_of(y))


@functools.cache
def decay(runs=1, bounds=(-math.inf, math.inf)):
    """x' = -k*x with noise, and its law, of several runs."""
    rng = np.random.default_rng(2)
    ys = [x0 * np.exp(-0.8 * TIMES) + 0.1 * rng.standard_normal(len(TIMES)) for x0 in (1.0, 2.0, 0.5)[:runs]]
    parameters = {"k": Parameter(0.5, bounds=bounds, unit="1/s")}
    return ys, ud.discover(HybridODE("x' = -k*x", parameters), data_of(*ys), derived={"half": "log(2)/k"})


def decay_squares(k, ys):
    """Residual sum of squares at the best starts, of which the model is linear."""
    e = np.exp(-k * TIMES)
    return sum(y @ y - (e @ y) ** 2 / (e @ e) for y in ys)


@functools.cache
def enzyme(km, bounds=(0, math.inf), seed=3):
    """Michaelis-Menten x' = -V*x/(K + x) from x = 1 with V = K/2, with noise; its data and its law."""
    t = np.linspace(0, 6, 25)
    y = saturating(t, 1.0, km / 2, km) + 0.01 * np.random.default_rng(seed).standard_normal(len(t))
    parameters = {"K": Parameter(1.0, bounds=bounds), "V": Parameter(1.0)}
    return t, y, ud.discover(HybridODE("x' = -V*x/(K + x)", parameters), data_of(y, t=t), derived={"slope": "V/K"})


def saturating(t, x0, v, km):
    """The exact solution by Lambert's W (Schnell & Mendoza, J. Theor. Biol. 187 (1997) 207)."""
    return km * lambertw(x0 / km * np.exp((x0 - v * t) / km)).real


def crossings(squares, best, degrees, low, high):
    """The 95 % interval by the ratio of likelihoods: where the squares reach their least times 1 + t^2 / degrees."""
    limit = squares(best) * (1 + student.ppf(0.975, degrees) ** 2 / degrees)
    return [brentq(lambda v: squares(v) - limit, *sorted((best, end)), xtol=1e-10) for end in (low, high)]


# --- intervals --------------------------------------------------------------------------------------------


def test_the_profile_of_a_linear_law_is_the_interval_of_linear_regression():
    y, law = line()
    found, profile = linregress(TIMES, y), law.profile("a")
    half = student.ppf(0.975, len(y) - 2) * found.stderr
    assert profile.interval == pytest.approx((found.slope - half, found.slope + half), abs=END * half)
    assert profile.covariance_interval == pytest.approx(profile.interval, abs=END * half)
    assert profile.notes == () and found.slope in profile and found.slope + 1.01 * half not in profile


def test_the_points_of_a_linear_law_lie_on_its_parabola():
    law = line()[1]
    profile = law.profile("a")
    centred = ((TIMES - TIMES.mean()) ** 2).sum()
    exact = (np.array(profile.values) - profile.value) ** 2 * centred / (law.noise["x"] ** 2)
    assert profile.costs == pytest.approx(exact, abs=1e-5)
    assert list(profile.values) == sorted(profile.values) and profile.value in profile.values


@pytest.mark.parametrize("runs", [1, 3])
def test_the_profile_of_a_rate_agrees_with_scipy(runs):
    ys, law = decay(runs)
    profile = law.profile("k")
    low, high = crossings(lambda k: decay_squares(k, ys), profile.value, len(TIMES) * runs - 1 - runs, 0.01, 5.0)
    assert profile.interval == pytest.approx((low, high), abs=END * (high - low) / 2)
    assert profile.unit == "1/s"
    if runs == 1:  # a lopsided profile, which the covariance cannot tell
        assert abs(profile.covariance_interval[1] - high) > 5 * END * (high - low)


def test_a_constant_that_pulls_another_along_agrees_with_scipy():
    t, y, law = enzyme(2.0)
    profile, start = law.profile("K"), [law.parameters["V"].value, 1.0]

    def squares(km):
        return 2 * least_squares(lambda p: saturating(t, p[1], p[0], km) - y, start, xtol=1e-12, ftol=1e-12).cost

    low, high = crossings(squares, profile.value, len(t) - 3, 0.8, 20.0)
    assert profile.interval == pytest.approx((low, high), abs=2 * END * (high - low) / 2)


def test_a_stiff_law_has_the_same_profile():
    ys, law = decay()
    stiff = ud.discover(HybridODE("x' = -k*x"), data_of(*ys), fit_options=ud.FitOptions(solver="radau"))
    assert stiff.closed_form.stiff
    assert stiff.profile("k").interval == pytest.approx(law.profile("k").interval, rel=1e-3)


def test_windows_with_starts_of_their_own_agree_with_scipy():
    ys, law = decay()
    footing, parts = law.footing, (slice(0, 12), slice(12, 25))
    cut = replace(footing.data, segments=(np.array([0, 12]), np.array([12, 25])))
    x0 = np.array([[ys[0][0]], [ys[0][12]]])
    profile = replace(law, footing=replace(footing, data=cut, x0=x0)).profile("k")

    def squares(k):
        return sum(least_squares(lambda a, p=p: a * np.exp(-k * TIMES[p]) - ys[0][p], 1.0).cost * 2 for p in parts)

    limit = squares(profile.value) + profile.threshold * law.noise["x"] ** 2
    ends = [brentq(lambda k: squares(k) - limit, *sorted((profile.value, end))) for end in (-2.0, 5.0)]
    assert profile.interval == pytest.approx(ends, abs=END * (ends[1] - ends[0]) / 2)


def test_an_expression_has_the_profile_of_what_it_is_a_function_of():
    law = decay()[1]
    low, high = law.profile("k").interval
    assert law.profile("log(2)/k").interval == pytest.approx((math.log(2) / high, math.log(2) / low), rel=1e-3)
    assert law.profile("half") == replace(law.profile("log(2)/k"), name="half")


# --- ends that are open -----------------------------------------------------------------------------------


def test_saturation_out_of_reach_leaves_its_constants_open_above_and_their_ratio_known():
    t, y, law = enzyme(20.0)
    # Without saturation the decay is exponential; that fits as well, as SciPy says, so no value of K is too high.
    best = least_squares(lambda p: saturating(t, p[2], p[0], p[1]) - y, [10, 20, 1.0], x_scale=[10, 20, 1.0]).cost
    without = least_squares(lambda p: p[0] * np.exp(-p[1] * t) - y, [1.0, 0.5]).cost
    degrees = len(t) - 3
    assert without < best * (1 + student.ppf(0.975, degrees) ** 2 / degrees)
    for name in ("K", "V"):
        profile = law.profile(name)
        assert profile.open_high and not profile.open_low
        assert any("open above" in note for note in profile.notes)
        assert math.inf in profile and 20.0 * (0.5 if name == "V" else 1) in profile
        assert profile.to_dict()["interval"][1] is None
    slope = law.profile("slope")
    assert not slope.open_low and not slope.open_high and 0.5 in slope


def test_the_closed_end_beside_an_open_one_agrees_with_scipy():
    t, y, law = enzyme(20.0)
    degrees = len(t) - 3

    def squares(km):
        found = least_squares(lambda p: saturating(t, p[1], p[0] * km, km) - y, [0.5, 1.0], xtol=1e-12, ftol=1e-12)
        return 2 * found.cost

    limit = squares(300.0) * (1 + student.ppf(0.975, degrees) ** 2 / degrees)
    low = brentq(lambda km: squares(km) - limit, 1.0, 100.0)
    assert law.profile("K").interval[0] == pytest.approx(low, rel=0.02)  # SciPy's lowest is at 300, not at infinity


def test_a_bound_that_is_met_first_leaves_the_end_open_and_is_named():
    profile = enzyme(2.0, bounds=(0, 3.0))[2].profile("K")
    assert profile.open_high and not profile.open_low
    assert profile.notes == ("open above: ends at its bound 3",)
    assert max(profile.values) == 3.0


def test_a_constant_at_its_bound_has_a_profile_on_the_other_side():
    ys, law = decay(bounds=(0, 0.5))
    assert law.parameters["k"].at_bound == 0.5
    profile = law.profile("k")
    limit = decay_squares(0.5, ys) + student.ppf(0.975, law.footing.degrees) ** 2 * law.noise["x"] ** 2
    assert profile.open_high and profile.notes == ("open above: it is at its bound 0.5",)
    low = brentq(lambda k: decay_squares(k, ys) - limit, 0.01, 0.5)
    assert profile.interval[0] == pytest.approx(low, abs=2 * END * (0.5 - low))


def test_refits_that_fail_leave_the_end_open_and_it_is_said(monkeypatch):
    law, descend = decay()[1], Refitter.descend
    last = law.parameters["k"].value + 0.3 * law.parameters["k"].stderr

    def failing(self, form, values, x0, **options):
        point = None if values[0] > last else descend(self, form, values, x0, **options)
        return None if point is None or point.values[0] > last else point

    monkeypatch.setattr(Refitter, "descend", failing)
    profile = law.profile("k")
    assert profile.open_high and not profile.open_low
    assert "refits fail beyond it" in profile.notes[0] and max(profile.values) <= last


def test_a_law_that_is_not_at_its_optimum_is_told_so():
    law = decay()[1]
    away = replace(law, closed_form=law.closed_form.with_values(law.closed_form.values + 0.2))
    profile = away.profile("k")
    assert "better optimum" in profile.notes[0]
    assert profile.interval == pytest.approx(law.profile("k").interval, rel=1e-3)


# --- the delta method -------------------------------------------------------------------------------------


def test_the_delta_method_is_exact_for_what_is_linear_and_a_derivative_else():
    law = decay()[1]
    k, half = law.parameters["k"], student.ppf(0.975, len(TIMES) - 2)
    assert law.derived("3 - 2*k").stderr == pytest.approx(2 * k.stderr, rel=1e-12)
    squared = law.derived("k^2")
    assert squared.value == pytest.approx(k.value**2) and squared.stderr == pytest.approx(2 * k.value * k.stderr)
    assert squared.interval[1] == pytest.approx(squared.value + half * squared.stderr)


def test_the_errors_of_two_constants_go_together():
    law = enzyme(2.0)[2]
    (names, r), v, k = law.correlation, law.parameters["V"], law.parameters["K"]
    ratio = law.derived("V/K")
    relative = (v.stderr / v.value) ** 2 + (k.stderr / k.value) ** 2
    relative -= 2 * r[names.index("V"), names.index("K")] * v.stderr * k.stderr / v.value / k.value
    assert ratio.stderr == pytest.approx(ratio.value * math.sqrt(relative), rel=1e-6)


def test_a_product_is_known_where_its_factors_are_not():
    ys, law = decay()
    twofold = ud.discover(HybridODE("x' = -a*b*x"), data_of(*ys))
    assert not any(e.identifiable for e in twofold.parameters.values())
    product = twofold.derived("a*b")
    assert product.identifiable and product.stderr == pytest.approx(law.parameters["k"].stderr, rel=0.05)
    assert not twofold.derived("a/b").identifiable and math.isnan(twofold.derived("a/b").stderr)
    profile = twofold.profile("a*b")
    assert profile.interval == pytest.approx(law.profile("k").interval, rel=0.05)  # one degree of freedom less


# --- names ------------------------------------------------------------------------------------------------


@functools.cache
def found_term():
    """A law whose constant was found by the search: x' = NN1(x) is c0*x."""
    options = SearchOptions(engines=("sparse",), library=Library(degree=1, functions=(), templates=()))
    asked = {"time": "-1/NN1.c0", "lost": "NN1.c7"}
    return ud.discover(HybridODE("x' = NN1(x) + g", {"g": 0.0}), data_of(*decay()[0]), options=options, derived=asked)


def test_constants_of_formulas_go_by_the_names_that_are_printed():
    law = found_term()
    assert law.residuals["NN1"].expression == "c0*x"
    low, high = law.profile("NN1.c0").interval
    assert law.profile("-1/NN1.c0").interval == pytest.approx((-1 / low, -1 / high), rel=1e-3)
    assert (low, high) == pytest.approx([-end for end in reversed(decay()[1].profile("k").interval)], rel=1e-3)
    assert law.quantities["time"].estimate == law.derived("-1/NN1.c0")


def test_a_derived_quantity_that_the_law_does_not_have_is_a_warning():
    (warning,) = [w for w in found_term().warnings if "lost" in w]
    assert "'NN1.c7' is no constant of this law" in warning and list(found_term().quantities) == ["time"]


def test_labels_are_told_from_names_that_look_like_them():
    tree = parse_derived("NN1.c0/NN1_c0 + NN1[0].c0*NN1.c01")
    assert T.symbols(tree) == {"NN1.c0", "NN1_c0", "NN1[0].c0", "NN1.c01"}
    assert T.symbols(parse_derived("2.5*k - 1.e3*b")) == {"k", "b"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("kk", "'kk' is no constant of this law. Did you mean 'k'"),
        ("x", "x is a state, and a derived quantity is made of constants"),
        ("t*k", "t is the time"),
        ("k +", "'k \\+' is no expression of a law's constants: .*ends too early"),
        ("NN1.c0", "'NN1.c0' is no constant of this law"),
        ("log(-k)", "not finite at the law's constants"),
        ("2 + 1", "has one value alone: there is no constant in it"),
        ("__import__('os')", "no expression"),
    ],
)
def test_what_is_no_expression_of_the_constants_is_refused(name, message):
    for ask in (decay()[1].profile, decay()[1].derived):
        with pytest.raises(ModelError, match=message):
            ask(name)


def test_a_given_constant_has_no_profile():
    with pytest.raises(ModelError, match="g was given, not estimated"):
        found_term().profile("g")


def test_a_law_of_an_older_version_is_refused():
    for ask in ("profile", "derived", "with_profiles"):
        with pytest.raises(UdesysError, match="Discover it anew"):
            getattr(replace(decay()[1], footing=None), ask)("k")


# --- the spec ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("derived", "message"),
    [
        ({"k": "1/k"}, "'k' is a parameter"),
        ({"half life": "1/k"}, "'half life' is no name"),
        ({"half": "log(2)/kk"}, "half = 'log\\(2\\)/kk': 'kk' is no constant.*Did you mean 'k'"),
        ({"half": "NN2.c0"}, "Did you mean 'NN1'"),
        ({"half": "x/k"}, "x is a state"),
        ({"half": "1//k"}, "no expression"),
    ],
)
def test_a_derived_quantity_that_no_law_can_have_is_refused_before_the_fit(derived, message):
    model = HybridODE("x' = -k*x + NN1(x)")
    with pytest.raises(ModelError, match=message):
        check_expressions(model, derived)
    with pytest.raises(ModelError, match=message):
        ud.discover(model, data_of(*decay()[0]), derived=derived)


def test_a_spec_asks_for_derived_quantities_and_is_written_out_with_them(tmp_path):
    lines = "\n".join(f"{t:.17g},{x:.17g}" for t, x in zip(TIMES, decay()[0][0], strict=True))
    (tmp_path / "d.csv").write_text("t,x\n" + lines)
    content = {"data": {"file": "d.csv", "time": "t"}, "model": {"equations": "x' = -k*x"}}
    asked = {**content, "derived": {"half": "log(2)/k"}}
    spec = load_spec(asked, folder=tmp_path)
    assert spec.derived == {"half": "log(2)/k"} and "half = log(2)/k" in str(spec)
    (tmp_path / "again.toml").write_text(spec.to_toml(tmp_path))
    assert load_spec(tmp_path / "again.toml").raw == spec.raw
    assert "derived" not in load_spec(content, folder=tmp_path).raw
    with pytest.raises(ModelError, match="half in \\[derived\\] must be text"):
        load_spec({**content, "derived": {"half": 2}}, folder=tmp_path)
    with pytest.raises(ModelError, match=r"\[derived\].*'kk' is no constant"):
        load_spec({**content, "derived": {"half": "kk"}}, folder=tmp_path)


# --- printed, kept, drawn ---------------------------------------------------------------------------------


def test_profiles_and_derived_quantities_are_printed_with_the_law():
    law = enzyme(20.0)[2].with_profiles("K", "slope")
    lines = str(law).splitlines()
    at = next(k for k, text in enumerate(lines) if text.startswith("Derived"))
    assert lines[at + 1].split()[0] == "slope" and lines[at + 1].endswith("V/K")
    at = next(k for k, text in enumerate(lines) if text.startswith("Profiles"))
    assert lines[at + 1].startswith("  K") and lines[at + 1].endswith("open]")
    assert lines[at + 3].startswith("    K: open above")


def test_profiles_stay_what_they_are_in_a_run(tmp_path):
    law = enzyme(20.0)[2].with_profiles("K", "slope")
    law.save(tmp_path / "run")
    again = ud.load_run(tmp_path / "run")
    assert str(again.profiles) == str(law.profiles) and again.quantities == law.quantities  # NaNs differ
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["derived"]["slope"]["expression"] == "V/K"
    assert result["profiles"]["K"]["interval"][1] is None and result["profiles"]["slope"]["interval"][1] > 0.5
    assert (tmp_path / "run/figures/profiles.png").read_bytes().startswith(b"\x89PNG")


def test_the_figure_marks_what_is_open_and_has_one_panel_each():
    picture = enzyme(20.0)[2].plot_profiles("K", "slope")
    first, second = [panel for panel in picture.axes if panel.get_visible()]
    assert (first.get_xlabel(), second.get_xlabel()) == ("K", "slope")
    assert "open" in [text.get_text() for text in first.texts]
    assert "open" not in [text.get_text() for text in second.texts]
    law = decay()[1]
    assert len(law.plot_profiles().axes) == 2 and law.profiles == {}


# --- the command ------------------------------------------------------------------------------------------


def command(*arguments):
    return CliRunner().invoke(cli.application(), ["profile", *map(str, arguments)])


@pytest.fixture
def run(tmp_path):
    return decay()[1].save(tmp_path / "run")


def test_the_command_adds_profiles_to_the_run_and_prints_them(run):
    done = command(run, "k", "1/k")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].split()[0] == "Profiles" and [line.split()[0] for line in lines[1:3]] == ["k", "1/k"]
    assert done.stderr.splitlines()[-1] == f"Saved in {run}; the report is {run / 'report.html'}"
    kept = ud.load_run(run)
    assert list(kept.profiles) == ["k", "1/k"] and (run / "figures/profiles.png").exists()
    assert command(run, "--quiet").stderr == ""
    assert list(ud.load_run(run).profiles) == ["k", "1/k", "half"]


def test_the_command_prints_json_alone(run):
    done = command(run, "k", "--json", "--quiet")
    found = json.loads(done.stdout)["k"]
    assert found["interval"] == pytest.approx(decay()[1].profile("k").interval)
    assert len(found["values"]) == len(found["costs"]) and found["notes"] == []


def test_the_command_refuses_an_unknown_name_and_changes_nothing(run):
    before = (run / "law.json").read_bytes()
    done = command(run, "k", "kk")
    assert done.exit_code == 1 and "Did you mean 'k'" in done.stderr and "Traceback" not in done.stderr
    assert (run / "law.json").read_bytes() == before and not (run / "figures/profiles.png").exists()
