"""What a check says: a Finding, in words for the person whose data it is."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from core.errors import UserError

EXAMPLES_SHOWN = 5
LONGEST_EXAMPLE = 240
"""Characters of an example; the rest is cut."""


@dataclass(frozen=True)
class Example:
    text: str
    """As it stands in the data, at most LONGEST_EXAMPLE characters; to be escaped by whoever shows it."""
    about: str = ""
    """Where it stands, or with which label: `row 12, 'positive'`."""


@dataclass(frozen=True)
class Fix:
    """What puts a finding right: settings of the RunSpec, so that it can be repeated, shown and undone."""

    words: str
    """What a button says."""
    settings: Mapping[str, Any]
    """Dotted key -> value."""


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
    why: str = ""
    """Why it matters, in a sentence; '' where `what` says it."""
    examples: tuple[Example, ...] = ()
    fix: Fix | None = None
    asks: bool = False
    """Whether starting a run in spite of it needs a person's yes."""


def example(text: str, about: str = "") -> Example:
    """An example of a text of any length."""
    return Example(text if len(text) <= LONGEST_EXAMPLE else text[:LONGEST_EXAMPLE] + "…", about)


def kept_of(finding: Finding) -> dict[str, Any]:
    """What a run keeps of a finding: all but the examples, which are other people's texts."""
    return {name: value for name, value in asdict(finding).items() if name != "examples"}


def finding_words(finding: Finding) -> str:
    """One line for a terminal, with the options that put it right."""
    remedy = f" [{command_words(finding.fix)}]" if finding.fix else ""
    return f"{finding.severity}: {finding.what} {finding.todo}{remedy}"


def command_words(fix: Fix) -> str:
    """The options of the command line that do the same: `--set data.cleaning.copies=drop`."""
    return " ".join(f"--set {key}={_word(value)}" for key, value in fix.settings.items())


def _word(value: Any) -> str:
    if value is None:
        return "null"
    return shlex.quote(json.dumps(list(value), ensure_ascii=False)) if isinstance(value, list | tuple) else str(value)


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
