"""A pendulum let go near the top."""

from udesys.systems.base import System, sampled

SYSTEM = System(
    name="pendulum",
    title="a pendulum with friction; gravity's torque is missing",
    units={"theta": "", "theta'": "1/s"},
    equations="theta'' = NN(theta, theta') - c*theta'",
    missing={"NN(theta, theta')": "-k*sin(theta)"},
    parameters={"c": 0.1},
    constants={"c": 0.1, "k": 9.81},
    starts=({"theta": 2.8, "theta'": 0.0},),
    t=sampled(10.0, 0.1),
    time_unit="s",
    source="a pendulum of one metre let go near the top, so that sin is seen beyond its maximum",
)
