"""The systems of `udesys bench residual-forms`: laws whose missing terms have forms with names, and an experiment each.

Constants, starts and spans are the literature's, or chosen from the dynamics alone so that a trajectory visits the
range in which its form shows. A formula is written with as few constants as it can be, the units of the states being
arbitrary: c*x/(K + x) has two, a*x - b*x^3 has two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from udesys.bench._cases import Case, Problem, chosen, many_runs
from udesys.bench._laws import Constant, Law
from udesys.systems import get_system

N_SAMPLES = 100  # of a system, all its trajectories together
START = 0.6  # of the truth, where the estimate of a constant starts


@dataclass(frozen=True, kw_only=True)
class FormCase:
    """A law whose missing terms have a known form, and the experiment that shows it.

    Attributes:
        name: of the case.
        law: the truth; its formulas are in their simplest writing.
        starts: (states,) of each trajectory.
        end: last time; all begin at zero.
        source: of the law and its constants, or the reason for them.
    """

    name: str
    law: Law
    starts: tuple[tuple[float, ...], ...]
    end: float
    source: str

    def make(self, level: float, seed: int) -> Problem:
        """The data, and what a law found from them is judged by.

        Args:
            level: standard deviation of the noise as a share of each state's mean magnitude.
            seed: of the noise.
        """
        t = np.linspace(0.0, self.end, N_SAMPLES // len(self.starts))
        runs = partial(many_runs, law=self.law, starts=self.starts, t=t)
        return Case(name=self.name, aim=math.inf, law=self.law, runs=runs, noise=level).make(seed)


def _law(
    equations: str,
    terms: Mapping[str, str],
    *,
    known: Mapping[str, float] | None = None,
    estimated: Mapping[str, float] | None = None,
    **constants: float,
) -> Law:
    """A law from true values: `constants` are those of the missing terms."""

    def sought(values):
        return {name: Constant(value, START * value) for name, value in values.items()}

    return Law(
        equations=equations,
        terms=terms,
        constants=sought(constants),
        known=known or {},
        estimated=sought(estimated or {}),
    )


def _built_in(name: str) -> FormCase:
    """A built-in system as a case: its law, starts and span, with as many samples as the others have."""
    system = get_system(name)
    sought = {n: value for n, value in system.constants.items() if n not in system.parameters}
    estimated = {n: value for n, value in system.constants.items() if n in system.parameters and n not in system.known}
    return FormCase(
        name=name.replace("_", "-"),
        law=_law(system.equations, system.missing, known=system.known, estimated=estimated, **sought),
        starts=tuple(tuple(start.values()) for start in system.starts),
        end=system.t[-1],
        source=system.source,
    )


# ------------------------------------------------------------------ populations
POPULATIONS = (
    FormCase(
        name="holling-2",
        law=_law(
            """
            prey' = prey*(1 - prey) - NN(prey, predator)
            predator' = NN(prey, predator) - m*predator
            """,
            {"NN(prey, predator)": "c*prey*predator/(K + prey)"},
            estimated={"m": 0.4},
            c=5 / 3,
            K=1 / 3,
        ),
        starts=((0.5, 0.1),),
        end=40.0,
        source="Hastings & Powell, Ecology 72 (1991) 896: the lower two levels, 5xy/(1 + 3x) and death 0.4; a limit "
        "cycle from 0.001 to 0.8 of the capacity",
    ),
    FormCase(
        name="holling-3",
        law=_law(
            """
            algae' = r*algae*(1 - algae/capacity) - NN(algae, grazers)
            grazers' = g*NN(algae, grazers) - m*grazers
            """,
            {"NN(algae, grazers)": "c*algae^2*grazers/(K^2 + algae^2)"},
            known={"r": 0.3, "capacity": 108.0, "g": 0.05, "m": 0.012},
            c=0.7,
            K=5.7,
        ),
        starts=((10.0, 4.0),),
        end=120.0,
        source="Truscott & Brindley, Bull. Math. Biol. 56 (1994) 981 [ug N/l, days]; one bloom, from 82 down to 1",
    ),
    FormCase(
        name="allee",
        law=_law(
            """
            prey' = NN(prey) - a*prey*predator
            predator' = b*prey*predator - m*predator
            """,
            {"NN(prey)": "c*prey*(prey - A)*(K - prey)"},
            known={"a": 0.02, "b": 0.01, "m": 0.28},
            c=0.001,
            A=10.0,
            K=50.0,
        ),
        starts=((45.0, 4.0), (13.0, 3.0)),
        end=25.0,
        source="Bazykin, Nonlinear Dynamics of Interacting Populations (1998): a strong Allee effect, growth of at "
        "most 0.4 a year; one run down through the threshold A, one up from a little above it",
    ),
    FormCase(
        name="gompertz",
        law=_law(
            """
            tumour' = NN(tumour, drug) - kill*drug*tumour
            drug' = -decay*drug
            """,
            {"NN(tumour, drug)": "a*tumour*log(K/tumour)"},
            known={"kill": 0.5, "decay": 0.35},
            a=0.0792,
            K=11700.0,
        ),
        starts=((400.0, 1.0),),
        end=45.0,
        source="Benzekry et al., PLoS Comput. Biol. 10 (2014) e1003800: Lewis lung carcinoma [mm3, days]; a dose with "
        "a half-life of two days kills in proportion first, then growth from 340 to 10,000",
    ),
    _built_in("sir"),
    _built_in("seir"),
)

# ------------------------------------------------------------------ cells and enzymes
CELLS = (
    FormCase(
        name="monod",
        law=_law(
            """
            substrate' = D*(feed - substrate) - k*NN(substrate, biomass)
            biomass' = NN(substrate, biomass) - alpha*D*biomass
            """,
            {"NN(substrate, biomass)": "c*substrate*biomass/(K + substrate)"},
            known={"D": 0.34, "feed": 20.0, "k": 42.14, "alpha": 0.5},
            c=1.2,
            K=7.1,
        ),
        starts=((20.0, 0.02),),
        end=15.0,
        source="Bernard et al., Biotechnol. Bioeng. 75 (2001) 424: the acidogenic step [g/l, days]; little biomass at "
        "first, and the substrate falls from 20 through K to 1.3",
    ),
    FormCase(
        name="michaelis-menten",
        law=_law(
            """
            gut' = -ka*gut
            blood' = ka*gut - NN(gut, blood)
            """,
            {"NN(gut, blood)": "c*blood/(K + blood)"},
            estimated={"ka": 4.0},
            c=10.8,
            K=4.0,
        ),
        starts=((23.0, 0.0),),
        end=4.0,
        source="Winter, Basic Clinical Pharmacokinetics (2010), phenytoin: 7 mg/kg/day, K = 4 mg/l, 0.65 l/kg; an oral "
        "dose of 15 mg/kg [mg/l, days], up to 16 mg/l and down to nothing",
    ),
    FormCase(
        name="hill-2",
        law=_law(
            """
            rna' = NN(protein) - 0.2*rna
            protein' = 0.4*rna - d*protein
            """,
            {"NN(protein)": "c*protein^2/(K^2 + protein^2)"},
            estimated={"d": 0.05},
            c=3.0,
            K=40.0,
        ),
        starts=((4.0, 20.0), (6.0, 5.0)),
        end=120.0,
        source="Griffith, J. Theor. Biol. 20 (1968) 209, and Strogatz (1994), sec. 8.1: a gene that activates itself "
        "[nM, min], RNA of five minutes and protein of twenty; one run switches on through K, one off",
    ),
    FormCase(
        name="hill-4",
        law=_law(
            """
            rna' = NN(rna, protein) - 0.2*rna
            protein' = rna - 0.03*protein
            """,
            {"NN(rna, protein)": "c/(1 + (protein/K)^4)"},
            c=4.0,
            K=80.0,
        ),
        starts=((0.0, 0.0), (0.0, 200.0)),
        end=60.0,
        source="Rosenfeld, Elowitz & Alon, J. Mol. Biol. 323 (2002) 785: a gene that represses itself, here by a "
        "tetramer [nM, min]; switched on from nothing, and from 200 nM down",
    ),
    FormCase(
        name="toggle-switch",
        law=_law(
            """
            u' = NN1(u, v) - u
            v' = NN2(u, v) - v
            """,
            {"NN1(u, v)": "c1/(1 + (v/K1)^2)", "NN2(u, v)": "c2/(1 + (u/K2)^2)"},
            c1=200.0,
            K1=20.0,
            c2=150.0,
            K2=25.0,
        ),
        starts=((60.0, 30.0), (20.0, 60.0)),
        end=8.0,
        source="Gardner, Cantor & Collins, Nature 403 (2000) 339, both cooperativities two; one run into each state",
    ),
    FormCase(
        name="glycolysis",
        law=_law(
            """
            adp' = NN(adp, f6p) - adp
            f6p' = supply - NN(adp, f6p)
            """,
            {"NN(adp, f6p)": "a*f6p + b*adp^2*f6p"},
            known={"supply": 0.6},
            a=0.08,
            b=1.0,
        ),
        starts=((1.0, 1.0),),
        end=30.0,
        source="Selkov, Eur. J. Biochem. 4 (1968) 79, and Strogatz (1994), example 7.3.2: a limit cycle, three periods",
    ),
)

# ------------------------------------------------------------------ chemistry and circuits
REACTIONS = (
    FormCase(
        name="arrhenius",
        law=_law(
            """
            a' = 1 - a - NN(a, T)
            T' = 350 - T + 209.2*NN(a, T) + 2.092*(305 - T)
            """,
            {"NN(a, T)": "c*a*exp(-E/T)"},
            c=7.2e10,
            E=8750.0,
        ),
        starts=((0.5, 350.0),),
        end=6.0,
        source="Seborg, Edgar & Mellichamp, Process Dynamics and Control (2004), example 2.5 [mol/l, K, min]: the "
        "coolant steps from 300 to 305 K, and the reactor ignites and oscillates between 350 and 440 K",
    ),
    _built_in("brusselator"),
    FormCase(
        name="diode",
        law=_law(
            """
            v' = 0.01*(i - NN(v))
            i' = 100*(0.3*sin(0.5*t) - v - 0.001*i)
            """,
            {"NN(v)": "c*(exp(k*v) - 1)"},
            c=2.6,
            k=24.0,
        ),
        starts=((0.0, 0.0),),
        end=40.0,
        source="Shockley, Bell Syst. Tech. J. 28 (1949) 435: a germanium detector, 2.6 uA and 1/k = 1.6*26 mV, behind "
        "10 mH and 100 pF [V, uA, us]; a small signal, -0.53 to 0.14 V, so that its reverse current counts",
    ),
    _built_in("fitzhugh_nagumo"),
    _built_in("van_der_pol"),
)

# ------------------------------------------------------------------ mechanics and flow
MECHANICS = (
    _built_in("pendulum"),
    FormCase(
        name="quadratic-drag",
        law=_law("x'' = NN(x, x') - 4*x", {"NN(x, x')": "-c*x'*abs(x')"}, c=0.3),
        starts=((2.0, 0.0),),
        end=12.0,
        source="Nayfeh & Mook, Nonlinear Oscillations (1979), damping mechanisms: a drag that takes half of the "
        "amplitude in a period and little at the end",
    ),
    FormCase(
        name="cubic-drag",
        law=_law("x'' = NN(x, x') - 4*x", {"NN(x, x')": "-c*x'^3"}, c=0.2),
        starts=((1.5, 0.0),),
        end=12.0,
        source="Nayfeh & Mook, Nonlinear Oscillations (1979): the same, with a drag of the third power",
    ),
    FormCase(
        name="coulomb",
        law=_law("x'' = NN(x, x') - 39.5*x", {"NN(x, x')": "-c*sign(x')"}, c=2.0),
        starts=((1.0, 0.0),),
        end=4.0,
        source="Den Hartog, Mechanical Vibrations (1956), dry friction: of a fifth of the weight, on a mass of one "
        "hertz; four periods lose 0.2 of the amplitude each, and it sticks only after five",
    ),
    _built_in("duffing"),
    _built_in("hopf"),
    _built_in("lorenz"),
)

CASES = (*POPULATIONS, *CELLS, *REACTIONS, *MECHANICS)


def choose_forms(names: Sequence[str] = ()) -> list[FormCase]:
    """The named cases, or all of them; see `bench._cases.chosen`."""
    return chosen(CASES, names)
