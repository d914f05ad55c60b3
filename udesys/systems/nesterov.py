"""A neural ODE with Nesterov's momentum: friction that fades as 3/t."""

from udesys.systems.base import System, sampled

SYSTEM = System(
    name="nesterov",
    title="a neural ODE with Nesterov's momentum; the slope of the cost is missing",
    units={"x": "", "x'": "", "y": "", "y'": ""},
    equations="""
x'' = NN(x, y)[0] - 3/t*x'
y'' = NN(x, y)[1] - 3/t*y'
""",
    missing={"NN(x, y)[0]": "-a*x - b1*y", "NN(x, y)[1]": "-b2*x - c*y^3"},
    constants={"a": 1.0, "b1": 0.6, "b2": 0.6, "c": 1.0},
    starts=({"x": 1.5, "x'": 0.0, "y": 1.2, "y'": 0.0}, {"x": -1.5, "x'": 0.0, "y": 1.4, "y'": 0.0}),
    t=sampled(13.0, 0.1, start=1.0),
    source="Su, Boyd & Candes, JMLR 17 (2016) 153, arXiv:1503.01243, on the cost x^2/2 + 0.6 x y + y^4/4",
)
