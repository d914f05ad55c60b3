"""One attempt at a fit: what it says of itself, and how it goes on when its steps are refuted."""

import numpy as np
import pytest
from laws import dataset, measured

from udesys.fit.attempt import RESUMABLE, Attempt, Setting, checked, prepare, resume
from udesys.fit.options import FitOptions
from udesys.fit.stages import condensing, multiple_shooting
from udesys.model import HybridODE, Parameter

SETTING = Setting(activation="tanh", smoothed=True, seed=0, weight_prior=0.1, method="rk4")
GIVEN = np.array([False, False])


def coarse(noise=1e-3, step=1.0):
    """A turning oscillator sampled every radian, as an attempt that takes one step an interval."""
    model = HybridODE("x' = w*v\nv' = -w*x", parameters={"w": Parameter(0.9)})
    data = measured(lambda t, x: [x[1], -x[0]], [[1.0, 0.0]], [np.arange(0, 15, step)], ("x", "v"), noise=noise)
    problem, unknowns, _ = prepare(model, data, SETTING, FitOptions(), None)
    return Attempt(SETTING, problem, unknowns, ())


@pytest.mark.parametrize("stage", [multiple_shooting, condensing])
def test_an_attempt_gets_the_substeps_that_a_check_shows_it_lacks(stage):
    options = FitOptions()
    found = coarse()
    if stage is condensing:
        found = resume(found, multiple_shooting, options, GIVEN, None)
    found = resume(found, stage, options, GIVEN, None)
    omega = found.unknowns.theta[0] * found.problem.field.parameter_scale[0]
    assert found.feasible  # by its own steps, which are too long
    assert found.checked_jumps.max() > 5 * options.flow_tolerance
    better = checked(found, options, GIVEN, None)
    assert better.feasible and better.checked_jumps.max() < options.flow_tolerance
    assert better.problem.substeps.min() >= 4 and len(better.stages) > len(found.stages)
    right = better.unknowns.theta[0] * better.problem.field.parameter_scale[0]
    assert abs(right - 1.0) < 5e-4 < abs(omega - 1.0)  # the true frequency, which one RK4 step a radian is off by


def test_an_attempt_that_the_check_confirms_stays_as_it_is():
    found = coarse()
    found.problem.substeps[:] = 16
    found = resume(found, multiple_shooting, FitOptions(), GIVEN, None)
    assert checked(found, FitOptions(), GIVEN, None) is found


def test_every_stage_that_takes_the_substeps_can_go_on():
    assert {"multiple shooting", "condensing", "matrix-free multiple shooting"} == set(RESUMABLE)
    found = resume(coarse(), RESUMABLE["matrix-free multiple shooting"], FitOptions(), GIVEN, None)
    assert checked(found, FitOptions(), GIVEN, None).checked_jumps.max() < FitOptions().flow_tolerance


def test_an_attempt_whose_errors_are_white_does_not_wander():
    found = coarse()
    found.problem.substeps[:] = 16
    found = resume(found, multiple_shooting, FitOptions(), GIVEN, None)
    assert found.followed and found.consistent and not found.wanders
    assert found.score == found.evidence()


@pytest.mark.parametrize("wander", [False, True])
def test_rows_that_wander_count_for_what_they_are_worth_beside_what_the_intervals_told(wander):
    rng, t, told, precision = np.random.default_rng(2), np.arange(0.0, 40.0, 0.1), 1.0, 3000.0
    error = 0.05 * rng.normal(size=t.size) + (np.sin(0.3 * t) if wander else 0.0)
    data = dataset(("x",), (t, (1.02 * t + error)[:, None]))
    model = HybridODE("x' = a", parameters={"a": Parameter(told)})
    problem, unknowns, _ = prepare(model, data, SETTING, FitOptions(), None)
    scale = problem.field.parameter_scale[0]
    unknowns.learned = np.array([told / scale]), np.array([[precision * scale**2]])
    resume(Attempt(SETTING, problem, unknowns, ()), condensing, FitOptions(), np.array([False]), None)
    worth = unknowns.worth[0]
    assert worth < 0.2 if wander else worth == 1.0
    # Least squares of a line and of what the slope was told, by NumPy.
    weight = np.sqrt(worth) / unknowns.sigma[0]
    rows = np.vstack([weight * np.stack([np.ones_like(t), t], 1), [0.0, np.sqrt(precision)]])
    slope = np.linalg.lstsq(rows, np.append(weight * data.trajectories[0].y[:, 0], np.sqrt(precision) * told))[0][1]
    assert unknowns.theta[0] * scale == pytest.approx(slope, abs=1e-4)
    assert abs(slope - 1.0) > 1e-3  # neither side has it all
