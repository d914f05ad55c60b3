"""A chain of three enzymes, each with its own saturation."""

from udesys.systems.base import System, sampled

SYSTEM = System(
    name="michaelis_menten_pathway",
    title="a pathway of three enzymes; the rates of all three steps are missing",
    units={"a": "mM", "b": "mM", "c": "mM"},
    equations="""
a' = feed - NN1(a)
b' = NN1(a) - NN2(b)
c' = NN2(b) - NN3(c)
""",
    missing={"NN1(a)": "V1*a/(K1 + a)", "NN2(b)": "V2*b/(K2 + b)", "NN3(c)": "V3*c/(K3 + c)"},
    parameters={"feed": 0.1},
    constants={"feed": 0.1, "V1": 1.0, "K1": 0.8, "V2": 0.9, "K2": 0.4, "V3": 0.8, "K3": 0.6},
    starts=({"a": 4.0, "b": 0.2, "c": 0.1},),
    t=sampled(12.0, 0.1),
    time_unit="min",
    source="Michaelis & Menten, Biochem. Z. 49 (1913) 333, three times in a row; a dose of substrate that takes every "
    "step through its constant K and down again",
)
