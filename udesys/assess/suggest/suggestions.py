"""What a suggestion of experiments answers: a table of them, ranked, which prints itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from udesys.assess.layout import aligned, wrapped
from udesys.assess.suggest.designs import Design
from udesys.select import RIVAL

if TYPE_CHECKING:
    import pandas as pd

SEPARATION, SHRINK, CONSTANTS = "separation", "shrink", "constants"
ALL_CONSTANTS = "all constants"
LAWS_SHOWN = 8
LARGE = 1000.0  # numbers above it say no more


@dataclass(frozen=True, kw_only=True)
class StandingLaw:
    """A law that the data cannot tell from the best one.

    Attributes:
        label: a letter.
        text: its missing terms.
        weight: posterior probability among those that stand.
        group: label of the law from which no experiment looked at tells it; its own where there is none.
    """

    label: str
    text: str
    weight: float
    group: str


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """One experiment, and what is expected of it.

    Attributes:
        design: when to measure what, and for a new run from where.
        separation: expected 2 ln of the ratio of likelihoods of the two laws of `pair`, averaged over which is true,
            by linearised predictions.
        pair: labels of the two laws that it separates most, by their weights; empty without rivals.
        told: about how likely a wrong law is beyond reach of the true one afterwards, by their weights; NaN where
            nothing could be simulated. The experiments are ranked by it where they are to tell laws apart.
        information: least that is to be learnt about which law is true [nats].
        delta: expected criterion of the nearest wrong law above the true one's, by simulation and refits, averaged
            over which is true; NaN where that was not possible.
        least_delta: the same for the law for which it is least.
        settles: about how likely every wrong law is beyond reach afterwards.
        narrowing: name -> (standard error now, expected standard error afterwards); `all constants` has the geometric
            mean of the factors instead.
        inside: no state leaves what the data visited, by the pick.
    """

    design: Design
    separation: float
    pair: tuple[str, ...]
    told: float
    information: float
    delta: float
    least_delta: float
    settles: float
    narrowing: dict[str, tuple[float, float]]
    inside: bool


@dataclass(frozen=True, kw_only=True)
class Suggestions:
    """Experiments that could be made next, the best first.

    Attributes:
        source: of the data.
        time: name of the time.
        by: what they are ranked by: "separation" of the laws that stand, "shrink" of the intervals that were named, or
            "constants", all of them, where no rival stands.
        laws: the pick, then its rivals as they were compared.
        items: the experiments.
        initial: state -> bounds of new runs' starts, as they were given.
        notes: what should be known of them, in words.
        seed: of the starts that were looked at.
        best: what a figure of the first one needs: `curves` (what each law predicts along time), `strip` (separation
            along time) and `map` (information over the starts), as plain lists.
    """

    source: str
    time: str
    by: str
    laws: tuple[StandingLaw, ...]
    items: tuple[Suggestion, ...]
    initial: dict[str, tuple[float, float]]
    notes: tuple[str, ...]
    seed: int
    best: dict = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, rank: int) -> Suggestion:
        return self.items[rank]

    @property
    def table(self) -> pd.DataFrame:
        """A pandas DataFrame with a row for each experiment, the best first."""
        import pandas as pd

        rows = []
        for rank, one in enumerate(self.items):
            t = one.design.t
            row = {"rank": rank + 1, "experiment": self.what(rank), "from": t[0], "to": t[-1], "samples": len(t)}
            row["columns"] = ", ".join(one.design.columns)
            if one.pair:
                row |= {"separation": one.separation, "pair": "-".join(one.pair), "delta": one.delta}
                row |= {"settles": one.settles, "told": one.told}
            row |= {f"{name} narrower": 1.0 - after / before for name, (before, after) in one.narrowing.items()}
            rows.append({**row, "inside": one.inside})
        return pd.DataFrame(rows)

    def what(self, rank: int = 0) -> str:
        """Which trajectory an experiment goes on, or where a new run starts.

        Args:
            rank: which experiment, from 0.
        """
        design = self.items[rank].design
        if design.trajectory is not None:
            return f"trajectory {design.trajectory}"
        chosen = {s: v for s, v in design.start.items() if s in self.initial}
        return "new run, " + ", ".join(f"{s} = {v:.4g}" for s, v in chosen.items())

    def rows(self, rank: int = 0) -> pd.DataFrame:
        """A pandas DataFrame of what would be measured: one row for each time, empty cells to be filled in.

        Args:
            rank: which experiment, from 0.
        """
        import pandas as pd

        design = self.items[rank].design
        name = design.trajectory if design.trajectory is not None else "new"
        return pd.DataFrame({"trajectory": name, self.time: design.t, **dict.fromkeys(design.columns, math.nan)})

    def to_dict(self) -> dict:
        """As plain lists and dicts, from which `from_dict` makes it again."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping) -> Suggestions:
        """The suggestions of `to_dict`, also when they were written as JSON in between.

        Raises:
            KeyError, TypeError: it is no such thing.
        """

        def number(value) -> float:
            return math.nan if value is None else float(value)

        items = []
        for one in plain["items"]:
            design = {**one["design"], "t": tuple(one["design"]["t"]), "columns": tuple(one["design"]["columns"])}
            numbers = {k: number(one[k]) for k in _NUMBERS}
            narrowing = {name: tuple(map(number, pair)) for name, pair in one["narrowing"].items()}
            kept = {"pair": tuple(one["pair"]), "inside": one["inside"], "narrowing": narrowing}
            items.append(Suggestion(design=Design(**design), **numbers, **kept))
        laws = tuple(StandingLaw(**one) for one in plain["laws"])
        initial = {state: tuple(bounds) for state, bounds in plain["initial"].items()}
        made = {"laws": laws, "items": tuple(items), "initial": initial, "notes": tuple(plain["notes"])}
        return cls(**{**plain, **made})

    def __str__(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines())

    def lines(self) -> list[str]:
        """The printed form."""
        lines = [f"Next experiment  {self.source}   {_RANKED[self.by]}, seed {self.seed}"]
        leaders = [one for one in self.laws if one.group == one.label]
        for one in leaders[:LAWS_SHOWN]:
            same = [other.label for other in self.laws if other.group == one.label and other is not one]
            alike = f"   (alike here: {', '.join(same)})" if same else ""
            lines += wrapped(f"  {one.label}  {100 * one.weight:3.0f} %  ", f"{one.text or 'the law'}{alike}")
        if len(leaders) > LAWS_SHOWN:
            lines.append(f"     and {len(leaders) - LAWS_SHOWN} more")
        if not self.items:
            return [*lines, *(line for note in self.notes for line in wrapped("Note: ", note))]
        rows = [self._printed(rank) for rank in range(len(self.items))]
        cells = [(f"  {k}", *row.values()) for k, row in enumerate(rows, 1)]
        lines += aligned(("", *rows[0]), cells, "<<<<" + ">" * (len(rows[0]) - 3))
        if self.items[0].pair:
            lines += wrapped("  ", _LEGEND)
        return [*lines, *(line for note in self.notes for line in wrapped("Note: ", note))]

    def _printed(self, rank: int) -> dict[str, str]:
        """A row of the printed table; columns that are the same everywhere are left out."""
        one, several = self.items[rank], len({s.design.columns for s in self.items}) > 1
        t = one.design.t
        row = {
            "experiment": self.what(rank),
            self.time: f"{t[0]:.6g}" if len(t) == 1 else f"{t[0]:.6g} to {t[-1]:.6g} ({len(t)})",
            "columns": ", ".join(one.design.columns) if several else "",
        }
        if one.pair:
            row |= {"separation": f"{_number(one.separation)} {'-'.join(one.pair)}", "delta": _number(one.delta)}
            row |= {"settles": _percent(one.settles), "told": _percent(one.told)}
        for name, (before, after) in one.narrowing.items():
            row[f"{name} narrower"] = _percent(1.0 - after / before)
        return {**row, "inside": "yes" if one.inside else "no"}


_LEGEND = (
    "(separation: expected 2 ln of the ratio of likelihoods of two laws; delta: expected criterion of the nearest "
    f"wrong law above the true one's, from {RIVAL:g} on it is out of reach; settles: how likely that is for all wrong "
    "laws; told: for one of them, on average; inside: no state leaves what the data visited)"
)
_NUMBERS = ("separation", "told", "information", "delta", "least_delta", "settles")
_RANKED = {
    SEPARATION: "ranked by how well the laws that stand are told apart",
    SHRINK: "ranked by how much narrower the named intervals become",
    CONSTANTS: "no rival stands; ranked by how much narrower the intervals of all constants become",
}


def _number(value: float) -> str:
    if math.isnan(value):
        return "n/a"
    return f"{value:.1f}" if abs(value) < LARGE else f"over {LARGE:g}"


def _percent(share: float) -> str:
    return "n/a" if math.isnan(share) else f"{100 * share:.0f} %"
