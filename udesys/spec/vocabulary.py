"""What a column of a table may be taken for, and the words of its name that say so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

SHOWN = 50  # characters of a name
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
TIMES = frozenset("t time times zeit temps tiempo tempo elapsed timestamp".split())
CALENDAR = frozenset(
    "year years yr month months week weeks day days hour hours hr hrs minute minutes min mins sec secs second "
    "seconds date datetime age".split()
)
COUNTERS = frozenset("index idx row rows no nr number id sample samples obs observation n".split())
RUNS = frozenset(
    "run runs trajectory traj experiment exp trial subject id patient batch series replicate rep group case animal "
    "session segment split set drop condition sim simulation episode plate well station site individual dataset".split()
)
DRIVING = frozenset(
    "u input inputs force forcing dose dosing insulin stimulus stim command cmd control torque drive excitation "
    "feed heater pump valve".split()
)
PERHAPS_DRIVING = frozenset("voltage volt volts vin current power ref reference setpoint target light rain".split())
PLACES = frozenset(
    "q theta phi psi angle position pos displacement deflection height altitude elongation distance".split()
)
POSITIONS = frozenset("x y z r s position pos distance depth height location coordinate".split())  # of a field
OFFERED = frozenset("ref reference setpoint target".split())  # act on a controller, not on what is measured


@dataclass(frozen=True, kw_only=True)
class Guess:
    """What one column was taken for.

    Attributes:
        column: its name in the table.
        role: "time", "trajectory", "position", "state", "velocity", "input", "offered", "covariate" or "left out".
        why: the reason, in words.
        of: for a velocity, the column it is the rate of change of.
        interpolation: how an input runs between its samples.
        second_order: a state whose acceleration is what a law tells.
        said: the user said so.
    """

    column: str
    role: str
    why: str
    of: str = ""
    interpolation: str = "linear"
    second_order: bool = False
    said: bool = False


def columns_said(said: Mapping[str, str], role: str) -> list[str]:
    """The columns that the user gave a role.

    Args:
        said: column -> role.
        role: as in Guess.
    """
    return [column for column, given in said.items() if given == role]


def words(name: str) -> list[str]:
    """The words of a column's name in lower case: `q_refVelocity2` has q, ref and velocity."""
    return [word.lower() for word in _WORD.findall(name)]


def shown(name: str) -> str:
    """A name as a message or a comment shows it."""
    return repr(name if len(name) <= SHOWN else f"{name[:SHOWN]}...")


def time_score(column: str) -> int:
    """3 for a name like "t_s" or "Time (h)", 2 for "day", 1 where time is among its words, -1 for a counter."""
    found = words(column)
    if not found or (len(column.strip()) == 1 and column.strip() != "t"):  # T is a temperature, as often as not
        return 0
    if found[0] in TIMES:
        return 3
    if found[0] in CALENDAR:
        return 2
    if TIMES - {"t"} & set(found):
        return 1
    return -1 if found[0] in COUNTERS else 0
