"""What a command gives back, and where its words go."""

import sys
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from core.errors import UserError, from_validation
from core.schema import TableFile

READING_OPTIONS = tuple(name for name in TableFile.model_fields if name not in ("path", "more"))
ESCAPES = {"\\t": "\t", "tab": "\t", "none": ""}
"""What cannot well be typed."""
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


def table_file(path: str, read: list[str], column_names: str | None = None) -> TableFile:
    """The file at `path`, to be read as `--read KEY=VALUE` and `--column-names A,B,C` say. Raises UserError."""
    content: dict[str, Any] = {"column_names": column_names} if column_names else {}
    for option in read:
        name, equals, value = option.partition("=")
        if not equals or name not in READING_OPTIONS:
            raise UserError(
                f"--read {option}: " + (f"'{name}' is no reading option." if equals else "there is no '='."),
                "--read",
                f"Write --read KEY=VALUE; the keys are {', '.join(READING_OPTIONS)}.",
            )
        content[name] = ESCAPES.get(value, value)
    for name in ("null_words", "column_names"):
        if name in content:
            content[name] = tuple(word.strip() for word in content[name].split(",") if word.strip())
    try:
        return TableFile.model_validate(content | {"path": path})
    except ValidationError as error:
        raise from_validation(error, "--read") from error
