"""What a check says: a Finding, in words for the person whose data it is."""

from dataclasses import dataclass
from typing import Literal

from core.errors import UserError


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


def raise_errors(findings: list[Finding]) -> None:
    """One UserError with all that keeps training from starting; nothing where nothing does."""
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        raise UserError(
            " ".join(error.what for error in errors),
            ", ".join(dict.fromkeys(error.where for error in errors)),
            " ".join(dict.fromkeys(error.todo for error in errors)),
        )


def errors_first(findings: list[Finding]) -> list[Finding]:
    order = {"error": 0, "warning": 1, "note": 2}
    return sorted(findings, key=lambda finding: order[finding.severity])
