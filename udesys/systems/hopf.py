"""How every limit cycle is born."""

from udesys.systems.base import System, sampled

SYSTEM = System(
    name="hopf",
    title="the normal form of the Hopf bifurcation; what bounds its growth is missing",
    units={"x": "", "y": ""},
    equations="""
x' = mu*x - y + NN1(x, y)
y' = x + mu*y + NN2(x, y)
""",
    missing={"NN1(x, y)": "-A1*x*(x^2 + y^2)", "NN2(x, y)": "-A2*y*(x^2 + y^2)"},
    parameters={"mu": 0.25},
    constants={"mu": 0.25, "A1": 1.0, "A2": 1.0},
    starts=({"x": 2.0, "y": 0.0}, {"x": 0.05, "y": 0.0}),
    t=sampled(12.0, 0.24),
    source="Brunton, Proctor & Kutz, PNAS 113 (2016) 3932: the normal form; one run onto the limit cycle from outside, "
    "one from inside",
)
