"""A body that floats in a vortex: water resists its motion, and some of it has to be moved along.

The runs show accelerations, which are the drag divided by the mass that moves: from them alone both could be larger by
one factor, even one that depends on the speed. So the spec is given the water that is moved along at rest, and the
simplest two forms with that are what it asks for.
"""

import numpy as np

from udesys.systems.base import System, sampled

N_RUNS = 64
N_HELDOUT = 13  # a fifth of the runs
PLACE, SPEED = 2.5, 0.9  # the starts are uniform within these


def _starts():
    rng = np.random.default_rng(0)
    drawn = rng.uniform(-1, 1, (N_RUNS, 4)) * [PLACE, SPEED, PLACE, SPEED]
    return tuple(dict(zip(("x", "x'", "y", "y'"), map(float, row), strict=True)) for row in drawn)


SLIP = "sqrt((x' + 0.2*y)^2 + (y' - 0.2*x)^2)"  # speed against the water, which turns with 0.2 rad/s

SYSTEM = System(
    name="floating_body",
    title="a floating body in a vortex; its drag, and how its added mass grows with speed, are missing",
    units={"x": "m", "x'": "m/s", "y": "m", "y'": "m/s"},
    equations=f"""
x'' = -NN1({SLIP})*(x' + 0.2*y)/(mass + rest + NN2({SLIP}))
y'' = -NN1({SLIP})*(y' - 0.2*x)/(mass + rest + NN2({SLIP}))
""",
    missing={f"NN1({SLIP})": f"drag*{SLIP} + viscous", f"NN2({SLIP})": f"rise*tanh(k*{SLIP})"},
    parameters={"mass": 100.0, "rest": 30.0},
    constants={"mass": 100.0, "drag": 400.0, "viscous": 5.0, "rest": 30.0, "rise": 10.0, "k": 0.2},
    starts=_starts(),
    t=sampled(8.0, 0.02),
    measured=("x", "x'", "y", "y'"),
    heldout=tuple(str(k) for k in range(N_RUNS - N_HELDOUT, N_RUNS)),
    time_unit="s",
    source="(100 + m_a) v' = -(400 s + 5) w with w = v - u, s = |w|, u = 0.2 (-y, x) and m_a = 30 + 10 tanh(0.2 s) "
    "[kg, m, s]: quadratic and viscous drag and an added mass, after Newman, Marine Hydrodynamics (1977), ch. 2 and 4",
)
