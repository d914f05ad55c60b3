"""A register machine in compiled code: closed-form systems and their sensitivities, simulated in microseconds.

A candidate formula is a short list of instructions over registers, so a new candidate needs no compiler:
numba compiles the machine once. Sensitivities follow the variational equations through the same steps
(internal numerical differentiation, Bock 1981), so they are exact derivatives of the discrete solution.
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
BLOW_UP = 1e15  # a state beyond this is a failed solve


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
def _derivatives(code, out, reg, base, d, n_p, t, pieces, offset, y, dy, sensitive):
    """dy/dt of the state and, after it, of its sensitivities (row-major d x (n_p + d))."""
    for j in range(d):
        reg[j] = y[j]
    reg[d + n_p] = t
    for j in range(pieces.shape[0]):
        c = pieces[j]
        reg[d + n_p + 1 + j] = c[0] + offset * (c[1] + offset * (c[2] + offset * c[3]))
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
def _simulate(code, constants, out, d, n_p, p, x0, t, pieces, lo, hi, steps, sensitive, states, sens, A, B, C):
    width = n_p + d
    m = d + d * width if sensitive else d
    base = d + n_p + 1 + pieces.shape[1] + constants.shape[0]
    reg = np.zeros(base + code.shape[0])
    reg[d : d + n_p] = p
    reg[base - constants.shape[0] : base] = constants
    k = np.zeros((A.shape[0], m))
    y = np.zeros(m)
    z = np.zeros(m)
    for segment in range(lo.shape[0]):
        y[:] = 0.0
        for j in range(d):
            y[j] = x0[segment, j]
            if sensitive:
                y[d + j * width + n_p + j] = 1.0
        first = lo[segment]
        for i in range(first, hi[segment]):
            if i > first:
                h = (t[i] - t[i - 1]) / steps[i - 1]
                for step in range(steps[i - 1]):
                    now = t[i - 1] + step * h
                    for s in range(A.shape[0]):
                        z[:] = y
                        for r in range(s):
                            w = h * A[s, r]
                            if w != 0.0:
                                for q in range(m):
                                    z[q] += w * k[r, q]
                        at, offset = now + C[s] * h, (step + C[s]) * h
                        _derivatives(code, out, reg, base, d, n_p, at, pieces[i - 1], offset, z, k[s], sensitive)
                    for s in range(A.shape[0]):
                        w = h * B[s]
                        if w != 0.0:
                            for q in range(m):
                                y[q] += w * k[s, q]
                for j in range(d):
                    if not abs(y[j]) < BLOW_UP:
                        return False
            for j in range(d):
                states[i, j] = y[j]
            if sensitive:
                for j in range(d):
                    for q in range(width):
                        sens[i, j, q] = y[d + j * width + q]
    return True


def simulate(program, d, p, x0, t, segments, steps, *, pieces=None, sensitivities=False):
    """Simulate segments of one time axis, each from its own start, with Dormand & Prince's order-8 formula.

    Args:
        program: code (ops, 3), constants and outputs of `model.program.Program`; inputs are the d states,
            the parameters p, t and the k driving inputs; outputs are dx/dt and, for sensitivities, df/dx and df/dp
            by rows.
        d: number of states.
        p: (n_p,) parameters.
        x0: (segments, d) starts.
        t: (time,) all sample times, segment after segment.
        segments: (lo, hi) index arrays; a segment is t[lo:hi].
        steps: (time,) equal steps taken between sample i and i + 1.
        pieces: (time, k, 4) cubics of the driving inputs between sample i and i + 1, c0 to c3 of
            c0 + c1 s + c2 s^2 + c3 s^3 at s after sample i; None without inputs.
        sensitivities: also return d x(t) / d (p, x0).

    Returns:
        states (time, d) and sensitivities (time, d, n_p + d) or None; None for both where a state left the
        finite numbers.

    Source: Hairer, Norsett & Wanner, Solving ODEs I (1993), sec. II.5.
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
        states,
        sens,
        _A,
        _B,
        _C,
    )
    if not fine:
        return None, None
    return states, sens if sensitivities else None
