"""Sections of a spec: tables that know where they stand, and refuse what they cannot hold."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Iterator, Mapping

from udesys.errors import ModelError, UdesysError, did_you_mean, readable

KEYS = {
    "data": ("file", "time", "trajectory", "columns", "inputs", "covariates", "noise", "holdout"),
    "model": ("equations", "observe", "positive", "stays_zero", "conserved"),
    "grid": ("position", "ends"),
    "parameters": None,  # any name
    "initial": None,
    "networks": None,
    "derived": None,
    "fit": ("stages", "solver", "loss", "restarts", "device", "tolerances"),
    "search": (
        "engines",
        "operators",
        "library",
        "max_terms",
        "max_complexity",
        "time_limit",
        "forbidden",
        "units",
        "terms",
        "prior",
    ),
}
PARAMETER_KEYS = ("value", "start", "bounds", "unit", "fixed", "prior")
NETWORK_KEYS = ("hidden", "activation", "products")
TOLERANCE_KEYS = ("flow", "gain")
SHOWN = 60  # characters of a value in a message
DEEPEST = 20  # tables and lists in each other; a spec needs five
MOST_ENTRIES = 100_000

_KINDS = {str: "text in quotes", list: "a list in [ ]", dict: "a table", bool: "true or false"}
_EXAMPLES = {
    "file": 'file = "measurements.csv"',
    "time": 'time = "t"',
    "position": 'position = "x"',
    "equations": 'equations = "x\' = a*x + NN1(x)"',
}


def check_plain(source: str, content: Mapping) -> None:
    """Refuse what no section could hold: keys that are no text, numbers without end, tables without bottom.

    Args:
        source: name of the spec, for messages.
        content: the whole spec.

    Raises:
        ModelError: there is such a thing.
    """
    waiting, seen = [(content, "", 0)], 0
    while waiting:
        value, place, depth = waiting.pop()
        seen += 1
        if depth > DEEPEST or seen > MOST_ENTRIES:
            what = "its tables are nested too deep" if depth > DEEPEST else f"it has over {MOST_ENTRIES} entries"
            raise ModelError(f"{source} is no spec: {what}.")
        if isinstance(value, int) and value.bit_length() > sys.float_info.max_exp:
            digits = int(value.bit_length() * math.log10(2)) + 1
            raise ModelError(f"{source}: {place} is a whole number of {digits} digits, too large to be used.")
        if isinstance(value, Mapping):
            for key, inner in value.items():
                if not isinstance(key, str):
                    raise ModelError(f"{source}: the key {readable(repr(key))} in [{place}] must be text.")
                waiting.append((inner, f"{place}.{key}" if place else key, depth + 1))
        elif isinstance(value, list | tuple):
            waiting += [(inner, place, depth + 1) for inner in value]


class Section:
    """A table of the spec.

    Args:
        source: name of the spec, for messages.
        name: name of the table, such as `data` or `parameters.alpha`; empty for the spec itself.
        table: its entries.
        keys: the keys it may have; None allows any.

    Raises:
        ModelError: it is no table, or has another key.
    """

    def __init__(self, source: str, name: str, table, keys: tuple[str, ...] | None):
        self.source, self.name = source, name
        self.table = self.typed(table, dict, f"[{name}]")
        for key in self.table:
            if keys is not None and key not in keys:
                what = f"key {key!r} in [{name}]" if name else f"section {key!r}"
                raise self.refuse(f"unknown {what}. {did_you_mean(str(key), keys)}")

    def refuse(self, message: str) -> ModelError:
        """The error that names the spec."""
        return ModelError(f"{self.source}: {message}")

    @contextlib.contextmanager
    def naming(self, where: str = "") -> Iterator[None]:
        """Put the spec's name and the place in it before messages from below."""
        try:
            yield
        except UdesysError as error:
            error.args = (f"{self.source}: {where}{error}",)
            raise

    def typed(self, value, kind: type, where: str):
        """The value, where it is of the kind."""
        fine = isinstance(value, {list: (list, tuple), dict: Mapping}.get(kind, kind))
        if not fine:
            shown = repr(value) if len(repr(value)) <= SHOWN else f"{repr(value)[:SHOWN]}..."
            raise self.refuse(f"{where} must be {_KINDS[kind]}, but is {shown}.")
        return value

    def get(self, key: str, kind: type, default=None):
        """The value of a key, checked for its type."""
        return self.typed(self.table[key], kind, f"{key} in [{self.name}]") if key in self.table else default

    def need(self, key: str, kind: type):
        """The value of a key that must be there."""
        if key not in self.table:
            raise self.refuse(f"[{self.name}] lacks {key!r}. Add  {_EXAMPLES[key]}")
        return self.get(key, kind)

    def texts(self, key: str) -> tuple[str, ...]:
        """The value of a key as a list of texts; empty where it is not there."""
        values = self.get(key, list, ())
        for value in values:
            self.typed(value, str, f"each entry of {key} in [{self.name}]")
        return tuple(values)
