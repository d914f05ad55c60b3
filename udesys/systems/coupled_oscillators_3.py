"""Three oscillators whose acceleration saturates, coupled by their positions and velocities."""

from udesys.systems.base import System, sampled

SYSTEM = System(
    name="coupled_oscillators_3",
    title="three coupled nonlinear damped oscillators under measured forces; all couplings are sought",
    units={"x1": "", "x1'": "", "x2": "", "x2'": "", "x3": "", "x3'": ""},
    equations="""
x1'' = tanh(-(W11*x1' + W12*x2' + W13*x3') - (V11*x1 + V12*x2 + V13*x3) + f1)
x2'' = tanh(-(W21*x1' + W22*x2' + W23*x3') - (V21*x1 + V22*x2 + V23*x3) + f2)
x3'' = tanh(-(W31*x1' + W32*x2' + W33*x3') - (V31*x1 + V32*x2 + V33*x3) + f3)
""",
    missing={},
    constants={
        "W11": 0.6, "W12": -0.2, "W13": 0.1,
        "W21": 0.1, "W22": 0.5, "W23": -0.2,
        "W31": -0.15, "W32": 0.2, "W33": 0.7,
        "V11": 1.5, "V12": -0.4, "V13": 0.3,
        "V21": -0.5, "V22": 1.2, "V23": -0.3,
        "V31": 0.2, "V32": -0.6, "V33": 1.8,
    },
    starts=({"x1": 0.0, "x1'": 0.0, "x2": 0.0, "x2'": 0.0, "x3": 0.0, "x3'": 0.0},),
    t=sampled(60.0, 0.1),
    inputs={
        "f1": "1.2*sin(0.7*t) + 0.9*sin(1.9*t + 1)",
        "f2": "1.1*sin(1.1*t + 2) + 0.9*sin(2.3*t)",
        "f3": "1.2*sin(0.9*t + 4) + 0.8*sin(1.5*t + 3)",
    },
    source="x'' = tanh(-W x' - V x + f), the coupled oscillators of Rusch & Mishra, arXiv:2010.00951, with 3 units; "
    "W, V and the forces chosen so that every unit is moved through the bend of tanh",
)
