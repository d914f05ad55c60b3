"""Structure support: resampled data against NumPy, shares against counting by hand, the same with any processes."""

import functools
import json
from dataclasses import replace

import numpy as np
import pytest
from laws import solution
from typer.testing import CliRunner

import udesys as ud
from udesys import cli
from udesys.assess.resampling import Resampling, block_length, block_starts, resampling_of, with_residuals
from udesys.assess.support import LEAST_DRAWS, Outcome, Support, form_of, support_of
from udesys.data import Dataset, Trajectory
from udesys.errors import FitError, UdesysError
from udesys.model import HybridODE
from udesys.model.closed_form import ClosedForm, Formula
from udesys.model.grammar import parse_expression
from udesys.repeating import question_of, repeat, with_support
from udesys.report.support_figure import draw_support
from udesys.search import Library, SearchOptions
from udesys.spec import load_spec
from udesys.systems import get_system, make_data

TIMES = np.linspace(0, 3, 25)
PLAIN = SearchOptions(engines=("sparse",), library=Library(degree=2, functions=(), templates=()))


def data_of(*columns, t=TIMES, names=("x",)):
    runs = tuple(Trajectory(name=str(k), t=t, y=np.asarray(y).reshape(len(t), -1)) for k, y in enumerate(columns))
    return Dataset(trajectories=runs, columns=names, time="t", source="made up")


@functools.cache
def line():
    """x' = a with noise of 0.2, and its law."""
    y = 1.0 + 0.7 * TIMES + 0.2 * np.random.default_rng(1).standard_normal(len(TIMES))
    return y, ud.discover(HybridODE("x' = a"), data_of(y))


@functools.cache
def decay():
    """x' = NN(x) of x' = -x**2 with noise of 0.5 %, and its law."""
    y = solution(lambda t, x: -(x**2), [2.0], TIMES) + 0.004 * np.random.default_rng(4).standard_normal((25, 1))
    return ud.discover(HybridODE("x' = NN(x)"), data_of(y), options=PLAIN)


# --- resampled data ----------------------------------------------------------------------------------


def test_a_resampled_data_set_is_the_law_with_noise_of_its_size_and_the_same_gaps():
    y = np.column_stack([1.0 + TIMES, np.exp(-TIMES)])
    y[[0, 7, 24], 1] = np.nan
    data, noise, rng = (
        data_of(y, names=("a", "b")),
        np.column_stack([0.5 + TIMES, np.full(25, 0.1)]),
        np.random.default_rng(0),
    )
    found = Resampling(data=data, simulated=np.nan_to_num(y), noise=noise, seen=np.isfinite(y))
    drawn = np.array([found.draw(rng).trajectories[0].y for _ in range(4000)])
    assert (np.isnan(drawn) == np.isnan(y)).all()
    seen = np.isfinite(y)
    assert np.abs((drawn.mean(0) - y) / noise)[seen].max() < 5 / np.sqrt(4000)
    assert np.abs(drawn.std(0) / noise - 1.0)[seen].max() < 5 / np.sqrt(2 * 4000)
    assert found.draw(rng).sha256 != data.sha256


def test_the_law_is_simulated_from_its_own_start_with_its_own_noise():
    y, law = line()
    found = resampling_of(law)
    assert found.kind == "parametric"
    slope, start = law.parameters["a"].value, law.initial["0"]["x"]
    assert found.simulated[:, 0] == pytest.approx(start + slope * TIMES, rel=1e-9)
    residuals = y - np.polyval(np.polyfit(TIMES, y, 1), TIMES)
    assert found.noise == pytest.approx(np.sqrt((residuals**2).sum() / 23) * np.ones((25, 1)), rel=1e-6)


def test_noise_that_grows_with_what_is_measured_is_drawn_like_that():
    law = replace(line()[1], noise_profile={"x": (0.1, 0.05)})
    found = resampling_of(law)
    assert found.noise == pytest.approx(np.sqrt(0.1**2 + (0.05 * found.simulated) ** 2), rel=1e-12)


def test_inputs_and_covariates_stay_as_they_are():
    u = np.sin(TIMES)[:, None]
    run = Trajectory(name="a", t=TIMES, y=np.ones((25, 1)), u=u, covariates=[3.0])
    data = Dataset(
        trajectories=(run,), columns=("x",), time="t", source="", inputs={"f": "linear"}, covariates=("k",)
    )  # fmt: skip
    drawn = Resampling(data=data, simulated=np.ones((25, 1)), noise=np.ones((25, 1)), seen=np.ones((25, 1), bool))
    (found,) = drawn.draw(np.random.default_rng(1)).trajectories
    assert (found.t == TIMES).all() and (found.u == u).all() and found.covariates == [3.0]


def test_blocks_keep_neighbours_and_columns_together_within_their_trajectory():
    t, lengths = np.arange(30.0), [30, 30]
    data = data_of(np.zeros((30, 2)), np.zeros((30, 2)), t=t, names=("a", "b"))
    marks = np.column_stack([np.arange(60.0), np.arange(60.0) + 0.25])
    ones = np.ones((60, 2))
    found = Resampling(
        data=data, simulated=0 * ones, noise=ones, seen=ones > 0, residuals=marks, block_length=7
    )  # fmt: skip
    for seed in range(20):
        drawn = found.draw(np.random.default_rng(seed))
        for run in drawn.trajectories:
            assert (run.y[:, 1] - run.y[:, 0] == 0.25).all()
            for a in range(0, 30, 7):
                rows = run.y[a : a + 7, 0].astype(int)
                assert (np.diff(rows) == 1).all()
                assert rows[0] // 30 == rows[-1] // 30
    assert block_starts(lengths, 7).tolist() == [*range(24), *range(30, 54)]


def test_moved_residuals_have_the_mean_zero_and_the_size_of_the_errors_behind_them():
    rng = np.random.default_rng(5)
    error = np.convolve(rng.standard_normal(240), np.ones(5), "valid")[:200, None] + 0.3
    error[[3, 50, 51], 0] = np.nan
    seen, t = np.isfinite(error), np.arange(200.0)
    base = Resampling(
        data=data_of(np.zeros(200), t=t), simulated=np.zeros((200, 1)), noise=np.full((200, 1), 2.0), seen=seen
    )
    found = with_residuals(base, error, unknowns=17)
    drawn = np.array([found.draw(rng).trajectories[0].y[:, 0] for _ in range(3000)])
    assert (np.isnan(drawn) == ~seen[:, 0]).all()
    spread = np.nanstd(error) * np.sqrt(197 / 180)  # 17 degrees of freedom are spent
    assert abs(np.nanmean(drawn)) < 0.06 * spread
    assert np.nanstd(drawn) == pytest.approx(spread, rel=0.04)
    lag = np.nanmean(drawn[:, 100:199] * drawn[:, 101:200]) / np.nanmean(drawn**2)
    assert lag == pytest.approx(0.8, abs=0.1)  # of a moving sum of five, but for the seams of the blocks


def test_a_block_is_as_long_as_the_correlation_asks_for():
    rng, n = np.random.default_rng(7), 1000
    white = rng.standard_normal((n, 1))
    assert block_length(white, [n]) == 10  # the cube root of the rows
    found = []
    for _ in range(20):
        noise, series = rng.standard_normal(n), np.zeros(n)
        for k in range(1, n):
            series[k] = 0.8 * series[k - 1] + noise[k]
        found.append(block_length(np.column_stack([white[:, 0], series]), [n]))
    # Politis & White (2004), with the exact correlations 0.8**k in place of the estimated ones
    theory = (1.5 * (2 * 0.8 / (1 - 0.8**2)) ** 2) ** (1 / 3) * n ** (1 / 3)
    assert np.median(found) == pytest.approx(theory, rel=0.25)


def test_residuals_that_wander_are_moved_in_blocks_and_white_ones_drawn_anew():
    t = np.linspace(0, 10, 120)
    y = np.exp(-0.3 * t) + 0.05 * np.sin(3 * t) + 0.005 * np.random.default_rng(3).standard_normal(120)
    law = ud.discover(HybridODE("x' = -k*x"), data_of(y, t=t))
    found = resampling_of(law)
    assert found.kind == "blocks" and found.block_length >= 5
    assert resampling_of(law, "parametric").kind == "parametric"
    assert resampling_of(line()[1], "blocks").block_length == 3  # the cube root of 25 rows
    with pytest.raises(UdesysError, match=r"kind = 'block' is unknown\. Did you mean 'blocks'"):
        resampling_of(law, "block")


# --- counting ----------------------------------------------------------------------------------------

TWO = HybridODE("x' = a*x + NN1(x, y)\ny' = NN2(x, y)")


def law_of(**texts):
    formulas = {}
    for term, text in texts.items():
        tree = parse_expression(text)
        formulas[term] = Formula(tree, {name: 1.0 for name in ("c0", "c1", "c2") if name in text})
    return ClosedForm(TWO, formulas, {"a": 1.0})


def test_equal_forms_have_one_key_however_they_are_written():
    one = form_of(law_of(NN1="c0*x*y + c1*x", NN2="c0*x/(c1 + x)"))
    other = form_of(law_of(NN1="c0*x + c1*y*x", NN2="c1*x/(c0 + x)"))
    third = form_of(law_of(NN1="c0*x + c1*y*x", NN2="c0*x**2/(c1**2 + x**2)"))
    assert one.key == other.key != third.key
    assert [text for _, text in one.summands[0]] == ["c0*x*y", "c0*x"]
    assert [key for key, _ in one.summands[0]] == [key for key, _ in other.summands[0]][::-1]
    assert one.summands[1][0][1] == "c0*x/(c1 + x)"


def counted():
    own = form_of(law_of(NN1="c0*x*y", NN2="c0*y"))
    sum_, rival = form_of(law_of(NN1="c0*x*y + c1*x", NN2="c0*y")), form_of(law_of(NN1="c0*y", NN2="c0*y"))
    outcomes = [
        Outcome(picked=own, near=(own, rival), values=(1.0, 2.0, 3.0)),
        Outcome(picked=sum_, near=(sum_, own), values=(2.0, 2.0, 3.0)),
        Outcome(picked=sum_, near=(sum_,), values=None),
        Outcome(picked=None, failure="no formula simulates the data."),
    ]
    return support_of(own, [rival], outcomes, model=TWO, names=("a", "NN1.c0", "NN2.c0"), seed=3)


def test_forms_terms_and_failures_are_counted_in_all_resamples():
    found = counted()
    assert (found.resamples, found.failed, found.failures) == (4, 1, {"no formula simulates the data.": 1})
    assert (found.share, found.within_reach) == (0.25, 0.5)
    assert [(f.residuals["NN1"], f.picked, f.near) for f in found.forms] == [("c0*x*y + c1*x", 2, 2), ("c0*y", 0, 1)]
    assert found.terms == {"NN1": {"c0*x*y + c1*x": 2, "c0*x*y": 1}, "NN2": {"c0*y": 3}}
    assert found.summands == {"NN1": {"c0*x*y": 3, "c0*x": 2}, "NN2": {"c0*y": 3}}
    assert found.intervals == {}  # two are too few
    assert Support.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_intervals_are_percentiles_of_the_form_refitted_everywhere():
    own, values = form_of(law_of(NN1="c0*x*y", NN2="c0*y")), np.random.default_rng(8).standard_normal((60, 3))
    outcomes = [Outcome(picked=own, near=(own,), values=tuple(row)) for row in values]
    found = support_of(own, [], outcomes, model=TWO, names=("a", "NN1.c0", "NN2.c0"))
    assert found.intervals["NN1.c0"] == pytest.approx(np.percentile(values[:, 1], [2.5, 97.5]))
    assert not support_of(own, [], outcomes[: LEAST_DRAWS - 1], model=TWO, names=("a", "b", "c")).intervals


def test_the_printed_table_has_the_pick_its_rivals_the_terms_and_what_failed():
    text = str(counted())
    lines = [line.split() for line in text.splitlines()]
    assert [">>>>", "NN1", "=", "c0*x*y", "25", "%", "50", "%"] in lines
    assert ["NN1", "=", "c0*x*y", "+", "c1*x", "50", "%", "50", "%"] in lines
    assert ["NN1", "c0*x*y", "75", "%"] in lines and ["c0*x", "50", "%"] in lines
    assert "1 found no law: no formula simulates the data. (1)" in text
    law = replace(decay(), support=counted())
    assert "Support: 4 resamples with noise drawn anew: this form is picked in 1 (25 %) and within" in str(law)
    assert law.to_dict()["support"]["share"] == 0.25
    assert draw_support(counted()).to_png().startswith(b"\x89PNG")


# --- repeats -----------------------------------------------------------------------------------------


def test_intervals_of_repeats_are_those_of_the_regression():
    _, law = line()
    question = question_of(law, resampling_of(law), seed=0)
    outcomes = [repeat(question, number) for number in range(80)]
    found = support_of(form_of(law.closed_form), [], outcomes, model=law.model, names=("a",))
    assert found.share == 1.0
    low, high = found.intervals["a"]
    error = law.noise["x"] / np.sqrt(((TIMES - TIMES.mean()) ** 2).sum())  # of a straight line's slope
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.4)  # an end is known to a sixth from 80
    assert 0.5 * (low + high) == pytest.approx(law.parameters["a"].value, abs=0.6 * error)


def test_a_repeat_has_the_noise_and_the_options_that_were_given():
    options, fit_options = replace(PLAIN, max_terms=2), ud.FitOptions(restarts=2)
    y = solution(lambda t, x: -(x**2), [2.0], TIMES)
    law = ud.discover(HybridODE("x' = NN(x)"), data_of(y), noise={"x": 0.01}, options=options, fit_options=fit_options)
    question = question_of(law, resampling_of(law), seed=0)
    assert question.noise == {"x": pytest.approx(0.01, rel=1e-12)}
    assert question.fit_options == fit_options
    assert (question.options.max_terms, question.options.library) == (2, PLAIN.library)


def test_a_repeat_that_fails_is_counted_and_told(monkeypatch):
    _, law = line()
    question = question_of(law, resampling_of(law), seed=0)

    def fail(*args, **options):
        raise FitError("no start led to finite states.")

    monkeypatch.setattr("udesys.repeating.discover", fail)
    assert repeat(question, 0) == Outcome(picked=None, failure="no start led to finite states.")


def test_the_same_seed_gives_the_same_shares_with_any_number_of_processes(tmp_path):
    told = []
    one = with_support(decay(), 4, jobs=1, seed=5, progress=lambda *event: told.append(event)).support
    two = with_support(decay(), 4, jobs=2, seed=5).support
    assert replace(one, seconds=0.0) == replace(two, seconds=0.0)
    assert one.form.picked == 4 and one.form.residuals == {"NN": "c0*x**2"}
    assert [step for _, step, _ in told] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("asked", [{"resamples": 0}, {"jobs": 0}, {"seed": -1}, {"resamples": 2.5}, {"jobs": True}])
def test_what_is_no_whole_number_is_refused(asked):
    (name,) = asked
    with pytest.raises(UdesysError, match=f"{name} = .* must be a whole number"):
        with_support(line()[1], **asked)


def test_the_command_adds_the_support_to_the_run(tmp_path):
    ud.api.Law(**vars(decay())).save(tmp_path / "run")
    arguments = ["support", str(tmp_path / "run"), "--resamples", "2", "--jobs", "1", "--parametric"]
    done = CliRunner().invoke(cli.application(), arguments)
    assert done.exit_code == 0, done.output
    assert ">>>> c0*x**2" in done.stdout and "2 of 2 resamples" in done.stderr
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["support"]["form"] == {"residuals": {"NN": "c0*x**2"}, "picked": 2, "near": 2}
    law = ud.load_run(tmp_path / "run")
    assert law.support == Support.from_dict(result["support"])
    assert law.options == decay().options and law.fit.options == decay().fit.options
    assert (tmp_path / "run" / "figures" / "support.png").exists()


# --- studies -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_right_form_has_nearly_all_shares_where_the_noise_is_small():
    system = get_system("lotka_volterra")
    law = ud.discover(HybridODE(system.equations, parameters=system.parameters), make_data(system, 0.001, seed=0))
    found = with_support(law, 40).support
    assert set(found.form.residuals.values()) == {"c0*prey*predator"}
    assert found.share > 0.95
    beta, gamma = (found.intervals[f"{term}.c0"] for term in ("NN1", "NN2"))
    assert beta[0] < -0.9 < beta[1] and gamma[0] < 0.8 < gamma[1]


@pytest.mark.slow
def test_the_hares_and_lynx_share_their_support_among_rivals(data_dir):
    spec = load_spec(data_dir / "lynx_hare.toml")
    law = ud.discover(spec.model, spec.data, options=spec.options)
    found = with_support(law, 40).support
    assert found.failed == 0
    assert 0.2 < found.share < 0.9  # 21 rows do not decide
    assert any(form.residuals["NN1"] == "c0*hare*lynx" and form.picked for form in found.forms)  # the textbook's
    assert found.summands["NN2"]["c0*hare*lynx"] > 0.8 * found.resamples
