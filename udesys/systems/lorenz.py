"""The convection model that chaos was found in."""

from udesys.systems.base import System, sampled

SYSTEM = System(
    name="lorenz",
    title="Lorenz's convection, chaotic; the product of the temperatures' equation is missing",
    units={"x": "", "y": "", "z": ""},
    equations="""
x' = sigma*(y - x)
y' = x*(rho - z) - y
z' = NN(x, y) - beta*z
""",
    missing={"NN(x, y)": "k*x*y"},
    parameters={"sigma": 10.0, "rho": 28.0, "beta": 8 / 3},
    constants={"sigma": 10.0, "rho": 28.0, "beta": 8 / 3, "k": 1.0},
    starts=({"x": -8.0, "y": 7.0, "z": 27.0},),
    t=sampled(4.0, 0.04),
    source="Lorenz, J. Atmos. Sci. 20 (1963) 130, from the start of Brunton et al. (2016): six turns",
)
