"""What the doctor says: findings, and the diagnosis that they make."""

from __future__ import annotations

import os
import textwrap
from dataclasses import asdict, dataclass
from typing import Literal

SCHEMA = 1  # of `udesys doctor --json`
NAME_WIDTH, STATE_WIDTH, WIDTH = 13, 9, 110


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        group: its heading.
        name: what it is.
        state: "ok", "missing", or "broken" where it is there and does not work.
        text: what was found, and what it means.
        remedy: the one line that adds or repairs it; empty where there is nothing to do.
        needed: udesys cannot do without it.
    """

    group: str
    name: str
    state: Literal["ok", "missing", "broken"]
    text: str
    remedy: str = ""
    needed: bool = False

    def __str__(self) -> str:
        indent = " " * (2 + STATE_WIDTH + NAME_WIDTH)
        head = f"  {self.state:<{STATE_WIDTH}}{self.name:<{NAME_WIDTH}}"
        lines = textwrap.wrap(self.text, WIDTH - len(indent), break_long_words=False, break_on_hyphens=False)
        if self.remedy:
            lines.append(f"{'add it' if self.state == 'missing' else 'repair'}:  {self.remedy}")
        return head + f"\n{indent}".join(lines)


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """Everything that was looked at, in order.

    Attributes:
        findings: the findings, group by group.
    """

    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Nothing that is needed is missing or broken."""
        return all(finding.state == "ok" for finding in self.findings if finding.needed)

    def to_dict(self) -> dict:
        """Plain values for JSON."""
        return {"schema": SCHEMA, "healthy": self.healthy, "findings": [asdict(f) for f in self.findings]}

    def __str__(self) -> str:
        groups = dict.fromkeys(finding.group for finding in self.findings)
        lines = []
        for group in groups:
            lines += [group, *(str(finding) for finding in self.findings if finding.group == group)]
        return "\n".join([*lines, self._verdict()])

    def _verdict(self) -> str:
        failed = [f.name for f in self.findings if f.needed and f.state != "ok"]
        if failed:
            return f"udesys cannot work before this is repaired: {', '.join(failed)}."
        absent = [f.name for f in self.findings if f.state != "ok"]
        return "All that is needed works." + (f" It does without: {', '.join(absent)}." if absent else "")


def setting(name: str, value: str) -> str:
    """The line that gives an environment variable a value."""
    return f"set {name}={value}" if os.name == "nt" else f"export {name}={value}"
