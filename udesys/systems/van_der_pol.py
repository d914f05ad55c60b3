"""The oscillator of a triode circuit."""

from udesys.systems.base import System, sampled

SYSTEM = System(
    name="van_der_pol",
    title="van der Pol's oscillator; what feeds and damps it is missing",
    units={"x": "", "x'": ""},
    equations="x'' = NN(x, x') - x",
    missing={"NN(x, x')": "a*x' - b*x^2*x'"},
    constants={"a": 2.0, "b": 2.0},
    starts=({"x": 0.5, "x'": 0.0},),
    t=sampled(16.0, 0.16),
    source="van der Pol, Phil. Mag. 2 (1926) 978, mu = 2, between his 1 and 10: from inside out to the limit cycle",
)
