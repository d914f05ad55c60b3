"""The one-interval flow of a hybrid right side in compiled code, with its exact derivatives.

On a record of some hundred rows a tensor operation costs ten times what it computes. Here one loop goes over blocks of
intervals, side by side in lanes: the classical Runge-Kutta method forwards, then backwards through the same stages
with one adjoint for every state of the interval's end. A right side is a program of the register machine with networks
in the middle, so a new model needs no compiler.

The numbers of a block stand in rows of lanes. Every stage has a window of rows: registers of the program, units of the
networks, slopes of the units, and adjoints of items, d rows each. Behind the windows are states and slopes of the step
under way, d rows each, d * d rows of adjoints after it, and its length.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from udesys.integrate.machine import _ADD, _MUL, _POWI, _SUB, _run

LANES = 16  # intervals side by side
MOST_ROWS = 2  # numbers of windows for which room is kept
ACTIVATIONS = ("tanh", "softplus", "cubic")  # a block names one by its place here
LINEAR = -1  # in the place of an activation
_TANH, _SOFTPLUS = 0, 1
_STRAIGHT = 20.0  # above it softplus is its argument, as torch has it

# The classical method: stage s starts _C[s] of the slope before it away (Hairer, Norsett & Wanner 1993, sec. II.1).
STAGES = 4
_C, _B = np.array([0.0, 0.5, 0.5, 1.0]), np.array([1.0, 2.0, 2.0, 1.0]) / 6.0

# exp(x) = 2^k exp(r), with ln 2 in two parts and a number that rounds what is added to it (Cody & Waite 1980).
_LOG2_E, _LN2, _LN2_REST = 1.4426950408889634, 6.93147180369123816490e-01, 1.90821492927058770002e-10
_ROUND = 1.5 * 2.0**52
_LEAST = -700.0  # exp of less is nothing beside anything

_OPTIONS = {"error_model": "numpy", "fastmath": {"contract"}}  # a NaN stays one
_INNER = {**_OPTIONS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


class Places(NamedTuple):
    """What stands where in a window.

    Attributes:
        d: states, which are the first registers.
        n_parameters: parameters, the next registers; then come t and the inputs.
        n_inputs: inputs.
        n_units: units.
        outputs: first register of the network outputs; then come the constants.
        instructions: first register that an instruction writes.
        units: first row of the units; as many slopes follow.
        items: first row of adjoints.
        length: rows of a window.
        widest: most units that are activated at once.
    """

    d: int
    n_parameters: int
    n_inputs: int
    n_units: int
    outputs: int
    instructions: int
    units: int
    items: int
    length: int
    widest: int


class Plan(NamedTuple):
    """A right side: a program over [states, parameters, t, inputs, network outputs, constants], and networks.

    Units are a one, the arguments of all calls in turn, and then hidden units and outputs, call after call. Items,
    which have adjoints, are the right side (d), all units, the states (d) and the parameters.

    Attributes:
        at: see `Places`.
        code: (instructions, 3) of the register machine.
        constants: (constants,).
        parts: (4,) instructions after which nothing, the arguments, the right side, and its derivatives are known.
        slopes: (d,) registers of the right side.
        arguments: (arguments,) registers of the arguments of all calls in turn.
        outputs: (outputs,) units that the outputs of all calls come from.
        blocks: (blocks, 6) matrices of the networks, in the order of evaluation: columns, rows, first weight in theta,
            first unit multiplied, first unit added to, activation of these units afterwards.
        entries: (entries, 3) derivatives of the program that may differ from zero: item whose adjoint counts, item for
            which it counts, register. Derivatives by outputs come first.
        groups: (3,) zero, how many entries are by outputs, and how many there are.
    """

    at: Places
    code: np.ndarray
    constants: np.ndarray
    parts: np.ndarray
    slopes: np.ndarray
    arguments: np.ndarray
    outputs: np.ndarray
    blocks: np.ndarray
    entries: np.ndarray
    groups: np.ndarray


class Scales(NamedTuple):
    """Affine maps around the networks, and the scale of every parameter.

    Attributes:
        shift, width: (arguments,) of all calls in turn; a network sees (argument - shift) / width.
        output: (outputs,) of all calls in turn; what a network gives is multiplied by it.
        parameter: (parameters,) what the last components of theta are multiplied by.
    """

    shift: np.ndarray
    width: np.ndarray
    output: np.ndarray
    parameter: np.ndarray


class Intervals(NamedTuple):
    """Where the flow starts and how far it goes.

    Attributes:
        node: (intervals,) row of the start among the nodes.
        t: (intervals,) time of the start.
        h: (intervals,) length.
        signals: (intervals, k, 4) cubics of the inputs from the start on.
    """

    node: np.ndarray
    t: np.ndarray
    h: np.ndarray
    signals: np.ndarray


class Rows(NamedTuple):
    """Room for the numbers of a block; what is in it does not outlast a call but for constants and ones.

    Attributes:
        lanes: (2, LANES) intervals in the lanes, and their rows in the result.
        work: (rows, LANES) all windows, and what is behind them.
        values: the same in one line.
        exponential: (2, units * LANES) power and rest of exponentials.
    """

    lanes: np.ndarray
    work: np.ndarray
    values: np.ndarray
    exponential: np.ndarray


def flow(plan: Plan, scales: Scales, intervals: Intervals, nodes, theta, substeps, which, *, share=1.0, rows=None):
    """States a share of every interval after its start node, by the classical Runge-Kutta method.

    Args:
        nodes: (nodes, d) states.
        theta: (n_theta,) weights of all networks, then the parameters.
        substeps: (intervals,) equal steps of each interval.
        which: (n,) the intervals to follow.
        share: of each interval.
        rows: number of windows -> `Rows` of this plan's earlier calls, where room is kept for later ones.

    Returns:
        (n, d); not finite where there is no solution.
    """
    end, nothing = np.empty((len(which), nodes.shape[1])), np.empty((0, 0, 0))
    _follow(plan, scales, intervals, nodes, theta, substeps, which, float(share), rows, end, nothing, nothing)
    return end


def flow_jacobians(
    plan: Plan, scales: Scales, intervals: Intervals, nodes, theta, substeps, which, *, by_theta=True, rows=None
):
    """Ends of the intervals and their exact derivatives; arguments as for `flow`.

    Returns:
        (n, d), by the start node (n, d, d), and by theta (n, d, n_theta), or None where it is not asked for.
    """
    n, d = len(which), nodes.shape[1]
    end, by_node = np.empty((n, d)), np.empty((n, d, d))
    slopes = np.empty((n if by_theta else 0, d, len(theta)))
    _follow(plan, scales, intervals, nodes, theta, substeps, which, 1.0, rows, end, by_node, slopes)
    return end, by_node, slopes if by_theta else None


def _follow(plan, scales, intervals, nodes, theta, substeps, which, share, rows, end, by_node, by_theta) -> None:
    steps, kept = substeps[which], {} if rows is None else rows
    order = np.argsort(steps, kind="stable")  # the lanes of a block take equally many steps
    windows = STAGES * int(steps.max(initial=1)) if len(by_node) else 1
    room = kept.get(windows)
    if room is None:
        if len(kept) >= MOST_ROWS:
            kept.clear()
        room = kept[windows] = _rows(plan, windows)
    arrays = (_plain(nodes), _plain(theta), steps, which, order)
    _flow(*plan, *scales, *intervals, *arrays, share, windows, *room, end, by_node, by_theta)


def _rows(plan: Plan, windows: int) -> Rows:
    at = plan.at
    work = np.zeros((windows * at.length + at.d * (at.d + 3) + 1, LANES))
    inside = work[: windows * at.length].reshape(windows, at.length, LANES)
    inside[:, at.units] = 1.0
    inside[:, at.instructions - len(plan.constants) : at.instructions] = plan.constants[:, None]
    return Rows(np.empty((2, LANES), np.int64), work, work.reshape(-1), np.empty((2, LANES * at.widest)))


def _plain(values: np.ndarray) -> np.ndarray:
    """Contiguous, writable float64: the one layout for which the kernels are compiled."""
    flags = values.flags
    plain = flags.c_contiguous and flags.writeable and values.dtype == np.float64
    return values if plain else np.array(values, np.float64, order="C")


# ------------------------------------------------------------------ compiled: rows
@njit(**_INNER)
def _set(work, to, value):
    for l in range(LANES):
        work[to, l] = value


@njit(**_INNER)
def _multiply(work, to, of, factor):
    for l in range(LANES):
        work[to, l] *= factor * work[of, l]


@njit(**_INNER)
def _add(work, to, of, factor):
    for l in range(LANES):
        work[to, l] += factor * work[of, l]


@njit(**_INNER)
def _add_product(work, to, of, by, factor):
    for l in range(LANES):
        work[to, l] += factor * work[of, l] * work[by, l]


@njit(**_INNER)
def _run_rows(code, first, last, work, window, base):
    """Instructions from `first` to `last` on rows of registers; the rarer ones by the machine, lane after lane."""
    reg, one = np.empty(3), np.zeros((1, 3), np.int32)
    for k in range(first, last):
        op, a, b, to = code[k, 0], window + code[k, 1], window + code[k, 2], window + base + k
        if op == _MUL:
            for l in range(LANES):
                work[to, l] = work[a, l] * work[b, l]
        elif op == _ADD:
            for l in range(LANES):
                work[to, l] = work[a, l] + work[b, l]
        elif op == _SUB:
            for l in range(LANES):
                work[to, l] = work[a, l] - work[b, l]
        else:
            immediate = op == _POWI  # its last column is the exponent
            one[0, 0], one[0, 2] = op, code[k, 2] if immediate else 1
            for l in range(LANES):
                reg[0] = work[a, l]
                reg[1] = 0.0 if immediate else work[b, l]
                _run(one, reg, 2)
                work[to, l] = reg[2]


@njit(**_INNER)
def _exponential(values, first, n, factor, power, rest):
    """exp(-factor |x|) = power (1 + rest) of n numbers; rest keeps its digits where it is small."""
    bits = power.view(np.int64)  # seen here to be the same numbers, so that the loop runs on vectors
    for i in range(n):
        x = -factor * abs(values[first + i])
        x = _LEAST if x < _LEAST else x
        k = x * _LOG2_E + _ROUND
        power[i] = k
        k -= _ROUND
        r = (x - k * _LN2) - k * _LN2_REST
        bits[i] = (bits[i] + 1023) << 52  # the lowest bits of the rounded sum are k
        p = 1.0 / 6227020800.0
        p = p * r + 1.0 / 479001600.0
        p = p * r + 1.0 / 39916800.0
        p = p * r + 1.0 / 3628800.0
        p = p * r + 1.0 / 362880.0
        p = p * r + 1.0 / 40320.0
        p = p * r + 1.0 / 5040.0
        p = p * r + 1.0 / 720.0
        p = p * r + 1.0 / 120.0
        p = p * r + 1.0 / 24.0
        p = p * r + 1.0 / 6.0
        p = p * r + 0.5
        rest[i] = p * r * r + r


@njit(**_INNER)
def _activate(activation, values, first, slope, n, power, rest):
    """n units in place, from `first` on, and their slopes, from `slope` on."""
    if activation == _TANH:
        _exponential(values, first, n, 2.0, power, rest)
        for i in range(n):
            less = power[i] * rest[i] + (power[i] - 1.0)  # exp(-2 |x|) - 1
            y = np.copysign(less / (less + 2.0), values[first + i])
            values[first + i] = y
            values[slope + i] = 1.0 - y * y
    elif activation == _SOFTPLUS:
        _exponential(values, first, n, 1.0, power, rest)
        for i in range(n):
            x, e = values[first + i], power[i] * (1.0 + rest[i])
            s = e / (2.0 + e)  # log(1 + e) = 2 artanh(s) with s up to 1/3
            p = 1.0 / 35.0
            for k in range(16, -1, -1):
                p = p * s * s + 1.0 / (2 * k + 1)
            y = (x if x > 0.0 else 0.0) + 2.0 * s * p
            values[first + i] = x if x > _STRAIGHT else y
            values[slope + i] = (1.0 if x >= 0.0 else e) / (1.0 + e)
    else:
        for i in range(n):
            x = values[first + i]
            values[first + i] = x * (1.0 + x * x / 6.0)
            values[slope + i] = 1.0 + 0.5 * x * x


# ------------------------------------------------------------------ compiled: one window
@njit(**_INNER)
def _evaluate(
    at, code, parts, arguments, outputs, blocks, shift, width, output, theta, work, values, room, window, last
):
    """The right side in a window with states, time and inputs in place: instructions up to `last`."""
    units, n_a = window + at.units, arguments.shape[0]
    _run_rows(code, parts[0], parts[1], work, window, at.instructions)
    for i in range(n_a):
        for l in range(LANES):
            work[units + 1 + i, l] = (work[window + arguments[i], l] - shift[i]) / width[i]
    for unit in range(units + 1 + n_a, units + at.n_units):
        _set(work, unit, 0.0)
    for k in range(blocks.shape[0]):
        a, b, x, y = blocks[k, 0], blocks[k, 1], units + blocks[k, 3], units + blocks[k, 4]
        for j in range(b):
            w = blocks[k, 2] + j * a
            for i in range(0, a - 3, 4):  # four at once: a row is read and written less often
                w0, w1, w2, w3, z = theta[w + i], theta[w + i + 1], theta[w + i + 2], theta[w + i + 3], x + i
                for l in range(LANES):
                    work[y + j, l] += w0 * work[z, l] + w1 * work[z + 1, l] + w2 * work[z + 2, l] + w3 * work[z + 3, l]
            for i in range(a - a % 4, a):
                _add(work, y + j, x + i, theta[w + i])
        if blocks[k, 5] != LINEAR:
            slope = (y + at.n_units) * LANES
            _activate(blocks[k, 5], values, y * LANES, slope, b * LANES, room[0], room[1])
    for o in range(outputs.shape[0]):
        _set(work, window + at.outputs + o, 0.0)
        _add(work, window + at.outputs + o, units + outputs[o], output[o])
    _run_rows(code, parts[1], last, work, window, at.instructions)


@njit(**_INNER)
def _count_entries(entries, first, last, d, work, window, items):
    """Adjoints through derivatives of the program."""
    for e in range(first, last):
        for r in range(d):
            of, to = items + entries[e, 0] * d + r, items + entries[e, 1] * d + r
            _add_product(work, to, of, window + entries[e, 2], 1.0)


@njit(**_INNER)
def _pull_back(at, outputs, blocks, entries, groups, width, output, theta, work, window):
    """From the adjoints of the right side in a window to those of all items."""
    d, items, one = at.d, window + at.items, window + at.units
    unit_items, slopes = items + d * d, one + at.n_units
    for row in range(unit_items, window + at.length):
        _set(work, row, 0.0)
    _count_entries(entries, groups[0], groups[1], d, work, window, items)
    for o in range(outputs.shape[0]):
        for r in range(d):
            _multiply(work, unit_items + outputs[o] * d + r, one, output[o])
    for k in range(blocks.shape[0] - 1, -1, -1):
        a, x, y = blocks[k, 0], unit_items + blocks[k, 3] * d, unit_items + blocks[k, 4] * d
        for j in range(blocks[k, 1]):
            for r in range(d):
                if blocks[k, 5] != LINEAR:
                    _multiply(work, y + j * d + r, slopes + blocks[k, 4] + j, 1.0)
                for i in range(a):
                    _add(work, x + i * d + r, y + j * d + r, theta[blocks[k, 2] + j * a + i])
    for i in range(width.shape[0]):
        for r in range(d):
            _multiply(work, unit_items + (1 + i) * d + r, one, 1.0 / width[i])
    _count_entries(entries, groups[1], groups[2], d, work, window, items)


# ------------------------------------------------------------------ compiled: all stages
@njit(**_INNER)
def _load(at, steps, which, order, done, node, length, nodes, share, lanes, rows, work, now, h):
    """The next intervals that take equally many steps, with their starts and steps; returns how many."""
    count = 0
    while count < LANES and done + count < order.shape[0] and steps[order[done + count]] == steps[order[done]]:
        rows[count] = order[done + count]
        count += 1
    for l in range(LANES):  # those beyond the last repeat it
        row = rows[min(l, count - 1)]
        lanes[l] = which[row]
        work[h, l] = length[lanes[l]] / steps[row] * share
        for j in range(at.d):
            work[now + j, l] = nodes[node[lanes[l]], j]
    return count


@njit(**_INNER)
def _start_stage(at, k, s, h, t, signals, lanes, work, window, states):
    """States, time and inputs of stage s of step k into a window; what the step needs is at `states`."""
    first = window + at.d + at.n_parameters
    for j in range(at.d):
        start = states + j
        if s == 0:
            _set(work, start, 0.0)
            _add(work, start, start + at.d, 1.0)
        _set(work, window + j, 0.0)
        _add(work, window + j, start, 1.0)
        if s > 0:
            _add_product(work, window + j, h, start + 2 * at.d, _C[s])
    for l in range(LANES):
        offset = (k + _C[s]) * work[h, l]
        work[first, l] = t[lanes[l]] + offset
        for j in range(at.n_inputs):
            c = signals[lanes[l], j]
            work[first + 1 + j, l] = c[0] + offset * (c[1] + offset * (c[2] + offset * c[3]))


@njit(**_INNER)
def _end_stage(at, s, slopes, h, work, window, states):
    """A stage's slope counts for the step's end."""
    for j in range(at.d):
        f = states + 2 * at.d + j
        _set(work, f, 0.0)
        _add(work, f, window + slopes[j], 1.0)
        _add_product(work, states + at.d + j, h, f, _B[s])


@njit(**_INNER)
def _start_adjoints(at, s, h, work, window, after):
    """Adjoints of a stage's slope, from those after the step, at `after`, and those of the next stage's states."""
    states = window + at.items + (at.d + at.n_units) * at.d + at.length  # of the next stage
    for i in range(at.d * at.d):
        _set(work, window + at.items + i, 0.0)
        _add_product(work, window + at.items + i, h, after + i, _B[s])
        if s < STAGES - 1:
            _add_product(work, window + at.items + i, h, states + i, _C[s + 1])


@njit(**_INNER)
def _add_theta_slope(work, step, stages, a, b, factor, total, result, rows, n, r, place):
    """result[row, r, place] += factor * sum over the stages of row a times row b, for n lanes."""
    for l in range(LANES):
        total[l] = 0.0
    for s in range(stages):
        for l in range(LANES):
            total[l] += work[a + s * step, l] * work[b + s * step, l]
    for l in range(n):
        result[rows[l], r, place] += factor * total[l]


@njit(**_INNER)
def _by_theta(at, blocks, parameter, work, stages, total, result, rows, n):
    """Derivatives by theta of n lanes: adjoints times units, over all stages."""
    d, n_p = at.d, at.n_parameters
    for l in range(n):
        result[rows[l]] = 0.0
    for k in range(blocks.shape[0]):
        a, x, y = blocks[k, 0], at.units + blocks[k, 3], at.items + (d + blocks[k, 4]) * d
        for j in range(blocks[k, 1]):
            for r in range(d):
                for i in range(a):
                    of, place = y + j * d + r, blocks[k, 2] + j * a + i
                    _add_theta_slope(work, at.length, stages, of, x + i, 1.0, total, result, rows, n, r, place)
    first = result.shape[2] - n_p
    for j in range(n_p):
        for r in range(d):
            of = at.items + (2 * d + at.n_units + j) * d + r
            _add_theta_slope(work, at.length, stages, of, at.units, parameter[j], total, result, rows, n, r, first + j)


@njit(cache=True, **_OPTIONS)
def _flow(
    at, code, constants, parts, slopes, arguments, outputs, blocks, entries, groups,
    shift, width, output, parameter, node, t, length, signals,
    nodes, theta, steps, which, order, share, windows, lanes, work, values, room, end, by_node, by_theta,
):  # fmt: skip
    d, sensitive, done = at.d, by_node.shape[0] > 0, parts[0]  # a zero that is no literal: one version of `_load`
    last = parts[3] if sensitive else parts[2]
    for window in range(0, windows * at.length, at.length):
        for j in range(at.n_parameters):
            _set(work, window + d + j, theta[theta.shape[0] - at.n_parameters + j] * parameter[j])
    states, h, state_items = windows * at.length, work.shape[0] - 1, at.items + (d + at.n_units) * d
    now, after, lane, rows = states + d, states + 3 * d, lanes[0], lanes[1]
    while done < order.shape[0]:
        count = _load(at, steps, which, order, done, node, length, nodes, share, lane, rows, work, now, h)
        stages = STAGES * steps[rows[0]]
        for stage in range(stages):
            s, window = stage % STAGES, stage * at.length if sensitive else 0
            _start_stage(at, stage // STAGES, s, h, t, signals, lane, work, window, states)
            networks = (arguments, outputs, blocks, shift, width, output, theta)
            _evaluate(at, code, parts, *networks, work, values, room, window, last)
            _end_stage(at, s, slopes, h, work, window, states)
        for l in range(count):
            for j in range(d):
                end[rows[l], j] = work[now + j, l]
        if sensitive:
            for row in range(d * d):
                _set(work, after + row, 1.0 if row % (d + 1) == 0 else 0.0)
            for stage in range(stages - 1, -1, -1):
                s, window = stage % STAGES, stage * at.length
                _start_adjoints(at, s, h, work, window, after)
                _pull_back(at, outputs, blocks, entries, groups, width, output, theta, work, window)
                for k in range(STAGES if s == 0 else 0):
                    for row in range(d * d):
                        _add(work, after + row, window + k * at.length + state_items + row, 1.0)
            for l in range(count):
                for i in range(d * d):
                    by_node[rows[l], i % d, i // d] = work[after + i, l]
            if by_theta.shape[0] > 0:
                _by_theta(at, blocks, parameter, work, stages, room[0], by_theta, rows, count)
        done += count
