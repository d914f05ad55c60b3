"""Where a fit starts: smoothed nodes, network scales, random weights."""

from __future__ import annotations

import numpy as np

from udesys.data import smooth
from udesys.fit.elimination import Errors, shooting_equations
from udesys.fit.problem import ShootingProblem
from udesys.fit.unknowns import Unknowns

LEAST_NOISE = 0.01  # of a state's spread: a start that trusts the data more makes the early defects stiff
WEIGHT_PRIOR = 0.1  # of a standardised weight before the evidence speaks; with more tanh collapses to a line
FREE_PRIOR = 1e-8  # of a scaled parameter: only keeps a null direction from drifting
UNMEASURED_SPREAD = 0.1  # of the size of a state that no known equation moves
LEAST_POSITIVE = 1e-6  # of its spread: what a positive state may fall to
OUTLIER_TRUST = 0.5  # of a measurement below which the start leaves it out
UNMEASURED_NOISE = 0.05  # of the spread, where no measured state tells


def starting_point(
    problem: ShootingProblem,
    rng: np.random.Generator,
    *,
    smoothed: bool,
    trust: np.ndarray | None = None,
    weight_prior: float = WEIGHT_PRIOR,
) -> Unknowns:
    """Nodes from the data, weights at random, scales of the networks from both.

    Args:
        rng: draws the weights.
        smoothed: start the nodes at the smoothed data, else at the raw ones.
        weight_prior: weight of a squared weight at the start; deeper networks take less of it.
        trust: (nodes, m) measurements below 0.5 are outliers, which the start leaves out.
    """
    trust = np.ones_like(problem.y) if trust is None else trust
    curves, sigma, spread = curves_through(problem, smoothed, trust > OUTLIER_TRUST)
    sigma = np.maximum(sigma, LEAST_NOISE * spread)
    field, model = problem.field, problem.model
    guesses = np.array([model.parameters[n].guess for n in field.parameters]) / field.parameter_scale
    weights = [layout.initial_weights(rng) for layout in field.layouts]
    theta = np.concatenate([*weights, guesses])
    prior = np.full(len(theta), FREE_PRIOR)
    for layout, weights_of in zip(field.layouts, field.weights_of, strict=True):
        prior[weights_of] = weight_prior / (len(layout.sizes) - 2) ** 2
    center = np.where(np.arange(len(theta)) < field.n_weights, 0.0, theta)
    bounds = np.tile([[-np.inf], [np.inf]], len(theta))
    for j, name in enumerate(field.parameters, start=field.n_weights):
        parameter, scale = model.parameters[name], field.parameter_scale[j - field.n_weights]
        bounds[:, j] = np.array(parameter.bounds) / scale
        if parameter.prior is not None:
            center[j], prior[j] = parameter.prior[0] / scale, (scale / parameter.prior[1]) ** 2
    unknowns = Unknowns(curves, theta, sigma, spread, prior, center, bounds, trust.copy(), np.ones(problem.m))
    _fill_unmeasured(problem, unknowns)
    for name in model.positive:
        j = model.states.index(name)
        unknowns.nodes[:, j] = np.maximum(unknowns.nodes[:, j], LEAST_POSITIVE * unknowns.spread[j])
    _set_scales(problem, unknowns)
    return unknowns


def curves_through(problem: ShootingProblem, smoothed: bool, trusted: np.ndarray):
    """Nodes (nodes, d): measured states smoothed (or interpolated), unmeasured velocities by their slopes.

    Returns:
        The nodes, the noise (m,), and the spread (m,) of what is measured, 1 elsewhere.
    """
    values, sigma = np.zeros((problem.n_nodes, problem.m)), np.zeros(problem.m)
    states = problem.model.states
    known = (problem.mask > 0) & trusted
    known = np.where(known.any(0), known, problem.mask > 0)
    for a, b in zip(*problem.segments, strict=True):
        t = problem.t[a:b]
        for j in np.flatnonzero(problem.measured):
            column, seen = np.where(known[a:b, j], problem.y[a:b, j], np.nan), known[a:b, j]
            if not seen.any():
                values[a:b, j] = problem.y[known[:, j], j].mean()
                continue
            curve = smooth(t, column)
            values[a:b, j] = curve.values if smoothed else np.interp(t, t[seen], column[seen])
            sigma[j] += curve.noise**2 * seen.sum()
            velocity = f"{states[j]}'" if j < problem.d else ""
            if velocity in states and not problem.measured[states.index(velocity)]:
                values[a:b, states.index(velocity)] = curve.slope
    sigma = np.sqrt(sigma / np.maximum(known.sum(0), 1))
    spread = np.where(problem.measured, values.std(0), 1.0) + 1e-300
    nodes = values[:, : problem.d].copy()
    pinned = ((problem.pin > 0) & (problem.mask == 0))[:, : problem.d]
    nodes[pinned] = problem.y[:, : problem.d][pinned]
    return nodes, sigma, spread


def unknown_equations(problem: ShootingProblem, nodes: np.ndarray, theta: np.ndarray):
    """df/do (nodes, d, outputs) along the nodes, and which states' equations hold a network (d,)."""
    leverage = problem.linearise(nodes, theta)[2]
    leverage = np.where(np.isfinite(leverage), leverage, 0.0)
    return leverage, np.abs(leverage).max((0, 2), initial=0.0) > 0


def _without_networks(problem: ShootingProblem, theta: np.ndarray) -> np.ndarray:
    silent = theta.copy()
    silent[: problem.field.n_weights] = 0.0
    return silent


def _fill_unmeasured(problem: ShootingProblem, unknowns: Unknowns) -> None:
    """Nodes of states without data from the known equations; a random walk where the equation is unknown."""
    states, measured = problem.model.states, problem.measured[: problem.d]
    derived = {f"{s}'" for s, m in zip(states, measured, strict=True) if m}
    hidden = np.array([not m and s not in derived for s, m in zip(states, measured, strict=True)])
    unmeasured = np.flatnonzero(~measured)
    if hidden.any():
        theta = _without_networks(problem, unknowns.theta)
        unknown = unknown_equations(problem, unknowns.nodes, theta)[1]
        for _ in range(3):  # the hidden states' scale is found on the way
            _relax_nodes(problem, unknowns, theta, hidden, unknown)
            unknowns.spread[np.flatnonzero(hidden)] = _scale(unknowns.nodes[:, hidden])
    if len(unmeasured):
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
    d = problem.d
    sigma = np.where(problem.measured, unknowns.sigma, UNMEASURED_NOISE * unknowns.spread)
    trust = np.where(unknown & ~hidden, 1e-3, np.where(unknown, 1e-2, 1.0)) / sigma[:d] ** 2
    weight = (10.0 * problem.mask * unknowns.trust + problem.pin) / sigma**2
    walk = np.flatnonzero(hidden & unknown)
    damping = 1e-6

    def flow(nodes):
        end, by_node, _ = problem.flow_jacobians(nodes, theta, by_theta=False)
        end[:, walk] = nodes[problem.start][:, walk]
        by_node[:, walk] = np.eye(d)[walk]
        return end, by_node

    def cost(nodes, end):
        error = (weight * (problem.y - problem.outputs(nodes, theta)) ** 2).sum()
        return error + (trust * (end - nodes[problem.start + 1]) ** 2).sum()

    nodes, nothing = unknowns.nodes, np.zeros((problem.n_intervals, d, 0))
    end, by_node = flow(nodes)
    current = cost(nodes, end)
    for _ in range(iterations):
        if not (np.isfinite(end).all() and np.isfinite(by_node).all()):
            break
        errors = linear_errors(problem, nodes, theta, weight, by_parameter=False)
        defect = end - nodes[problem.start + 1]
        equations = shooting_equations(problem.start, errors, trust, defect, by_node, nothing, np.zeros(0), np.zeros(0))
        step = equations.step(0.0, damping / sigma[:d] ** 2)
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


def linear_errors(problem: ShootingProblem, nodes, theta, weight, *, by_parameter=True) -> Errors:
    """The measurement errors linearised about nodes at the samples and theta."""
    error = problem.y - problem.outputs(nodes, theta)
    if not problem.observation.n:
        return Errors(weight, error)
    by_state, slopes = problem.observation.jacobians(problem.t, nodes, theta, problem.u)
    return Errors(weight, error, by_state, slopes if by_parameter else slopes[:, :, :0])


def _argument_width(z: np.ndarray) -> np.ndarray:
    """Standard deviation of each argument; one that starts constant may still move by a share of its size."""
    return np.where(z.std(0) > 1e-9 * np.abs(z).mean(0), z.std(0), _scale(z))


def _set_scales(problem: ShootingProblem, unknowns: Unknowns) -> None:
    """Standardise network arguments; scale outputs by the leverage-weighted rms of the missing slope."""
    field, nodes = problem.field, unknowns.nodes
    theta = _without_networks(problem, unknowns.theta)
    for scale in field.scales:
        scale.shift[:], scale.width[:], scale.output[:] = 0.0, 1.0, 1.0
    for scale, z in zip(field.scales, problem.linearise(nodes, theta)[0], strict=True):
        scale.shift[:], scale.width[:] = z.mean(0), _argument_width(z)
    leverage, _ = unknown_equations(problem, nodes, theta)
    missing = (
        (nodes[problem.start + 1] - problem.flow(nodes, theta)) / problem.h[:, None] / unknowns.spread[: problem.d]
    )
    missing = np.where(np.isfinite(missing), missing, 0.0)
    share = leverage[problem.start] / unknowns.spread[None, : problem.d, None]
    first = 0
    for k, _ in field.calls:
        for j in range(field.layouts[k].sizes[-1]):
            seen = share[:, :, first + j]
            projected = (missing * seen).sum(1)
            size = np.sqrt((projected**2).sum() / max((seen**2).sum(1) @ (seen**2).sum(1), 1e-300))
            if size > 0:
                field.scales[k].output[j] = size
        first += field.layouts[k].sizes[-1]
