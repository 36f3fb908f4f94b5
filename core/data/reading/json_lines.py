"""One JSON record a line: which lines are none, and which are read though they are not quite JSON."""

import ast
import json
import re
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from core.data.reading.json_values import whole_characters
from core.data.reading.line_log import LineLog
from core.data.reading.lines import read_lines

DEEPEST = 100
"""Brackets within brackets; DuckDB gives the whole file up at 128."""
LONGEST_LITERAL = 2**20
"""Characters; Python's parser takes a hundred times the memory of what it reads."""
_ESCAPES = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
"""What is escaped in JSON text: a character of two halves, one half alone, or anything else."""


class _Fields(list[tuple[str, Any]]):
    """A JSON object as it is written, with each of its keys."""


def is_json_lines(source: Path) -> bool:
    """Whether the file is one JSON record a line, told from its first character that is no white space."""
    with source.open("rb") as file:
        start = file.read(2**16).lstrip()
    return start.startswith(b"{") and b"\n" in start.strip()


def is_record(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def write_records(source: Path, shown: str, target: Path, log: LineLog) -> list[str]:
    """Write the lines that are records to `target` as JSON that DuckDB reads; a sentence for each kind of change.

    The other lines, and those of which a part was lost, go to `log`.
    """
    commas = literals = 0
    with target.open("w", encoding="utf-8") as out, warnings.catch_warnings():
        # Python's parser would tell the terminal of each text with an escape that it does not know.
        warnings.simplefilter("ignore")
        for number, line in enumerate(read_lines(source, shown), start=1):
            text = line.strip()
            if not text:
                continue
            record = text.removesuffix(",")
            try:
                written, is_literal = _as_json(record)
            except ValueError as error:
                log.reject(number, str(error), text)
                continue
            whole = whole_characters(_ESCAPES.sub(_whole_escape, written))
            if whole != written:
                log.repair(number, "holds half of a character, which became \N{REPLACEMENT CHARACTER}", text)
            out.write(whole + "\n")
            commas += record != text
            literals += is_literal
    notes = []
    if commas:
        notes.append(f"{_lines(commas, 'ends', 'end')} in a comma, which does not count.")
    if literals:
        notes.append(f"{_lines(literals, 'is', 'are')} written as Python writes a dict, not as JSON, and read as that.")
    return notes


def _as_json(record: str) -> tuple[str, bool]:
    """A record as JSON, and whether it was a Python dict. Raises ValueError, saying why, where it is neither."""
    try:
        found = json.loads(record, object_pairs_hook=_Fields)
    except (ValueError, RecursionError) as error:
        written = _from_literal(record)
        if written is None:
            raise ValueError(f"is not valid JSON ({error})") from error
        return written, True
    if not isinstance(found, _Fields):
        raise ValueError("is no record with named fields")
    _require_distinct([key for key, _ in found])
    if _is_deep(found):
        raise ValueError(f"has values nested more than {DEEPEST} deep")
    return record, False


def _from_literal(record: str) -> str | None:
    """The JSON of a Python dict; None where it is none, or holds what JSON has no form for."""
    if not record.startswith("{") or len(record) > LONGEST_LITERAL:
        return None
    try:
        tree = ast.parse(record, mode="eval").body
        if not isinstance(tree, ast.Dict):
            return None
        keys = [ast.literal_eval(key) for key in tree.keys if key]
        written = json.dumps(ast.literal_eval(tree), ensure_ascii=False)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    if not all(isinstance(key, str) for key in keys):
        return None
    _require_distinct(keys)
    return written


def _require_distinct(keys: list[str]) -> None:
    twice = next((key for key, count in Counter(keys).items() if count > 1), None)
    if twice is not None:
        raise ValueError(f"names the field '{twice}' twice")


def _is_deep(found: object) -> bool:
    level, depth = [found], 0
    while level and depth <= DEEPEST:
        level = [child for value in level if isinstance(value, list) for child in _children(value)]
        depth += 1
    return bool(level)


def _children(value: list[Any]) -> list[Any]:
    return [child for _, child in value] if isinstance(value, _Fields) else value


def _whole_escape(found: re.Match[str]) -> str:
    return "\\ufffd" if found["half"] else found[0]


def _lines(count: int, one: str, many: str) -> str:
    return f"1 line {one}" if count == 1 else f"{count:,} lines {many}"
