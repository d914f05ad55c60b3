"""Comparing laws that are a little wrong: their evidence with noise in the unknown equations."""

import numpy as np
import pytest
from laws import dataset
from scipy.linalg import expm

from udesys.fit.disturbance import KNOWN_SHARE, DisturbedLaw, disturbed_evidence
from udesys.fit.problem import ShootingProblem
from udesys.fit.start import starting_point
from udesys.model import HybridODE, Parameter
from udesys.model.field import HybridField

STEP, OMEGA, FRICTION = 0.2, 1.3, 0.4


def oscillator(*, runs=2, rows=30, push=0.05, noise=0.02, seed=0, omega=OMEGA):
    """A damped oscillator pushed at every sample, its position measured, and its law at a guess of omega."""
    rng, flow = np.random.default_rng(seed), expm(STEP * np.array([[0.0, 1.0], [-(OMEGA**2), -FRICTION]]))
    t, made = STEP * np.arange(rows), []
    for _ in range(runs):
        x = [rng.normal(size=2)]
        for _ in t[1:]:
            x.append(flow @ x[-1] + [0.0, push * rng.normal()])
        made.append((t, np.array(x)[:, :1] + noise * rng.normal(size=(rows, 1))))
    parameters = {"w": Parameter(omega), "c": FRICTION}
    model = HybridODE("q'' = -w^2*q - c*q'", parameters=parameters)
    problem = ShootingProblem(model, dataset(["q"], *made), HybridField(model))
    problem.substeps[:] = 8
    return problem, starting_point(problem, rng, smoothed=True)


def dense_evidence(problem, unknowns, noise, disturbance):
    """-2 log likelihood of the measurements by their whole covariance, starts free and the scale at its best."""
    omega = float(unknowns.theta[0] * problem.field.parameter_scale[0])
    flow, rows = expm(STEP * np.array([[0.0, 1.0], [-(omega**2), -FRICTION]])), problem.n_nodes // len(problem.first)
    powers = [np.eye(2)]
    for _ in range(rows - 1):
        powers.append(flow @ powers[-1])
    spread = np.zeros((2 * rows, 2 * rows))
    for i in range(rows):
        for j in range(rows):
            between = sum(
                powers[i - k] @ np.diag(disturbance**2) @ powers[j - k].T for k in range(1, min(i, j) + 1)
            )
            spread[2 * i : 2 * i + 2, 2 * j : 2 * j + 2] = between
    covariance = spread[::2, ::2] + noise**2 * np.eye(rows)
    starts = np.stack([power[0] for power in powers])
    value, squares = 0.0, 0.0
    for y in problem.y[:, 0].reshape(-1, rows):
        inverse = np.linalg.inv(covariance)
        held = starts.T @ inverse @ starts
        best = np.linalg.solve(held, starts.T @ inverse @ y)
        squares += (y - starts @ best) @ inverse @ (y - starts @ best)
        value += np.linalg.slogdet(covariance)[1] + np.linalg.slogdet(held)[1]
    left = problem.n_nodes - 2 * len(problem.first)
    return value + left * (1.0 + np.log(squares / left))


@pytest.mark.parametrize("log_strength", [-4.0, -1.5, 0.0])
def test_the_evidence_is_that_of_the_measurements_whole_covariance(log_strength):
    problem, unknowns = oscillator()
    law = DisturbedLaw(problem, unknowns)
    assert law.share == pytest.approx(KNOWN_SHARE * unknowns.spread[:2])  # no network in either equation
    found = law.evidence_of_data(log_strength)
    expected = dense_evidence(problem, unknowns, law.noise[0], 10.0**log_strength * law.share)
    assert found == pytest.approx(expected, abs=1e-3)  # eight RK4 steps an interval


def test_the_true_law_is_preferred_where_its_own_simulation_leaves_the_data():
    """Twenty pushed records each: the frequency that made them against one 5 % off."""
    wins = 0
    for seed in range(20):
        right, wrong = (
            disturbed_evidence(*oscillator(rows=200, seed=seed, omega=omega)) for omega in (OMEGA, 1.05 * OMEGA)
        )
        wins += right < wrong
    assert wins >= 15
