"""A neural ODE with Nesterov's momentum: friction that fades as 3/t."""

from dataclasses import replace

from udesys.systems.base import sampled
from udesys.systems.heavy_ball import SYSTEM as HEAVY_BALL

SYSTEM = replace(
    HEAVY_BALL,
    name="nesterov",
    title="a neural ODE with Nesterov's momentum; the slope of the cost is missing",
    equations="""
x'' = NN(x, y)[0] - 3/t*x'
y'' = NN(x, y)[1] - 3/t*y'
""",
    parameters={},
    constants={name: value for name, value in HEAVY_BALL.constants.items() if name != "gamma"},
    t=sampled(13.0, 0.1, start=1.0),
    source="Su, Boyd & Candes, JMLR 17 (2016) 153, arXiv:1503.01243, on the cost x^2/2 + 0.6 x y + y^4/4",
)
