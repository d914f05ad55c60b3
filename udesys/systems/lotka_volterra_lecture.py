"""Predator and prey with the constants of the textbook picture, which lectures start from."""

from dataclasses import replace

from udesys.systems.base import sampled
from udesys.systems.lotka_volterra import SYSTEM as PUBLISHED

SYSTEM = replace(
    PUBLISHED,
    name="lotka_volterra_lecture",
    title="predator and prey as lectures have them; both interactions are missing",
    parameters={"alpha": 1.1, "delta": 0.4},
    constants={"alpha": 1.1, "beta": 0.4, "gamma": 0.1, "delta": 0.4},
    starts=({"prey": 10.0, "predator": 10.0},),
    t=sampled(20.0, 0.2),
    source="Lotka, Elements of Physical Biology (1925); Volterra, Nature 118 (1926) 558, with alpha 1.1, beta 0.4, "
    "delta 0.4, gamma 0.1 and ten of each at the start",
)
