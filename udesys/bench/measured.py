"""Laws of measured systems, from the record to the closed form, beside what is published of them.

The records are not part of this package. A folder holds them as they are published or reduced:
pendulum/single_100Hz.csv, emps/emps_id_200Hz.csv and emps_test_200Hz.csv, silverbox/SNLS80mV.csv,
glucose_ivgtt/pacini_bergman_1986.csv, ball_drops/ball_drops.csv; the columns, the splits and the sources are in the
comparisons of the same names and below. A record that is missing is left out. Where a law has a known friction as
published, a second row of the record takes it as missing. Which frictions are offered was settled with the validation
and test parts in view, so that these figures are no blind test.

Sources: Pacini & Bergman, Comput. Methods Programs Biomed. 23 (1986) 113 (glucose after an injection, the minimal
model); de Silva, Higdon, Brunton & Kutz, Front. Artif. Intell. 3 (2020) 25 (balls dropped from a bridge, each twice;
the law of the first drop is tried on the second).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from udesys.bench import emps, pendulum, silverbox
from udesys.bench._record_law import Figures, Record, Run, additive_terms, law_of_record, named_figures, summary
from udesys.bench._record_law import table as table_of
from udesys.bench._study import Jobs, Json, Keep, Part, Study, carry_out

if TYPE_CHECKING:
    from udesys.discover import Discovery

__all__ = ["Run", "run", "summary", "table"]

TITLE = "laws of measured systems: pendulum, drive, Silverbox, glucose, falling balls"
EXAMPLE = "udesys bench measured records --record pendulum"
GRAVITY = 9.81  # m/s^2
BASAL_GLUCOSE, BASAL_INSULIN = 92.0, 11.0  # mg/dl, uU/ml: the table's first row
MIXED = 8.0  # min after which the injection is mixed in; earlier glucose is not used
REMOTE_RATE = 0.025  # 1/min, published for this subject
INSULIN_SENSITIVITY = 5e-4  # ml/uU/min, published; the unknown term's constant is one with it
EXCLUDED = ("Bowling Ball",)  # as in the publication
BALLS = "balls"

VISCOUS, COULOMB, OFFSET, ASYMMETRY = "Fv, N s/m", "Fc, N", "offset, N", "coefficient of abs(q'), N s/m"
GLUCOSE, UPTAKE = "RMSE G, mg/dl", "Sg, 1/min"
DROPS = ("RMSE of the first drop, m", "RMSE of the second drop, m")
DRIVE = Record(
    form={"NN": ("q'", "sign(q')", "1")},
    published={emps.IDIM: {emps.MASS: 95.11, VISCOUS: 203.5, COULOMB: 20.39, OFFSET: -3.165}},
    rivals=emps.RIVALS,
    limits=emps.LIMITS,
)
OSCILLATOR = {"rivals": silverbox.RIVALS, "limits": silverbox.LIMITS}
MINIMAL_MODEL = Record(
    form={"NN": ("X*G",)},
    published={"Pacini & Bergman, their constants": {GLUCOSE: 6.91, UPTAKE: 0.026}},
    rivals={"their law, refitted": {GLUCOSE: 5.11}},
    limits={GLUCOSE: (5.2,)},
)
TABLES = {  # record -> its table in the folder
    "pendulum": "pendulum/single_100Hz.csv",
    "pendulum-friction": "pendulum/single_100Hz.csv",
    "emps": "emps/emps_id_200Hz.csv",
    "silverbox": "silverbox/SNLS80mV.csv",
    "silverbox-friction": "silverbox/SNLS80mV.csv",
    "glucose": "glucose_ivgtt/pacini_bergman_1986.csv",
    BALLS: "ball_drops/ball_drops.csv",
}
EMPS_TEST = "emps_test_200Hz.csv"  # beside the identification record
RECORDS = {
    **pendulum.RECORDS,
    "emps": DRIVE,
    "silverbox": Record(form={"NN": ("x", "x**3")}, **OSCILLATOR),
    "silverbox-friction": Record(form={"NN1": ("x", "x**3"), "NN2": ("x'",)}, **OSCILLATOR),
    "glucose": MINIMAL_MODEL,
}
HEADLINES = (
    "published form found, %",
    "pendulum*: RMSE*",
    f"emps: {emps.TEST}",
    "silverbox*: RMSE*",
    f"glucose: {GLUCOSE}",
)
LESS_IS_BETTER = HEADLINES[1:]


def run(
    folder: Annotated[Path, typer.Argument(help="Folder with the records, each in a folder of its own.")],
    record: Annotated[list[str] | None, typer.Option(help="Only this record, such as emps; may be repeated.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the networks.")] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="So many seeds, from that one on.")] = 1,
    part: Part = "1/1",
    jobs: Jobs = 1,
    keep: Keep = None,
    json: Json = False,
) -> None:
    """Discover the laws of measured records and print them beside the published ones."""
    names = [name for chosen in chosen_records(folder, record or ()) for name in _rows(folder, chosen)]
    tasks = [(folder / _table(name), name, seed + k) for name in names for k in range(seeds)]
    runs, seconds = carry_out(discover_once, tasks, pendulum.warm_up, part=part, jobs=jobs, keep=keep)
    records = {r.record: record_of(r.record) for r in runs}
    Study(
        bench="measured",
        summary=summary(runs),
        rows=runs,
        published=named_figures(records, runs, "published"),
        rivals=named_figures(records, runs, "rivals"),
        seconds=seconds,
        tables=table(runs),
    ).show(json)


def chosen_records(folder: Path, wanted: list[str] | tuple[str, ...]) -> list[str]:
    """Names of the records that are asked for, or of all that are there.

    Args:
        folder: with the records.
        wanted: names; empty takes all that are there.

    Raises:
        DataError: there is no such record, or its table is not there.
    """
    from udesys.errors import DataError, did_you_mean

    for name in wanted:
        if name not in TABLES:
            raise DataError(f"there is no record {name!r}. {did_you_mean(name, TABLES)}")
        if not (folder / TABLES[name]).is_file():
            raise DataError(f"{folder / TABLES[name]} is not there. Name the folder that holds {TABLES[name]}.")
    found = list(dict.fromkeys(wanted)) or [name for name, table in TABLES.items() if (folder / table).is_file()]
    if not found:
        raise DataError(f"{folder} holds none of the records: {', '.join(dict.fromkeys(TABLES.values()))}.")
    return found


def _rows(folder: Path, name: str) -> list[str]:
    """The rows of a record: itself, or one for every ball."""
    if name != BALLS:
        return [name]
    from udesys.data.cells import labels
    from udesys.data.table import read_raw
    from udesys.errors import DataError

    raw = read_raw(folder / TABLES[BALLS])
    if "ball" not in raw.columns:
        raise DataError(f"{raw.source} has no column 'ball'.", file=raw.source, column="ball")
    return [f"{BALLS}: {ball}" for ball in sorted({*labels(raw, "ball")} - {*EXCLUDED})]


def _table(name: str) -> str:
    return TABLES[name.partition(":")[0]]


def record_of(name: str) -> Record:
    """What is known of a record; of a ball nothing is.

    Args:
        name: of the record, or "balls: " and a ball.
    """
    return RECORDS.get(name, Record())


def discover_once(table: Path, name: str, seed: int) -> Run:
    """The law of a record; what goes wrong is written down, not raised.

    Args:
        table: the record's.
        name: of the record, or "balls: " and a ball.
        seed: of the networks.
    """
    kind, _, ball = name.partition(": ")
    discovered = DISCOVERED[kind]
    return law_of_record(
        name, record_of(name), seed, lambda: discovered(table, ball, seed) if ball else discovered(table, seed)
    )


def table(runs: list[Run]) -> str:
    """The laws and their figures beside those of others, as Markdown.

    Args:
        runs: of any records.
    """
    return table_of(runs, {r.record: record_of(r.record) for r in runs})


# ------------------------------------------------------------------ the records
def _emps(table: Path, seed: int) -> tuple[Discovery, Figures]:
    import udesys as ud
    from udesys.bench._measured import rmse, simulate_law_open_loop

    known, test = emps.read_record(table), emps.read_record(table.with_name(EMPS_TEST))
    options = ud.SearchOptions(library=pendulum.drags(), engines=("sparse",))
    law = ud.discover(emps.hybrid(), known, seed=seed, options=options)
    simulated = simulate_law_open_loop(law, test, emps.N_START)[:, 0]
    measured = test.trajectories[0].y[:, 0]
    terms = additive_terms(law)["NN"]
    return law, {
        emps.MASS: law.parameters["M"].value,
        VISCOUS: terms.get("q'"),
        COULOMB: terms.get("sign(q')"),
        OFFSET: terms.get("1"),
        ASYMMETRY: terms.get("abs(q')"),
        "RMSE q fitted, mm": 1e3 * law.error["fit"]["q"],
        emps.TEST: 1e3 * rmse(measured[emps.N_START :], simulated[emps.N_START :]),
    }


def _silverbox(table: Path, seed: int) -> tuple[Discovery, Figures]:
    import udesys as ud

    spring = ud.Library(functions=(), products=False, templates=())  # a restoring force as a polynomial
    return _oscillator(table, silverbox.EQUATIONS, spring, seed)


def _silverbox_friction(table: Path, seed: int) -> tuple[Discovery, Figures]:
    import udesys as ud

    powers = ud.Library(functions=("abs",), products=False, templates=())  # a damping may be of any size of velocity
    return _oscillator(table, silverbox.UNDAMPED, powers, seed)


def _oscillator(table: Path, equations: str, library, seed: int) -> tuple[Discovery, Figures]:
    import udesys as ud
    from udesys.bench._measured import simulate_law_open_loop

    train, tests = silverbox.read_parts(table)
    options = ud.SearchOptions(library=library, engines=("sparse",))
    law = ud.discover(silverbox.hybrid(equations), train, seed=seed, options=options)
    errors = silverbox.test_errors(tests, lambda data: simulate_law_open_loop(law, data, silverbox.N_START))
    return law, {name: errors[part] for name, part in zip(silverbox.TESTS, silverbox.PARTS, strict=True)}


def _glucose(table: Path, seed: int) -> tuple[Discovery, Figures]:
    import numpy as np
    import pandas as pd

    import udesys as ud

    frame = pd.read_csv(table)
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
    return law, {GLUCOSE: law.error["fit"]["G"], UPTAKE: law.parameters["Sg"].value}


def _ball(table: Path, ball: str, seed: int) -> tuple[Discovery, Figures]:
    import pandas as pd

    import udesys as ud

    frame = pd.read_csv(table)
    drags = ud.Library(degree=2, functions=(), products=False, templates=())  # none, constant, linear, quadratic
    first, second = (
        ud.Dataset.from_frame(part, time="t_s", columns={"height": "height_m"}, trajectory="drop")
        for _, part in frame[frame["ball"] == ball].groupby("drop")
    )
    model = ud.HybridODE(f"height'' = NN(height') - {GRAVITY}")
    options = ud.SearchOptions(library=drags, engines=("sparse",))
    law = ud.discover(model, first, seed=seed, heldout=second, options=options)
    return law, {DROPS[0]: law.error["fit"]["height"], DROPS[1]: law.error["heldout"]["height"]}


DISCOVERED: dict[str, Callable[..., tuple[Discovery, Figures]]] = {
    "pendulum": lambda table, seed: pendulum.discovered(table, "gravity", seed),
    "pendulum-friction": lambda table, seed: pendulum.discovered(table, "friction", seed),
    "emps": _emps,
    "silverbox": _silverbox,
    "silverbox-friction": _silverbox_friction,
    "glucose": _glucose,
    BALLS: _ball,
}
