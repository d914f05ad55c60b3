"""A register machine in compiled code: closed-form systems and their sensitivities, simulated in microseconds.

A candidate formula is a short list of instructions over registers, so a new candidate needs no compiler:
numba compiles the machine once. Sensitivities follow the variational equations through the same steps
(internal numerical differentiation, Bock 1981), so they are exact derivatives of the discrete solution. Where a sign
jumps, as in dry friction, steps end at the jump, and the sensitivities jump with it (Hairer, Norsett & Wanner 1993,
sec. II.6).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from scipy.integrate import DOP853

from udesys.integrate.operations import OPERATIONS

# in the order of OPERATIONS; numba freezes them into the machine
(
    _ADD,
    _SUB,
    _MUL,
    _DIV,
    _POW,
    _POWI,
    _NEG,
    _EXP,
    _LOG,
    _SQRT,
    _SIN,
    _COS,
    _TAN,
    _TANH,
    _SINH,
    _COSH,
    _ABS,
    _SIGN,
    _SIGMOID,
    _LESS,
    _MIN,
    _MAX,
) = range(len(OPERATIONS))

# Dormand & Prince, order 8 with 12 stages (Hairer, Norsett & Wanner 1993, sec. II.5)
_A = np.ascontiguousarray(DOP853.A)
_B = np.ascontiguousarray(DOP853.B)
_C = np.ascontiguousarray(DOP853.C)
# and what its states within a step take: three more stages after the one at its end, and four polynomials
_A_MORE = np.ascontiguousarray(DOP853.A_EXTRA)
_C_MORE = np.ascontiguousarray(DOP853.C_EXTRA)
_D = np.ascontiguousarray(DOP853.D)
BLOW_UP = 1e15  # a state beyond this is a failed solve
MOST_JUMPS = 8  # of signs within one step; with more, it sticks or chatters
A_LITTLE = 1e-6  # of a step
MOST_TRIALS, LOCATED = 60, 1e-14  # to locate a jump, relative to the step


@njit(cache=True, error_model="numpy")
def _run(code, reg, base):
    for i in range(code.shape[0]):
        op = code[i, 0]
        a = reg[code[i, 1]]
        if op == _POWI:  # powi: the exponent is immediate
            n = code[i, 2]
            m = -n if n < 0 else n
            b = a
            v = 1.0
            while m > 0:
                if m & 1:
                    v *= b
                b *= b
                m >>= 1
            if n < 0:
                v = 1.0 / v
        elif op == _MUL:
            v = a * reg[code[i, 2]]
        elif op == _ADD:
            v = a + reg[code[i, 2]]
        elif op == _SUB:
            v = a - reg[code[i, 2]]
        elif op == _DIV:
            v = a / reg[code[i, 2]]
        elif op == _POW:
            v = a ** reg[code[i, 2]]
        elif op == _NEG:
            v = -a
        elif op == _EXP:
            v = np.exp(a)
        elif op == _LOG:
            v = np.log(a)
        elif op == _SQRT:
            v = np.sqrt(a)
        elif op == _SIN:
            v = np.sin(a)
        elif op == _COS:
            v = np.cos(a)
        elif op == _TAN:
            v = np.tan(a)
        elif op == _TANH:
            v = np.tanh(a)
        elif op == _SINH:
            v = np.sinh(a)
        elif op == _COSH:
            v = np.cosh(a)
        elif op == _ABS:
            v = abs(a)
        elif op == _SIGN:
            v = 1.0 if a > 0 else (-1.0 if a < 0 else 0.0)
        elif op == _SIGMOID:
            v = 0.5 * (1.0 + np.tanh(0.5 * a))
        elif op == _LESS:
            v = 1.0 if a < reg[code[i, 2]] else 0.0
        elif op == _MIN:
            b = reg[code[i, 2]]
            v = a if a < b or a != a else b  # NaN stays NaN, as in NumPy
        else:
            b = reg[code[i, 2]]
            v = a if a > b or a != a else b
        reg[base + i] = v


@njit(cache=True, error_model="numpy")
def _load(code, reg, base, d, n_p, t, pieces, offset, y, modes):
    """Run the program at a point; `modes` are the signs in force, taken from their arguments where they are zero."""
    for j in range(d):
        reg[j] = y[j]
    first = d + n_p
    reg[first] = t
    for j in range(pieces.shape[0]):
        c = pieces[j]
        reg[first + 1 + j] = c[0] + offset * (c[1] + offset * (c[2] + offset * c[3]))
    for k in range(modes.shape[0]):
        reg[first + 1 + pieces.shape[0] + k] = modes[k]
    _run(code, reg, base)


@njit(cache=True, error_model="numpy")
def at_points(code, constants, outputs, x, values, t, u):
    """(points, results) of a program whose inputs are states, values, the time, then inputs and covariates.

    Args:
        code, constants, outputs: of the program.
        x: (points, d) states.
        values: (unknowns,).
        t: (points,) times.
        u: (points, k) inputs and covariates.
    """
    n, d = x.shape
    p, k = len(values), u.shape[1]
    first = d + p + 1 + k
    base = first + len(constants)
    reg, result = np.empty(base + code.shape[0]), np.empty((n, len(outputs)))
    reg[d : d + p] = values
    reg[first:base] = constants
    for i in range(n):
        reg[:d] = x[i]
        reg[d + p] = t[i]
        reg[d + p + 1 : first] = u[i]
        _run(code, reg, base)
        for j in range(len(outputs)):
            result[i, j] = reg[outputs[j]]
    return result


@njit(cache=True, error_model="numpy")
def _derivatives(code, out, reg, base, d, n_p, t, pieces, offset, y, dy, sensitive, modes):
    """dy/dt of the state and, after it, of its sensitivities (row-major d x (n_p + d))."""
    _load(code, reg, base, d, n_p, t, pieces, offset, y, modes)
    free = False
    for k in range(modes.shape[0]):
        free = free or modes[k] == 0.0
    if free:
        place, first = _first_switch(d, n_p, sensitive), d + n_p + 1 + pieces.shape[0]
        for k in range(modes.shape[0]):
            if modes[k] == 0.0:
                g = reg[out[place + k]]
                reg[first + k] = 1.0 if g > 0 else (-1.0 if g < 0 else 0.0)
        _run(code, reg, base)
    for j in range(d):
        dy[j] = reg[out[j]]
    if not sensitive:
        return
    width = n_p + d
    for i in range(d):
        row = d + i * width
        for q in range(width):
            dy[row + q] = 0.0
        for q in range(n_p):
            dy[row + q] = reg[out[d + d * d + i * n_p + q]]
        for j in range(d):
            slope = reg[out[d + i * d + j]]
            if slope != 0.0:
                other = d + j * width
                for q in range(width):
                    dy[row + q] += slope * y[other + q]


@njit(cache=True, error_model="numpy")
def _first_switch(d, n_p, sensitive):
    """Place of the first sign's argument among the program's outputs."""
    return d + d * (d + n_p) if sensitive else d


@njit(cache=True, error_model="numpy")
def _step(code, out, reg, base, d, n_p, now, h, pieces, offset, y, after, k, z, sensitive, modes, A, B, C):
    """One step of length h from y."""
    m = y.shape[0]
    for s in range(A.shape[0]):
        z[:] = y
        for r in range(s):
            w = h * A[s, r]
            if w != 0.0:
                for q in range(m):
                    z[q] += w * k[r, q]
        at = offset + C[s] * h
        _derivatives(code, out, reg, base, d, n_p, now + C[s] * h, pieces, at, z, k[s], sensitive, modes)
    after[:] = y
    for s in range(A.shape[0]):
        w = h * B[s]
        if w != 0.0:
            for q in range(m):
                after[q] += w * k[s, q]


@njit(cache=True, error_model="numpy")
def _within_step(code, out, reg, base, d, n_p, now, h, pieces, y, after, k, z, f, sensitive, modes, A_MORE, C_MORE, D):
    """Fill f (7, m), of which `_at` makes the states within a step, to order 7; it was just made from y to `after`."""
    m, n = y.shape[0], k.shape[0] - A_MORE.shape[0]
    _derivatives(code, out, reg, base, d, n_p, now + h, pieces, 0.0, after, k[n - 1], sensitive, modes)
    for s in range(A_MORE.shape[0]):
        z[:] = y
        for r in range(n + s):
            w = h * A_MORE[s, r]
            if w != 0.0:
                for q in range(m):
                    z[q] += w * k[r, q]
        _derivatives(code, out, reg, base, d, n_p, now + C_MORE[s] * h, pieces, 0.0, z, k[n + s], sensitive, modes)
    f[3:] = 0.0
    for q in range(m):
        f[0, q] = after[q] - y[q]
        f[1, q] = h * k[0, q] - f[0, q]
        f[2, q] = 2.0 * f[0, q] - h * (k[n - 1, q] + k[0, q])
    for p in range(D.shape[0]):
        for r in range(D.shape[1]):
            w = h * D[p, r]
            if w != 0.0:
                for q in range(m):
                    f[3 + p, q] += w * k[r, q]


@njit(cache=True, error_model="numpy")
def _at(share, y, f, z):
    """Fill z (m,) with the state at a share of the step from y."""
    z[:] = 0.0
    for p in range(f.shape[0]):
        factor = share if p % 2 == 0 else 1.0 - share
        for q in range(z.shape[0]):
            z[q] = (z[q] + f[f.shape[0] - 1 - p, q]) * factor
    for q in range(z.shape[0]):
        z[q] += y[q]


@njit(cache=True, error_model="numpy")
def _argument_of(code, out, reg, base, d, n_p, t, pieces, offset, y, sensitive, modes, which):
    """What a sign is of, at a point."""
    _load(code, reg, base, d, n_p, t, pieces, offset, y, modes)
    return reg[out[_first_switch(d, n_p, sensitive) + which]]


@njit(cache=True, error_model="numpy")
def _crossed(code, out, reg, base, d, n_p, t, pieces, offset, y, sensitive, modes, which):
    """The first sign, from `which` on and round, that is no more the one in force, and its argument; -1 where none."""
    _load(code, reg, base, d, n_p, t, pieces, offset, y, modes)
    place, count = _first_switch(d, n_p, sensitive), modes.shape[0]
    for n in range(count):
        k = (which + n) % count
        g = reg[out[place + k]]
        if g * modes[k] < 0.0:
            return k, g
    return -1, 0.0


@njit(cache=True, error_model="numpy")
def _signs_at(code, out, reg, base, d, n_p, t, h, pieces, offset, y, after, k, sensitive, modes):
    """Put signs that are not known yet in force; where an argument is zero, the sign it has a little later."""
    for q in range(modes.shape[0]):
        if modes[q] != 0.0:
            continue
        g = _argument_of(code, out, reg, base, d, n_p, t, pieces, offset, y, sensitive, modes, q)
        if g == 0.0:
            _derivatives(code, out, reg, base, d, n_p, t, pieces, offset, y, k[0], sensitive, modes)
            after[:] = y
            for j in range(d):
                after[j] += A_LITTLE * h * k[0, j]
            g = _argument_of(code, out, reg, base, d, n_p, t, pieces, offset, after, sensitive, modes, q)
        modes[q] = 1.0 if g > 0 else (-1.0 if g < 0 else 0.0)


@njit(cache=True, error_model="numpy")
def _advance(code, out, reg, base, d, n_p, now, h, pieces, offset, y, after, k, z, sensitive, modes, A, B, C):
    """One step in pieces, none of which crosses a jump of a sign: each jump is located and the signs changed there."""
    program, working = (code, out, reg, base, d, n_p), (after, k, z, sensitive, modes, A, B, C)
    done = 0.0
    for _ in range(MOST_JUMPS):
        left = h - done
        _step(*program, now + done, left, pieces, offset + done, y, *working)
        end = offset + h
        which, beyond = _crossed(code, out, reg, base, d, n_p, now + h, pieces, end, after, sensitive, modes, 0)
        if which < 0:
            y[:] = after
            return
        before = _argument_of(*program, now + done, pieces, offset + done, y, sensitive, modes, which)
        low, high, side = 0.0, left, 0
        for _ in range(MOST_TRIALS):  # regula falsi after Illinois
            if high - low <= LOCATED * h:
                break
            middle = low + (high - low) * before / (before - beyond)
            if not low < middle < high:
                middle = 0.5 * (low + high)
            at = done + middle
            _step(*program, now + done, middle, pieces, offset + done, y, *working)
            other, g = _crossed(
                code, out, reg, base, d, n_p, now + at, pieces, offset + at, after, sensitive, modes, which
            )
            if other >= 0:
                if other != which:  # another sign changes before
                    which, side = other, 0
                    before = _argument_of(*program, now + done, pieces, offset + done, y, sensitive, modes, which)
                high, beyond = middle, g
                if side == 1:
                    before *= 0.5
                side = 1
            else:
                low = middle
                before = reg[out[_first_switch(d, n_p, sensitive) + which]]
                if side == -1:
                    beyond *= 0.5
                side = -1
        _step(*program, now + done, high, pieces, offset + done, y, *working)
        done += high
        y[:] = after
        if sensitive:
            _derivatives(code, out, reg, base, d, n_p, now + done, pieces, offset + done, y, k[0], True, modes)
            _jump_of_sensitivities(out, reg, d, n_p, y, k, which, modes.shape[0])
            modes[which] = -modes[which]
            _derivatives(code, out, reg, base, d, n_p, now + done, pieces, offset + done, y, k[1], True, modes)
            width = n_p + d
            for i in range(d):
                for q in range(width):
                    y[d + i * width + q] += (k[1, i] - k[0, i]) * k[2, q]
        else:
            modes[which] = -modes[which]
    modes[:] = 0.0  # it sticks: what is left goes with the signs as they come
    left = h - done
    _step(*program, now + done, left, pieces, offset + done, y, *working)
    y[:] = after


@njit(cache=True, error_model="numpy")
def _jump_of_sensitivities(out, reg, d, n_p, y, k, which, count):
    """k[2, :width] = how much earlier the jump comes by each unknown: (dg/dx S + dg/dp) / (dg/dt along the way)."""
    width, first = n_p + d, _first_switch(d, n_p, True) + count
    by_state, by_unknown, by_time = (
        first + which * d,
        first + count * d + which * n_p,
        first + count * (d + n_p) + which,
    )
    speed = reg[out[by_time]]
    for j in range(d):
        speed += reg[out[by_state + j]] * k[0, j]
    for q in range(width):
        k[2, q] = 0.0
    if speed == 0.0:
        return
    for q in range(n_p):
        k[2, q] = reg[out[by_unknown + q]]
    for j in range(d):
        slope = reg[out[by_state + j]]
        for q in range(width):
            k[2, q] += slope * y[d + j * width + q]
    for q in range(width):
        k[2, q] /= speed


@njit(cache=True, error_model="numpy")
def _simulate(
    code, constants, out, d, n_p, p, x0, t, pieces, lo, hi, steps, sensitive, n_signs, states, sens,
    A, B, C, A_MORE, C_MORE, D,
):  # fmt: skip
    width = n_p + d
    m = d + d * width if sensitive else d
    base = d + n_p + 1 + pieces.shape[1] + n_signs + constants.shape[0]
    reg = np.zeros(base + code.shape[0])
    reg[d : d + n_p] = p
    reg[base - constants.shape[0] : base] = constants
    k = np.zeros((D.shape[1], m))
    y = np.zeros(m)
    z = np.zeros(m)
    f = np.zeros((3 + D.shape[0], m))
    after = np.zeros(m)
    modes = np.zeros(n_signs)
    smooth = n_signs == 0 and pieces.shape[1] == 0
    program, working = (code, out, reg, base, d, n_p), (after, k, z, sensitive, modes, A, B, C)
    for segment in range(lo.shape[0]):
        y[:] = 0.0
        for j in range(d):
            y[j] = x0[segment, j]
            if sensitive:
                y[d + j * width + n_p + j] = 1.0
        first, last = lo[segment], hi[segment] - 1
        modes[:] = 0.0
        _keep(y, d, width, sensitive, states[first], sens, first)
        i = first
        while i < last:
            piece, end = pieces[i], i + 1
            while smooth and end < last and steps[end] == 0:
                end += 1
            if end > i + 1:
                h = t[end] - t[i]
                _step(*program, t[i], h, piece, 0.0, y, *working)
                _within_step(*program, t[i], h, piece, y, after, k, z, f, sensitive, modes, A_MORE, C_MORE, D)
                for q in range(i + 1, end):
                    _at((t[q] - t[i]) / h, y, f, z)
                    _keep(z, d, width, sensitive, states[q], sens, q)
                y[:] = after
            else:
                count = max(steps[i], 1)
                h = (t[end] - t[i]) / count
                for step in range(count):
                    now, offset = t[i] + step * h, step * h
                    if n_signs == 0:
                        _step(*program, now, h, piece, offset, y, *working)
                        y[:] = after
                        continue
                    _signs_at(code, out, reg, base, d, n_p, now, h, piece, offset, y, after, k, sensitive, modes)
                    _advance(*program, now, h, piece, offset, y, *working)
            for j in range(d):
                if not abs(y[j]) < BLOW_UP:
                    return False
            _keep(y, d, width, sensitive, states[end], sens, end)
            i = end
    return True


@njit(cache=True, error_model="numpy")
def _keep(y, d, width, sensitive, state, sens, place):
    """Write a state with its sensitivities down."""
    for j in range(d):
        state[j] = y[j]
    if sensitive:
        for j in range(d):
            for q in range(width):
                sens[place, j, q] = y[d + j * width + q]


def simulate(program, d, p, x0, t, segments, steps, *, pieces=None, sensitivities=False, signs=0, partial=False):
    """Simulate segments of one time axis, each from its own start, with Dormand & Prince's order-8 formula.

    Args:
        program: code (ops, 3), constants and outputs of `model.program.Program`; inputs are the d states,
            the parameters p, t, the k driving inputs and the signs; outputs are dx/dt, for sensitivities df/dx and
            df/dp by rows, and with signs their arguments g, for sensitivities dg/dx and dg/dp by rows and dg/dt.
        d: number of states.
        p: (n_p,) parameters.
        x0: (segments, d) starts.
        t: (time,) all sample times, segment after segment.
        segments: (lo, hi) index arrays; a segment is t[lo:hi].
        steps: (time,) equal steps taken between sample i and i + 1. Zeros after sample i make the step from there as
            long as they go on, and what is between its ends comes from its interpolation, of order 7; where inputs or
            signs are, zero counts as one.
        pieces: (time, k, 4) cubics of the driving inputs between sample i and i + 1, c0 to c3 of
            c0 + c1 s + c2 s^2 + c3 s^3 at s after sample i; None without inputs.
        sensitivities: also return d x(t) / d (p, x0).
        signs: number of signs whose jumps are located, so that no step crosses one.
        partial: return what was reached where a state left the finite numbers, NaN from there on.

    Returns:
        states (time, d) and sensitivities (time, d, n_p + d) or None; None for both where a state left the
        finite numbers, unless `partial`.

    Source: Hairer, Norsett & Wanner, Solving ODEs I (1993), sec. II.5 and, for what is within a step, II.6.
    """
    states = np.full((len(t), d), np.nan)
    sens = np.zeros((len(t) if sensitivities else 0, d, len(p) + d))
    pieces = np.zeros((len(t), 0, 4)) if pieces is None else np.ascontiguousarray(pieces, float)
    fine = _simulate(
        program.code,
        program.constants,
        program.outputs,
        d,
        len(p),
        np.asarray(p, float),
        np.ascontiguousarray(x0, float),
        t,
        pieces,
        segments[0],
        segments[1],
        steps,
        sensitivities,
        signs,
        states,
        sens,
        _A,
        _B,
        _C,
        _A_MORE,
        _C_MORE,
        _D,
    )
    if not fine and not partial:
        return None, None
    return states, sens if sensitivities else None
