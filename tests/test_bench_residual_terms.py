"""The simulated cases against equations written out by hand, and how their runs are counted and told."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicSpline
from typer.testing import CliRunner

import udesys
from udesys.bench import residual_terms as study
from udesys.bench._cases import CASES, OUTLIER_SIZE, choose_cases
from udesys.bench._laws import Constant, Law
from udesys.bench._parallel import attempt, share_of
from udesys.bench._restarts import RandomStart, fit_from_random_weights, where_not_finite
from udesys.bench._restarts import summary as restarts_summary
from udesys.bench._restarts import table as restarts_table
from udesys.cli import application
from udesys.errors import DataError, FitError, SolveError
from udesys.model.program import Program
from udesys.systems import get_system, make_data

NAMES = [case.name for case in CASES]
ALPHA, BETA, GAMMA, DELTA = 1.3, 0.9, 0.8, 1.8  # arXiv:2001.04385


# ------------------------------------------------------------------ the laws, written out again
def both_interactions(x, u):
    lost, won = -BETA * x[0] * x[1], GAMMA * x[0] * x[1]
    return [ALPHA * x[0] + lost, won - DELTA * x[1]], [lost, won]


def predator_growth(x, u):
    slopes, (_, won) = both_interactions(x, u)
    return slopes, [won]


def duffing(x, u):
    return [x[1], -0.2 * x[1] - x[0] - x[0] ** 3 + u], [-x[0] - x[0] ** 3]


def lorenz(x, u):
    return [10 * (x[1] - x[0]), x[0] * (28 - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]], [x[0] * x[1]]


def robertson(x, u):
    made = 3e7 * x[1] ** 2
    first = -0.04 * x[0] + 1e4 * x[1] * x[2]
    return [first, -first - made, made], [made]


def van_der_pol(x, u):
    return [x[1], 1000 * (1 - x[0] ** 2) * x[1] - x[0]], [1000 * (1 - x[0] ** 2)]


def michaelis_menten(x, u):
    return [-x[0] / (0.5 + x[0])], [x[0] / (0.5 + x[0])]


def pendulum(x, u):
    return [x[1], -4 * np.sin(x[0]) - 0.1 * x[1]], [4 * np.sin(x[0])]


TRUE = {
    "prey-only": predator_growth,
    "duffing": duffing,
    "lorenz": lorenz,
    "robertson": robertson,
    "vdp": van_der_pol,
    "michaelis-menten": michaelis_menten,
    "pendulum": pendulum,
}
ROWS = {"duffing": 1000, "lorenz": 2000, "robertson": 40, "vdp": 400, "michaelis-menten": 90, "pendulum": 150}
ROWS |= {"missing": 101, "prey-only": 101, "outliers": 101, "trajectories": 180}


@pytest.fixture(scope="module")
def problems():
    return {case.name: case.make(1000) for case in CASES}


def states_and_input(problem):
    x = np.stack(list(problem.states.values()), 1)
    return x, np.concatenate([run.u for run in problem.data.trajectories])


@pytest.mark.parametrize("name", NAMES)
def test_the_truth_of_a_case_is_its_law_written_out(problems, name):
    problem = problems[name]
    x, u = states_and_input(problem)
    _, terms = TRUE.get(name, both_interactions)(x.T, u.T[0] if u.size else 0.0)
    for term, values in zip(problem.model.terms, terms, strict=True):
        np.testing.assert_allclose(problem.truth[term], values, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_the_hybrid_with_the_truth_in_it_is_the_law_written_out(problems, name):
    problem = problems[name]
    model, (x, u) = problem.model, states_and_input(problem)
    calls = {call.output_name(k): t for s in model.slots for call in s.calls for k, t in enumerate(s.terms)}
    numbers = {name: p.start for name, p in model.parameters.items() if p.fixed}
    numbers |= {name: problem.law.estimated[name].value for name in model.estimated}
    inputs = {**problem.states, **{n: u[:, k] for k, n in enumerate(model.inputs)}, **numbers}
    inputs |= {symbol: problem.truth[term] for symbol, term in calls.items()}
    slopes = Program(model.rhs, list(inputs)).run(list(inputs.values()))
    true, _ = TRUE.get(name, both_interactions)(x.T, u.T[0] if u.size else 0.0)
    for found, expected in zip(slopes, true, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("name", NAMES)
def test_the_states_follow_the_law_from_sample_to_sample(problems, name):
    problem = problems[name]
    x, _ = states_and_input(problem)
    scale, law, at = np.abs(x).max(0), TRUE.get(name, both_interactions), 0
    # The driving spline has knots between the samples, so that theirs differs by 1e-3 of it.
    rtol = 3e-4 if name == "duffing" else 1e-6
    for run in problem.data.trajectories:
        signal = CubicSpline(run.t, run.u[:, 0]) if run.u.size else lambda t: 0.0
        for k in np.unique(np.linspace(0, len(run.t) - 2, 8).astype(int)):
            done = solve_ivp(
                lambda t, now, u=signal: law(now, u(t))[0],
                run.t[k : k + 2],
                x[at + k],
                method="LSODA",
                rtol=1e-9,
                atol=1e-12,
            )
            np.testing.assert_allclose(done.y[:, -1] / scale, x[at + k + 1] / scale, atol=rtol)
        at += len(run.t)


@pytest.mark.parametrize("name", NAMES)
def test_the_points_of_a_term_are_the_true_values_of_its_arguments(problems, name):
    problem = problems[name]
    for slot in problem.model.slots:
        for term in slot.terms:
            for column, argument in zip(problem.points[term].T, slot.arguments, strict=True):
                np.testing.assert_array_equal(column, problem.states[argument])


@pytest.mark.parametrize("name", NAMES)
def test_the_true_form_has_no_network_and_starts_within_a_factor_of_two(problems, name):
    problem = problems[name]
    model = problem.true_model
    assert not model.slots and model.states == problem.model.states
    true = {**problem.law.estimated, **problem.law.constants}
    assert set(model.estimated) == set(true)
    for constant in model.estimated:
        ratio = model.parameters[constant].start / true[constant].value
        assert 0.5 <= ratio <= 2 and ratio != 1


@pytest.mark.parametrize("name", NAMES)
def test_the_true_form_at_the_true_constants_has_no_error(problems, name):
    problem = problems[name]
    true = {constant: c.value for constant, c in problem.law.constants.items()}
    assert study.relative_error(problem.law.term_values(problem.states, true), problem.truth) == 0.0


# ------------------------------------------------------------------ what is measured
@pytest.mark.parametrize("name", NAMES)
def test_a_case_has_its_rows_and_columns(problems, name):
    data = problems[name].data
    assert data.n_samples == ROWS.get(name, 31)
    columns = {"prey-only": ("prey",), "duffing": ("x",), "pendulum": ("theta",)}
    assert data.columns == columns.get(name, problems[name].model.states)
    assert dict(data.inputs) == ({"u": "cubic"} if name == "duffing" else {})


def deviations(case, seeds):
    """(all rows of all seeds, columns) what was measured less the truth, in units of the case's noise."""
    rows = []
    for seed in seeds:
        problem = case.make(seed)
        exact = np.stack([problem.states[column] for column in problem.data.columns], 1)
        scale = case.scale(np.stack(list(problem.states.values()), 1))
        kept = [list(problem.states).index(column) for column in problem.data.columns]
        measured = np.concatenate([run.y for run in problem.data.trajectories])
        rows.append((measured - exact) / (case.noise * scale[kept]))
    return np.concatenate(rows)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("outliers", "vdp")])
def test_the_noise_has_its_level(name):
    (case,) = choose_cases([name])
    off = deviations(case, range(1 if ROWS.get(name, 31) > 500 else 3))
    n = np.isfinite(off).sum()
    assert np.nanstd(off) == pytest.approx(1.0, abs=4 / math.sqrt(2 * n))  # four standard errors


def test_forty_percent_of_the_cells_are_missing():
    missing = np.isnan(deviations(choose_cases(["missing"])[0], range(20)))
    assert missing.mean() == pytest.approx(0.4, abs=4 * math.sqrt(0.4 * 0.6 / missing.size))


def test_ten_percent_of_the_cells_are_outliers_of_ten_standard_deviations():
    off = deviations(choose_cases(["outliers"])[0], range(20))
    far = np.abs(off) > OUTLIER_SIZE / 2
    assert far.mean() == pytest.approx(0.1, abs=4 * math.sqrt(0.1 * 0.9 / far.size))
    assert np.abs(off[far]).mean() == pytest.approx(OUTLIER_SIZE, abs=0.3)
    assert off[~far].std() == pytest.approx(1.0, abs=0.06)


def test_the_study_s_data_are_those_of_the_built_in_system():
    data = choose_cases(["lv-1%"])[0].make(7).data
    other = make_data(get_system("lotka_volterra"), 0.01, seed=7)
    np.testing.assert_allclose(data.trajectories[0].y, other.trajectories[0].y, rtol=1e-9)


def test_the_short_trajectories_have_times_of_their_own(problems):
    runs = problems["trajectories"].data.trajectories
    assert len(runs) == 30 and {len(run.t) for run in runs} == {6}
    times = np.concatenate([run.t for run in runs])
    assert len(np.unique(times)) == 180 and 0 <= times.min() and times.max() <= 3


def test_the_relaxation_oscillation_is_sampled_through_its_jumps(problems):
    x = problems["vdp"].states["x"]
    assert np.abs(np.diff(x)).max() < 0.5  # of the 3 that a jump spans
    crossings = np.flatnonzero(np.diff(np.sign(x)))
    t = problems["vdp"].data.trajectories[0].t
    period = 1000 * (3 - 2 * math.log(2)) + 7.01432 / 10  # Dorodnitsyn's expansion in mu = 1000; the rest is 0.02
    assert len(crossings) == 3 and t[crossings[2]] - t[crossings[0]] == pytest.approx(period, abs=0.1)


def test_the_same_seed_makes_the_same_data_and_another_seed_others(problems):
    for name in ("trajectories", "missing", "pendulum"):
        (case,) = choose_cases([name])
        assert case.make(1000).data.sha256 == problems[name].data.sha256 != case.make(1001).data.sha256


def test_a_law_that_runs_away_cannot_be_simulated():
    law = Law(equations="x' = NN(x)", terms={"NN(x)": "k*x^2"}, constants={"k": Constant(1.0, 0.5)})
    with pytest.raises(SolveError, match=r"cannot be simulated from \[1\] to t = 2: "):
        law.solve([1], (0, 2))  # 1/(1 - t)


# ------------------------------------------------------------------ which runs
@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_the_parts_cover_every_run_exactly_once(count):
    tasks = [(name, seed) for name in NAMES for seed in range(3)]
    parts = [share_of(tasks, f"{k}/{count}") for k in range(1, count + 1)]
    assert sorted(task for part in parts for task in part) == sorted(tasks)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("part", ["0/4", "5/4", "1", "a/b", "-1/4", "1/4/2", ""])
def test_what_is_no_part_is_refused(part):
    with pytest.raises(DataError, match=r"is no part\. Write which and how many"):
        share_of([1, 2, 3], part)


def test_an_unknown_case_is_refused_with_the_nearest():
    with pytest.raises(DataError, match=r"there is no case 'duffin'\. Did you mean 'duffing'"):
        choose_cases(["duffin"])
    done = CliRunner().invoke(application(), ["bench", "residual-terms", "--case", "lv-2%"])
    assert done.exit_code == 1 and "there is no case 'lv-2%'" in done.stderr


def test_a_case_named_twice_is_run_once():
    assert [c.name for c in choose_cases(["vdp", "missing", "vdp"])] == ["vdp", "missing"]


# ------------------------------------------------------------------ one run
def test_the_error_is_over_all_terms_together():
    truth = {"NN1": np.array([3.0, 0.0]), "NN2": np.array([0.0, 4.0])}
    values = {"NN2": np.array([0.0, 4.5]), "NN1": np.array([3.0, 0.0])}
    assert study.relative_error(values, truth) == pytest.approx(0.1)
    assert study.relative_error({**values, "NN1": np.array([np.nan, 0.0])}, truth) is None


def stand_in(model, data, seed=0, options=None):
    """A fit that finds the terms 10 % too large, and the true form's constants where they start."""
    return SimpleNamespace(
        term=lambda name, points: (
            (1.1 * BETA * -points[:, 0] * points[:, 1], None)
            if name == "NN1"
            else (1.1 * GAMMA * points[:, 0] * points[:, 1], None)
        ),
        parameters={name: (model.parameters[name].start, 0.1) for name in model.estimated},
        states=(np.ones((3, 2)),),
        terms={"NN1": SimpleNamespace(values=np.ones(3))},
        error={"prey": 0.1},
        converged=True,
        warnings=("a warning",),
    )


def test_a_run_records_the_errors_of_the_networks_and_of_the_true_form(monkeypatch):
    monkeypatch.setattr(udesys, "fit", stand_in)
    run = study.fit_once("lv-1%", 1000, limit=True)
    assert run.error == pytest.approx(0.1)
    assert run.limit == pytest.approx(math.hypot(0.4, 0.3) / math.hypot(0.9, 0.8))
    assert run.converged and run.warnings == ("a warning",) and run.failure == run.limit_failure == ""
    assert study.fit_once("lv-1%", 1000, limit=False).limit is None


def test_what_a_fit_raises_is_recorded(monkeypatch):
    def refuse(model, data, **options):
        raise FitError("no start led\n    to finite states.")

    monkeypatch.setattr(udesys, "fit", refuse)
    run = study.fit_once("lv-1%", 1000, limit=True)
    assert run.error is None and not run.converged
    assert run.failure == run.limit_failure == "FitError: no start led to finite states."
    start = fit_from_random_weights("lv-1%", 3)
    assert start.raised == "FitError: no start led to finite states." and not start.unexplained


def test_an_attempt_returns_the_value_or_the_reason():
    assert attempt(lambda: 7) == (7, "")
    assert attempt(lambda: 1 / 0) == (None, "ZeroDivisionError: division by zero")


# ------------------------------------------------------------------ the table
def run(case="lv-1%", seed=1000, error=0.05, limit=0.01, converged=True, failure="", limit_failure="", seconds=2.0):
    return study.Run(
        case=case,
        seed=seed,
        error=error,
        limit=limit,
        converged=converged,
        seconds=seconds,
        warnings=(),
        failure=failure,
        limit_failure=limit_failure,
    )


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_sets_each_error_beside_its_aim_and_the_true_form():
    runs = [run(error=e, limit=e / 5, seconds=s) for e, s in ((0.04, 1.0), (0.05, 2.0), (0.3, 9.0))]
    lines = study.table([*runs, run(case="vdp", error=2.5, limit=None, converged=False)]).splitlines()
    assert cells(lines[2]) == ["lv-1%", "0.06", "0.0500", "yes", "0.3000", "0.0100", "3 of 3", "2.00"]
    assert cells(lines[3]) == ["vdp", "0.1", "2.5", "no", "2.5", "-", "0 of 1", "2.00"]
    assert lines[5:] == ["1 of 2 cases have a median error below their aim."]


def test_a_failed_run_counts_as_the_worst_and_says_why():
    runs = [run(error=0.01), run(seed=1001, error=None, limit=None, failure="FitError: no.", limit_failure="X: y")]
    lines = study.table(runs).splitlines()
    assert cells(lines[2])[2:6] == ["failed", "no", "failed", "failed"]
    assert lines[-2:] == ["- lv-1%, seed 1001: FitError: no.", "- lv-1%, seed 1001, true form: X: y"]
    median = cells(study.table([*runs, run(error=0.03)]).splitlines()[2])
    assert median[2:6] == ["0.0300", "yes", "failed", "0.0100"]


def test_the_headline_numbers_are_median_errors():
    runs = [run(error=e) for e in (0.04, 0.05, 0.3)]
    runs += [run(case="vdp", error=None, failure="FitError: no.", seconds=3.0)]
    assert study.summary(runs) == {
        "relative L2 error, lv-1%": 0.05,
        "relative L2 error, vdp": math.inf,
        "cases below their aim, %": 50.0,
        "failed runs": 1,
        "median s": 2.0,
    }
    assert study.summary([]) == {} and study.table([]) == "no runs"


# ------------------------------------------------------------------ random starts
def start(case="vdp", raised="", not_finite=(), converged=True, warnings=()):
    return RandomStart(
        case=case, seed=4, raised=raised, not_finite=not_finite, converged=converged, warnings=warnings, seconds=1.0
    )


@pytest.mark.parametrize(
    ("found", "unexplained"),
    [
        (start(), False),
        (start(converged=False), True),
        (start(converged=False, warnings=("the fit stopped early",)), False),
        (start(not_finite=("error",)), True),
        (start(not_finite=("error",), warnings=("it runs away",)), False),
        (start(raised="ValueError: "), True),
        (start(raised="FitError: no start led to finite states.", converged=False), False),
    ],
)
def test_what_went_wrong_without_a_reason_is_unexplained(found, unexplained):
    assert found.unexplained is unexplained


def test_the_table_of_random_starts_counts_what_went_wrong():
    runs = [
        start(),
        start(converged=False),
        start(raised="FitError: no.", converged=False),
        start(case="lorenz", not_finite=("states", "error"), converged=False),
    ]
    lines = restarts_table(runs).splitlines()
    assert cells(lines[0]) == ["case", *restarts_summary(runs)]
    assert cells(lines[2]) == ["vdp", "3", "1", "0", "1", "1", "1.00"]
    assert cells(lines[3]) == ["lorenz", "1", "0", "1", "1", "1", "1.00"]
    assert cells(lines[4]) == ["**all**", "4", "1", "1", "2", "2", "1.00"]
    assert lines[6:] == [
        "- vdp, seed 4: not converged; no warning says why",
        "- vdp, seed 4: raised FitError: no.",
        "- lorenz, seed 4: not finite: states, error; not converged; no warning says why",
    ]
    assert restarts_summary(runs)["without a reason"] == 2
    assert restarts_table([]) == "no runs" and restarts_summary([]) == {}


def test_the_fields_that_are_not_finite_are_named():
    (case,) = choose_cases(["lv-1%"])
    problem = case.make(0)
    good = stand_in(problem.model, problem.data)
    assert where_not_finite(good, problem) == ()
    bad = SimpleNamespace(**{**vars(good), "states": (np.array([[1.0, np.inf]]),), "error": {"prey": math.nan}})
    assert where_not_finite(bad, problem) == ("states", "error")


# ------------------------------------------------------------------ the command
def test_the_comparison_is_listed_and_explains_itself():
    listed = CliRunner().invoke(application(), ["bench"])
    assert listed.exit_code == 0 and study.TITLE in listed.output and len(CASES) == 15
    explained = CliRunner().invoke(application(), ["bench", "residual-terms", "--help"])
    assert explained.exit_code == 0 and "--restarts" in explained.output


def test_a_part_without_runs_is_an_empty_table():
    command = ["bench", "residual-terms", "--seeds", "1", "--case", "lv-1%", "--part", "2/2"]
    done = CliRunner().invoke(application(), command)
    assert done.exit_code == 0 and done.stdout == "no runs\n"
    assert json.loads(CliRunner().invoke(application(), [*command, "--json"]).stdout)["rivals"] == {}


def test_the_options_reach_the_runs_and_the_true_form_is_a_rival(monkeypatch):
    asked = {}

    def carry_out(function, tasks, warm_up, **options):
        asked.update(function=function, tasks=tasks, **options)
        made = {study.fit_once: lambda name, seed, limit: run(name, seed, limit=0.01 if limit else None)}
        return [made.get(function, lambda name, seed: start(name))(*task) for task in tasks], 3.0

    monkeypatch.setattr(study, "carry_out", carry_out)
    command = ["bench", "residual-terms", "--case", "lv-1%", "--case", "vdp", "--seed", "5", "--json"]
    done = CliRunner().invoke(application(), [*command, "--seeds", "2", "--part", "1/2", "--keep", "k"])
    assert asked["tasks"] == [(case, seed, True) for case in ("lv-1%", "vdp") for seed in (5, 6)]
    assert (asked["part"], asked["jobs"], asked["keep"]) == ("1/2", 1, Path("k"))
    errors = {"relative L2 error, lv-1%": 0.01, "relative L2 error, vdp": 0.01}
    assert json.loads(done.stdout)["rivals"] == {"the true form, refitted": errors}
    found = json.loads(CliRunner().invoke(application(), [*command, "--no-limit", "--seeds", "1"]).stdout)
    assert found["rivals"] == {} and found["summary"]["cases below their aim, %"] == 100.0
    found = json.loads(CliRunner().invoke(application(), [*command, "--restarts", "3"]).stdout)
    assert asked["tasks"] == [("lv-1%", 5), ("vdp", 6), ("lv-1%", 7)] and found["summary"]["fits"] == 3


@pytest.mark.slow
def test_a_run_of_one_case_from_the_command_line(tmp_path):
    command = ["bench", "residual-terms", "--seeds", "1", "--case", "lv-0.1%", "--keep", str(tmp_path / "runs.jsonl")]
    done = CliRunner().invoke(application(), [*command, "--json"])
    (found,) = json.loads(done.stdout)["rows"]
    assert found["case"] == "lv-0.1%" and found["failure"] == found["limit_failure"] == ""
    assert found["converged"] and found["limit"] < found["error"] < 0.02
    (case,) = choose_cases(["lv-0.1%"])
    table = CliRunner().invoke(application(), command).stdout
    assert cells(table.splitlines()[2])[:3] == ["lv-0.1%", f"{case.aim:g}", f"{found['error']:.4f}"]


@pytest.mark.slow
def test_random_starts_from_the_command_line():
    done = CliRunner().invoke(application(), ["bench", "residual-terms", "--restarts", "2", "--case", "lv-1%"])
    assert done.exit_code == 0, done.output
    assert cells(done.stdout.splitlines()[2])[:3] == ["lv-1%", "2", "0"]
