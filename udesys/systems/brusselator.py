"""A chemical clock on paper."""

from udesys.systems.base import System, sampled

SYSTEM = System(
    name="brusselator",
    title="the Brusselator, a chemical oscillation; its autocatalytic step is missing",
    units={"x": "", "y": ""},
    equations="""
x' = A - (B + 1)*x + NN(x, y)
y' = B*x - NN(x, y)
""",
    missing={"NN(x, y)": "k*x^2*y"},
    parameters={"A": 1.0, "B": 3.0},
    constants={"A": 1.0, "B": 3.0, "k": 1.0},
    starts=({"x": 1.0, "y": 1.0},),
    t=sampled(20.0, 0.2),
    source="Prigogine & Lefever, J. Chem. Phys. 48 (1968) 1695, A = 1, B = 3: a limit cycle, nearly three periods",
)
