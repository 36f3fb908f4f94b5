"""What a check says: a Finding, in words for the person whose data it is."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    severity: Literal["error", "warning", "note"]
    """error: training cannot start. warning: it can, but look first. note: worth knowing."""
    what: str
    where: str
    todo: str
    count: int
    """Rows, classes or texts concerned."""
    kind: str = ""
    """A fixed word for each kind of finding, e.g. `one_class`."""


def counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def listed(labels: list[str]) -> str:
    shown = ", ".join(f"'{label[:40]}'" for label in sorted(labels)[:5])
    return shown + (f" and {len(labels) - 5:,} more" if len(labels) > 5 else "")
