"""Three reactions with rates nine powers of ten apart."""

from udesys.systems.base import System

SYSTEM = System(
    name="robertson",
    title="Robertson's autocatalytic reaction, stiff; its fastest step is missing",
    units={"y1": "", "y2": "", "y3": ""},
    equations="""
y1' = -k1*y1 + k3*y2*y3
y2' = k1*y1 - k3*y2*y3 - NN(y2)
y3' = NN(y2)
""",
    missing={"NN(y2)": "k2*y2^2"},
    parameters={"k1": 0.04, "k3": 1e4},
    constants={"k1": 0.04, "k2": 3e7, "k3": 1e4},
    starts=({"y1": 1.0, "y2": 0.0, "y3": 0.0},),
    t=(0.0, *(10 ** (-4 + k / 20) for k in range(113))),
    stiff=True,
    source="Robertson (1966); Hairer & Wanner, Solving ODEs II (1996), sec. IV.1",
)
