"""A mass on a spring with a damper, pushed by a force that is measured."""

from udesys.systems.base import System, sampled

SYSTEM = System(
    name="damped_oscillator",
    title="mass, spring and damper under a measured force; spring and damper are missing",
    units={"x": "m", "x'": "m/s"},
    equations="x'' = (f - NN(x, x'))/m",
    missing={"NN(x, x')": "k*x + mu*x'"},
    parameters={"m": 2.0},
    constants={"m": 2.0, "mu": 0.8, "k": 6.0},
    starts=({"x": 0.5, "x'": 0.0},),
    t=sampled(20.0, 0.1),
    inputs={"f": "3*sin(1.1*t) + 2*sin(2.7*t + 1)"},
    time_unit="s",
    source="Den Hartog, Mechanical Vibrations (1956), ch. 2: m x'' = -mu x' - k x + f(t) [kg, N s/m, N/m, N]",
)
