"""The register machine's simulator for stiff systems: Radau IIA of order five in compiled code, with sensitivities.

A step solves the equations of its three stages by Newton's method with the exact df/dx that the program computes.
The sensitivities follow from the stage equations by the implicit function theorem at the solution (internal numerical
differentiation), so they are exact derivatives of the steps taken. Signs are taken as they come: a step may cross
their jumps.

Source: Hairer & Wanner, Solving ODEs II (1996), sec. IV.5 (the method) and IV.8 (its implementation and its error).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from udesys.integrate.machine import BLOW_UP, _load
from udesys.integrate.radau import STAGES, A, C

# Weights of the stages' increments in the estimated error, and the real eigenvalue of A's inverse (sec. IV.8).
_E = np.array([-13.0 - 7.0 * np.sqrt(6.0), -13.0 + 7.0 * np.sqrt(6.0), -1.0]) / 3.0
_REAL = 3.0 + 3.0 ** (2.0 / 3.0) - 3.0 ** (1.0 / 3.0)
COARSEST, FINEST = 1e-3, 1e-11  # estimated error of a step beside the states' sizes: of one step a sample, and of many
ORDER = 4  # of that estimate, which bounds the error of order 6 from far above
NEWTON_ITERATIONS = 10
NEWTON_TOLERANCE = 1e-12  # last change of the stages beside their sizes
ROUNDING = 1e-8  # a change that falls no more below that is rounding
SMALL = 1e-6  # of the largest value of a state so far: what is smaller counts as that
SHORTEST = 1e-12  # step, beside the equal steps
LONGEST_GUESS = 8.0  # times the step before: beyond, its stages say nothing of the next ones
TRIALS, MORE_TRIALS = 10_000, 50  # of steps in a segment, and for each equal step, before it is lost


@njit(cache=True, error_model="numpy")
def _factorised(a, order, weight):
    """Gaussian elimination in place with row pivots, rows weighed; False where the matrix is singular."""
    n = a.shape[0]
    for k in range(n):
        largest, row = 0.0, -1
        for i in range(k, n):
            value = abs(a[i, k]) * weight[i]
            if value > largest:
                largest, row = value, i
        if row < 0:
            return False
        order[k] = row
        if row != k:
            weight[k], weight[row] = weight[row], weight[k]
            for j in range(n):
                a[k, j], a[row, j] = a[row, j], a[k, j]
        for i in range(k + 1, n):
            factor = a[i, k] / a[k, k]
            a[i, k] = factor
            if factor != 0.0:
                for j in range(k + 1, n):
                    a[i, j] -= factor * a[k, j]
    return True


@njit(cache=True, error_model="numpy")
def _solve(a, order, right):
    """Solve with the factors of `_factorised`, for all columns of `right` in place."""
    n, columns = right.shape
    for k in range(n):  # the rows of the factors were swapped to their end
        row = order[k]
        if row != k:
            for q in range(columns):
                right[k, q], right[row, q] = right[row, q], right[k, q]
    for k in range(n):
        for i in range(k + 1, n):
            factor = a[i, k]
            if factor != 0.0:
                for q in range(columns):
                    right[i, q] -= factor * right[k, q]
    for k in range(n - 1, -1, -1):
        for q in range(columns):
            value = right[k, q]
            for j in range(k + 1, n):
                value -= a[k, j] * right[j, q]
            right[k, q] = value / a[k, k]


@njit(cache=True, error_model="numpy")
def _slopes(code, out, reg, base, d, n_p, t, pieces, offset, x, modes, f, by_state):
    """dx/dt and df/dx at a point."""
    _load(code, reg, base, d, n_p, t, pieces, offset, x, modes)
    for i in range(d):
        f[i] = reg[out[i]]
        for j in range(d):
            by_state[i, j] = reg[out[d + i * d + j]]


@njit(cache=True, error_model="numpy")
def _stage_matrix(h, by_state, matrix, A):
    """I - h A (x) df/dx at the stages."""
    d = by_state.shape[1]
    for s in range(A.shape[0]):
        for r in range(A.shape[0]):
            weight = -h * A[s, r]
            for i in range(d):
                for j in range(d):
                    matrix[s * d + i, r * d + j] = weight * by_state[r, i, j]
    for k in range(matrix.shape[0]):
        matrix[k, k] += 1.0


@njit(cache=True, error_model="numpy")
def _sizes(x, stages, largest, size, weight):
    """How large each state is about a step, and the inverse of it for every row of the stage equations."""
    d = x.shape[0]
    for j in range(d):
        size[j] = max(SMALL * largest[j], abs(x[j]), 1e-300)
        for s in range(stages.shape[0]):
            size[j] = max(size[j], abs(stages[s, j]))
    for j in range(d):
        for s in range(stages.shape[0]):
            weight[s * d + j] = 1.0 / (size[j] if size[j] > 1e-300 else size.max())


@njit(cache=True, error_model="numpy")
def _guess(x, before, stages, ratio, C):
    """Stages on the cubic through those of the step before (its start first), or all at the start of this one."""
    if ratio <= 0.0 or ratio > LONGEST_GUESS:
        for s in range(stages.shape[0]):
            stages[s] = x
        return
    for s in range(stages.shape[0]):
        at = 1.0 + ratio * C[s]
        stages[s] = 0.0
        for k in range(before.shape[0]):
            node = 0.0 if k == 0 else C[k - 1]
            weight = 1.0
            for m in range(before.shape[0]):
                if m != k:
                    other = 0.0 if m == 0 else C[m - 1]
                    weight *= (at - other) / (node - other)
            for j in range(x.shape[0]):
                stages[s, j] += weight * before[k, j]


@njit(cache=True, error_model="numpy")
def _newton(code, out, reg, base, d, n_p, now, h, pieces, offset, x, largest, stages, f, by_state, working, A, C):
    """Solve the stage equations from the stages given; False where that does not converge."""
    matrix, order, weight, size, move, modes = working
    before = np.inf
    for iteration in range(NEWTON_ITERATIONS):
        for s in range(STAGES):
            at = C[s] * h
            _slopes(code, out, reg, base, d, n_p, now + at, pieces, offset + at, stages[s], modes, f[s], by_state[s])
        for s in range(STAGES):
            for i in range(d):
                value = stages[s, i] - x[i]
                for r in range(STAGES):
                    value -= h * A[s, r] * f[r, i]
                move[s * d + i, 0] = value
        _stage_matrix(h, by_state, matrix, A)
        _sizes(x, stages, largest, size, weight)
        if not _factorised(matrix, order, weight):
            return False
        _solve(matrix, order, move)
        change = 0.0
        for s in range(STAGES):
            for i in range(d):
                stages[s, i] -= move[s * d + i, 0]
                if not abs(stages[s, i]) < BLOW_UP:
                    return False
        for s in range(STAGES):
            for i in range(d):
                change = max(change, abs(move[s * d + i, 0]) / max(size[i], np.abs(stages[:, i]).max()))
        rate = change / before if iteration > 0 else 1.0
        if change * min(rate * rate, 1.0) <= NEWTON_TOLERANCE or (change <= ROUNDING and rate > 0.5):
            return True
        if iteration > 1 and rate >= 1.0:
            return False
        before = change
    return False


@njit(cache=True, error_model="numpy")
def _error(code, out, reg, base, d, n_p, now, h, pieces, offset, x, largest, stages, allowed, start, E):
    """Estimated error of a step beside the sizes of the states so far."""
    f, by_state, matrix, order, weight, error, modes = start
    largest_error = 0.0
    for again in range(2):  # what stiff components leave of a large estimate is filtered once more
        for i in range(d):
            f[i] = x[i] + (error[i, 0] if again else 0.0)
        _slopes(code, out, reg, base, d, n_p, now, pieces, offset, f.copy(), modes, f, by_state)
        if again == 0:
            for i in range(d):
                weight[i] = 1.0 / max(largest[i], abs(stages[STAGES - 1, i]), 1e-300)
                for j in range(d):
                    matrix[i, j] = -by_state[i, j]
                matrix[i, i] += _REAL / h
            if not _factorised(matrix, order, weight):
                return np.inf
        for i in range(d):
            error[i, 0] = f[i]
            for s in range(STAGES):
                error[i, 0] += E[s] * (stages[s, i] - x[i]) / h
        _solve(matrix, order, error)
        largest_error = 0.0
        for i in range(d):
            part = abs(error[i, 0]) / max(largest[i], abs(stages[STAGES - 1, i]), 1e-300)
            if not part < BLOW_UP:
                return np.inf
            largest_error = max(largest_error, part)
        if largest_error <= allowed:
            return largest_error
    return largest_error


@njit(cache=True, error_model="numpy")
def _carry(code, out, reg, base, d, n_p, now, h, pieces, offset, stages, f, by_state, working, sens, right, A, C):
    """Sensitivities (d, n_p + d) at the end of a step from those at its start; False where they do not exist."""
    matrix, order, weight, size, _, modes = working
    width = n_p + d
    for s in range(STAGES):
        for i in range(d):
            for q in range(width):
                right[s * d + i, q] = sens[i, q]
    for r in range(STAGES):
        at = C[r] * h
        _slopes(code, out, reg, base, d, n_p, now + at, pieces, offset + at, stages[r], modes, f[r], by_state[r])
        for i in range(d):
            for q in range(n_p):
                slope = reg[out[d + d * d + i * n_p + q]]
                for s in range(STAGES):
                    right[s * d + i, q] += h * A[s, r] * slope
    _stage_matrix(h, by_state, matrix, A)
    _sizes(stages[STAGES - 1], stages, size, size, weight)
    if not _factorised(matrix, order, weight):
        return False
    _solve(matrix, order, right)
    last = (STAGES - 1) * d
    for i in range(d):
        for q in range(width):
            sens[i, q] = right[last + i, q]
    return True


@njit(cache=True, error_model="numpy")
def _simulate(code, short, constants, out, d, n_p, p, x0, t, pieces, lo, hi, steps, sensitive, states, sens, A, C, E):
    width = n_p + d
    base = d + n_p + 1 + pieces.shape[1] + constants.shape[0]
    reg = np.zeros(base + code.shape[0])
    reg[d : d + n_p] = p
    reg[base - constants.shape[0] : base] = constants
    modes = np.zeros(0)
    stages, before = np.zeros((STAGES, d)), np.zeros((STAGES + 1, d))
    f, by_state = np.zeros((STAGES, d)), np.zeros((STAGES, d, d))
    matrix, order, weight = np.zeros((STAGES * d, STAGES * d)), np.zeros(STAGES * d, np.int64), np.zeros(STAGES * d)
    size, move = np.zeros(d), np.zeros((STAGES * d, 1))
    working = (matrix, order, weight, size, move, modes)
    start = (
        np.zeros(d), np.zeros((d, d)), np.zeros((d, d)), np.zeros(d, np.int64), np.zeros(d), np.zeros((d, 1)), modes
    )  # fmt: skip
    x, largest = np.zeros(d), np.zeros(d)
    slope, right = np.zeros((d, width)), np.zeros((STAGES * d, width))
    for segment in range(lo.shape[0]):
        x[:] = x0[segment]
        largest[:] = np.abs(x)
        slope[:] = 0.0
        for j in range(d):
            slope[j, n_p + j] = 1.0
        length, passed = np.inf, 0.0  # of the next step, and of the one before
        first, last = lo[segment], hi[segment]
        trials = TRIALS + MORE_TRIALS * steps[first : last - 1].sum()
        for i in range(first, last):
            if i > first:
                h, piece = (t[i] - t[i - 1]) / steps[i - 1], pieces[i - 1]
                allowed = max(COARSEST * float(steps[i - 1]) ** -ORDER, FINEST)
                for step in range(steps[i - 1]):
                    done = 0.0
                    while done < h:
                        left = h - done
                        part = left
                        if length < left:
                            part = length if 2.0 * length < left else 0.5 * left
                        now, offset = t[i - 1] + step * h + done, step * h + done
                        _guess(x, before, stages, part / passed if passed > 0.0 else 0.0, C)
                        error, trials = np.inf, trials - 1
                        if _newton(
                            short, out, reg, base, d, n_p, now, part, piece, offset, x, largest, stages, f, by_state,
                            working, A, C,
                        ):  # fmt: skip
                            error = _error(
                                short, out, reg, base, d, n_p, now, part, piece, offset, x, largest, stages, allowed,
                                start, E,
                            )  # fmt: skip
                        if not error <= allowed:
                            longer = 0.5 if error == np.inf else max(0.1, 0.9 * (allowed / error) ** (1.0 / ORDER))
                            length = longer * part
                            if length < SHORTEST * h or trials < 0:
                                return False
                            continue
                        if sensitive and not _carry(
                            code, out, reg, base, d, n_p, now, part, piece, offset, stages, f, by_state, working,
                            slope, right, A, C,
                        ):  # fmt: skip
                            return False
                        length = part * min(5.0, 0.9 * (allowed / max(error, 1e-4 * allowed)) ** (1.0 / ORDER))
                        done, passed = h if part == left else done + part, part
                        before[0] = x
                        before[1:] = stages
                        x[:] = stages[STAGES - 1]
                        for j in range(d):
                            largest[j] = max(largest[j], abs(x[j]))
                            if not abs(x[j]) < BLOW_UP:
                                return False
            states[i] = x
            if sensitive:
                sens[i] = slope
    return True


def simulate(program, d, p, x0, t, segments, steps, *, pieces=None, sensitivities=False, partial=False):
    """Simulate segments of one time axis, each from its own start, with Radau IIA of order five.

    A step is divided where Newton's method fails or its estimated error is too large: `COARSEST` of a state's largest
    value so far with one step a sample, and n^4 times less with n, so that doubling the steps shows what they leave.

    Args:
        program: code (ops, 3), constants and outputs of `model.program.Program`; inputs are the d states,
            the parameters p, t and the k driving inputs; outputs are dx/dt and df/dx by rows, for sensitivities
            df/dp by rows too.
        d: number of states.
        p: (n_p,) parameters.
        x0: (segments, d) starts.
        t: (time,) all sample times, segment after segment.
        segments: (lo, hi) index arrays; a segment is t[lo:hi].
        steps: (time,) equal steps taken between sample i and i + 1, at least.
        pieces: (time, k, 4) cubics of the driving inputs between sample i and i + 1, as in `machine.simulate`; None
            without inputs.
        sensitivities: also return d x(t) / d (p, x0).
        partial: return what was reached where no step succeeds, NaN from there on.

    Returns:
        states (time, d) and sensitivities (time, d, n_p + d) or None; None for both where a state left the
        finite numbers or no step succeeds, unless `partial`.

    Source: Hairer & Wanner, Solving ODEs II (1996), sec. IV.8.
    """
    states = np.full((len(t), d), np.nan)
    sens = np.zeros((len(t) if sensitivities else 0, d, len(p) + d))
    pieces = np.zeros((len(t), 0, 4)) if pieces is None else np.ascontiguousarray(pieces, float)
    slopes, first = program.outputs[: d + d * d], len(program.inputs) + len(program.constants)
    needed = max(0, int(slopes.max()) - first + 1)  # instructions before df/dp
    fine = _simulate(
        program.code,
        program.code[:needed],
        program.constants,
        program.outputs,
        d,
        len(p),
        np.asarray(p, float),
        np.ascontiguousarray(x0, float),
        np.asarray(t, float),
        pieces,
        segments[0],
        segments[1],
        steps,
        sensitivities,
        states,
        sens,
        A,
        C,
        _E,
    )
    if not fine and not partial:
        return None, None
    return states, sens if sensitivities else None
