"""Training stages: whatever is in the folder lowers a known loss and reports what it did."""

import importlib
import pkgutil

import numpy as np
import pytest
import torch
from laws import EXACT, KNOWN, half_known, lotka_volterra, lotka_volterra_rhs

from udesys.fit import stages
from udesys.fit.fitting import one_thread
from udesys.fit.problem import ShootingProblem
from udesys.fit.start import starting_point
from udesys.model import HybridODE, Parameter
from udesys.model.field import HybridField

STAGES = [importlib.import_module(f"{stages.__name__}.{m.name}") for m in pkgutil.iter_modules(stages.__path__)]
every_stage = pytest.mark.parametrize("stage", STAGES, ids=lambda s: s.__name__.rpartition(".")[2])


def beginning(model, activation="tanh"):
    field = HybridField(model, dict.fromkeys(("NN1", "NN2"), activation))
    problem = ShootingProblem(model, lotka_volterra(0.005), field)
    return problem, starting_point(problem, np.random.default_rng(1), smoothed=True)


def slope_error(problem, unknowns):
    """Mean square of the hybrid's slopes about the true ones, along the true states, in units of their variance."""
    true = np.array(lotka_volterra_rhs(0.0, EXACT.y.T)).T
    with torch.inference_mode():
        found = problem.field(*map(torch.tensor, (EXACT.t, EXACT.y, unknowns.theta))).numpy()
    return float((((found - true) / true.std(0)) ** 2).mean())


@every_stage
def test_a_stage_brings_the_learned_slopes_to_the_true_ones(stage):
    problem, unknowns = beginning(half_known())
    before = slope_error(problem, unknowns)
    with one_thread():
        report = stage.run(problem, unknowns, np.random.default_rng(0))
    assert before > 0.1  # random weights know nothing
    assert slope_error(problem, unknowns) < 0.02
    assert report.iterations >= 1 and report.stopped and report.seconds > 0
    assert np.isfinite([report.before, report.after]).all()


@every_stage
def test_a_stage_repeats_itself(stage):
    found = []
    for _ in range(2):
        problem, unknowns = beginning(half_known())
        with one_thread():
            stage.run(problem, unknowns, np.random.default_rng(0))
        found.append((unknowns.theta, unknowns.nodes))
    assert np.array_equal(found[0][0], found[1][0]) and np.array_equal(found[0][1], found[1][1])


@every_stage
def test_a_stage_tells_its_progress(stage):
    problem, unknowns = beginning(half_known())
    told = []
    with one_thread():
        report = stage.run(problem, unknowns, np.random.default_rng(0), lambda *what: told.append(what))
    assert [iteration for _, iteration, _ in told] == list(range(1, report.iterations + 1))
    assert {name for name, _, _ in told} == {report.name}
    assert told[-1][2] == pytest.approx(report.after)


@every_stage
def test_a_stage_keeps_parameters_inside_their_bounds(stage):
    bounded = {"alpha": Parameter(1.0, bounds=(0.5, 1.1)), "delta": Parameter(2.5, bounds=(2.0, 3.0))}
    model = HybridODE(KNOWN, parameters=bounded)
    problem, unknowns = beginning(model)
    with one_thread():
        stage.run(problem, unknowns, np.random.default_rng(0))
    found = dict(zip(problem.field.parameters, problem.field.parameter_scale * unknowns.theta, strict=True))
    assert found["alpha"] == pytest.approx(1.1) and found["delta"] == pytest.approx(2.0)  # the truth lies outside


@every_stage
def test_a_stage_survives_a_model_that_overflows(stage):
    model = HybridODE("prey' = exp(exp(a*prey))\npredator' = NN1(prey)", parameters={"a": Parameter(9.0)})
    problem, unknowns = beginning(model)
    with one_thread(), np.errstate(all="ignore"):
        report = stage.run(problem, unknowns, np.random.default_rng(0))
    assert np.isfinite(unknowns.theta).all() and np.isfinite(unknowns.nodes).all()
    assert report.stopped
