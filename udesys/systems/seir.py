"""Measles in a population that has never seen them."""

from udesys.systems.base import System, sampled

SYSTEM = System(
    name="seir",
    title="an epidemic with a latent time; the infection is missing",
    units={"healthy": "", "exposed": "", "ill": "", "recovered": ""},
    equations="""
healthy' = -NN(healthy, exposed, ill)
exposed' = NN(healthy, exposed, ill) - s*exposed
ill' = s*exposed - g*ill
recovered' = g*ill
""",
    missing={"NN(healthy, exposed, ill)": "b*healthy*ill"},
    parameters={"s": 1 / 8, "g": 1 / 5},
    constants={"s": 1 / 8, "g": 1 / 5, "b": 3.0},
    starts=({"healthy": 0.999, "exposed": 0.001, "ill": 0.0, "recovered": 0.0},),
    t=sampled(40.0, 0.4),
    time_unit="day",
    source="Keeling & Rohani, Modeling Infectious Diseases (2008), sec. 2.5: measles, eight days latent, five ill; a "
    "basic reproduction number of 15",
)
