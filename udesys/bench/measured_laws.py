"""Laws of measured systems, from the record to the closed form, beside what is published of them.

The records are not part of this package. A folder holds them as they are published or reduced:
pendulum/single_100Hz.csv, emps/emps_id_200Hz.csv and emps_test_200Hz.csv, silverbox/SNLS80mV.csv,
glucose_ivgtt/pacini_bergman_1986.csv, ball_drops/ball_drops.csv; the columns and the sources are in the comparisons of
the same names and below. A record that is missing is left out.

Sources: Pacini & Bergman, Comput. Methods Programs Biomed. 23 (1986) 113 (glucose after an injection, the minimal
model); de Silva, Higdon, Brunton & Kutz, Front. Artif. Intell. 3 (2020) 25 (balls dropped from a bridge).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from udesys.discover import Discovery

TITLE = "laws of measured systems: pendulum, drive, Silverbox, glucose, falling balls"
EXAMPLE = "udesys bench measured-laws records --record pendulum"
GRAVITY = 9.81  # m/s^2
BASAL_GLUCOSE, BASAL_INSULIN = 92.0, 11.0  # mg/dl, uU/ml: the table's first row
MIXED = 8.0  # min after which the injection is mixed in; earlier glucose is not used
REMOTE_RATE = 0.025  # 1/min, published for this subject
INSULIN_SENSITIVITY = 5e-4  # ml/uU/min, published; the unknown term's constant is one with it
RIVALS_SHOWN = 4
EXCLUDED = ("Bowling Ball",)  # as in the publication


@dataclass(frozen=True, kw_only=True)
class Found:
    """The law of one record.

    Attributes:
        record: its name.
        law: state -> right side.
        terms: missing term -> formula.
        rivals: other formulas that the data cannot tell from it.
        figures: what was measured of it -> value.
        published: the same of what is published.
        warnings: of the discovery.
        seconds: of it.
    """

    record: str
    law: dict[str, str]
    terms: dict[str, str]
    rivals: list[str]
    figures: dict[str, float]
    published: dict[str, float]
    warnings: list[str]
    seconds: float


def run(
    folder: Annotated[Path, typer.Argument(help="Folder with the records, each in a folder of its own.")],
    record: Annotated[list[str] | None, typer.Option(help="Only this record, such as emps; may be repeated.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the networks.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Discover the laws of measured records and print them beside the published ones."""
    from udesys.errors import DataError, did_you_mean

    for name in record or ():
        if name not in RECORDS:
            raise DataError(f"there is no record {name!r}. {did_you_mean(name, RECORDS)}")
    results = []
    for name in record or RECORDS:
        table, discover = RECORDS[name]
        if not (folder / table).is_file():
            if record:
                raise DataError(f"{folder / table} is not there. Name the folder that holds {table}.")
            continue
        for found in discover(folder, seed):
            results.append(found)
            if not json:
                typer.echo(report(found))
    if not results:
        raise DataError(f"{folder} holds none of the records: {', '.join(t for t, _ in RECORDS.values())}.")
    if json:
        import json as writer

        typer.echo(writer.dumps([asdict(r) for r in results], indent=1))


def report(found: Found) -> str:
    """One law and its figures, as text.

    Args:
        found: of a record.
    """
    lines = [f"{found.record}   {found.seconds:.0f} s"]
    lines += [f"  {state}' = {right}" for state, right in found.law.items()]
    if found.rivals:
        more = " ..." if len(found.rivals) > RIVALS_SHOWN else ""
        lines.append(f"  not told apart from: {'; '.join(found.rivals[:RIVALS_SHOWN])}{more}")
    for name, value in found.figures.items():
        beside = found.published.get(name)
        lines.append(f"  {name:<44} {value:.5g}" + ("" if beside is None else f"   published {beside:g}"))
    return "\n".join([*lines, *(f"  Warning: {w}" for w in found.warnings)])


# ------------------------------------------------------------------ the records
def _pendulum(folder: Path, seed: int) -> list[Found]:
    from udesys.bench.pendulum import PUBLISHED, SPEC
    from udesys.discover import discover
    from udesys.spec import load_spec

    table = folder / RECORDS["pendulum"][0]
    spec = load_spec({**SPEC, "data": {"file": table.name, **SPEC["data"]}}, folder=table.parent)
    law = discover(spec.model, spec.data, seed=seed, heldout=spec.heldout, options=spec.options)
    figures = {"coefficient of sin(theta), 1/s^2": _constant(law, "sin(theta)")}
    figures["RMSE theta held out, rad"] = law.error["heldout"]["theta"]
    return [_found("pendulum", law, figures, {"coefficient of sin(theta), 1/s^2": PUBLISHED})]


def _emps(folder: Path, seed: int) -> list[Found]:
    import udesys as ud
    from udesys.bench import emps
    from udesys.bench._measured import rmse, simulate_law_open_loop

    table = folder / RECORDS["emps"][0]
    known, test = emps.read_record(table), emps.read_record(table.with_name("emps_test_200Hz.csv"))
    mass = ud.Parameter(emps.MASS_START, bounds=(0, None), unit="kg")
    start = {"q": "data", "q'": "data"}
    model = ud.HybridODE(emps.EQUATIONS, parameters={"M": mass}, inputs=("F",), initial=start)
    friction = ud.Library(degree=1, functions=("sign", "abs"), products=False, templates=("tanh",))
    law = ud.discover(model, known, seed=seed, options=ud.SearchOptions(library=friction, engines=("sparse",)))
    simulated = simulate_law_open_loop(law, test, emps.N_START)[:, 0]
    measured = test.trajectories[0].y[:, 0]
    figures = {
        "M, kg": law.parameters["M"].value,
        "Fv, N s/m": _constant(law, "q'"),
        "Fc, N": _constant(law, "sign(q')"),
        "RMSE q fitted, mm": 1e3 * law.error["fit"]["q"],
        "RMSE q of the test record, mm": 1e3 * rmse(measured[emps.N_START :], simulated[emps.N_START :]),
    }
    published = {"M, kg": emps.PUBLISHED_MASS, "Fv, N s/m": 203.5, "Fc, N": 20.39}
    published["RMSE q of the test record, mm"] = emps.PUBLISHED["Coulomb + viscous + offset, refitted"]
    return [_found("emps", law, figures, published)]


def _silverbox(folder: Path, seed: int) -> list[Found]:
    import udesys as ud
    from udesys.bench import silverbox
    from udesys.bench._measured import rmse, simulate_law_open_loop

    train, tests = silverbox.read_parts(folder / RECORDS["silverbox"][0])
    parameters = {name: ud.Parameter(start, bounds=(0, None)) for name, start in silverbox.STARTS.items()}
    model = ud.HybridODE(silverbox.EQUATIONS, parameters=parameters, inputs=("u",))
    spring = ud.Library(functions=(), products=False, templates=())  # a restoring force as a polynomial
    law = ud.discover(model, train, seed=seed, options=ud.SearchOptions(library=spring, engines=("sparse",)))
    figures, published, skip = {}, {}, silverbox.N_START
    by_hand = dict(zip(silverbox.PARTS, silverbox.PUBLISHED["cubic oscillator by hand"], strict=True))
    for name, data in tests.items():
        simulated, measured = simulate_law_open_loop(law, data, skip)[:, 0], data.trajectories[0].y[:, 0]
        parts = {name: len(measured)}
        if name == "arrow":
            parts[silverbox.PARTS[2]] = silverbox.SPLIT.no_extrapolation
        for part, n in parts.items():
            figures[f"RMSE {part}, mV"] = 1e3 * rmse(measured[skip:n], simulated[skip:n])
            published[f"RMSE {part}, mV"] = by_hand[part]
    return [_found("silverbox", law, figures, published)]


def _glucose(folder: Path, seed: int) -> list[Found]:
    import numpy as np
    import pandas as pd

    import udesys as ud

    frame = pd.read_csv(folder / RECORDS["glucose"][0])
    frame.loc[frame["t_min"] < MIXED, "glucose_mg_dl"] = np.nan
    data = ud.Dataset.from_frame(
        frame,
        time="t_min",
        columns={"G": "glucose_mg_dl"},
        inputs={"I": {"column": "insulin_uU_ml", "interpolation": "linear"}},
    )
    model = ud.HybridODE(
        f"G' = Sg*({BASAL_GLUCOSE} - G) - NN(X, G)\nX' = k3*(Si*(I - {BASAL_INSULIN}) - X)",
        parameters={"Sg": ud.Parameter(0.02, bounds=(0, 1)), "k3": REMOTE_RATE, "Si": INSULIN_SENSITIVITY},
        inputs=("I",),
        initial={"X": 0.0},
    )
    law = ud.discover(model, data, seed=seed)
    figures = {"RMSE G, mg/dl": law.error["fit"]["G"], "Sg, 1/min": law.parameters["Sg"].value}
    return [_found("glucose", law, figures, {"RMSE G, mg/dl": 5.11, "Sg, 1/min": 0.026})]


def _balls(folder: Path, seed: int) -> list[Found]:
    import pandas as pd

    import udesys as ud

    frame = pd.read_csv(folder / RECORDS["balls"][0])
    drags = ud.Library(degree=2, functions=(), products=False, templates=())  # none, constant, linear, quadratic
    options, results = ud.SearchOptions(library=drags, engines=("sparse",)), []
    for ball, drops in frame.groupby("ball", sort=True):
        if ball in EXCLUDED:
            continue
        first, second = (
            ud.Dataset.from_frame(part, time="t_s", columns={"height": "height_m"}, trajectory="drop")
            for _, part in drops.groupby("drop")
        )
        model = ud.HybridODE(f"height'' = NN(height') - {GRAVITY}")
        law = ud.discover(model, first, seed=seed, heldout=second, options=options)
        figures = {"RMSE of the first drop, m": law.error["fit"]["height"]}
        figures["RMSE of the second drop, m"] = law.error["heldout"]["height"]
        results.append(_found(f"balls: {ball}", law, figures, {}))
    return results


RECORDS: dict[str, tuple[str, Callable[[Path, int], list[Found]]]] = {
    "pendulum": ("pendulum/single_100Hz.csv", _pendulum),
    "emps": ("emps/emps_id_200Hz.csv", _emps),
    "silverbox": ("silverbox/SNLS80mV.csv", _silverbox),
    "glucose": ("glucose_ivgtt/pacini_bergman_1986.csv", _glucose),
    "balls": ("ball_drops/ball_drops.csv", _balls),
}


def _constant(law: Discovery, form: str) -> float:
    """The constant of a form in the law's only missing term; NaN where it has another form."""
    (residual,) = law.residuals.values()
    for part in residual.expression.replace(" - ", " + -").split(" + "):
        name, _, rest = part.partition("*")
        if rest == form and name in residual.constants:
            return residual.constants[name].value
    return math.nan


def _found(record: str, law: Discovery, figures: dict[str, float], published: dict[str, float]) -> Found:
    picked = {term: residual.expression for term, residual in law.residuals.items()}
    rivals = [c.residuals for c in law.candidates if c.delta < 6 and c.residuals != picked]
    return Found(
        record=record,
        law=law.closed_form.equation_texts(5),
        terms=picked,
        rivals=[", ".join(f"{term} = {text}" for term, text in forms.items()) for forms in rivals],
        figures=figures,
        published=published,
        warnings=list(law.warnings),
        seconds=law.timing_s["total"],
    )
