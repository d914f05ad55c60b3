"""What a discovery makes of terms that are not sums of powers, of terms that are not there, and of its engines."""

import csv

import numpy as np
import pytest
from laws import EXACT, TRUTH, discover, lotka_volterra, solution

import udesys as ud
from udesys.data import Dataset, Trajectory
from udesys.errors import SearchError
from udesys.search import SearchOptions
from udesys.search.engines import operon

SPARSE = SearchOptions(engines=["sparse"])
STANDING = "prey' = 1.3*prey - 0.9*prey*predator + NN1(prey, predator)\npredator' = NN2(prey, predator) - 1.8*predator"


def data_of(columns, t, states):
    return Dataset(columns=columns, trajectories=(Trajectory(name="0", t=t, y=states),), time="t", source="made here")


def test_a_saturating_term_is_found_with_its_constant_inside():
    t = np.linspace(0, 40, 100)

    def rhs(t, x):
        eaten = 5 * x[0] * x[1] / (1 + 3 * x[0])
        return [x[0] * (1 - x[0]) - eaten, eaten - 0.4 * x[1]]

    exact = solution(rhs, [0.5, 0.1], t)
    noisy = exact + 0.01 * exact.mean(0) * np.random.default_rng(0).standard_normal(exact.shape)
    model = "prey' = prey*(1 - prey) - NN(prey, predator)\npredator' = NN(prey, predator) - m*predator"
    law = discover(model, data_of(("prey", "predator"), t, noisy), options=SPARSE)
    assert law.residuals["NN"].expression in ("c0*prey*predator/(c1 + prey)", "c0*predator*prey/(c1 + prey)")
    # 5*x*y/(1 + 3*x) = (5/3)*x*y/(1/3 + x)
    assert 5 / 3 in law.residuals["NN"].constants["c0"] and 1 / 3 in law.residuals["NN"].constants["c1"]


def test_dry_friction_is_found():
    t = np.linspace(0, 4, 100)
    w, shift = np.sqrt(39.5), 2.0 / 39.5
    half = np.floor(t * w / np.pi)
    exact = (-1) ** half * ((1 - 2 * half * shift - shift) * np.cos(w * t - half * np.pi) + shift)
    noisy = exact + 0.01 * np.random.default_rng(0).standard_normal(100)
    law = discover("x'' = NN(x') - 39.5*x", data_of(("x",), t, noisy[:, None]), options=SPARSE)
    assert law.residuals["NN"].expression == "c0*sign(x')"
    found = law.residuals["NN"].constants["c0"]
    assert abs(found.value + 2.0) < 4 * found.stderr < 0.1


def test_a_term_that_the_data_do_not_need_is_zero_and_said_so():
    law = discover(STANDING, lotka_volterra(0.01, 0), options=SPARSE)
    assert law.residuals["NN1"].expression == "0" and law.residuals["NN1"].constants == {}
    assert law.residuals["NN2"].expression == "c0*prey*predator"
    assert any(w.startswith("NN1 = 0: the known terms explain these data") for w in law.warnings)
    assert "NN1" not in str(law.equations["prey"])


def test_a_law_that_does_not_follow_the_data_is_said_so():
    noise = np.random.default_rng(0).standard_normal((60, 1))
    law = discover("x' = NN(x)", data_of(("x",), np.linspace(0, 20, 60), 3.0 + noise), options=SPARSE)
    explained = max(0.0, 1.0 - law.error["fit"]["x"] ** 2 / noise.var())
    assert explained < 0.5
    assert any(w.startswith(f"the law does not follow the data: it explains {explained:.0%} of") for w in law.warnings)
    assert not any("the known terms explain" in w for w in law.warnings)


def test_noise_that_grows_with_what_is_measured_is_recognised():
    rng = np.random.default_rng(0)
    noisy = EXACT.y * (1 + 0.08 * rng.standard_normal(EXACT.y.shape))
    model = ud.HybridODE(
        "prey' = alpha*prey + NN1(prey, predator)\npredator' = NN2(prey, predator) - delta*predator",
        {name: TRUTH[name] for name in ("alpha", "delta")},
    )
    law = discover(model, data_of(("prey", "predator"), EXACT.t, noisy), options=SPARSE)
    assert {t: r.expression for t, r in law.residuals.items()} == dict.fromkeys(("NN1", "NN2"), "c0*prey*predator")
    # a relative part from 31 rows of a column, with one constant fitted beside
    assert law.noise_profile["predator"][1] == pytest.approx(0.08, rel=0.5)
    assert "%" in next(line for line in str(law).splitlines() if line.startswith("  predator  "))


def test_with_one_engine_everything_works_and_says_what_it_ran_on(monkeypatch, tmp_path):
    monkeypatch.setattr(operon, "ready", lambda: "not installed here")
    law = discover(STANDING, lotka_volterra(0.01, 0))
    assert law.engines == ("sparse",) and "operon" in law.idle_engines
    assert "Engines: sparse; not ready: " in str(law)
    folder = law.save(tmp_path / "run")
    rows = list(csv.DictReader((folder / "candidates.csv").read_text().splitlines()))
    assert rows[0]["engine.NN2"] == "sparse" and int(rows[0]["complexity"]) > 1
    with pytest.raises(SearchError, match="engine 'operon' is not ready: not installed here"):
        discover(STANDING, lotka_volterra(0.01, 0), options=SearchOptions(engines=["operon"]))


@pytest.mark.skipif(bool(operon.ready()), reason=operon.ready())
def test_a_form_that_several_engines_propose_names_them_all():
    law = discover(STANDING, lotka_volterra(0.01, 0), options=SearchOptions(engines=["sparse", "operon"]))
    assert set(law.candidates[0].engines["NN2"].split(" + ")) == {"sparse", "operon"}


def test_the_same_seed_gives_the_same_law():
    first, again = (discover(STANDING, lotka_volterra(0.02, 3), seed=5) for _ in range(2))
    assert [c.residuals for c in first.candidates] == [c.residuals for c in again.candidates]
    assert first.candidates[0].criterion == again.candidates[0].criterion
