"""An influenza in a boarding school."""

from udesys.systems.base import System, sampled

SYSTEM = System(
    name="sir",
    title="an epidemic of healthy, ill and recovered; the infection is missing",
    units={"healthy": "boys", "ill": "boys", "recovered": "boys"},
    equations="""
healthy' = -NN(healthy, ill)
ill' = NN(healthy, ill) - a*ill
recovered' = a*ill
""",
    missing={"NN(healthy, ill)": "b*healthy*ill"},
    parameters={"a": {"start": 0.3, "bounds": [0, 5], "unit": "1/day"}},
    constants={"a": 0.44, "b": 2.18e-3},
    starts=({"healthy": 762.0, "ill": 1.0, "recovered": 0.0},),
    t=sampled(14.0, 0.125),
    time_unit="day",
    source="Murray, Mathematical Biology I (2002), sec. 10.2: influenza in a boarding school, 1978 [boys, days]",
)
