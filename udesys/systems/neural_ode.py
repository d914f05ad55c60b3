"""A neural ODE with no known term: a spiral."""

from udesys.systems.base import System, sampled

SYSTEM = System(
    name="neural_ode",
    title="a neural ODE: nothing is known; what it learns is a cubic spiral",
    units={"x": "", "y": ""},
    equations="""
x' = NN(x, y)[0]
y' = NN(x, y)[1]
""",
    missing={"NN(x, y)[0]": "-a*x^3 + b*y^3", "NN(x, y)[1]": "-c*x^3 - d*y^3"},
    constants={"a": 0.1, "b": 2.0, "c": 2.0, "d": 0.1},
    starts=({"x": 2.0, "y": 0.0},),
    t=sampled(20.0, 0.1),
    source="Chen, Rubanova, Bettencourt & Duvenaud, Neural Ordinary Differential Equations, arXiv:1806.07366, the "
    "spiral of its torchdiffeq examples",
)
