"""Two oscillators whose acceleration saturates, coupled by their positions and velocities."""

from udesys.systems.base import System, sampled

SYSTEM = System(
    name="coupled_oscillators_2",
    title="two coupled nonlinear damped oscillators under measured forces; all couplings are sought",
    units={"x1": "", "x1'": "", "x2": "", "x2'": ""},
    equations="""
x1'' = tanh(-(W11*x1' + W12*x2') - (V11*x1 + V12*x2) + f1)
x2'' = tanh(-(W21*x1' + W22*x2') - (V21*x1 + V22*x2) + f2)
""",
    missing={},
    constants={
        "W11": 0.6, "W12": -0.2,
        "W21": 0.1, "W22": 0.5,
        "V11": 1.5, "V12": -0.4,
        "V21": -0.5, "V22": 1.2,
    },
    starts=({"x1": 0.0, "x1'": 0.0, "x2": 0.0, "x2'": 0.0},),
    t=sampled(60.0, 0.1),
    inputs={
        "f1": "1.2*sin(0.7*t) + 0.9*sin(1.9*t + 1)",
        "f2": "1.1*sin(1.1*t + 2) + 0.9*sin(2.3*t)",
    },
    source="x'' = tanh(-W x' - V x + f), the coupled oscillators of Rusch & Mishra, arXiv:2010.00951, with 2 units; "
    "W, V and the forces chosen so that every unit is moved through the bend of tanh",
)
