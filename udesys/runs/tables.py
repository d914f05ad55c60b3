"""The files of a finished run that people read: the result, the tables, the equations."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterable

from udesys.assess.discovery import Discovery
from udesys.errors import SolveError
from udesys.runs.files import plain


def candidates_csv(law: Discovery) -> str:
    """One row for each ranked model, best first.

    Args:
        law: what was discovered.
    """
    terms = list(law.residuals)
    columns = list(law.data.columns)
    header = [
        "rank",
        *terms,
        "criterion",
        "delta",
        "n_constants",
        "complexity",
        *(f"engine.{t}" for t in terms),
        "diverged",
    ]
    header += [f"error.{c}" for c in columns] + [f"heldout_error.{c}" for c in columns]
    rows = [
        [
            rank,
            *(model.residuals.get(term, "") for term in terms),
            model.criterion,
            model.delta,
            model.n_constants,
            model.complexity,
            *(model.engines.get(term, "") for term in terms),
            model.diverged,
            *(model.error.get(c) for c in columns),
            *(model.heldout_error.get(c) for c in columns),
        ]
        for rank, model in enumerate(law.candidates, start=1)
    ]
    return table_text(header, rows)


def predictions_csv(law: Discovery) -> str:
    """Measured values and the closed form's states and observables at every sample time, held-out ends included.

    Of fields there is a row for each time and point, with the position.

    Args:
        law: what was discovered.
    """
    import numpy as np

    if law.model.grid is not None:
        return _field_predictions(law)
    columns = list(law.data.columns)
    predictable = law.closed_form.model.measurable
    header = ["trajectory", "part", law.data.time, *columns, *(f"predicted.{name}" for name in predictable)]
    held = {run.name: run for run in law.heldout.trajectories} if law.heldout else {}
    rows: list[list] = []
    for k, run in enumerate(law.data.trajectories):
        parts = [("fit", run)]
        if run.name in held and held[run.name].t[0] > run.t[-1]:
            parts.append(("heldout", held[run.name]))
        t = np.concatenate([part.t for _, part in parts])
        predicted = _predicted(law, t, k, len(run.t))
        measured = [(name, now, y) for name, part in parts for now, y in zip(part.t, part.y, strict=True)]
        rows += [[run.name, name, now, *y, *x] for (name, now, y), x in zip(measured, predicted, strict=True)]
    return table_text(header, rows)


def _field_predictions(law: Discovery) -> str:
    import numpy as np

    from udesys.assess.field_runs import field_runs, law_along

    names, grid = law.model.measurable, law.model.grid
    columns = [*law.data.columns, *(f"predicted.{name}" for name in names)]
    rows: list[list] = []
    for run in field_runs(law):
        if run.at is None:
            continue
        t, y = run.t, run.y
        predicted = np.full((*y.shape[:2], len(names)), np.nan)
        for n in (len(t), run.n_fitted):
            with contextlib.suppress(SolveError):
                predicted[:n] = law_along(law, run, t[:n])
                break
        for k, now in enumerate(t):
            part = "fit" if k < run.n_fitted else "heldout"
            values = np.concatenate([y[k], predicted[k]], 1).tolist()
            rows += [[run.name, part, now, x, *row] for x, row in zip(grid.points, values, strict=True)]
    return table_text(["trajectory", "part", law.data.time, grid.name, *columns], rows)


def _predicted(law: Discovery, t, trajectory: int, n_fit: int):
    """The law's states and observables (time, m); NaN in the held-out part, or everywhere, where it blows up there."""
    import numpy as np

    names = list(law.closed_form.model.measurable)
    predicted = np.full((len(t), len(names)), np.nan)
    for n in (len(t), n_fit):
        with contextlib.suppress(SolveError):
            predicted[:n] = law.forecast(t[:n], trajectory=trajectory)[names].to_numpy()
            break
    return predicted


def equations_py(law: Discovery) -> str:
    """The law as a Python module.

    Args:
        law: what was discovered.
    """
    from udesys.assess.export import export_text

    return export_text(law, "python")


def equations_tex(law: Discovery) -> str:
    """The law as LaTeX.

    Args:
        law: what was discovered.
    """
    from udesys.assess.export import export_text

    return export_text(law, "latex")


def table_text(header: list[str], rows: Iterable[list]) -> str:
    """A CSV table whose numbers keep every digit and whose missing values are empty cells.

    Args:
        header: names of the columns.
        rows: their values.
    """
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return file.getvalue()


def _cell(value) -> str:
    value = plain(value)
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
