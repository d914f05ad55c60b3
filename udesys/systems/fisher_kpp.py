"""A population that grows and spreads, on a ring."""

from udesys.model import Grid
from udesys.systems.base import System, sampled

SYSTEM = System(
    name="fisher_kpp",
    title="the Fisher-KPP equation, a population that grows and spreads; its growth is missing",
    units={"u": ""},
    equations="u' = NN(u) + D*dxx(u)",
    missing={"NN(u)": "r*u*(1 - u)"},
    parameters={"D": {"start": 0.1, "bounds": [0, 1]}},
    constants={"D": 0.01, "r": 1.0},
    starts=({"u": "(tanh((x - 0.25)/0.05) - tanh((x - 0.75)/0.05))/2"},),
    t=sampled(5.0, 0.5),
    grid=Grid(sampled(0.96, 0.04), "periodic"),
    free=(2,),
    source="Fisher, Ann. Eugenics 7 (1937) 355; D and r as in the reaction-diffusion study of arXiv:2001.04385",
)
