"""The fit-speed comparison: its rivals' equations, when a run counts, its table, the command and its refusals."""

import itertools
import json
import math
import re

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from udesys.bench import _rivals as rivals
from udesys.bench import fit_speed as speed
from udesys.bench.fit_speed import Run, table
from udesys.cli import application

LIMIT = 300.0


@pytest.fixture(scope="module")
def case():
    return speed.make_case(0)


@pytest.fixture
def weights():
    """No entry is zero, so that each has its effect."""
    return 0.4 * np.random.default_rng(3).standard_normal(len(rivals.first_weights(0)))


@pytest.fixture(scope="module")
def jax():
    """JAX, imported before a test starts: that draws from NumPy's global generator, in no test's name."""
    for name in ("diffrax", "optax", "optimistix"):
        pytest.importorskip(name, reason=f"{name} is in the extra `bench`, which is not installed")
    return pytest.importorskip("jax")


@pytest.fixture
def jax64(jax):
    with jax.enable_x64(True):
        yield jax


def nothing():
    """In place of what tells that a run begins."""


def easier(case, times_floor):
    return rivals.Case(t=case.t, y=case.y, floor=case.floor, target=times_floor * case.floor, known=case.known)


# --- the same equations for all ----------------------------------------------------------------------


def ours(weights, states):
    """udesys' own right side with the network unscaled."""
    from udesys.model.field import HybridField

    field = HybridField(speed.make_model())
    assert field.n_theta == len(weights)
    return field(torch.zeros(len(states)), states, weights)


def with_gradient(function, weights):
    weights = torch.tensor(weights, requires_grad=True)
    value = function(weights)
    (slope,) = torch.autograd.grad((value * torch.arange(1.0, value.numel() + 1).reshape(value.shape)).sum(), weights)
    return value.detach().numpy(), slope.numpy()


def test_the_rivals_network_is_udesys_network(case, weights):
    states = torch.tensor([[0.4, 4.6], [2.0, 1.0], [5.5, 0.3]], dtype=torch.float64)
    value, slope = with_gradient(lambda w: ours(w, states), weights)
    theirs, their_slope = with_gradient(
        lambda w: torch.stack([rivals.torch_right_side(case, w)(0.0, x) for x in states]), weights
    )
    np.testing.assert_allclose(theirs, value, rtol=1e-12)
    np.testing.assert_allclose(their_slope, slope, rtol=1e-12)


def test_the_same_holds_in_jax(case, weights, jax64):
    states = np.array([[0.4, 4.6], [2.0, 1.0], [5.5, 0.3]])
    value, slope = with_gradient(lambda w: ours(w, torch.tensor(states)), weights)
    right_side = rivals.jax_right_side(case)
    order = np.arange(1.0, 7.0).reshape(3, 2)

    def theirs(w):
        return jax64.numpy.stack([right_side(0.0, x, w) for x in states])

    np.testing.assert_allclose(jax64.jit(theirs)(weights), value, rtol=1e-12)
    their_slope = jax64.jit(jax64.grad(lambda w: (theirs(w) * order).sum()))(weights)
    np.testing.assert_allclose(their_slope, slope, rtol=1e-12)


def test_the_loss_and_its_gradient_are_the_same_in_both_libraries(case, jax64):
    weights = rivals.first_weights(0)
    loss, slope = jax64.value_and_grad(rivals.jax_loss(case))(weights)
    other, other_slope = with_gradient(rivals.torch_loss(case), weights)
    # Two solvers at a tolerance of 1e-6.
    assert float(loss) == pytest.approx(float(other), rel=1e-4)
    np.testing.assert_allclose(slope, other_slope, rtol=1e-3, atol=1e-4 * np.abs(other_slope).max())


def test_without_a_network_the_loss_is_that_of_the_linear_growth(case):
    weights = torch.zeros(len(rivals.first_weights(0)), dtype=torch.float64)
    exact = case.y[0] * np.exp(np.outer(case.t, case.known))
    assert rivals.torch_loss(case)(weights).item() == pytest.approx(((exact - case.y) ** 2).mean(), rel=1e-5)


def test_the_noise_floor_is_that_of_the_noise(case):
    # Noise of 0.5 % of the states' means, about 2.2 and 2.0; 62 draws spread by 18 %.
    assert case.floor == pytest.approx((0.005 * case.y.mean(0)).dot(0.005 * case.y.mean(0)) / 2, rel=0.6)
    assert case.target == pytest.approx(1.05 * case.floor)
    assert case.known == (1.3, -1.8) and case.y.shape == (31, 2)


def test_the_weights_at_the_start_are_the_seeds_and_have_no_skip_and_no_bias():
    first = rivals.first_weights(4)
    assert (first == rivals.first_weights(4)).all() and (first != rivals.first_weights(5)).any()
    layers, skip = rivals._layers(first)
    assert not skip.any() and not any(bias.any() for _, bias in layers)
    for (a, b), (matrix, _) in zip(itertools.pairwise(rivals.SIZES), layers, strict=True):
        assert matrix.shape == (b, a) and 0 < np.abs(matrix).max() <= math.sqrt(6 / (a + b))


# --- when a run counts -------------------------------------------------------------------------------


def test_a_training_ends_the_moment_its_loss_is_there(case):
    done = rivals.train_torchdiffeq(easier(case, 1e9), 0, LIMIT, nothing)
    assert (done.reached, done.failure, done.steps) == (True, "", (1, 0))


def test_a_training_that_runs_out_of_time_is_a_failure(case):
    done = rivals.train_torchdiffeq(case, 0, 0.01, nothing)
    assert (done.reached, done.failure) == (False, "time limit")
    assert done.seconds > 0.01 and done.loss > case.target


def test_adam_and_lbfgs_lower_the_loss_in_turn(case, monkeypatch):
    monkeypatch.setattr(rivals, "ADAM_STEPS", 3)
    monkeypatch.setattr(rivals, "NEWTON_STEPS", 6)
    start = rivals.torch_loss(case)(torch.as_tensor(rivals.first_weights(0))).item()
    done = rivals.train_torchdiffeq(case, 0, LIMIT, nothing)
    assert (done.steps, done.failure) == ((3, 6), "not there after 6 evaluations")
    assert done.loss < start


@pytest.mark.slow
def test_diffrax_trains_with_both_methods_and_counts_its_compilation_apart(case, monkeypatch, jax64):
    monkeypatch.setattr(rivals, "ADAM_STEPS", 3)
    monkeypatch.setattr(rivals, "NEWTON_STEPS", 6)
    done = rivals.train_diffrax(case, 0, LIMIT, nothing)
    assert (done.steps, done.failure) == ((3, 6), "not there after 6 evaluations")
    assert done.loss < rivals.jax_loss(case)(rivals.first_weights(0))
    assert done.compile_seconds > done.seconds


def test_a_loss_that_is_not_finite_ends_a_training():
    watch = rivals._Watch(1.0, LIMIT)
    done = watch.result(lambda: [watch.see(5.0, adam=True), watch.see(math.nan)])
    assert (done.reached, done.failure, done.steps) == (False, "the loss is not finite", (1, 1))


def test_a_training_that_ends_by_itself_above_its_target_has_stalled():
    watch = rivals._Watch(1.0, LIMIT)
    assert watch.result(lambda: watch.see(5.0)).failure == "it stalled"


# --- the table ---------------------------------------------------------------------------------------


def one(contestant, seconds, seed=0, failure="", **more):
    return Run(contestant=contestant, seed=seed, reached=not failure, seconds=seconds, failure=failure, **more)


def cells(text, label):
    """Of the row of a contestant: median, range, failures, times udesys."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    return next(row[1:] for row in rows if row[0] == label)


OURS, TORCH = "udesys, the whole fit", "torchdiffeq, Adam then L-BFGS"
JAX, COMPILED = "diffrax, Adam then BFGS", "diffrax, Adam then BFGS, once compiled"


def test_the_table_sets_the_rivals_beside_udesys():
    runs = [one("udesys", s, k) for k, s in enumerate((0.2, 0.25, 0.4))]
    runs += [one("torchdiffeq", s, k) for k, s in enumerate((30.0, 50.0, 120.0))]
    runs += [one("diffrax", 1.0, k, compile_seconds=8.0) for k in range(3)]
    text = table(runs)
    assert "31 rows, 0.5 % noise, tanh network 2-5-5-5-2, 3 seeds, one thread each" in text.splitlines()[0]
    assert cells(text, OURS) == ["0.25", "0.2 to 0.4", "0 of 3", "1"]
    assert cells(text, TORCH) == ["50", "30 to 120", "0 of 3", "200"]
    assert cells(text, JAX) == ["9", "9 to 9", "0 of 3", "36"]
    assert cells(text, COMPILED) == ["1", "1 to 1", "0 of 3", "4"]
    assert speed.summary(runs) == {
        "median s": 0.25,
        "at the noise floor, % of runs": 100.0,
        "times faster than torchdiffeq": 200.0,
        "times faster than diffrax": 36.0,
        "times faster than diffrax once compiled": 4.0,
    }


def test_a_failed_run_is_a_lower_bound():
    runs = [one("udesys", 0.5, k) for k in range(3)]
    runs += [
        one("torchdiffeq", 20.0, 0),
        one("torchdiffeq", 2.0, 1, "it stalled", loss=7.0),
        one("torchdiffeq", 40.0, 2),
    ]
    text = table(runs)
    # Had seed 1 gone on for longer than the others, the median would be 40.
    assert cells(text, TORCH) == [">20", ">2 to 40", "1 of 3", ">40"]
    assert text.splitlines()[-1] == "- failed, torchdiffeq, seed 1: it stalled, at 7 times the floor"
    assert "lower bound" in text
    assert speed.summary(runs)["times faster than torchdiffeq, at least"] == 40.0


def test_a_failure_that_took_longest_leaves_the_median_as_it_is():
    runs = [one("udesys", 0.5), one("diffrax", 1.0, 0), one("diffrax", 2.0, 1), one("diffrax", 300.0, 2, "time limit")]
    assert cells(table(runs), JAX) == ["2", "1 to >300", "1 of 3", "4"]
    assert speed.summary(runs)["times faster than diffrax"] == 4.0


def test_where_udesys_itself_failed_the_ratio_is_an_upper_bound():
    runs = [one("udesys", 0.5, failure="it ended"), one("diffrax", 1.0)]
    assert cells(table(runs), JAX)[-1] == "<2"
    found = speed.summary(runs)
    assert found["median s, at least"] == 0.5 and found["at the noise floor, % of runs"] == 0.0
    assert found["times faster than diffrax, at most"] == 2.0
    runs = [one("udesys", 0.5, failure="it ended"), one("diffrax", 1.0, failure="it ended")]
    assert cells(table(runs), JAX)[-1] == "-" and not any("faster" in name for name in speed.summary(runs))


def test_without_runs_or_without_udesys_there_is_nothing_to_compare():
    assert table([]) == "no runs" and speed.summary([]) == {}
    assert cells(table([one("diffrax", 1.0)]), JAX)[-1] == "-" and speed.summary([one("diffrax", 1.0)]) == {}


# --- the command -------------------------------------------------------------------------------------


@pytest.fixture
def without_jax(monkeypatch):
    find = speed.util.find_spec
    monkeypatch.setattr(speed.util, "find_spec", lambda name: None if name in ("jax", "optax") else find(name))


@pytest.fixture
def instant(monkeypatch):
    """Runs that end at once; the contestants that ran, in turn."""
    ran = []

    def run_once(name: str, seed: int, limit: float) -> Run:
        ran.append((name, seed, limit))
        return one(name, 1.0, seed)

    monkeypatch.setattr(speed, "run_once", run_once)
    return ran


def bench(*arguments):
    return CliRunner().invoke(application(), ["bench", "fit-speed", *map(str, arguments)])


def test_a_rival_that_is_not_installed_is_refused_with_the_command(without_jax, instant):
    done = bench("--rivals", "diffrax")
    assert (done.exit_code, done.stdout, instant) == (1, "", [])
    missing = re.fullmatch(
        r"udesys: diffrax cannot run: (.*) are not installed\. "
        r'Install what is missing: pip install "udesys\[bench\]"\n',
        done.stderr,
    )
    assert {"jax", "optax"} <= set(missing[1].split(", ")) <= {"jax", "diffrax", "optax", "optimistix"}


def test_without_a_choice_those_run_that_are_there(without_jax, instant):
    done = bench("--seeds", 1)
    assert done.exit_code == 0
    assert [name for name, *_ in instant] == ["udesys", "torchdiffeq"]
    assert "diffrax cannot run" in done.stderr and "pip install" in done.stderr
    assert "diffrax" not in done.stdout


def test_the_options_reach_the_runs(instant):
    done = bench("--seeds", 2, "--limit", 7, "--rivals", "torchdiffeq", "--json")
    assert instant == [(name, seed, 7.0) for seed in (0, 1) for name in ("udesys", "torchdiffeq")]
    found = json.loads(done.stdout)
    assert [r["contestant"] for r in found["rows"]] == [name for name, *_ in instant]
    assert found["rivals"] == {TORCH: {"median s": 1.0, "at the noise floor, % of runs": 100.0}}
    assert found["summary"]["times faster than torchdiffeq"] == 1.0 and "torchdiffeq" in found["versions"]


def test_runs_are_shared_out_and_none_is_made_twice(instant, tmp_path):
    options = ("--seeds", 2, "--rivals", "torchdiffeq", "--keep", tmp_path / "runs.jsonl")
    for part in ("1/2", "2/2"):
        assert bench(*options, "--part", part).exit_code == 0
    assert [name for name, *_ in instant] == ["udesys"] * 2 + ["torchdiffeq"] * 2
    found = json.loads(bench(*options, "--json").stdout)
    assert len(instant) == 4
    assert [(r["contestant"], r["seed"]) for r in found["rows"]] == [
        (name, seed) for seed in (0, 1) for name in ("udesys", "torchdiffeq")
    ]
    assert found["rows"][0]["steps"] == [0, 0]


def test_an_unknown_rival_is_a_usage_error():
    done = bench("--rivals", "difrax")
    assert done.exit_code == 2 and "torchdiffeq" in done.stderr


def test_the_comparison_is_listed():
    assert speed.TITLE in CliRunner().invoke(application(), ["bench"]).output


@pytest.mark.slow
def test_udesys_comes_to_the_noise_floor():
    found = speed.run_once("udesys", 0, LIMIT)
    assert found.reached and found.failure == "" and found.loss < 1.05
