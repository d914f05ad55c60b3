"""The simplest chaotic flow."""

from udesys.systems.base import System, sampled

SYSTEM = System(
    name="roessler",
    title="Roessler's flow, chaotic; its one product is missing",
    units={"x": "", "y": "", "z": ""},
    equations="""
x' = -y - z
y' = x + a*y
z' = b - c*z + NN(x, z)
""",
    missing={"NN(x, z)": "k*x*z"},
    parameters={"a": 0.2, "b": 0.2, "c": 5.7},
    constants={"a": 0.2, "b": 0.2, "c": 5.7, "k": 1.0},
    starts=({"x": 1.0, "y": 1.0, "z": 0.0},),
    t=sampled(30.0, 0.1),
    source="Roessler, Phys. Lett. A 57 (1976) 397; five turns, two of them through the fold",
)
