"""Systems of a list with nothing or all but one term known: lists, data, scores, pysindy as a rival, and the tables."""

import importlib
import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from udesys.bench import _one_trajectory as one
from udesys.bench import _pysindy, odebench
from udesys.bench import odebench_hybrid as hybrid
from udesys.bench._found import true_terms_of
from udesys.bench._system_list import constants_needed, read_systems
from udesys.bench._verdict import FAILED, NOT_IDENTIFIABLE, OUT_RANKED, RIGHT, TIED
from udesys.cli import application
from udesys.data import Trajectory
from udesys.errors import DataError
from udesys.model import tree as T
from udesys.model.closed_form import Formula
from udesys.model.grammar import parse_expression
from udesys.model.program import Program
from udesys.systems import get_system, list_systems, simulate

TABLE = list_systems("odebench")
DECAY = {
    "id": 7,
    "name": "decay",
    "equations": ["-c_0*x_0"],
    "constants": [0.4],
    "initial": [[2.0], [0.5]],
    "t_end": 4.0,
    "n_samples": 60,
}
PREY = {
    "id": 9,
    "name": "two species",
    "equations": ["c_0*x_0 - c_1*x_0*x_1", "c_2*x_0*x_1 - c_3*x_1"],
    "constants": [1.1, 0.4, 0.1, 0.4],
    "initial": [[10.0, 5.0], [6.0, 4.0]],
    "t_end": 8.0,
    "n_samples": 60,
}
SPRING = {
    "id": 8,
    "name": "spring",
    "equations": ["x_1", "-c_0*x_0"],
    "constants": [2.1],
    "initial": [[0.4, -0.03], [0.0, 0.2]],
    "t_end": 6.0,
    "n_samples": 60,
}


def write_list(folder, *entries):
    path = folder / "list.json"
    path.write_text(json.dumps({"systems": list(entries)}))
    return path


def values(tree, names, points):
    with np.errstate(all="ignore"):
        (found,) = Program([tree], names).run(list(points.T))
    return np.broadcast_to(np.asarray(found, float), len(points))


def bench(*arguments):
    return CliRunner().invoke(application(), ["bench", *map(str, arguments)])


# ------------------------------------------------------------------ lists
@pytest.mark.parametrize("system", TABLE, ids=[s.name for s in TABLE])
def test_constants_that_a_form_needs_are_those_that_were_counted_by_hand(system):
    texts = system.missing.values()
    assert tuple(constants_needed(parse_expression(text), system.constants) for text in texts) == system.free


def test_a_list_is_read_as_systems_of_which_nothing_is_known(tmp_path):
    found = read_systems(write_list(tmp_path, PREY, DECAY))
    assert list(found) == [9, 7]
    system = found[9]
    assert system.equations == "x_0' = NN1(x_0, x_1)\nx_1' = NN2(x_0, x_1)"
    assert system.starts == ({"x_0": 10.0, "x_1": 5.0}, {"x_0": 6.0, "x_1": 4.0})
    assert (len(system.t), system.t[0], system.t[-1], system.free) == (60, 0.0, 8.0, (2, 2))
    states = np.array([[2.0, 3.0]])
    found = [values(tree, system.states, states)[0] for tree in system.true_rhs()]
    assert found == pytest.approx([1.1 * 2 - 0.4 * 6, 0.1 * 6 - 0.4 * 3], rel=1e-14)


def test_without_a_list_the_systems_are_those_that_are_built_in():
    found = read_systems(None)
    assert [f"odebench:{number}" for number in found] == [s.name for s in TABLE]
    for ours, system in zip(found.values(), TABLE, strict=True):
        assert (ours.free, ours.source) == (system.free, system.source)
        assert [list(start.values()) for start in ours.starts] == [list(start.values()) for start in system.starts]
        assert ours.t == pytest.approx(system.t, abs=1e-9)
        points = np.random.default_rng(0).uniform(0.5, 1.5, (20, len(system.states)))
        for a, b in zip(ours.true_rhs(), system.true_rhs(), strict=True):
            expected = values(b, system.states, points)
            assert values(a, ours.states, points) == pytest.approx(expected, rel=1e-12)


def test_published_figures_stand_beside_the_systems_that_they_are_of(tmp_path):
    assert odebench.is_odebench(None) and not odebench.is_odebench(write_list(tmp_path, DECAY, PREY))
    entries = [
        {
            "id": number,
            "name": system.title,
            "equations": [str(text) for text in system.missing.values()],
            "constants": list(system.constants.values()),
            "initial": [list(start.values()) for start in system.starts],
            "t_end": 10.0,
            "n_samples": 512,
        }
        for number, system in read_systems(None).items()
    ]
    assert odebench.is_odebench(write_list(tmp_path, *entries))
    entries[3]["constants"] = [*entries[3]["constants"][:-1], 7.0]
    assert not odebench.is_odebench(write_list(tmp_path, *entries))


def test_cotangents_are_read_with_what_they_hold(tmp_path):
    entry = {**DECAY, "equations": ["2*cot(x_0*(1 + c_0))**2 - arccot_0"]}
    with pytest.raises(DataError, match="arccot_0, which is no state and no constant"):
        read_systems(write_list(tmp_path, entry))
    entry = {**DECAY, "equations": ["2*cot(x_0*(1 + c_0))**2 + cot(cot(x_0))"]}
    (tree,) = read_systems(write_list(tmp_path, entry))[7].true_rhs()
    x = np.array([0.3, 0.8, 1.3])
    expected = 2 / np.tan(1.4 * x) ** 2 + 1 / np.tan(1 / np.tan(x))
    assert values(tree, ["x_0"], x[:, None]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"equations": ["c_0*y"]}, "entry 1: 'c_0\\*y' has y, which is no state and no constant"),
        ({"equations": ["c_0*("]}, "entry 1: 'c_0\\*\\(' cannot be read"),
        ({"constants": ["much"]}, "entry 1 has a value that is no number"),
        ({"initial": [[1.0, 2.0], [1.0, 2.0]]}, "or a start of the wrong length"),
        ({"initial": [[1.0]]}, "needs 2 starts, 10 samples or more and t_end > 0"),
        ({"n_samples": 9}, "needs 2 starts, 10 samples or more"),
        ({"t_end": 0.0}, "t_end > 0"),
        ({"id": None}, "entry 1 has a value that is no number"),
    ],
)
def test_an_entry_that_is_no_system_is_refused_by_its_place(change, message, tmp_path):
    with pytest.raises(DataError, match=message):
        read_systems(write_list(tmp_path, {**DECAY, **change}))


def test_a_file_that_is_no_list_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"none\.json cannot be read"):
        read_systems(tmp_path / "none.json")
    (tmp_path / "text.json").write_text("systems: 1")
    with pytest.raises(DataError, match="is no list of systems"):
        read_systems(tmp_path / "text.json")
    without = {key: value for key, value in DECAY.items() if key not in ("t_end", "constants")}
    with pytest.raises(DataError, match="entry 2 has no constants, t_end"):
        read_systems(write_list(tmp_path, PREY, without))
    with pytest.raises(DataError, match="each with an id of its own"):
        read_systems(write_list(tmp_path, DECAY, DECAY))


@pytest.mark.parametrize("name", ["odebench", "odebench-hybrid"])
def test_what_is_asked_for_must_be_in_the_list(name, tmp_path):
    path = write_list(tmp_path, DECAY, PREY)
    done = bench(name, "--systems", path, "--system", 8)
    assert done.exit_code == 1 and "has no system 8. It has 7, 9." in " ".join(done.stderr.split())
    done = bench(name, "--system", 4)
    message = " ".join(done.stderr.split())
    assert done.exit_code == 1 and "the built-in table of ODEBench has no system 4. It has 1, 2, 3, 5" in message
    done = bench(name, "--systems", path, "--noise", "much")
    assert done.exit_code == 1 and "noise is not a number" in done.stderr


def test_not_everything_can_be_dropped(tmp_path):
    done = bench("odebench", "--systems", write_list(tmp_path, DECAY), "--dropped", "100%")
    assert done.exit_code == 1 and "dropped must be below 100 %, but is 100 %" in done.stderr


# ------------------------------------------------------------------ data
def test_noise_is_in_proportion_to_the_value():
    system = get_system("odebench:54")  # states of very different sizes, through zero
    exact = simulate(system).trajectories[0]
    (run,) = one.measured(system, 0.05, 0.0, 3).trajectories
    assert np.array_equal(run.t, exact.t)
    moved = exact.y != 0
    drawn = ((run.y / np.where(moved, exact.y, 1.0) - 1) / 0.05)[moved]
    n = len(drawn)
    assert abs(drawn.mean()) < 4 / math.sqrt(n) and abs(drawn.std() - 1) < 4 / math.sqrt(2 * n)
    large = np.abs(exact.y) > np.median(np.abs(exact.y), axis=0)
    assert ((run.y / exact.y - 1)[large].std() / (run.y / exact.y - 1)[~large].std()) == pytest.approx(1, abs=0.15)


def test_half_of_the_samples_are_dropped_at_random():
    system = get_system("odebench:27")
    exact = simulate(system).trajectories[0]
    runs = [one.measured(system, 0.0, 0.5, seed).trajectories for seed in (0, 0, 1)]
    assert [len(of_seed) for of_seed in runs] == [1, 1, 1]  # the second start is never shown
    first, again, other = (run for (run,) in runs)
    assert len(first.t) == 256 and np.array_equal(first.t, again.t) and not np.array_equal(first.t, other.t)
    rows = np.searchsorted(exact.t, first.t)
    assert np.array_equal(exact.t[rows], first.t) and np.array_equal(exact.y[rows], first.y)
    assert len(set(np.diff(rows))) > 3  # not every second one


# ------------------------------------------------------------------ scores
def test_r_squared_weighs_states_by_their_variance():
    t = np.linspace(0.0, 3.0, 40)
    run = Trajectory(name="0", t=t, y=np.stack([np.exp(-t), 5 + np.sin(t)], 1), u=np.zeros((40, 0)))
    law = [parse_expression("-0.7*x"), parse_expression("0.5")]
    made = np.stack([np.exp(-0.7 * t), 5 + 0.5 * t], 1)  # its exact solution from the same start
    scores = 1 - ((run.y - made) ** 2).mean(0) / run.y.var(0)
    expected = np.average(scores, weights=run.y.var(0))
    assert one.r_squared(law, ["x", "y"], run) == pytest.approx(expected, abs=1e-6)  # solver tolerance 1e-8
    alone = Trajectory(name="0", t=t, y=run.y[:, :1], u=run.u)
    assert one.r_squared([parse_expression("-x")], ["x"], alone) > 1 - 1e-10


@pytest.mark.parametrize("law", ["x**2", "log(x - 2)", "1/(x - x)"])
def test_a_simulation_that_does_not_reach_the_end_has_no_r_squared(law):
    t = np.linspace(0.0, 3.0, 40)
    run = Trajectory(name="0", t=t, y=np.exp(-t)[:, None], u=np.zeros((40, 0)))
    assert one.r_squared([parse_expression(law)], ["x"], run) is None


def test_a_simulation_without_end_is_given_up(monkeypatch):
    monkeypatch.setattr(one, "MOST_CALLS", 50)
    t = np.linspace(0.0, 3.0, 40)
    run = Trajectory(name="0", t=t, y=np.exp(-t)[:, None], u=np.zeros((40, 0)))
    assert one.r_squared([parse_expression("cos(1000*x)")], ["x"], run) is None


# ------------------------------------------------------------------ pysindy
@pytest.fixture(scope="module", autouse=True)
def _imported():
    """pysindy, where it is installed, imported before a test starts: that draws from NumPy's global generator."""
    if _pysindy.is_installed():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module("pysindy")


@pytest.fixture(scope="module")
def pysindy():
    return pytest.importorskip("pysindy", reason="pysindy is in the extra `bench`, which is not installed")


def model_of(pysindy, setting, smooth):
    """The same model as a user of pysindy writes it."""
    library = pysindy.PolynomialLibrary(degree=setting.degree)
    if setting.sines:
        library = library + pysindy.FourierLibrary(n_frequencies=1)
    method = pysindy.FiniteDifference()
    if smooth:
        method = pysindy.SmoothedFiniteDifference(smoother_kws={"window_length": 11, "polyorder": 3})
    optimizer = pysindy.STLSQ(threshold=setting.threshold)
    return pysindy.SINDy(optimizer=optimizer, feature_library=library, differentiation_method=method)


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("name", _pysindy.SETTINGS)
@pytest.mark.parametrize("system", ["odebench:2", "odebench:27", "odebench:54"])
def test_a_model_of_pysindy_as_trees_predicts_what_it_predicts(system, name, smooth, pysindy):
    system, setting = get_system(system), _pysindy.SETTINGS[name]
    (run,) = one.measured(system, 0.01, 0.0, 0).trajectories
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = model_of(pysindy, setting, smooth).fit(run.y, run.t)
    formulas = _pysindy.regressed(setting, system.states, *_pysindy.derivatives(run.t, run.y, smooth=smooth))
    points = run.y[::7] * np.random.default_rng(1).uniform(0.5, 1.5, run.y[::7].shape)
    found = np.stack([values(one.with_numbers(f), system.states, points) for f in formulas], 1)
    assert found == pytest.approx(np.asarray(model.predict(points)), rel=1e-8, abs=1e-8 * np.abs(found).max())
    assert [len(f.constants) for f in formulas] == list(np.count_nonzero(model.coefficients(), axis=1))


def test_smoothing_respects_irregular_times(pysindy):
    t = np.sort(np.random.default_rng(0).uniform(0.0, 2.0, 80))
    y = np.stack([t**3 - t, 2 - t**2], 1)  # a local cubic is exact
    x, slopes = _pysindy.derivatives(t, y, smooth=True)
    assert x == pytest.approx(y, abs=1e-8)
    assert slopes == pytest.approx(np.stack([3 * t**2 - 1, -2 * t], 1), abs=1e-5)
    noisy = y + 0.01 * np.random.default_rng(1).standard_normal(y.shape)
    error = [np.abs(_pysindy.derivatives(t, noisy, smooth=s)[1] - slopes).mean() for s in (False, True)]
    assert error[1] < 0.3 * error[0]


def test_a_regression_without_terms_is_zero(pysindy):
    setting = _pysindy.Setting(degree=2, threshold=0.1)
    x = np.linspace(0, 1, 30)[:, None]
    (formula,) = _pysindy.regressed(setting, ["x"], x, 1e-3 * x)
    assert formula == Formula(T.ZERO, {})


def test_pysindy_finds_what_is_within_its_library(pysindy):
    system = get_system("odebench:27")
    data, truths = one.measured(system, 0.0, 0.0, 0), true_terms_of(system)
    found = odebench.rival("pysindy, degree 2", system.states, simulate(system), data, truths)
    assert found.exact and found.failure == ""
    assert min(found.reconstruction, found.generalisation) > 0.99  # its derivatives are of second order
    assert set(found.law) == {"x", "y"} and "x*y" in found.law["x"]


# ------------------------------------------------------------------ how a rival is judged
def stand_in(monkeypatch, *models):
    """Models in place of pysindy's, of the data as they are and smoothed; an exception is raised."""
    left = list(models)

    def regressed(setting, states, x, targets):
        made = left.pop(0)
        if isinstance(made, Exception):
            raise made
        return made

    monkeypatch.setattr(_pysindy, "derivatives", lambda t, y, *, smooth: (y, np.gradient(y, t, axis=0)))
    monkeypatch.setattr(_pysindy, "regressed", regressed)


def model(*texts):
    """Formulas with a constant c0, c1, ... for every number in the texts."""
    made = []
    for terms in texts:
        constants = {f"c{k}": value for k, (value, _) in enumerate(terms)}
        trees = [T.mul(T.Symbol(f"c{k}"), parse_expression(text)) for k, (_, text) in enumerate(terms)]
        made.append(Formula(T.total(trees), constants))
    return made


TRUE = (((1.1, "x_0"), (-0.4, "x_0*x_1")), ((0.1, "x_0*x_1"), (-0.4, "x_1")))
SPARE = (((1.1, "x_0"), (-0.4, "x_0*x_1"), (1e-9, "x_1**2")), TRUE[1])
LACKING = (((1.1, "x_0"), (-0.4, "x_0*x_1")), ((0.1, "x_0*x_1"),))
EXPLODING = (((1.0, "x_0**3"),), ((1.0, "x_1"),))


@pytest.fixture(scope="module")
def prey(tmp_path_factory):
    system = read_systems(write_list(tmp_path_factory.mktemp("prey"), PREY))[9]
    return system, simulate(system), one.measured(system, 0.0, 0.0, 0), true_terms_of(system)


def judged_rival(prey):
    system, exact, data, truths = prey
    return odebench.rival("pysindy, degree 2", system.states, exact, data, truths)


@pytest.mark.parametrize(("terms", "exact"), [(TRUE, True), (SPARE, False), (LACKING, False)])
def test_a_rival_is_exact_with_the_true_terms_and_none_to_spare(terms, exact, prey, monkeypatch):
    stand_in(monkeypatch, model(*terms), model(*terms))
    found = judged_rival(prey)
    assert found.exact is exact
    assert (found.reconstruction > 0.999999) is (terms is not LACKING)


def test_the_derivative_counts_whose_model_follows_the_data_better(prey, monkeypatch):
    for models in ((model(*LACKING), model(*TRUE)), (model(*TRUE), model(*LACKING))):
        stand_in(monkeypatch, *models)
        assert judged_rival(prey).exact
    stand_in(monkeypatch, model(*EXPLODING), model(*LACKING))
    assert judged_rival(prey).law["x_1"] == "0.1*x_0*x_1"


def test_a_rival_that_fails_is_a_failed_run(prey, monkeypatch):
    stand_in(monkeypatch, ValueError("no columns"), model(*TRUE))
    assert judged_rival(prey).exact
    stand_in(monkeypatch, ValueError("no columns"), ArithmeticError("inf"))
    found = judged_rival(prey)
    assert (found.exact, found.reconstruction, found.failure) == (False, None, "ValueError: no columns")
    stand_in(monkeypatch, model(*EXPLODING), model(*EXPLODING))
    found = judged_rival(prey)
    assert (found.exact, found.reconstruction, found.generalisation, found.failure) == (False, None, None, "")


# ------------------------------------------------------------------ the hidden term
@pytest.mark.parametrize("system", TABLE, ids=[s.name for s in TABLE])
def test_a_hidden_term_and_the_known_part_are_the_whole_right_side(system):
    exact = np.concatenate([run.y for run in simulate(system).trajectories])
    for seed in (0, 1):
        half = hybrid.hide_a_term(system, seed)
        known, place = hybrid.known_part(half)
        ((call, text),) = half.missing.items()
        assert call == f"NN({', '.join(system.states)})" and half.hybrid().terms == ("NN",)
        hidden = values(one.with_numbers(Formula(parse_expression(text), half.constants)), system.states, exact)
        for k, (part, whole) in enumerate(zip(known, system.true_rhs(), strict=True)):
            found = values(part, system.states, exact) + (hidden if k == place else 0.0)
            expected = values(whole, system.states, exact)
            assert found == pytest.approx(expected, rel=1e-9, abs=1e-12 * np.abs(expected).max())


def test_every_term_may_be_hidden_and_the_seed_says_which():
    system = get_system("odebench:27")  # two terms in each of two right sides
    drawn = [hybrid.hide_a_term(system, seed) for seed in range(40)]
    assert len({half.equations for half in drawn}) == 4
    assert hybrid.hide_a_term(system, 5) == drawn[5]


def test_a_hidden_term_has_as_many_constants_as_its_form_needs(tmp_path):
    entry = {**DECAY, "equations": ["2*x_0/(3 + x_0)"], "constants": []}
    half = hybrid.hide_a_term(read_systems(write_list(tmp_path, entry))[7], 0)
    assert half.equations == "x_0' = NN(x_0)" and half.free == (2,)
    assert half.missing == {"NN(x_0)": "c0*x_0/(c1 + x_0)"} and half.constants == {"c0": 2.0, "c1": 3.0}


def test_the_error_of_a_term_is_relative_and_along_the_measured_run(tmp_path):
    half = hybrid.hide_a_term(read_systems(write_list(tmp_path, DECAY))[7], 0)
    exact, (truth,) = simulate(half), true_terms_of(half).values()
    assert hybrid.term_error(*model(((-0.44, "x_0"),)), truth, exact) == pytest.approx(0.1, rel=1e-12)
    x = 2 * np.exp(-0.4 * np.array(half.t))  # the exact solution from the first start
    expected = np.linalg.norm(x**2 - 0.4 * x) / np.linalg.norm(0.4 * x)
    found = hybrid.term_error(*model(((-1.0, "x_0**2"),)), truth, exact)
    assert found == pytest.approx(expected, rel=1e-6)
    assert hybrid.term_error(*model(((1.0, "log(-x_0)"),)), truth, exact) is None


def test_a_hidden_constant_is_a_term_as_others_are(tmp_path):
    entry = {**DECAY, "equations": ["c_0*x_0 - 0.3 - x_0**2"]}
    system = read_systems(write_list(tmp_path, entry))[7]
    halves = [hybrid.hide_a_term(system, seed) for seed in range(20)]
    half = next(half for half in halves if half.constants == {"c0": pytest.approx(-0.3)})
    exact, (truth,) = simulate(half), true_terms_of(half).values()
    assert half.free == (1,) and truth.has_form(Formula(T.Symbol("c0"), {"c0": 5.0}))
    assert not truth.has_form(*model(((1.0, "x_0"),)))
    assert hybrid.term_error(*model(((-0.33, "1"),)), truth, exact) == pytest.approx(0.1, rel=1e-9)


def test_pysindy_is_given_the_known_part(pysindy):
    half = hybrid.hide_a_term(get_system("odebench:27"), 0)
    data, truths = one.measured(half, 0.0, 0.0, 0), true_terms_of(half)
    for chosen in (False, True):
        found = hybrid.rival("pysindy, degree 3", half, simulate(half), data, truths, chosen)
        assert found.exact and found.error < 0.01 and found.failure == ""
        assert found.setting.endswith(hybrid.CHOSEN) == chosen


# ------------------------------------------------------------------ runs from end to end
def test_two_systems_from_their_list_to_the_figures(tmp_path, monkeypatch):
    monkeypatch.setattr(odebench, "warm_up", None)  # the seconds are not looked at
    path, kept = write_list(tmp_path, DECAY, SPRING), tmp_path / "runs.jsonl"
    command = ["odebench", "--systems", path, "--noise", "0", "--dropped", "0", "--keep", kept]
    done = bench(*command, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [row["system"] for row in found["rows"]] == [7, 8]
    assert [(row["outcome"], row["exact"]) for row in found["rows"]] == [(RIGHT, True)] * 2
    assert all(min(row["reconstruction"], row["generalisation"]) > 0.9999 for row in found["rows"])
    assert found["summary"]["exact, no noise, %"] == 100
    if _pysindy.is_installed():
        assert list(found["rivals"]) == list(_pysindy.SETTINGS) and "pysindy" in found["versions"]
        assert len(found["rows"][0]["rivals"]) == 3
    again = bench(*command)
    assert again.exit_code == 0 and "2 of 2 runs are in" in again.stderr
    assert again.stdout.startswith("No noise: 2 systems; the truth is best or tied for 2.")
    assert found["published"] == {} and "best published" not in again.stdout  # these are none of ODEBench's systems


def test_a_hidden_term_is_found_without_noise(tmp_path):
    found = hybrid.discover_once(write_list(tmp_path, PREY), 9, 0.0, 0, _pysindy.is_installed())
    assert (found.outcome, found.exact, found.failure) == (RIGHT, True, "")
    assert found.error < 1e-5 and found.hidden.endswith(("in x_0'", "in x_1'"))
    assert len(found.rivals) == (6 if _pysindy.is_installed() else 0)


@pytest.mark.parametrize("module", [odebench, hybrid])
def test_a_truth_that_cannot_be_simulated_is_a_failed_run(module, tmp_path):
    path = write_list(tmp_path, {**DECAY, "equations": ["x_0**2"], "constants": []})
    task = (path, 7, 0.0, 0.0, 0) if module is odebench else (path, 7, 0.0, 0)
    found = module.discover_once(*task)
    assert found.outcome == FAILED and "SolveError" in found.failure and not found.exact


# ------------------------------------------------------------------ figures
def a_rival(setting, exact, r2=0.99, **rest):
    return odebench.Rival(setting=setting, exact=exact, reconstruction=r2, generalisation=r2, seconds=0.5, **rest)


def a_run(system, outcome, scores, noise=0.0, dropped=0.0, rivals=()):
    return odebench.Run(
        system=system,
        noise=noise,
        dropped=dropped,
        seed=0,
        outcome=outcome,
        exact=outcome == RIGHT,
        truth_delta=None if outcome == RIGHT else 3.25,
        reconstruction=scores[0],
        generalisation=scores[1],
        law={"x_0": "2*x_0"},
        seconds=float(system),
        rivals=tuple(rivals),
    )


RUNS = [
    a_run(1, RIGHT, (1.0, 0.95), rivals=[a_rival("A", True), a_rival("B", False, None)]),
    a_run(2, TIED, (0.99, None), rivals=[a_rival("A", False), a_rival("B", True, 0.5)]),
    a_run(3, OUT_RANKED, (0.9, 0.91), rivals=[a_rival("A", False, 0.2), a_rival("B", False)]),
    a_run(4, NOT_IDENTIFIABLE, (0.95, -3.0), rivals=[a_rival("A", False), a_rival("B", False)]),
    a_run(1, RIGHT, (1.0, 1.0), noise=0.05, dropped=0.5, rivals=[a_rival("A", False, 0.1), a_rival("B", False, 0.1)]),
]


def test_shares_are_counted_at_every_setting_and_beside_every_rival():
    numbers, rivals = odebench.summary(RUNS), odebench.rivals_summary(RUNS)
    assert numbers["reconstruction, no noise, %"] == 75  # 0.9 is not above 0.9
    assert numbers["generalisation, no noise, %"] == 50
    assert numbers["exact, no noise, %"] == 25
    assert numbers["exact where the truth is best or tied, no noise, %"] == 50
    assert numbers["exact, 5 % noise, half dropped, %"] == 100
    assert numbers["median s"] == 2
    assert rivals["A"]["exact where the truth is best or tied, no noise, %"] == 50
    assert rivals["B"]["reconstruction, no noise, %"] == 50 and rivals["B"]["median s"] == 0.5
    assert set(rivals["A"]) == {n for n in numbers if not n.startswith("settings")}
    assert numbers["settings ahead of every rival in reconstruction"] == 1  # A has 75 % without noise
    assert numbers["settings ahead of every rival in exact"] == 1
    assert "settings ahead of every rival in exact" not in odebench.summary([a_run(1, RIGHT, (1.0, 1.0))])


def test_the_tables_have_published_figures_where_there_are_some_and_every_miss():
    text = odebench.table(RUNS)
    clean, noisy = text.split("5 % noise, half dropped: 1 systems")
    assert "No noise: 4 systems; the truth is best or tied for 2." in clean
    (published,) = [line for line in clean.splitlines() if "best published" in line]
    assert [cell.strip() for cell in published.split("|")[2:6]] == ["82 %", "41 %", "43 %", "-"]
    assert "best published" not in noisy
    (tied,) = [line for line in noisy.splitlines() if line.startswith("| tied")]
    assert [cell.strip() for cell in tied.split("|")[2:4]] == ["1", "0"]
    misses = [line for line in text.splitlines() if line.startswith("- ")]
    assert len(misses) == 3
    assert misses[0] == (
        "- 2, no noise: tied, the truth at delta +3.2; reconstruction 0.99, generalisation diverges: x_0' = 2*x_0"
    )
    assert odebench.table([]) == hybrid.table([]) == "no runs"
    assert odebench.summary([]) == hybrid.summary([]) == {}


def a_hybrid_run(system, outcome, noise, error, exact_rivals=(), seed=0):
    return hybrid.Run(
        system=system,
        noise=noise,
        seed=seed,
        hidden="-x_0 in x_0'",
        outcome=outcome,
        exact=outcome == RIGHT,
        error=error,
        law="-2*x_0",
        seconds=1.0,
        rivals=tuple(
            hybrid.Rival(setting=name, exact=exact, error=0.5, seconds=0.1)
            for name, exact in zip(("A", "A" + hybrid.CHOSEN), exact_rivals, strict=False)
        ),
    )


def test_exact_terms_are_counted_over_the_best_rivals():
    runs = [
        a_hybrid_run(1, RIGHT, 0.01, 1e-3, (True, True)),
        a_hybrid_run(1, RIGHT, 0.01, 2e-3, (False, True), seed=1),
        a_hybrid_run(3, TIED, 0.01, None, (False, False)),
        a_hybrid_run(1, OUT_RANKED, 0.05, 0.3, (False, False)),
    ]
    numbers = hybrid.summary(runs)
    assert numbers["exact, 1 % noise, %"] == 66.7 and numbers["median error, 1 % noise"] == 2e-3
    assert numbers["exact over pysindy's best, 1 % noise"] == 2.0
    assert numbers["exact over pysindy's best, derivative chosen, 1 % noise"] == 1.0
    assert numbers["exact over pysindy's best, 5 % noise"] is None  # no rival has any
    assert hybrid.rivals_summary(runs)["A"]["exact, 1 % noise, %"] == 33.3
    text = hybrid.table(runs)
    assert "1 % noise: 3 terms of 2 systems; the truth is best or tied for 3." in text
    assert "Exact ones over pysindy's best: 2 (aim 2); 1 with the derivative chosen." in text
    assert "- 1, 5 % noise, seed 0: out-ranked, error 0.3: -2*x_0 for -x_0 in x_0'" in text.splitlines()


def test_every_seed_draws_its_own_terms(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(hybrid, "carry_out", lambda function, tasks, *rest, **options: (asked.extend(tasks) or [], 0.0))
    path = write_list(tmp_path, DECAY, PREY)
    done = bench("odebench-hybrid", "--systems", path, "--noise", "1%", "--seed", 3, "--seeds", 2, "--no-rivals")
    assert done.exit_code == 0, done.output
    assert [task[1:4] for task in asked] == [(7, 0.01, 3), (9, 0.01, 3), (7, 0.01, 4), (9, 0.01, 4)]


def test_the_options_reach_the_runs_and_rivals_are_optional(tmp_path, monkeypatch):
    path, asked = write_list(tmp_path, DECAY, PREY), []

    def carry_out(function, tasks, warm_up, **options):
        asked.extend(tasks)
        return [], 0.0

    monkeypatch.setattr(odebench, "carry_out", carry_out)
    monkeypatch.setattr(_pysindy, "is_installed", lambda: True)
    assert bench("odebench", "--systems", path, "--system", 9, "--noise", "5%", "--seed", 3).exit_code == 0
    assert asked == [(path, 9, 0.05, dropped, 3, True) for dropped in (0.0, 0.5)]
    asked.clear()
    assert bench("odebench", "--systems", path, "--no-rivals", "--dropped", "50%").exit_code == 0
    assert asked == [(path, number, noise, 0.5, 0, False) for noise in (0.0, 0.01, 0.05) for number in (7, 9)]
    asked.clear()
    monkeypatch.setattr(_pysindy, "is_installed", lambda: False)
    done = bench("odebench", "--systems", path, "--system", 7, "--noise", "0", "--dropped", "0")
    assert asked == [(path, 7, 0.0, 0.0, 0, False)]
    assert 'pysindy is not installed, and is left out. Install it: pip install "udesys[bench]"' in done.stderr


def test_no_comparison_names_a_list_of_its_own():
    folder = Path(odebench.__file__).parent
    assert not [path.name for path in folder.glob("*.py") if "odebench_43" in path.read_text(encoding="utf-8")]
