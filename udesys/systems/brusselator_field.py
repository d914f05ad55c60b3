"""A chemical clock in a tube."""

from udesys.model import Grid
from udesys.systems.base import System, sampled

SYSTEM = System(
    name="brusselator_field",
    title="the Brusselator along a tube, where it diffuses; its autocatalytic step is missing",
    units={"u": "", "v": ""},
    equations="""
u' = A - (B + 1)*u + NN(u, v) + D*dxx(u)
v' = B*u - NN(u, v) + D*dxx(v)
""",
    missing={"NN(u, v)": "k*u^2*v"},
    parameters={"A": 1.0, "B": 3.0, "D": {"start": 0.1, "bounds": [0, 1]}},
    constants={"A": 1.0, "B": 3.0, "D": 0.02, "k": 1.0},
    starts=({"u": "1 + sin(2*pi*x)", "v": "3"},),
    t=sampled(10.0, 0.25),
    grid=Grid(sampled(1.0, 0.04), "dirichlet"),
    source="Hairer & Wanner, Solving ODEs II (1996), sec. IV.1: the Brusselator with diffusion, on 26 points",
)
