"""What an exported module simulates a law of fields with: all below the imports is copied into it, as text.

It takes the place of the explicit method of `standalone`; f(t, x) gives dx/dt, and f(t, x, slopes=True) its
derivatives, as a {column: value} for each row.

Source: Hairer & Wanner, Solving ODEs II (1996), sec. IV.7 and the code RODAS: a stiffly accurate Rosenbrock method of
order 4 with an embedded one of order 3.
"""

import math

ORDER, TIME_MATTERS = [0], True  # the module's own: places of the state, point after point; whether rhs depends on t

# ------------------------------------------------------------------ copied from here on
RTOL = 1e-7  # estimated error of a step, beside the size of each field
MOST_STEPS = 20000  # between two times before a law is lost
SHORTEST = 1e-14  # step, beside the time from one time to the next; a law that needs shorter ones is lost
BLOW_UP = 1e15  # a field beyond this is lost
_GAMMA = 0.25
_NODES = (0.0, 0.386, 0.21, 0.63, 1.0, 1.0)
_TIMES = (0.25, -0.1043, 0.1035, -0.0362, 0.0, 0.0)
_ARGUMENTS = (
    (),
    (1.544,),
    (0.9466785280815826, 0.2557011698983284),
    (3.314825187068521, 2.896124015972201, 0.9986419139977817),
    (1.221224509226641, 6.019134481288629, 12.53708332932087, -0.6878860361058950),
    (1.221224509226641, 6.019134481288629, 12.53708332932087, -0.6878860361058950, 1.0),
)
_COUPLINGS = (
    (),
    (-5.6688,),
    (-2.430093356833875, -0.2063599157091915),
    (-0.1073529058151375, -9.594562251023355, -20.47028614809616),
    (7.496443313967647, -10.24680431464352, -33.99990352819905, 11.70890893206160),
    (8.083246795921522, -7.981132988064893, -31.52159432874371, 16.31930543123136, -6.058818238834054),
)


def _advanced(f, begin, span, x, h, size, rtol):
    """The state a span of time later, and the length of the next step."""
    done, tried, h = 0.0, 0, min(h, 0.01 * span) if h == math.inf else h
    while done < span:
        step, tried = min(h, span - done), tried + 1
        try:
            found, error = _step(f, begin + done, x, step, size, rtol)
        except (ArithmeticError, ValueError, TypeError):  # 1/0, exp(1000), log(-1), and what is done with (-1)**0.5
            found, error = x, math.inf
        longer = step * (0.2 if error == math.inf else min(5.0, max(0.2, 0.9 * max(error, 1e-9) ** -0.25)))
        if error <= 1.0:
            x, done = found, span if step == span - done else done + step
            h = max(h, longer) if step < h else longer
        elif step <= SHORTEST * span or tried > MOST_STEPS:
            return [math.nan] * len(x), h
        else:
            h = longer
    return x, h


def _step(f, t, x, h, size, rtol):
    """The state after h, and the estimated error beside what is allowed."""
    rows = [{column: -value for column, value in row.items()} for row in f(t, x, slopes=True)]
    for place, row in enumerate(rows):
        row[place] = row.get(place, 0.0) + 1.0 / (_GAMMA * h)
    factors = _factorised(rows)
    now, small = f(t, x), 1e-5 * h
    along = [(b - a) / small for a, b in zip(now, f(t + small, x))] if TIME_MATTERS else [0.0] * len(x)
    stages = []
    for c, share, own, coupled in zip(_NODES, _TIMES, _ARGUMENTS, _COUPLINGS):
        point = [value + sum(a * k[i] for a, k in zip(own, stages)) for i, value in enumerate(x)]
        slopes = f(t + c * h, point) if stages else now
        right = [
            slope + sum(b * k[i] for b, k in zip(coupled, stages)) / h + h * share * along[i]
            for i, slope in enumerate(slopes)
        ]
        stages.append(_solved(factors, right))
    found = [value + last for value, last in zip(point, stages[-1])]
    if not all(isinstance(value, float) and abs(value) < BLOW_UP for value in found):
        return x, math.inf
    return found, max(abs(e) / (rtol * max(s, abs(a))) for e, s, a in zip(stages[-1], size, found))


def _factorised(rows):
    """The rows {column: value} of a matrix by elimination without pivots, point after point, and its steps."""
    holding = [set() for _ in rows]
    for place, row in enumerate(rows):
        for column in row:
            holding[column].add(place)
    rank, steps = {place: k for k, place in enumerate(ORDER)}, []
    for p in ORDER:
        pivot = rows[p]
        for r in holding[p]:
            if rank[r] > rank[p]:
                row = rows[r]
                factor = row.pop(p) / pivot[p]
                steps.append((r, p, factor))
                for column, value in pivot.items():
                    if column != p:
                        row[column] = row.get(column, 0.0) - factor * value
                        holding[column].add(r)
    return rows, steps


def _solved(factors, right):
    """What solves the factorised system."""
    (rows, steps), b = factors, list(right)
    for r, p, factor in steps:
        b[r] -= factor * b[p]
    for p in reversed(ORDER):
        row = rows[p]
        b[p] = (b[p] - sum(value * b[column] for column, value in row.items() if column != p)) / row[p]
    return b
