"""A measured pendulum beside its published law.

Kaheman, Fasel, Bramburger, Strom, Kutz & Brunton (2022), arXiv:2205.06231: a single pendulum on a fixed cart,
theta'' = 64.22 sin(theta) - 0.0672 theta' with theta zero upright, in four segments of 9.17 s for identification and
two for validation. The table is not part of this package; it has the columns t_s, theta_rad, omega_rad_s and split (id
or val). One half of the law is asked for at a time: once friction is known to be viscous, as in the published law, and
gravity is missing; once gravity is known and the friction is missing. Every validation segment is simulated open loop
from its first row.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from udesys.bench._record_law import Figures, Record, Run, additive_terms, law_of_record, named_figures, summary, table
from udesys.bench._study import Jobs, Json, Keep, Part, Study, carry_out

if TYPE_CHECKING:
    from udesys.data import Dataset
    from udesys.discover import Discovery
    from udesys.search import Library

__all__ = ["Run", "run", "summary", "table"]

TITLE = "a measured pendulum: sin(theta) beside viscous friction, and its friction beside sin(theta)"
EXAMPLE = "udesys bench pendulum pendulum.csv"
SEGMENT = 9.17  # s
COLUMNS = {"theta": "theta_rad", "theta'": "omega_rad_s"}
SINE, DAMPING = "coefficient of sin(theta), 1/s^2", "coefficient of theta', 1/s"
OPEN_LOOP = tuple(f"RMSE theta over {SEGMENT:g} s, validation {k}, rad" for k in (1, 2))
EQUATIONS = {  # what is missing -> the hybrid
    "gravity": "theta'' = NN(theta) - c*theta'",
    "friction": "theta'' = a*sin(theta) - NN(theta')",
}
FORMS = {"gravity": {"NN": ("sin(theta)",)}, "friction": {"NN": ("theta'",)}}
PUBLISHED = {
    "Kaheman et al., arXiv:2205.06231": {SINE: 64.22, DAMPING: -0.0672, OPEN_LOOP[0]: 0.0147, OPEN_LOOP[1]: 0.0205}
}
LIMITS = {OPEN_LOOP[0]: (0.0147,), OPEN_LOOP[1]: (0.0205,)}  # what the published law reaches
NAMES = {"gravity": "pendulum", "friction": "pendulum-friction"}
RECORDS = {NAMES[k]: Record(form=form, published=PUBLISHED, limits=LIMITS) for k, form in FORMS.items()}
HEADLINES = ("published form found*", *(f"{name}: RMSE*" for name in RECORDS))
LESS_IS_BETTER = HEADLINES[1:]

Missing = Literal["gravity", "friction", "both"]


def run(
    table_file: Annotated[
        Path, typer.Argument(metavar="TABLE", help="CSV with t_s, theta_rad, omega_rad_s and split (id or val).")
    ],
    missing: Annotated[Missing, typer.Option(help="Which half of the law is missing; each in turn for both.")] = "both",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the networks.")] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="So many seeds, from that one on.")] = 1,
    part: Part = "1/1",
    jobs: Jobs = 1,
    keep: Keep = None,
    json: Json = False,
) -> None:
    """Discover the law of a measured pendulum from its identification part and simulate the validation part."""
    read_segments(table_file)
    halves = list(EQUATIONS) if missing == "both" else [missing]
    tasks = [(table_file, half, seed + k) for half in halves for k in range(seeds)]
    runs, seconds = carry_out(discover_once, tasks, warm_up, part=part, jobs=jobs, keep=keep)
    Study(
        bench="pendulum",
        summary=summary(runs),
        rows=runs,
        published=named_figures(RECORDS, runs, "published"),
        rivals=named_figures(RECORDS, runs, "rivals"),
        seconds=seconds,
        tables=table(runs, RECORDS),
    ).show(json)


def warm_up() -> None:
    """One thread a process."""
    import torch

    torch.set_num_threads(1)


def discover_once(table_file: Path, missing: str, seed: int) -> Run:
    """The law of the record; what goes wrong is written down, not raised.

    Args:
        table_file: CSV.
        missing: which half of the law, of `EQUATIONS`.
        seed: of the networks.
    """
    name = NAMES[missing]
    return law_of_record(name, RECORDS[name], seed, lambda: discovered(table_file, missing, seed))


def discovered(table_file: Path, missing: str, seed: int) -> tuple[Discovery, Figures]:
    """The law, and its figures.

    Args:
        table_file: CSV.
        missing: which half of the law, of `EQUATIONS`.
        seed: of the networks.
    """
    import udesys as ud

    data, heldout = read_segments(table_file)
    options = ud.SearchOptions(library=drags(), engines=("sparse",)) if missing == "friction" else None
    law = ud.discover(ud.HybridODE(EQUATIONS[missing]), data, seed=seed, heldout=heldout, options=options)
    terms = additive_terms(law)["NN"]
    if missing == "gravity":
        sine, damping = terms.get("sin(theta)"), law.parameters["c"].value
    else:
        sine, damping = law.parameters["a"].value, terms.get("theta'")
    damping = None if damping is None else -damping
    return law, {SINE: sine, DAMPING: damping, **open_loop(law)}


def drags() -> Library:
    """Laws of friction over a velocity: dry, viscous, quadratic, and of another size in either direction."""
    from udesys.search import Library

    return Library(degree=1, functions=("sign", "abs"), products=False, templates=("tanh",))


def read_segments(table_file: Path) -> tuple[Dataset, Dataset]:
    """The segments for identification, and those for validation.

    Args:
        table_file: CSV.

    Raises:
        DataError: it cannot be read, lacks a column, or has no such parts.
    """
    from dataclasses import replace

    import udesys as ud
    from udesys.errors import DataError

    whole = ud.read_table(table_file, time="t_s", columns=COLUMNS, trajectory="split")
    runs = {run.name: run for run in whole.trajectories}
    if runs.keys() != {"id", "val"}:
        raise DataError(f"the column 'split' of {whole.source} has {', '.join(sorted(runs))}. Write id or val in it.")
    data, heldout = (replace(whole, trajectories=_cut(runs[name]), sha256="") for name in ("id", "val"))
    return data, heldout


def _cut(run) -> tuple:
    """A record in its segments; what is left over, shorter than half of one, stays with the last."""
    import numpy as np

    count = max(1, round((run.t[-1] - run.t[0]) / SEGMENT))
    which = np.minimum((run.t - run.t[0] + 1e-9) // SEGMENT, count - 1)
    return tuple(run.rows(which == k, name=f"{run.name} {k + 1}") for k in range(count))


def open_loop(law: Discovery) -> dict[str, float]:
    """RMSE of the angle over each validation segment, simulated from its first row [rad].

    Args:
        law: what was discovered, with the validation segments as its held-out data.
    """
    from dataclasses import replace

    import numpy as np

    from udesys.assess.forecast import heldout_error

    x0 = np.array([list(law.initial[run.name].values()) for run in law.data.trajectories])
    found = {}
    for name, run in zip(OPEN_LOOP, law.heldout.trajectories, strict=False):
        one = replace(law.heldout, trajectories=(run,), sha256="")
        found[name] = heldout_error(law.closed_form, one, law.data, x0)["theta"]
    return found
