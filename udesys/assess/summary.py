"""The text of a discovery: the law, its constants with intervals, its rivals, what the data cannot tell."""

from __future__ import annotations

import html as _html
import math
import textwrap
from collections.abc import Sequence

import numpy as np

from udesys.assess.layout import WIDTH, aligned, wrapped
from udesys.model.runs_on_grid import counted

SHOWN_DELTA = 10.0  # further from the best there is no support left (Burnham & Anderson 2002, sec. 2.6)
SHOWN_ROWS = 12
RIVAL_DELTA = 6.0  # a likelihood ratio of exp(6 / 2), about 20: nearer than this the data cannot tell
RIVALS_NAMED = 3
ERRORS_WIDTH = 36  # characters; where the columns need more, a candidate's error is one number
NORMAL_95 = 1.959964  # 97.5 % quantile of the normal distribution
SMALL = 1e-4  # of a number, below which it is written with an exponent
MISSING = "n/a"
PICK = "  >>>> "
ERROR_KINDS = {  # of a law's errors, as columns of a table
    "fit": "RMSE fit",
    "heldout": "RMSE held out",
    "heldout_hybrid": "hybrid's",
    "heldout_persistence": "persistence's",
}


def summary(law) -> str:
    """Return the printed form of a discovery.

    Args:
        law: a Discovery.

    Returns:
        Lines that fit a terminal, save for a formula without a space to break it at.
    """
    parts = [
        _header(law),
        *_equations(law),
        *_grid(law),
        *_terms(law),
        *_constants(law),
        *_derived_and_profiles(law),
        *_simpler(law),
        *_errors(law),
        *_residuals(law),
        *_candidates(law),
        *_engines(law),
        *_how_sure(law),
        *_visited(law),
        *([] if law.support is None else law.support.lines()),
        *([] if law.suggestions is None else law.suggestions.lines()),
        *(line for warning in law.warnings for line in wrapped("Warning: ", warning)),
    ]
    return "\n".join(line.rstrip() for line in parts)


def html(law) -> str:
    """Return the printed form of a discovery for a notebook."""
    return f"<pre>{_html.escape(summary(law))}</pre>"


# ------------------------------------------------------------------ the law
def _header(law) -> str:
    runs, samples = counted(law.model, len(law.data.trajectories)), law.data.n_samples
    seconds = law.timing_s.get("total", sum(law.timing_s.values()))
    end = "done in" if law.status == "ok" else f"{law.status} after"
    return (
        f"Discovery  {law.data.source}   {runs}, {samples} {'sample' if samples == 1 else 'samples'}, "
        f"seed {law.seed}   {end} {seconds:.1f} s"
    )


def _equations(law) -> list[str]:
    # the velocity theta' of a second-order state makes this theta''
    equations = {f"{state}'": right for state, right in law.closed_form.equation_texts(4).items()}
    equations |= law.closed_form.observed_texts(4)
    width = max(len(left) for left in equations)
    lines: list[str] = []
    for left, right in equations.items():
        lines += wrapped(f"  {left:<{width}} =  ", right)
    return lines


def _grid(law) -> list[str]:
    """On which points fields are, and what a learned stencil is."""
    if law.model.grid is None:
        return []
    from udesys.assess.field_text import grid_lines, stencil_lines

    return [*grid_lines(law), *stencil_lines(law)]


def _terms(law) -> list[str]:
    missing = {term: residual.expression for term, residual in law.residuals.items()}
    missing |= {replaced.name: replaced.text for replaced in law.model.invariants.replaced}
    width = max(map(len, missing), default=0)
    lines = ["Missing terms"] if missing else []
    for term, text in missing.items():
        lines += wrapped(f"  {term:<{width}} =  ", text)
    kept = [f"{state} stays zero once zero" for state in law.model.stays_zero]
    kept += [f"{total} is conserved" for total in law.model.conserved]
    return lines + (wrapped("Kept: ", f"{'; '.join(kept)}.") if kept else [])


# ------------------------------------------------------------------ the constants
def _constants(law) -> list[str]:
    named = estimates_of(law)
    if not named:
        return []
    header = ("Constants", "value", "+/- 95 %", "95 % interval", "unit", "start", "")
    rows = []
    for name, estimate in named.items():
        bounds = law.model.parameters[name].bounds if name in law.parameters else None
        rows.append((f"  {name}", *estimate_cells(estimate), mark_of(estimate, bounds)))
    return aligned(header, rows, "<>><<><")


def _derived_and_profiles(law) -> list[str]:
    from udesys.assess.profile_text import derived_lines, profile_lines

    return [*derived_lines(law.quantities), *profile_lines(law.profiles)]


def _simpler(law) -> list[str]:
    """Fractions that constants may be."""
    if not law.simpler:
        return []
    names = {name if isinstance(name, str) else ".".join(name): value for name, value in law.simpler.items()}
    text = ", ".join(f"{name} = {value}" for name, value in names.items())
    return wrapped("Simpler: ", f"{text} would do as well (criterion {law.simpler_criterion:+.1f} with that fixed).")


def estimates_of(law) -> dict:
    """Parameters, then the constants of the formulas as `NN1.c0`."""
    named = dict(law.parameters)
    for term, residual in law.residuals.items():
        named |= {f"{term}.{constant}": estimate for constant, estimate in residual.constants.items()}
    return named


def estimate_cells(e) -> tuple[str, str, str, str, str]:
    """Value, half width, interval, unit and start of an estimate as text."""
    start = "" if e.start is None or e.fixed else f"{e.start:.4g}"
    if e.fixed:
        return f"{e.value:.6g}", "fixed", "", e.unit, start
    low, high = e.interval
    known = np.isfinite([low, high]).all()
    half = 0.5 * (high - low) if known else NORMAL_95 * e.stderr
    size = max(abs(e.value), half)
    interval = f"[{rounded(low, half, size)}, {rounded(high, half, size)}]" if known else MISSING
    return rounded(e.value, half, size), rounded(half, half, size), interval, e.unit, start


def rounded(value: float, half: float, size: float = math.inf) -> str:
    """The value to the second digit of its half width; with an exponent where `size`, of all in its row, is small."""
    if not math.isfinite(value):
        return MISSING
    if not math.isfinite(half) or half <= 0:
        return f"{value:.4g}"
    decimals = 1 - math.floor(math.log10(half))
    if decimals > 7 or abs(value) >= 1e7 or size < SMALL:
        return f"{value:.{max(1, min(8, decimals + _magnitude(value)))}e}"
    return f"{value:.{max(0, decimals)}f}"


def _magnitude(value: float) -> int:
    return math.floor(math.log10(abs(value))) if value else 0


def mark_of(estimate, bounds) -> str:
    """What is to be said of an estimate at a bound or not identifiable; else nothing."""
    marks = []
    if estimate.at_bound is not None:
        side = "BOUND"
        if bounds is not None:
            to_lower, to_upper = (abs(estimate.at_bound - bound) for bound in bounds)
            side = "UPPER BOUND" if to_upper < to_lower else "LOWER BOUND"
        marks.append(f"AT ITS {side} {estimate.at_bound:.4g}")
    if not estimate.identifiable:
        marks.append("NOT IDENTIFIABLE")
    return ", ".join(marks)


# ------------------------------------------------------------------ the errors
def _errors(law) -> list[str]:
    kinds = {key: title for key, title in ERROR_KINDS.items() if law.error.get(key)}
    header = ("Error", "noise sd", *kinds.values())
    rows = [
        (f"  {column}", noise_text(law, column), *(error_text(law.error[kind].get(column)) for kind in kinds))
        for column in law.data.columns
    ]
    return aligned(header, rows, "<" + ">" * (len(header) - 1))


def error_text(value: float | None) -> str:
    """An error of a simulation: a number, or that it diverged."""
    return "diverged" if value is not None and math.isinf(value) else number_text(value)


def _residuals(law) -> list[str]:
    """Whether what is left is noise; one line where it is."""
    return [] if law.diagnostics is None else wrapped("Residuals: ", str(law.diagnostics))


def noise_text(law, column: str) -> str:
    """The noise's standard deviation, or its two parts where it grows with what is measured."""
    if column not in law.noise_profile:
        return number_text(law.noise.get(column))
    absolute, relative = law.noise_profile[column]
    return f"{absolute:.2g} and {100 * relative:.2g} %"


def number_text(value: float | None) -> str:
    """A number to four digits, or that there is none."""
    return MISSING if value is None or not np.isfinite(value) else f"{value:.4g}"


# ------------------------------------------------------------------ the candidates
def picked_of(law):
    """The candidate that became the law."""
    chosen = {term: residual.expression for term, residual in law.residuals.items()}
    return next((c for c in law.candidates if c.residuals == chosen), law.candidates[0])


def _candidates(law) -> list[str]:
    if not law.candidates or not law.residuals:
        return []
    picked = picked_of(law)
    near = [c for c in law.candidates if c is not picked and c.delta < SHOWN_DELTA]
    shown = [picked, *near][:SHOWN_ROWS]
    titles, cells = _error_columns(law)
    headers = [("Candidates", "constants", "nodes", "delta", *(kind for kind, _ in titles), "engine")]
    if any(column for _, column in titles):
        headers.append(("", "", "", "", *(column for _, column in titles), ""))
    numbers = [_candidate_cells(candidate, cells) for candidate in shown]
    widths = [max(map(len, column)) for column in zip(*(h[1:] for h in headers), *numbers, strict=True)]
    room = WIDTH - len(PICK) - sum(3 + width for width in widths)
    rows: list[Sequence[str]] = []
    for candidate, row in zip(shown, numbers, strict=True):
        first, *others = _form_lines(candidate, room)
        rows.append(((PICK if candidate is picked else " " * len(PICK)) + first, *row))
        rows += [(" " * len(PICK) + line, *[""] * len(row)) for line in others]
    lines = aligned(headers[0], [*headers[1:], *rows], "<" + ">" * (len(headers[0]) - 2) + "<")
    if picked.delta > 0:
        rule = f"(picked: the fewest constants within {RIVAL_DELTA:g} of the lowest criterion)"
        lines.append(" " * len(PICK) + rule)
    rest = len(law.candidates) - len(shown)
    return [*lines, f"{'':{len(PICK)}}and {rest} more"] if rest else lines


def _candidate_cells(candidate, errors) -> tuple[str, ...]:
    """Constants, nodes, delta, errors and engines of one candidate."""
    delta = f"{candidate.delta:.1f}" if np.isfinite(candidate.delta) else MISSING
    size = str(candidate.complexity or MISSING)
    return (str(candidate.n_constants), size, delta, *errors(candidate), engines_of(candidate))


def _engines(law) -> list[str]:
    """Which engines proposed, and which could not."""
    if not law.engines or not law.residuals:
        return []
    idle = ", ".join(law.idle_engines)
    why = f"; not ready: {idle} (`udesys discover SPEC --engine {law.idle_engines[0]}` says why)" if idle else ""
    return wrapped("Engines: ", f"{', '.join(law.engines)}{why}")


def engines_of(candidate) -> str:
    """Which engines proposed a candidate's forms, all terms together."""
    names = [name for engines in candidate.engines.values() for name in engines.split(" + ") if name != "none"]
    return ", ".join(sorted(set(names)))


def _error_columns(law):
    """(kind, column) titles, and candidate -> cells: RMSE by column, or one in units of the noise."""
    kinds = {"error": "RMSE"} | ({"heldout_error": "held out"} if law.error.get("heldout") else {})
    columns = law.data.columns
    width = len(kinds) * sum(3 + max(len(column), len("diverged")) for column in columns)
    each = width <= ERRORS_WIDTH

    def cells(candidate) -> list[str]:
        values: list[float | None] = []
        for field in kinds:
            errors = getattr(candidate, field)
            values += [errors.get(c) for c in columns] if each else [_in_noise(errors, law.noise)]
        return ["diverged"] * len(values) if candidate.diverged else [number_text(value) for value in values]

    if each and len(columns) > 1:
        return [(kind, column) for kind in kinds.values() for column in columns], cells
    return [(kind if each else f"{kind}/noise", "") for kind in kinds.values()], cells


def _in_noise(errors: dict[str, float], noise: dict[str, float]) -> float | None:
    ratios = [errors[c] / noise[c] for c in errors if noise.get(c)]
    return float(np.sqrt(np.mean(np.square(ratios)))) if ratios else None


def _form_lines(candidate, room: int) -> list[str]:
    """One line per missing term; a long formula goes on on the next line."""
    several = len(candidate.residuals) > 1
    lines: list[str] = []
    for term, text in candidate.residuals.items():
        whole = f"{term} = {text}" if several else text
        lines += textwrap.wrap(whole, room, subsequent_indent="    ") or [whole]
    return lines


# ------------------------------------------------------------------ how sure
def _how_sure(law) -> list[str]:
    sentences = []
    if law.candidates and law.residuals:
        sentences.append(_rivals_sentence(law))
    found = law.identifiability
    sentences += [] if found is None else found.sentences
    said = frozenset() if found is None else found.names
    unknown = [name for name, e in estimates_of(law).items() if not e.identifiable and name not in said]
    if unknown:
        sentences.append(f"These data do not determine {', '.join(unknown)}.")
    return wrapped("How sure: ", " ".join(sentences)) if sentences else []


def _rivals_sentence(law) -> str:
    picked = picked_of(law)
    others = [c for c in law.candidates if c is not picked]
    rivals = [c for c in others if c.delta < RIVAL_DELTA and not c.diverged]
    if not others:
        return "Only this form was tried."
    if not rivals:
        ratio = round(math.exp(RIVAL_DELTA / 2))
        return (
            f"No other form tried comes within {RIVAL_DELTA:g} of the best criterion "
            f"(a likelihood ratio of about {ratio})."
        )
    tied = [picked, *rivals]
    differing = [t for t in picked.residuals if len({c.residuals.get(t) for c in tied}) > 1]
    terms = differing or list(picked.residuals)
    forms = [", ".join(f"{term} = {c.residuals.get(term)}" for term in terms) for c in tied]
    named = "; ".join(forms[:RIVALS_NAMED])
    more = f"; and {len(forms) - RIVALS_NAMED} more" if len(forms) > RIVALS_NAMED else ""
    return f"These data cannot tell {len(forms)} forms apart: {named}{more}."


def _visited(law) -> list[str]:
    from udesys.assess.field_text import visited_shown

    ranges = ", ".join(f"{s} {low:.4g} to {high:.4g}" for s, (low, high) in visited_shown(law).items())
    return wrapped("Visited: ", f"{ranges} (no claim outside)") if ranges else []
