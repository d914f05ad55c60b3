"""The predator-prey study of the paper that named universal differential equations."""

from udesys.systems.base import System, sampled

SYSTEM = System(
    name="lotka_volterra",
    title="predator and prey; both interactions are missing",
    units={"prey": "", "predator": ""},
    equations="""
prey' = alpha*prey + NN1(prey, predator)
predator' = NN2(prey, predator) - delta*predator
""",
    missing={"NN1(prey, predator)": "-beta*prey*predator", "NN2(prey, predator)": "gamma*prey*predator"},
    parameters={"alpha": 1.3, "delta": 1.8},
    constants={"alpha": 1.3, "beta": 0.9, "gamma": 0.8, "delta": 1.8},
    starts=({"prey": 0.44249296, "predator": 4.6280594},),
    t=sampled(3.0, 0.1),
    source="Rackauckas et al., Universal Differential Equations for Scientific Machine Learning, "
    "arXiv:2001.04385, its Lotka-Volterra study",
)
