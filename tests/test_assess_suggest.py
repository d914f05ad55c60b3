"""Where to measure next: the utilities against closed formulas, the whole against regression, refusals and text."""

import json
from dataclasses import replace

import numpy as np
import pytest
from laws import dataset
from scipy.integrate import quad
from scipy.optimize import least_squares
from scipy.stats import norm
from typer.testing import CliRunner

from udesys import api, cli
from udesys.assess.discovery import Discovery, RankedModel, Residual
from udesys.assess.estimate import Estimate
from udesys.assess.footing import Footing, Rival
from udesys.assess.suggest.check import chance_of_telling, extended
from udesys.assess.suggest.designs import Design, parsed_starts
from udesys.assess.suggest.suggestions import Suggestions
from udesys.assess.suggest.utility import expected_ratios, information, overlaps, variance_after
from udesys.errors import DataError, ModelError, UdesysError
from udesys.model import HybridODE
from udesys.model.closed_form import ClosedForm, Formula
from udesys.model.grammar import parse_expression
from udesys.report.suggest_figure import draw_suggestion
from udesys.runs.files import to_json
from udesys.search.measurements import Measurements

SIGMA = 0.1
T = np.linspace(0.0, 3.0, 8)
TWO = (("c0", {"c0": 1.0}), ("c0*t", {"c0": 0.6}))  # x' = c0 and x' = c0*t: lines and parabolas


def law_of(forms, y, t=T, equations="x' = NN(x, t)", criteria=None, **model_options) -> Discovery:
    """A law with rivals, none of them searched for, refitted to one run with noise of SIGMA."""
    model = HybridODE(equations, **model_options)
    n = len(t)
    measurements = Measurements(
        t=t,
        y=y[:, None],
        mask=np.ones((n, 1)),
        sigma=np.array([SIGMA]),
        segments=(np.array([0]), np.array([n])),
        free=np.array([True]),
    )
    footing = Footing(
        data=measurements,
        nodes=y[:, None],
        steps=np.full(n, 2),
        x0=y[:1, None],
        degrees=n - 2.0,
        measured_noise=np.array([SIGMA]),
    )
    made = [
        ClosedForm(model, {term: Formula(parse_expression(text), constants) for term in model.terms}, {})
        for text, constants in forms
    ]
    refitter = footing.refitter(model)
    found = [refitter.refit(form, footing.x0, iterations=60) for form in made]
    criteria = criteria or [0.0] * len(forms)
    ranked = [
        RankedModel(
            residuals={"NN": text}, criterion=c, delta=c - min(criteria), n_constants=1, error={}, heldout_error={}
        )
        for c, (text, _) in zip(criteria, forms, strict=True)
    ]  # fmt: skip
    return Discovery(
        model=model,
        data=dataset(["x"], (t, y[:, None])),
        heldout=None,
        seed=0,
        status="ok",
        closed_form=found[0].form,
        residuals={},
        parameters={},
        initial={"1": {"x": float(found[0].x0[0, 0])}},
        noise={"x": SIGMA},
        error={},
        candidates=tuple(ranked),
        visited={"x": (float(y.min()), float(y.max()))},
        warnings=(),
        timing_s={},
        engines=(),
        fit=None,
        footing=replace(footing, x0=found[0].x0),
        rivals=tuple(
            Rival(closed_form=f.form, x0=f.x0, criterion=c) for f, c in zip(found[1:], criteria[1:], strict=True)
        ),
    )


def between_line_and_parabola() -> np.ndarray:
    return 1.0 + 0.5 * T + 0.08 * T**2 + SIGMA * np.random.default_rng(3).standard_normal(len(T))


def design_rows(t, kind):
    """Regression: x = x0 + c t, or x0 + c t^2 / 2."""
    t = np.atleast_1d(t)
    return np.stack([np.ones_like(t), t if kind == "line" else t**2 / 2], 1)


def regression(t, y, kind):
    """Estimates, their covariance for noise of SIGMA, and the residual sum of squares."""
    rows = design_rows(t, kind)
    found, *_ = np.linalg.lstsq(rows, y, rcond=None)
    return found, SIGMA**2 * np.linalg.inv(rows.T @ rows), float(((y - rows @ found) ** 2).sum())


# --- the utilities ---------------------------------------------------------------------------------


def gaussians(*pairs):
    mean = np.array([[[m]] for m, _ in pairs])
    return mean, np.array([[[[s**2]]] for _, s in pairs])


def test_the_expected_ratio_of_gaussians_is_the_integral_of_its_definition():
    (m1, s1), (m2, s2) = (0.3, 0.5), (1.1, 0.8)
    ratio = expected_ratios(*gaussians((m1, s1), (m2, s2)))[..., 0]
    density = {0: norm(m1, s1), 1: norm(m2, s2)}
    for i, j in ((0, 1), (1, 0)):
        true, other = density[i], density[j]
        integral, _ = quad(lambda x, p=true, q=other: p.pdf(x) * 2 * (p.logpdf(x) - q.logpdf(x)), -9, 9)
        assert ratio[i, j] == pytest.approx(integral, rel=1e-7)
    assert np.diag(ratio) == pytest.approx([0, 0], abs=1e-12)


def test_with_equal_covariances_the_expected_ratio_is_the_squared_distance():
    rng = np.random.default_rng(0)
    root, apart = rng.standard_normal((4, 4)), rng.standard_normal(4)
    covariance = root @ root.T + np.eye(4)
    ratio = expected_ratios(np.stack([np.zeros(4), apart])[:, None], np.stack([covariance] * 2)[:, None])
    assert ratio[0, 1, 0] == pytest.approx(apart @ np.linalg.solve(covariance, apart), rel=1e-9)


def test_overlap_is_the_integral_of_its_definition_and_what_blows_up_is_told_from_nothing():
    (m1, s1), (m2, s2) = (0.3, 0.5), (1.1, 0.8)
    mean, covariance = gaussians((m1, s1), (m2, s2), (np.nan, 1.0))
    found = overlaps(mean, covariance)[..., 0]
    integral, _ = quad(lambda x: np.sqrt(norm.pdf(x, m1, s1) * norm.pdf(x, m2, s2)), -9, 9)
    assert found[0, 1] == pytest.approx(integral, rel=1e-7)
    assert (found[2] == 1).all() and (expected_ratios(mean, covariance)[2] == 0).all()


@pytest.mark.parametrize("apart", [0.0, 1.0, 2.5, 30.0])
def test_information_is_below_the_mutual_information_and_meets_it_at_both_ends(apart):
    weights = np.array([0.3, 0.7])
    found = information(weights, overlaps(*gaussians((0.0, 1.0), (apart, 1.0))))[0]

    def integrand(x):
        each = norm.pdf(x, [0.0, apart], 1.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.nansum(weights * each * np.log(each / (weights @ each))))

    exact, _ = quad(integrand, -8, apart + 8, points=[0, apart], limit=200)
    assert -1e-12 <= found <= exact + 1e-9
    if apart in (0.0, 30.0):
        assert found == pytest.approx(exact, abs=1e-6)


def test_a_measurement_adds_its_information_to_what_is_known():
    rng = np.random.default_rng(1)
    root, slopes = rng.standard_normal((3, 3)), rng.standard_normal((2, 3))
    known, noise = root @ root.T + 0.1 * np.eye(3), np.diag([0.2, 0.5])
    after = variance_after(slopes[None], known, (slopes @ known @ slopes.T + noise)[None], np.eye(3))[0]
    exact = np.linalg.inv(np.linalg.inv(known) + slopes.T @ np.linalg.solve(noise, slopes))
    assert after == pytest.approx(exact, rel=1e-9)


def test_the_chance_to_tell_is_that_of_two_gaussians_of_equal_spread():
    apart = 3.0
    draws = np.random.default_rng(0).standard_normal(200_000)
    ratios = (draws - apart) ** 2 - draws**2  # 2 ln of the ratio where the first is true
    assert chance_of_telling(np.array(apart**2), np.array(apart**2)) == pytest.approx((ratios >= 6).mean(), abs=5e-3)
    assert chance_of_telling(np.array([np.inf, 5.9, 6.1]), np.array([np.inf, 0.0, 0.0])) == pytest.approx(
        [1, 0.41, 0.59], abs=0.02
    )


# --- two laws that are regressions -----------------------------------------------------------------


def test_two_linear_laws_are_separated_as_their_regressions_say():
    y = between_line_and_parabola()
    found = law_of(TWO, y).suggest(until=6.0, most=3)
    assert found.by == "separation" and [one.text for one in found.laws] == ["NN = c0", "NN = c0*t"]
    for one in found.items:
        at = one.design.t[0]
        predicted = {}
        for kind in ("line", "parabola"):
            estimate, covariance, _ = regression(T, y, kind)
            row = design_rows(at, kind)[0]
            predicted[kind] = row @ estimate, row @ covariance @ row + SIGMA**2
        (m1, v1), (m2, v2) = predicted["line"], predicted["parabola"]
        one_true = v1 / v2 + (m1 - m2) ** 2 / v2 - 1 + np.log(v2 / v1)
        other_true = v2 / v1 + (m1 - m2) ** 2 / v1 - 1 + np.log(v1 / v2)
        assert one.pair == ("A", "B")
        assert one.separation == pytest.approx(0.5 * (one_true + other_true), rel=1e-5)
    assert found[0].design.t[0] > 5.0 and not found[0].inside  # lines and parabolas part further on


def test_the_expected_delta_is_that_of_refits_to_the_measurement_each_law_predicts():
    y = between_line_and_parabola()
    one = law_of(TWO, y, criteria=[0.0, 1.0]).suggest(until=6.0, most=1)[0]
    at, n, deltas = one.design.t[0], len(T), []
    kinds, criteria = ("line", "parabola"), {"line": 0.0, "parabola": 1.0}
    for true, other in (kinds, kinds[::-1]):
        value = design_rows(at, true)[0] @ regression(T, y, true)[0]
        change = {}
        for kind in kinds:
            before, after = regression(T, y, kind)[2], regression(np.append(T, at), np.append(y, value), kind)[2]
            change[kind] = (n + 1) * np.log((after + SIGMA**2) / (n + 1)) - n * np.log(before / n)
        deltas.append(criteria[other] + change[other] - criteria[true] - change[true])
    weights = np.exp([0.0, -0.5]) / np.exp([0.0, -0.5]).sum()
    assert one.delta == pytest.approx(weights @ deltas, rel=1e-4)
    assert one.least_delta == pytest.approx(min(deltas), rel=1e-4)
    assert 0 < one.settles <= 1 and one.told == pytest.approx(one.settles)


@pytest.mark.parametrize("segment", [0, 1, None])
def test_an_experiment_is_put_in_its_place_and_changes_nothing_for_the_law_that_predicts_it(segment):
    y, lo = between_line_and_parabola(), np.array([0, 4])
    law = law_of(TWO[:1], y)
    two = replace(law.footing.data, segments=(lo, np.array([4, 8])))
    law = replace(
        law,
        data=dataset(["x"], (T[:4], y[:4, None]), (T[4:], y[4:, None])),
        footing=replace(law.footing, data=two, x0=y[lo, None]),
    )
    slope = law.closed_form.values[0]
    t = np.array([T[4 * (segment or 0)] + 0.2, 5.0])
    start, first = (2.0, t[0]) if segment is None else (y[4 * segment], T[4 * segment])
    design = Design(trajectory=None if segment is None else str(segment + 1), start={}, t=tuple(t), columns=("x",))
    footing, added = extended(law, design, segment, (start + slope * (t - first))[:, None])
    ends = [np.arange(a, b) for a, b in zip(*footing.data.segments, strict=True)]
    assert [len(rows) for rows in ends] == [4 + 2 * (k == segment) for k in (0, 1)] + [2] * (segment is None)
    assert all((np.diff(footing.data.t[rows]) > 0).all() for rows in ends)
    assert sorted(footing.data.t) == pytest.approx(sorted([*T, *t])) and added.tolist() == [[1], [1]]
    before, after = (f.refitter(law.model).refit(law.closed_form, f.x0, iterations=0) for f in (law.footing, footing))
    assert after.cost == pytest.approx(before.cost, rel=1e-9)


def test_laws_that_predict_the_same_are_one_group_and_nothing_is_promised():
    y = between_line_and_parabola()
    found = law_of((TWO[0], ("c0 + 1e-9*x", {"c0": 1.0})), y).suggest(until=4.0)
    assert [one.group for one in found.laws] == ["A", "A"]
    assert np.isnan(found[0].delta) and "No experiment looked at tells these laws apart." in found.notes
    assert "(alike here: B)" in str(found)


# --- narrower intervals ----------------------------------------------------------------------------

RATE, START = 0.7, 2.0
DECAY = (("-c0*x", {"c0": 0.6}),)


def decay() -> np.ndarray:
    return START * np.exp(-RATE * T) + SIGMA * np.random.default_rng(5).standard_normal(len(T))


def jacobian(rate, start, t):
    """Of the exact solution, by rate and start."""
    return np.stack([-start * t * np.exp(-rate * t), np.exp(-rate * t)], 1)


def test_an_interval_shrinks_as_by_a_fit_of_scipy_with_the_row_added():
    y = decay()
    found = law_of(DECAY, y).suggest(shrink=["NN.c0"], until=4.0, most=4)
    fit = least_squares(lambda p: p[1] * np.exp(-p[0] * T) - y, [1.0, 1.0])
    rows = jacobian(*fit.x, T)
    before = SIGMA * np.sqrt(np.linalg.inv(rows.T @ rows)[0, 0])
    best, expected = {}, {}
    for one in found.items:
        more = np.vstack([rows, jacobian(*fit.x, np.array(one.design.t))])
        best[one.design.t[0]] = one.narrowing["NN.c0"]
        expected[one.design.t[0]] = before, SIGMA * np.sqrt(np.linalg.inv(more.T @ more)[0, 0])
    assert best == {t: pytest.approx(pair, rel=1e-4) for t, pair in expected.items()}
    halfway = 0.5 * (T[1:] + T[:-1])
    after = [
        np.linalg.inv((m := np.vstack([rows, jacobian(*fit.x, np.array([t]))])).T @ m)[0, 0]
        for t in [*halfway, 3.0 + 3 / 7, 3.0 + 6 / 7]
    ]
    assert found[0].narrowing["NN.c0"][1] == pytest.approx(SIGMA * np.sqrt(min(after)), rel=1e-4)


def test_a_new_run_narrows_by_its_own_rows_with_its_start_as_well_set_as_measured():
    y = decay()
    asked = {"initial": {"x": (0.5, 5.0)}, "samples": 4, "every": 0.5}
    found = law_of(DECAY, y).suggest(shrink=["NN.c0"], columns=["x"], most=3, **asked)
    runs = [one for one in found.items if one.design.trajectory is None]
    assert runs and runs[0] is found[0]
    assert runs[0].design.start["x"] == pytest.approx(5.0, abs=0.1)  # the largest signal
    assert runs[0].design.t == pytest.approx((0.0, 0.5, 1.0, 1.5))
    fit = least_squares(lambda p: p[1] * np.exp(-p[0] * T) - y, [1.0, 1.0])
    rows = jacobian(*fit.x, T)
    known = np.zeros((3, 3))  # rate, the old start, the new one
    known[:2, :2] = rows.T @ rows / SIGMA**2
    known[2, 2] = 1 / SIGMA**2
    new = jacobian(fit.x[0], runs[0].design.start["x"], np.array(runs[0].design.t))
    new = np.stack([new[:, 0], np.zeros(4), new[:, 1]], 1)
    after = np.sqrt(np.linalg.inv(known + new.T @ new / SIGMA**2)[0, 0])
    assert runs[0].narrowing["NN.c0"][1] == pytest.approx(after, rel=1e-3)


def test_without_a_rival_all_constants_are_to_become_narrower():
    y = decay()
    found = law_of(DECAY, y).suggest(until=4.0)
    assert found.by == "constants" and not found[0].pair
    named = law_of(DECAY, y).suggest(until=4.0, shrink=["2*NN.c0"])
    factor = named[0].narrowing["2*NN.c0"][1] / named[0].narrowing["2*NN.c0"][0]
    assert found[0].narrowing["all constants"] == pytest.approx((1.0, factor), rel=1e-9)
    assert "no rival stands" in str(found)


# --- the whole -------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_answer_and_it_survives_its_file():
    law = law_of(TWO, between_line_and_parabola())
    first, again = (law.suggest({"x": (0.1, 4.0)}, most=4, seed=1) for _ in range(2))
    assert first == again
    assert Suggestions.from_dict(json.loads(to_json(first.to_dict()))) == first
    kept = replace(law, suggestions=first)
    assert json.loads(to_json(kept.to_dict()))["suggestions"]["items"][0]["design"]["columns"] == ["x"]


def test_a_start_may_be_given_and_rows_say_what_to_measure():
    found = law_of(TWO, between_line_and_parabola()).suggest({"x": 2.5}, samples=3, every=1.5, most=6)
    new = next(k for k, one in enumerate(found.items) if one.design.trajectory is None)
    assert found[new].design.start == {"x": 2.5} and found.what(new) == "new run, x = 2.5"
    rows = found.rows(new)
    assert rows["t"].tolist() == [0.0, 1.5, 3.0] and rows["x"].isna().all()
    table = found.table
    assert table["rank"].tolist() == list(range(1, len(found) + 1))
    assert {"experiment", "separation", "pair", "delta", "settles", "told", "inside"} <= set(table)


def test_no_wide_line_is_printed_and_pictures_are_drawn():
    law = law_of(TWO, between_line_and_parabola())
    for asked in ({}, {"initial": {"x": (0.1, 4.0)}}):
        found = law.suggest(most=5, **asked)
        assert max(map(len, str(found).splitlines())) <= 110
        assert draw_suggestion(found, law).to_png()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"initial": {"y": (0, 1)}}, DataError, "there is no state 'y' to start from"),
        ({"initial": {"x": (2, 1)}}, DataError, "lowest value 2 above the highest 1"),
        ({"initial": {"x": (-1, 1)}}, DataError, "never goes below zero, but its start may be -1"),
        ({"initial": {"x": "wide"}}, DataError, "is no start"),
        ({"initial": {"x": (0, np.inf)}}, DataError, "between finite numbers"),
        ({"initial": {"x": 1.0}, "samples": 1}, DataError, "a new run of 1 samples"),
        ({"initial": {"x": 1.0}, "every": -1.0}, DataError, "a positive time between"),
        ({"columns": ["y"]}, DataError, "there is no measured column 'y'"),
        ({"until": -1.0}, DataError, "until = -1 must be after 0"),
        ({"most": 0}, DataError, "most = 0"),
        ({"shrink": ["NN.c1"]}, ModelError, "'NN.c1' is no constant"),
    ],
)
def test_refusals_say_what_is_wrong(asked, error, message):
    law = law_of(TWO, between_line_and_parabola(), positive=["x"])
    with pytest.raises(error, match=message):
        law.suggest(**asked)


def test_a_law_without_its_footing_is_refused():
    with pytest.raises(UdesysError, match="Discover it anew"):
        replace(law_of(TWO, between_line_and_parabola()), footing=None).suggest()


def test_starts_are_read_from_text():
    assert parsed_starts(["hare=1:100", "x'=2"]) == {"hare": (1, 100), "x'": (2, 2)}
    for text, message in (("hare", "is no start"), ("hare=a:2", "is no start"), ("=3", "is no start")):
        with pytest.raises(DataError, match=message):
            parsed_starts([text])
    with pytest.raises(DataError, match="given twice"):
        parsed_starts(["x=1", "x=2"])


def test_the_command_adds_suggestions_to_the_run_and_prints_them(tmp_path):
    law = law_of(TWO, between_line_and_parabola())
    term = Residual(expression="c0", constants={"c0": Estimate(value=float(law.closed_form.values[0]))})
    api.Law(**vars(replace(law, residuals={"NN": term}))).save(tmp_path / "run")

    def run(*arguments):
        return CliRunner().invoke(cli.application(), ["suggest", str(tmp_path / "run"), *arguments])

    done = run("--initial", "x=0.2:4", "--most", "3", "--shrink", "NN.c0")
    assert done.exit_code == 0, done.output
    law = api.load_run(tmp_path / "run")
    assert done.stdout == f"{law.suggestions}\n" and "NN.c0 narrower" in done.stdout
    assert str(law.suggestions) in str(law)
    assert json.loads((tmp_path / "run/result.json").read_text())["suggestions"]["by"] == "shrink"
    assert (tmp_path / "run/figures/suggestion.png").exists()
    refused = run("--initial", "wolf=1:2")
    assert refused.exit_code == 1 and "there is no state 'wolf'" in refused.output
    assert api.load_run(tmp_path / "run").suggestions == law.suggestions
