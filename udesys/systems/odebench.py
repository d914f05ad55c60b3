"""Systems of ODEBench, in which nothing is known but the states: a table, each row by its number there.

Source: d'Ascoli, Becker, Mathis, Schwaller & Kilbertus, ODEFormer, arXiv:2310.05573 (MIT licence): equations, constants
and starts of 43 of its 63 systems, most of them from Strogatz, Nonlinear Dynamics and Chaos (1994).
"""

from udesys.systems.base import System

STATES = "xyzw"
TIMES = tuple(round(10 * k / 511, 10) for k in range(512))

# number, name, right sides over the states x, y, z, w and the constants c0, c1, ...; the constants; two starts; how
# many constants each right side needs where all of its coefficients have to be found; where ODEBench has it from
_TABLE = (
    (
        1, "RC-circuit (charging capacitor)", ("(c0 - x/c1)/c2",), (0.7, 1.2, 2.31), ((10.0,), (3.54,)), (2,),
        "Strogatz p. 20",
    ),
    (2, "Population growth (naive)", ("c0*x",), (0.23,), ((4.78,), (0.87,)), (1,), "Strogatz p. 22"),
    (
        3, "Population growth with carrying capacity", ("c0*x*(1 - x/c1)",), (0.79, 74.3), ((7.3,), (21.0,)), (2,),
        "Strogatz p. 22",
    ),
    (
        5, "Velocity of a falling object with air resistance", ("c0 - c1*x^2",), (9.81, 0.0021175),
        ((0.5,), (73.0,)), (2,), "Strogatz p. 38",
    ),
    (
        6, "Autocatalysis with one fixed abundant chemical", ("c0*x - c1*x^2",), (2.1, 0.5), ((0.13,), (2.24,)),
        (2,), "Strogatz p. 39",
    ),
    (
        8, "Logistic equation with Allee effect", ("c0*x*(1 - x/c1)*(x/c2 - 1)",), (0.14, 130.0, 4.4),
        ((6.123,), (2.1,)), (3,), "Strogatz p. 39",
    ),
    (
        9, "Language death model for two languages", ("(1 - x)*c0 - x*c1",), (0.32, 0.28), ((0.14,), (0.55,)), (2,),
        "Strogatz p. 40",
    ),
    (
        11, "Naive critical slowing down (statistical mechanics)", ("-x^3",), (), ((3.4,), (1.6,)), (1,),
        "Strogatz p. 41",
    ),
    (12, "Photons in a laser (simple)", ("c0*x - c1*x^2",), (1.8, 0.1107), ((11.0,), (1.3,)), (2,), "Strogatz p. 55"),
    (
        13, "Overdamped bead on a rotating hoop", ("c0*sin(x)*(c1*cos(x) - 1)",), (0.0981, 9.7), ((3.1,), (2.4,)),
        (2,), "Strogatz p. 63",
    ),
    (
        15, "Budworm outbreak with predation (dimensionless)", ("c0*x*(1 - x/c1) - x^2/(1 + x^2)",), (0.4, 95.0),
        ((44.3,), (4.5,)), (4,), "Strogatz p. 76",
    ),
    (
        16, "Landau equation (typical time scale tau = 1)", ("c0*x - c1*x^3 - c2*x^5",), (0.1, -0.04, 0.001),
        ((0.94,), (1.65,)), (3,), "Strogatz p. 87",
    ),
    (
        17, "Logistic equation with harvesting/fishing", ("c0*x*(1 - x/c1) - c2",), (0.4, 100.0, 0.3),
        ((14.3,), (34.2,)), (3,), "Strogatz p. 89",
    ),
    (
        18, "Improved logistic equation with harvesting/fishing", ("c0*x*(1 - x/c1) - c2*x/(c3 + x)",),
        (0.4, 100.0, 0.24, 50.0), ((21.1,), (44.1,)), (4,), "Strogatz p. 90",
    ),
    (
        20, "Autocatalytic gene switching (dimensionless)", ("c0 - c1*x + x^2/(1 + x^2)",), (0.1, 0.55),
        ((0.002,), (0.25,)), (4,), "Strogatz p. 91",
    ),
    (
        22, "Hysteretic activation of a protein expression (positive feedback, basal promoter expression)",
        ("c0 + c1*x^5/(c2 + x^5) - c3*x",), (1.4, 0.4, 123.0, 0.89), ((3.1,), (6.3,)), (4,), "Strogatz p. 93",
    ),
    (
        23, "Overdamped pendulum with constant driving torque/fireflies/Josephson junction (dimensionless)",
        ("c0 - sin(x)",), (0.21,), ((-2.74,), (1.65,)), (2,), "Strogatz p. 104",
    ),
    (
        24, "Harmonic oscillator without damping", ("y", "-c0*x"), (2.1,), ((0.4, -0.03), (0.0, 0.2)), (1, 1),
        "Strogatz p. 126",
    ),
    (
        25, "Harmonic oscillator with damping", ("y", "-c0*x - c1*y"), (4.5, 0.43), ((0.12, 0.043), (0.0, -0.3)),
        (1, 2), "Strogatz p. 144",
    ),
    (
        27, "Lotka-Volterra simple (as on Wikipedia)", ("x*(c0 - c1*y)", "-y*(c2 - c3*x)"), (1.84, 1.45, 3.0, 1.62),
        ((8.3, 3.4), (0.4, 0.65)), (2, 2), "Wikipedia, Lotka-Volterra equations",
    ),
    (
        28, "Pendulum without friction", ("y", "-c0*sin(x)"), (0.9,), ((-1.9, 0.0), (0.3, 0.8)), (1, 1),
        "Strogatz p. 169",
    ),
    (29, "Dipole fixed point", ("c0*x*y", "y^2 - x^2"), (0.65,), ((3.2, 1.4), (1.3, 0.2)), (1, 2), "Strogatz p. 181"),
    (
        31, "SIR infection model only for healthy and sick", ("-c0*x*y", "c0*x*y - c1*y"), (0.4, 0.314),
        ((7.2, 0.98), (20.0, 12.4)), (1, 2), "Strogatz p. 188",
    ),
    (
        32, "Damped double well oscillator", ("y", "-c0*y + x - x^3"), (0.18,), ((-1.8, -1.8), (5.8, 0.0)), (1, 3),
        "Strogatz p. 190",
    ),
    (
        34, "Frictionless bead on a rotating hoop (dimensionless)", ("y", "sin(x)*(cos(x) - c0)"), (0.93,),
        ((2.1, 0.0), (-1.2, -0.2)), (1, 2), "Strogatz p. 191",
    ),
    (
        35, "Rotational dynamics of an object in a shear flow",
        ("cos(y)/sin(y)*cos(x)", "sin(x)*(cos(y)^2 + c0*sin(y)^2)"), (4.2,), ((1.13, -0.3), (2.4, 1.7)), (1, 2),
        "Strogatz p. 194",
    ),
    (
        37, "Van der Pol oscillator (standard form)", ("y", "-x - c0*(x^2 - 1)*y"), (0.43,),
        ((2.2, 0.0), (0.1, 3.2)), (1, 3), "Strogatz p. 200",
    ),
    (
        38, "Van der Pol oscillator (simplified form from Strogatz)", ("c0*(y - x^3/3 + x)", "-x/c0"), (3.37,),
        ((0.7, 0.0), (-1.1, -0.7)), (3, 1), "Strogatz p. 214",
    ),
    (
        39, "Glycolytic oscillator, e.g., ADP and F6P in yeast (dimensionless)",
        ("-x + c0*y + x^2*y", "c1 - c0*x - x^2*y"), (2.4, 0.07), ((0.4, 0.31), (0.2, -0.7)), (3, 3),
        "Strogatz p. 207",
    ),
    (
        40, "Duffing equation (weakly non-linear oscillation)", ("y", "-x + c0*y*(1 - x^2)"), (0.886,),
        ((0.63, -0.03), (0.2, 0.2)), (1, 3), "Strogatz p. 217",
    ),
    (
        43, "Driven pendulum with linear damping / Josephson junction (dimensionless)", ("y", "c0 - sin(x) - c1*y"),
        (1.67, 0.64), ((1.47, -0.2), (-1.9, 0.03)), (1, 3), "Strogatz p. 269",
    ),
    (
        44, "Driven pendulum with quadratic damping (dimensionless)", ("y", "c0 - sin(x) - c1*y*abs(y)"),
        (1.67, 0.64), ((1.47, -0.2), (-1.9, 0.03)), (1, 3), "Strogatz p. 300",
    ),
    (
        46, "Interacting bar magnets", ("c0*sin(x - y) - sin(x)", "c0*sin(y - x) - sin(y)"), (0.33,),
        ((0.54, -0.1), (0.43, 1.21)), (2, 2), "Strogatz p. 289",
    ),
    (
        47, "Binocular rivalry model (no oscillations)",
        ("-x + 1/(1 + exp(c0*y - c1))", "-y + 1/(1 + exp(c0*x - c1))"), (4.89, 1.4), ((0.65, 0.59), (3.2, 10.3)),
        (4, 4), "Strogatz p. 290",
    ),
    (
        49, "Brusselator: hypothetical chemical oscillation model (dimensionless)",
        ("1 - (c0 + 1)*x + c1*x^2*y", "c0*x - c1*x^2*y"), (3.03, 3.1), ((0.7, -1.4), (2.1, 1.3)), (3, 2),
        "Strogatz p. 296",
    ),
    (
        51, "Oscillator death model by Ermentrout and Kopell 1990", ("c0 + sin(y)*cos(x)", "c1 + sin(y)*cos(x)"),
        (1.432, 0.972), ((2.2, 0.67), (0.03, -0.12)), (2, 2), "Strogatz p. 301",
    ),
    (
        52, "Maxwell-Bloch equations (laser dynamics)", ("c0*(y - x)", "c1*(x*z - y)", "c2*(c3 + 1 - z - c3*x*y)"),
        (0.1, 0.21, 0.34, 3.1), ((1.3, 1.1, 0.89), (0.89, 1.3, 1.1)), (2, 2, 3), "Strogatz p. 82",
    ),
    (
        54, "Lorenz equations in well-behaved periodic regime", ("c0*(y - x)", "c1*x - y - x*z", "x*y - c2*z"),
        (5.1, 12.0, 1.67), ((2.3, 8.1, 12.4), (10.0, 20.0, 30.0)), (2, 3, 2), "Strogatz p. 319",
    ),
    (
        55, "Lorenz equations in complex periodic regime", ("c0*(y - x)", "c1*x - y - x*z", "x*y - c2*z"),
        (10.0, 99.96, 8 / 3), ((2.3, 8.1, 12.4), (10.0, 20.0, 30.0)), (2, 3, 2), "Strogatz p. 319",
    ),
    (
        57, "Roessler attractor (stable fixed point)", ("c3*(-y - z)", "c3*(x + c0*y)", "c3*(c1 + z*(x - c2))"),
        (-0.2, 0.2, 5.7, 5.0), ((2.3, 1.1, 0.8), (-0.1, 4.1, -2.1)), (2, 2, 3), "Wikipedia, Roessler attractor",
    ),
    (
        59, "Roessler attractor (chaotic)", ("c3*(-y - z)", "c3*(x + c0*y)", "c3*(c1 + z*(x - c2))"),
        (0.2, 0.2, 5.7, 5.0), ((2.3, 1.1, 0.8), (-0.1, 4.1, -2.1)), (2, 2, 3), "Wikipedia, Roessler attractor",
    ),
    (
        60, "Aizawa attractor (chaotic)",
        ("x*(z - c1) - c3*y", "c3*x + y*(z - c1)", "c2 + c0*z - z^3/3 - (x^2 + y^2)*(1 + c4*z) + c5*z*x^3"),
        (0.95, 0.7, 0.65, 3.5, 0.25, 0.1), ((0.1, 0.05, 0.05), (-0.3, 0.2, 0.1)), (3, 3, 8),
        "analogparadigm.com, alpaca 17",
    ),
    (
        62, "Binocular rivalry model with adaptation (oscillations)",
        ("-x + 1/(1 + exp(c0*z + c1*y - c2))", "c3*(x - y)", "-z + 1/(1 + exp(c0*x + c1*w - c2))", "c3*(z - w)"),
        (0.89, 0.4, 1.4, 1.0), ((2.25, -0.5, -1.13, 0.4), (0.342, -0.431, -0.86, 0.041)), (5, 2, 5, 2),
        "Strogatz p. 295",
    ),
)


def _system(row) -> System:
    number, name, right_sides, constants, starts, free, source = row
    states = STATES[: len(right_sides)]
    terms = [f"NN{k + 1}({', '.join(states)})" for k in range(len(states))]
    return System(
        name=f"odebench:{number}",
        title=name,
        units=dict.fromkeys(states, ""),
        equations="\n".join(f"{state}' = {term}" for state, term in zip(states, terms, strict=True)),
        missing=dict(zip(terms, right_sides, strict=True)),
        constants={f"c{k}": value for k, value in enumerate(constants)},
        starts=tuple(dict(zip(states, start, strict=True)) for start in starts),
        t=TIMES,
        free=free,
        source=f"ODEBench, arXiv:2310.05573, number {number}, after {source}",
    )


SYSTEMS = tuple(map(_system, _TABLE))
