"""A buckled beam between two magnets, shaken."""

from udesys.systems.base import System, sampled

SYSTEM = System(
    name="duffing",
    title="Duffing's oscillator under a known drive; the spring is missing",
    units={"x": "", "x'": ""},
    equations="x'' = NN(x) - d*x' + 0.5*cos(1.2*t)",
    missing={"NN(x)": "a*x - b*x^3"},
    parameters={"d": {"start": 0.2, "bounds": [0, 5]}},
    constants={"a": 1.0, "b": 1.0, "d": 0.3},
    starts=({"x": 1.0, "x'": 0.0},),
    t=sampled(30.0, 0.3),
    source="Guckenheimer & Holmes, Nonlinear Oscillations (1983), sec. 2.2: a buckled beam driven hard enough to "
    "leave one well for the other",
)
