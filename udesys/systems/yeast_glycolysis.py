"""Seven metabolites of yeast that oscillate once a minute."""

from udesys.systems.base import System, sampled

SYSTEM = System(
    name="yeast_glycolysis",
    title="glycolysis of yeast, seven species; how ATP slows its own first step is missing",
    units={f"S{k}": "mM" for k in range(1, 8)},
    equations="""
S1' = J0 - S1*S6*NN(S6)
S2' = 2*S1*S6*NN(S6) - k2*S2*(N - S5) - k6*S2*S5
S3' = k2*S2*(N - S5) - k3*S3*(A - S6)
S4' = k3*S3*(A - S6) - k4*S4*S5 - kappa*(S4 - S7)
S5' = k2*S2*(N - S5) - k4*S4*S5 - k6*S2*S5
S6' = -2*S1*S6*NN(S6) + 2*k3*S3*(A - S6) - k5*S6
S7' = psi*kappa*(S4 - S7) - k*S7
""",
    missing={"NN(S6)": "k1/(1 + (S6/K1)^4)"},
    parameters={
        "J0": 2.5, "k2": 6.0, "k3": 16.0, "k4": 100.0, "k5": 1.28, "k6": 12.0, "k": 1.8,
        "kappa": 13.0, "psi": 0.1, "N": 1.0, "A": 4.0,
    },
    constants={
        "J0": 2.5, "k1": 100.0, "k2": 6.0, "k3": 16.0, "k4": 100.0, "k5": 1.28, "k6": 12.0, "k": 1.8,
        "kappa": 13.0, "K1": 0.52, "psi": 0.1, "N": 1.0, "A": 4.0,
    },
    starts=({"S1": 0.501, "S2": 1.955, "S3": 0.198, "S4": 0.148, "S5": 0.161, "S6": 0.161, "S7": 0.064},),
    t=sampled(6.0, 0.03),
    time_unit="min",
    source="Ruoff et al., Biophys. Chem. 106 (2003) 179, with the constants of Daniels & Nemenman, PLoS ONE 10 (2015) "
    "e0119821, table 1; a start of Yazdani et al., PLoS Comput. Biol. 16 (2020) e1007575",
)
