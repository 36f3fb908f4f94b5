"""What a command gives back, and where its words go."""

import sys
from dataclasses import dataclass
from typing import Any

DONE, RUN_FAILED, WRONG_REQUEST, STOPPED = 0, 1, 2, 130
"""Exit codes."""


@dataclass(frozen=True)
class Answer:
    """A command's result, for people and as the JSON object of --json."""

    text: str
    content: dict[str, Any]
    code: int = DONE


def note(line: str) -> None:
    """To standard error: standard output is for the answer."""
    print(line, file=sys.stderr, flush=True)


def column_names(text: str | None) -> tuple[str, ...]:
    """The names in `a,b,c`."""
    return tuple(name.strip() for name in text.split(",")) if text else ()
