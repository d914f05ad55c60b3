"""Polymers in a sheared liquid: springs that cannot be stretched beyond a length."""

from udesys.systems.base import System, sampled

SYSTEM = System(
    name="fene_p",
    title="viscoelastic stress of the FENE-P model under a measured shear rate; the spring's law is missing",
    units={"cxx": "", "cyy": "", "cxy": ""},
    equations="""
cxx' = 2*rate*cxy - (NN(cxx + 2*cyy)*cxx - 1)/relaxation
cyy' = -(NN(cxx + 2*cyy)*cyy - 1)/relaxation
cxy' = rate*cyy - NN(cxx + 2*cyy)*cxy/relaxation
""",
    missing={"NN(cxx + 2*cyy)": "c/(L2 - (cxx + 2*cyy))"},
    parameters={"relaxation": 1.0},
    constants={"relaxation": 1.0, "c": 27.0, "L2": 30.0},
    starts=({"cxx": 1.0, "cyy": 1.0, "cxy": 0.0},),
    t=sampled(12.0, 0.1),
    inputs={"rate": "4*sin(0.8*t) + 2*sin(2*t)"},
    time_unit="s",
    source="Bird, Dotson & Johnson, J. Non-Newtonian Fluid Mech. 7 (1980) 213, with f = (L2 - 3)/(L2 - tr C) and czz = "
    "cyy; the polymer stress is f C - 1; the missing closure of arXiv:2001.04385",
)
