"""What an exported module simulates a stiff law with: all below the imports is copied into it, as text.

It takes the place of the explicit method of `standalone`; f(t, x) gives dx/dt and df/dx, by rows.

Source: Hairer & Wanner, Solving ODEs II (1996), sec. IV.5 (Radau IIA of order 5) and IV.8 (its error and steps).
"""

import math

# ------------------------------------------------------------------ copied from here on
RTOL = 1e-8  # estimated error of a step, beside the size of each state; the error of the method itself is far smaller
MOST_STEPS = 20000  # between two times before a law is lost
SHORTEST = 1e-14  # step, beside the time from one time to the next; a law that needs shorter ones is lost
BLOW_UP = 1e15  # a state beyond this is lost
NEWTON = 10  # iterations
_R = math.sqrt(6.0)
_A = (
    ((88.0 - 7.0 * _R) / 360.0, (296.0 - 169.0 * _R) / 1800.0, (-2.0 + 3.0 * _R) / 225.0),
    ((296.0 + 169.0 * _R) / 1800.0, (88.0 + 7.0 * _R) / 360.0, (-2.0 - 3.0 * _R) / 225.0),
    ((16.0 - _R) / 36.0, (16.0 + _R) / 36.0, 1.0 / 9.0),
)
_C = ((4.0 - _R) / 10.0, (4.0 + _R) / 10.0, 1.0)
_E = ((-13.0 - 7.0 * _R) / 3.0, (-13.0 + 7.0 * _R) / 3.0, -1.0 / 3.0)
_REAL = 3.0 + 3.0 ** (2.0 / 3.0) - 3.0 ** (1.0 / 3.0)


def _advanced(f, begin, span, x, h, size, rtol):
    """The state a span of time later, and the length of the next step."""
    done, tried = 0.0, 0
    while done < span:
        step, tried = min(h, span - done), tried + 1
        try:
            found, error = _step(f, begin + done, x, step, size, rtol)
        except (ArithmeticError, ValueError, TypeError):  # 1/0, exp(1000), log(-1), and what is done with (-1)**0.5
            found, error = x, math.inf
        if error <= 1.0:
            longer = step * min(5.0, 0.9 * max(error, 1e-9) ** -0.25)
            x, done = found, span if step == span - done else done + step
            h = max(h, longer) if step < h else longer
        elif step <= SHORTEST * span or tried > MOST_STEPS:
            return [math.nan] * len(x), h
        else:
            h = step * (0.5 if error == math.inf else max(0.1, 0.9 * error**-0.25))
    return x, h


def _step(f, t, x, h, size, rtol):
    """The state after h, and the estimated error beside what is allowed; infinite where Newton's method fails."""
    d, stages = len(x), [list(x) for _ in _C]
    for _ in range(NEWTON):
        found = [f(t + c * h, stage) for c, stage in zip(_C, stages)]
        right = [
            x[i] - stages[s][i] + h * sum(a * slopes[i] for a, (slopes, _) in zip(_A[s], found))
            for s in range(3)
            for i in range(d)
        ]
        matrix = [
            [float(s == r and i == j) - h * _A[s][r] * found[r][1][i][j] for r in range(3) for j in range(d)]
            for s in range(3)
            for i in range(d)
        ]
        move = _solved(matrix, right, size * 3)
        stages = [[a + move[s * d + i] for i, a in enumerate(stage)] for s, stage in enumerate(stages)]
        values = [a for stage in stages for a in stage]
        if not all(isinstance(a, float) and abs(a) < BLOW_UP for a in values):
            return x, math.inf
        if max(abs(m) / max(s, abs(a)) for m, s, a in zip(move, size * 3, values)) < 1e-3 * rtol:
            break
    else:
        return x, math.inf
    return stages[-1], _error(f, t, x, h, stages, size, rtol)


def _error(f, t, x, h, stages, size, rtol):
    """Estimated error of a step beside what is allowed."""
    d, (slopes, by_state) = len(x), f(t, x)
    matrix = [[float(i == j) * _REAL / h - by_state[i][j] for j in range(d)] for i in range(d)]
    increments = [sum(e * (stage[i] - x[i]) for e, stage in zip(_E, stages)) / h for i in range(d)]
    allowed = [rtol * max(s, abs(a)) for s, a in zip(size, stages[-1])]
    error = _solved([*map(list, matrix)], [a + b for a, b in zip(slopes, increments)], size)
    if all(abs(e) <= a for e, a in zip(error, allowed)):
        return max(abs(e) / a for e, a in zip(error, allowed))
    slopes, _ = f(t, [a + e for a, e in zip(x, error)])  # what stiff components leave of it is filtered once more
    error = _solved(matrix, [a + b for a, b in zip(slopes, increments)], size)
    return max(abs(e) / a for e, a in zip(error, allowed))


def _solved(a, b, size):
    """What solves a x = b, by elimination with row pivots beside the sizes of the rows."""
    n, b, size = len(b), list(b), list(size)
    for k in range(n):
        row = max(range(k, n), key=lambda i: abs(a[i][k]) / size[i])
        for values in (a, b, size):
            values[k], values[row] = values[row], values[k]
        for i in range(k + 1, n):
            factor = a[i][k] / a[k][k]
            if factor:
                b[i] -= factor * b[k]
                for j in range(k + 1, n):
                    a[i][j] -= factor * a[k][j]
    for k in reversed(range(n)):
        b[k] = (b[k] - sum(a[k][j] * b[j] for j in range(k + 1, n))) / a[k][k]
    return b
