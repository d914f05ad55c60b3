"""Fish that are caught at a rate that saturates, and their predators."""

from udesys.systems.base import System, sampled

SYSTEM = System(
    name="predator_prey_collapse",
    title="predator and prey with a harvest under which they collapse; the harvest is missing",
    units={"x": "", "y": ""},
    equations="""
x' = 3*x*(1 - x) - x*y - NN(x)
y' = -y + 3*x*y
""",
    missing={"NN(x)": "alpha*(1 - exp(-k*x))"},
    constants={"alpha": 0.5, "k": 5.0},
    starts=({"x": 0.8, "y": 0.3},),
    t=sampled(20.0, 0.2),
    source="Doedel et al., AUTO-07P manual, demo pp2: x' = 3x(1 - x) - xy - alpha(1 - exp(-5x)), y' = -y + 3xy; its "
    "equilibria collapse as alpha grows towards 1",
)
