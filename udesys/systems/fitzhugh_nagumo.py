"""A nerve that fires."""

from udesys.systems.base import System, sampled

SYSTEM = System(
    name="fitzhugh_nagumo",
    title="FitzHugh's and Nagumo's nerve; what the membrane does to the voltage is missing",
    units={"v": "", "w": ""},
    equations="""
v' = NN(v, w) - w + current
w' = 0.08*(v + 0.7 - 0.8*w)
""",
    missing={"NN(v, w)": "a*v - b*v^3"},
    parameters={"current": 0.5},
    constants={"current": 0.5, "a": 1.0, "b": 1 / 3},
    starts=({"v": -1.0, "w": 1.0},),
    t=sampled(60.0, 0.6),
    source="FitzHugh, Biophys. J. 1 (1961) 445, with a current at which it fires: one spike and a half",
)
