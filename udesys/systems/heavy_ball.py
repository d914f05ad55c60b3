"""A neural ODE with momentum: a ball that rolls down a cost with friction."""

from udesys.systems.base import System, sampled

SYSTEM = System(
    name="heavy_ball",
    title="a neural ODE with momentum, the heavy ball; the slope it rolls down is missing",
    units={"x": "", "x'": "", "y": "", "y'": ""},
    equations="""
x'' = NN(x, y)[0] - gamma*x'
y'' = NN(x, y)[1] - gamma*y'
""",
    missing={"NN(x, y)[0]": "-a*x - b1*y", "NN(x, y)[1]": "-b2*x - c*y^3"},
    parameters={"gamma": 0.4},
    constants={"gamma": 0.4, "a": 1.0, "b1": 0.6, "b2": 0.6, "c": 1.0},
    starts=({"x": 1.5, "x'": 0.0, "y": 1.2, "y'": 0.0}, {"x": -1.5, "x'": 0.0, "y": 1.4, "y'": 0.0}),
    t=sampled(12.0, 0.1),
    source="Polyak, USSR Comput. Math. Math. Phys. 4 (1964) 1, in continuous time, on the cost x^2/2 + 0.6 x y + "
    "y^4/4; as a neural ODE: Xia et al., arXiv:2110.04840",
)
