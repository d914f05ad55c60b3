"""Systems whose runs differ by a number, and that change their ways as it grows: a table.

What a law forecasts beyond the numbers it has seen is told by where its equilibria lose their stability and its cycles
end; see `udesys bench tipping`.
"""

from udesys.systems.base import System, sampled


def _harvests(name: str, title: str, alphas: tuple[float, ...]) -> System:
    """Predator and prey under several harvests, two runs each."""
    return System(
        name=f"tipping:{name}",
        title=title,
        units={"x": "", "y": ""},
        equations="""
x' = 3*x*(1 - x) - x*y - NN(x, alpha)
y' = -y + 3*x*y
""",
        missing={"NN(x, alpha)": "alpha*(1 - exp(-k*x))"},
        constants={"k": 5.0},
        starts=tuple({"x": 1.0, "y": y} for _ in alphas for y in (0.01, 0.1)),
        covariates={"alpha": tuple(alpha for alpha in alphas for _ in range(2))},
        stays_zero=("x", "y"),
        t=tuple(round(100 * k / 99, 10) for k in range(100)),
        free=(2,),
        each=True,
        source="Doedel et al., AUTO-07P manual, demo pp2: its equilibrium starts to swing at alpha = 0.671594, and "
        "from x = 1, y = 0.1 both die out from 0.685832 on",
    )


# Where runs of c = 4.6, 4.7, ... from (-4, -4, 0) at t = 0 are at t = 475.
_ON_THE_BAND = (
    (2.66786440, 4.14701552, 0.29154616),
    (1.03898332, 4.62146729, 0.11079203),
    (8.27268986, 0.24060030, 8.67275453),
    (7.55784757, 0.28181656, 1.47479634),
    (5.87679550, -1.66411264, 0.22748103),
    (8.12749706, -6.84166736, 0.27245510),
    (-3.10949285, 6.94845371, 0.04226932),
    (-2.31483894, 7.23381725, 0.05682426),
    (0.97407762, 6.95867868, 0.30496134),
    (5.00267173, 4.28107196, 0.81160186),
)

SYSTEMS = (
    _harvests("collapse", "predator and prey on both sides of their collapse", (0.62, 0.64, 0.66, 0.68, 0.70)),
    _harvests("before_collapse", "predator and prey short of their collapse", (0.61, 0.62, 0.63, 0.64, 0.65)),
    System(
        name="tipping:lorenz",
        title="Lorenz's convection before it is chaotic; what heats it is missing",
        units={"x": "", "y": "", "z": ""},
        equations="""
x' = sigma*(y - x)
y' = NN(x, z, r) - y
z' = x*y - beta*z
""",
        missing={"NN(x, z, r)": "k*x*(r - z)"},
        parameters={"sigma": 10.0, "beta": 8 / 3},
        constants={"sigma": 10.0, "beta": 8 / 3, "k": 1.0},
        starts=tuple({"x": side, "y": side, "z": 1.0} for _ in range(7) for side in (1.0, -1.0)),
        covariates={"r": tuple(5.0 + 2.5 * k for k in range(7) for _ in range(2))},
        t=sampled(5.0, 0.05),
        free=(2,),
        source="Lorenz, J. Atmos. Sci. 20 (1963) 130: steady convection is unstable from r = 470/19 = 24.737 on",
    ),
    System(
        name="tipping:roessler",
        title="Roessler's band at ten of its numbers, all chaotic or nearly so; the product is missing",
        units={"x": "", "y": "", "z": ""},
        equations="""
x' = -y - z
y' = x + a*y
z' = b + NN(x, z, c)
""",
        missing={"NN(x, z, c)": "k*z*(x - c)"},
        parameters={"a": 0.2, "b": 0.2},
        constants={"a": 0.2, "b": 0.2, "k": 1.0},
        starts=tuple(dict(zip("xyz", start, strict=True)) for start in _ON_THE_BAND),
        covariates={"c": tuple(round(4.6 + 0.1 * k, 10) for k in range(10))},
        t=sampled(500.0, 0.125, 475.0),
        free=(2,),
        source="Roessler, Phys. Lett. A 57 (1976) 397",
    ),
)
