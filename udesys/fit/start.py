"""Where a fit starts: smoothed nodes, network scales, random weights."""

from __future__ import annotations

import numpy as np

from udesys.data import smooth
from udesys.fit.elimination import NormalEquations
from udesys.fit.problem import ShootingProblem
from udesys.fit.unknowns import Unknowns

LEAST_NOISE = 0.01  # of a state's spread: a start that trusts the data more makes the early defects stiff
WEIGHT_PRIOR = 0.1  # of a standardised weight before the evidence speaks; 1 lets tanh collapse to a line
FREE_PRIOR = 1e-8  # of a scaled parameter: only keeps a null direction from drifting
UNMEASURED_SPREAD = 0.1  # of the size of a state that no known equation moves
UNMEASURED_NOISE = 0.05  # of the spread, where no measured state tells


def starting_point(problem: ShootingProblem, rng: np.random.Generator, *, smoothed: bool) -> Unknowns:
    """Nodes from the data, weights at random, scales of the networks from both.

    Args:
        rng: draws the weights.
        smoothed: start the nodes at the smoothed data, else at the raw ones.
    """
    nodes, sigma = _nodes(problem, smoothed)
    measured = problem.measured
    spread = np.where(measured, nodes.std(0), 1.0) + 1e-300
    sigma = np.maximum(sigma, LEAST_NOISE * spread)
    field, model = problem.field, problem.model
    guesses = np.array([model.parameters[n].guess for n in field.parameters]) / field.parameter_scale
    weights = [layout.initial_weights(rng) for layout in field.layouts]
    theta = np.concatenate([*weights, guesses])
    prior = np.full(len(theta), FREE_PRIOR)
    prior[: field.n_weights] = WEIGHT_PRIOR
    center = np.where(np.arange(len(theta)) < field.n_weights, 0.0, theta)
    bounds = np.tile([[-np.inf], [np.inf]], len(theta))
    for j, name in enumerate(field.parameters):
        bounds[:, field.n_weights + j] = np.array(model.parameters[name].bounds) / field.parameter_scale[j]
    unknowns = Unknowns(nodes, theta, sigma, spread, prior, center, bounds)
    _fill_unmeasured(problem, unknowns)
    _set_scales(problem, unknowns)
    return unknowns


def _nodes(problem: ShootingProblem, smoothed: bool):
    """Measured states smoothed (or interpolated), unmeasured velocities by their slopes, noise per state."""
    nodes, sigma = np.zeros((problem.n_nodes, problem.d)), np.zeros(problem.d)
    states = problem.model.states
    y = np.where(problem.mask > 0, problem.y, np.nan)
    for a, b in zip(*problem.segments, strict=True):
        t = problem.t[a:b]
        for j in np.flatnonzero(problem.measured):
            column = y[a:b, j]
            if not np.isfinite(column).any():
                nodes[a:b, j] = np.nanmean(y[:, j])
                continue
            curve = smooth(t, column)
            known = np.isfinite(column)
            raw = np.interp(t, t[known], column[known])
            nodes[a:b, j] = curve.values if smoothed else raw
            sigma[j] += curve.noise**2 * known.sum()
            velocity = f"{states[j]}'"
            if velocity in states and not problem.measured[states.index(velocity)]:
                nodes[a:b, states.index(velocity)] = curve.slope
    sigma = np.sqrt(sigma / np.maximum(problem.counts, 1))
    pinned = (problem.pin > 0) & (problem.mask == 0)
    nodes[pinned] = problem.y[pinned]
    return nodes, sigma


def unknown_equations(problem: ShootingProblem, nodes: np.ndarray, theta: np.ndarray):
    """df/do (nodes, d, outputs) along the nodes, and which states' equations hold a network (d,)."""
    import torch

    with torch.inference_mode():
        jacobians = problem.field.jacobians(torch.as_tensor(problem.t), torch.as_tensor(nodes), torch.as_tensor(theta))
        leverage = jacobians.by_output.numpy()
    leverage = np.where(np.isfinite(leverage), leverage, 0.0)
    return leverage, np.abs(leverage).max((0, 2), initial=0.0) > 0


def _without_networks(problem: ShootingProblem, theta: np.ndarray) -> np.ndarray:
    silent = theta.copy()
    silent[: problem.field.n_weights] = 0.0
    return silent


def _fill_unmeasured(problem: ShootingProblem, unknowns: Unknowns) -> None:
    """Nodes of states without data from the known equations; a random walk where the equation is unknown."""
    states = problem.model.states
    derived = {f"{s}'" for j, s in enumerate(states) if problem.measured[j]}
    hidden = np.array([not m and s not in derived for s, m in zip(states, problem.measured, strict=True)])
    unmeasured = ~problem.measured
    if hidden.any():
        theta = _without_networks(problem, unknowns.theta)
        unknown = unknown_equations(problem, unknowns.nodes, theta)[1]
        for _ in range(3):  # the hidden states' scale is found on the way
            _relax_nodes(problem, unknowns, theta, hidden, unknown)
            unknowns.spread[hidden] = _scale(unknowns.nodes[:, hidden])
    if unmeasured.any():
        unknowns.spread[unmeasured] = _scale(unknowns.nodes[:, unmeasured])
        shares = (unknowns.sigma / unknowns.spread)[problem.measured]
        share = float(np.median(shares)) if len(shares) else UNMEASURED_NOISE
        unknowns.sigma[unmeasured] = share * unknowns.spread[unmeasured]


def _scale(nodes: np.ndarray) -> np.ndarray:
    """Spread of guessed states; a state that starts constant may move by a share of its size, a zero one by 1."""
    size = np.maximum(nodes.std(0), UNMEASURED_SPREAD * np.abs(nodes).mean(0))
    return np.where(size > 0, size, 1.0)


def _relax_nodes(problem, unknowns, theta, hidden, unknown, iterations=20) -> None:
    """Gauss-Newton on the nodes alone, held by the data and by the equations without networks."""
    sigma = np.where(problem.measured, unknowns.sigma, UNMEASURED_NOISE * unknowns.spread)
    trust = np.where(unknown & ~hidden, 1e-3, np.where(unknown, 1e-2, 1.0)) / sigma**2
    weight = (10.0 * problem.mask + problem.pin) / sigma**2
    walk = np.flatnonzero(hidden & unknown)
    damping = 1e-6

    def flow(nodes):
        end, by_node, _ = problem.flow_jacobians(nodes, theta)
        end, by_node = end.copy(), by_node.copy()
        end[:, walk] = nodes[problem.start][:, walk]
        by_node[:, walk] = np.eye(problem.d)[walk]
        return end, by_node

    def cost(nodes, end):
        error = (weight * (problem.y - nodes) ** 2).sum()
        return error + (trust * (end - nodes[problem.start + 1]) ** 2).sum()

    nodes = unknowns.nodes
    end, by_node = flow(nodes)
    current = cost(nodes, end)
    for _ in range(iterations):
        nothing = np.zeros((problem.n_intervals, problem.d, 0))
        equations = NormalEquations(
            problem.start,
            weight,
            problem.y - nodes,
            trust,
            end - nodes[problem.start + 1],
            by_node,
            nothing,
            np.zeros(0),
            np.zeros(0),
        )
        step = equations.step(0.0, damping / sigma**2)
        trial = nodes + step.nodes if step is not None else nodes
        trial_end, trial_by_node = flow(trial)
        after = cost(trial, trial_end)
        if step is not None and np.isfinite(after) and after < current:
            done = current - after < 1e-4 * current
            nodes, end, by_node, current = trial, trial_end, trial_by_node, after
            damping = max(damping / 10, 1e-12)
            if done:
                break
        else:
            damping *= 10
    unknowns.nodes = nodes


def _argument_width(z: np.ndarray) -> np.ndarray:
    """Standard deviation of each argument; one that starts constant may still move by a share of its size."""
    return np.where(z.std(0) > 1e-9 * np.abs(z).mean(0), z.std(0), _scale(z))


def _set_scales(problem: ShootingProblem, unknowns: Unknowns) -> None:
    """Standardise network arguments; scale outputs by the leverage-weighted rms of the missing slope."""
    import torch

    field, nodes = problem.field, unknowns.nodes
    theta = _without_networks(problem, unknowns.theta)
    for scale in field.scales:
        scale.shift[:], scale.width[:], scale.output[:] = 0.0, 1.0, 1.0
    x, t = torch.as_tensor(nodes), torch.as_tensor(problem.t)
    with torch.inference_mode():
        for k, scale in enumerate(field.scales):
            z = field.arguments(k, t, x, torch.as_tensor(theta)).numpy()
            scale.shift[:], scale.width[:] = z.mean(0), _argument_width(z)
    leverage, _ = unknown_equations(problem, nodes, theta)
    missing = (nodes[problem.start + 1] - problem.flow(nodes, theta)) / problem.h[:, None] / unknowns.spread
    missing = np.where(np.isfinite(missing), missing, 0.0)
    share = leverage[problem.start] / unknowns.spread[None, :, None]
    first = 0
    for k, _ in field.calls:
        for j in range(field.layouts[k].sizes[-1]):
            seen = share[:, :, first + j]
            projected = (missing * seen).sum(1)
            size = np.sqrt((projected**2).sum() / max((seen**2).sum(1) @ (seen**2).sum(1), 1e-300))
            if size > 0:
                field.scales[k].output[j] = size
        first += field.layouts[k].sizes[-1]
