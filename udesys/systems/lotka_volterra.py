"""The predator-prey study of the paper that named universal differential equations."""

from udesys.systems.base import System

SYSTEM = System(
    name="lotka_volterra",
    title="predator and prey; both interactions are missing",
    units={"prey": "", "predator": ""},
    equations="""
prey' = alpha*prey + NN1(prey, predator)
predator' = NN2(prey, predator) - delta*predator
""",
    parameters={"alpha": 1.3, "delta": 1.8},
    truth={
        "prey": "alpha*prey - beta*prey*predator",
        "predator": "gamma*prey*predator - delta*predator",
    },
    constants={"alpha": 1.3, "beta": 0.9, "gamma": 0.8, "delta": 1.8},
    x0={"prey": 0.44249296, "predator": 4.6280594},
    t=tuple(round(0.1 * k, 1) for k in range(31)),
    source="Rackauckas et al., Universal Differential Equations for Scientific Machine Learning, "
    "arXiv:2001.04385, its Lotka-Volterra study",
)
