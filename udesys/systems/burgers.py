"""A wave that steepens, on a ring."""

from udesys.model import Grid
from udesys.systems.base import System, sampled

SYSTEM = System(
    name="burgers",
    title="Burgers' equation, a wave that steepens and fades; its transport is missing",
    units={"u": ""},
    equations="u' = NN(u, dx(u)) + nu*dxx(u)",
    missing={"NN(u, dx(u))": "-c*u*dx(u)"},
    parameters={"nu": {"start": 0.05, "bounds": [0, 1]}},
    constants={"nu": 0.1, "c": 1.0},
    starts=({"u": "0.3 + sin(pi*x)"},),
    t=sampled(1.5, 0.1),
    grid=Grid(sampled(1.95, 0.05), "periodic"),
    source="Burgers, Adv. Appl. Mech. 1 (1948) 171, viscosity 0.1",
)
