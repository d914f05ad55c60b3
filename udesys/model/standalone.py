"""What an exported module simulates its law with: all below the imports is copied into it, as text.

Source: Hairer, Norsett & Wanner, Solving ODEs I (1993), sec. II.1 (the method of order 4) and II.4 (its extrapolated
error and the step's length).
"""

import bisect
import math

# ------------------------------------------------------------------ copied from here on
RTOL = 1e-10  # error of a step, beside the size of each state
MOST_STEPS = 5000  # between two times before a sign is taken to stick: from then on steps are as long as so many need
SHORTEST = 1e-14  # step, beside the time from one time to the next; a law that needs shorter ones is lost
BLOW_UP = 1e15  # a state beyond this is lost


def _along(slopes_from, t, x0, size, rtol):
    """States at the times t, from x0 at t[0]; not-a-number from where they are no finite numbers any more.

    slopes_from(begin) is the f(t, x) = dx/dt that holds from one of the times to the next.
    """
    x, rows, h = [float(value) for value in x0], [], math.inf
    for begin, end in zip(t, t[1:]):
        rows.append(x)
        x, h = _advanced(slopes_from(begin), begin, end - begin, x, h, size, rtol)
    return [*rows, x][: len(t)]


def _advanced(f, begin, span, x, h, size, rtol):
    """The state a span of time later, and the length of the next step."""
    done, tried, least = 0.0, 0, 0.0
    while done < span:
        step, tried = min(h, span - done), tried + 1
        if tried == MOST_STEPS:
            least = span / MOST_STEPS
        found, error = _step(f, begin + done, x, step, size, rtol)
        longer = step * (0.2 if error == math.inf else min(5.0, max(0.2, 0.9 * max(error, 1e-9) ** -0.2)))
        if error <= 1.0 or (error < math.inf and step <= least):
            x, done = found, span if step == span - done else done + step
            h = max(h, longer) if step < h else longer
        elif step <= SHORTEST * span or tried > 3 * MOST_STEPS:
            return [math.nan] * len(x), h
        else:
            h = longer
        h = max(h, least)
    return x, h


def _step(f, t, x, h, size, rtol):
    """The state after h by two half steps, extrapolated with a whole one, and the error beside what is allowed."""
    try:
        whole = _rk4(f, t, x, h)
        half = _rk4(f, t + 0.5 * h, _rk4(f, t, x, 0.5 * h), 0.5 * h)
        rows = list(zip(half, whole, size))
        found = [a + (a - b) / 15.0 for a, b, _ in rows]
        error = max(abs(a - b) / (15.0 * rtol * max(s, abs(a))) for a, b, s in rows)
        if all(isinstance(value, float) and abs(value) < BLOW_UP for value in found):
            return found, error
    except (ArithmeticError, ValueError, TypeError):  # 1/0, exp(1000), log(-1), and what is done with (-1)**0.5
        pass
    return x, math.inf


def _rk4(f, t, x, h):
    """One step of the classical method of order 4."""
    k1 = f(t, x)
    k2 = f(t + 0.5 * h, [a + 0.5 * h * k for a, k in zip(x, k1)])
    k3 = f(t + 0.5 * h, [a + 0.5 * h * k for a, k in zip(x, k2)])
    k4 = f(t + h, [a + h * k for a, k in zip(x, k3)])
    return [a + h / 6.0 * (p + 2.0 * q + 2.0 * r + s) for a, p, q, r, s in zip(x, k1, k2, k3, k4)]


def _signals_from(record, times, begin):
    """The function of t that the inputs follow from one of the times to the next.

    A row of the record has its time, and for each input the c0, c1, ... of c0 + c1*s + ..., s after that time.
    """
    start, *polynomials = record[max(bisect.bisect_right(times, begin) - 1, 0)]

    def signals(t):
        values = []
        for coefficients in polynomials:
            value = 0.0
            for c in reversed(coefficients):
                value = value * (t - start) + c
            values.append(value)
        return values

    return signals
