"""JSON that is neither a list of records nor one record a line, as people have it: what table is meant.

{"data": [records]}, {"response": {"docs": [records]}}, {"train": [...], "test": [...]}, columns ({"text": [...],
"label": [...]}), pandas' own forms (columns, index, split, table), and lists of rows ([["a text", "label"], ...]). It
is held in memory, so it is limited.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

from core.data.reading.contents import chosen_name, members_note
from core.data.reading.json_values import nan_notes, whole_characters
from core.data.reading.names import distinct_names, numbered_names
from core.data.reading.result import Reading
from core.data.reading.write import text_batches, text_schema, write_batches
from core.schema import TableFile

LARGEST = 64 * 2**20
"""Bytes of such a file; a list of records and JSON Lines may be of any size."""
MOST_KEYS = 10_000
"""Columns that records may have together."""

DEEPEST, MOST_OBJECTS, FEWEST_BELOW = 4, 20, 10
"""Of rows that stand below several keys: how many keys, objects beside each other, rows."""

Rows = Sequence[Any]


@dataclass(frozen=True)
class _Shape:
    rows: Rows
    """Records (mappings) or lists of cells."""
    words: str
    names: tuple[str, ...] = ()
    member: str | None = None
    members: tuple[str, ...] = ()


def parsed(source: Path) -> Any:
    """The content of a JSON file with numbers as they are written; None where it is too large or no JSON."""
    if source.stat().st_size > LARGEST:
        return None
    try:
        return json.loads(source.read_text(encoding="utf-8"), parse_float=Decimal, parse_constant=Decimal)
    except (ValueError, RecursionError):
        return None


def read_shape(content: Any, shown: str, file: TableFile, target: Path) -> Reading | None:
    """Write the table that a JSON value means as texts; None where it means none.

    Raises UserError where the member that is asked for is not there.
    """
    shape = _shape_of(content, shown, file)
    if shape is None:
        return None
    keys = list(shape.names) or _keys(shape.rows)
    if not keys or len(keys) > MOST_KEYS:
        return None
    names, notes = distinct_names(keys)
    write_batches(text_schema(names), text_batches(_cells(shape.rows, keys), names, frozenset(file.null_words)), target)
    notes += nan_notes(sum(map(_is_nan, chain.from_iterable(_values(shape.rows, keys)))))
    if shape.member is not None and len(shape.members) > 1:
        notes.append(members_note(shape.members, shape.member))
    return Reading(
        format="json",
        names=names,
        types=tuple(_type(shape.rows, place, key) for place, key in enumerate(keys)),
        notes=(*((shape.words,) if shape.words else ()), *notes),
        member=shape.member if len(shape.members) > 1 else None,
        members=shape.members if len(shape.members) > 1 else (),
    )


def _shape_of(content: Any, shown: str, file: TableFile) -> _Shape | None:
    if isinstance(content, list):
        return _Shape(content, "Each list in it is a row.", _numbered(content)) if _are_lists(content) else None
    if not isinstance(content, dict) or not content:
        return None
    values = list(content.values())
    if isinstance(content.get("columns"), list) and _are_lists(content.get("data")):
        return _Shape(content["data"], "Its columns stand apart from its rows.", tuple(map(str, content["columns"])))
    if len(values) > 1 and all(isinstance(value, list) for value in values) and not any(map(_are_rows, values)):
        if len({len(value) for value in values}) == 1:
            rows = list(zip(*values, strict=True))
            return _Shape(rows, "It is written column by column.", tuple(content))
        return None
    if all(isinstance(value, dict) and value for value in values) and _alike(values):
        return _of_mappings(content)
    return _member(content, shown, file)


def _of_mappings(content: dict[str, dict[str, Any]]) -> _Shape:
    """Records by their number or id, or columns by row number: the keys that are numbers are those of the rows."""
    inner = list(next(iter(content.values())))
    same = all(list(value) == inner for value in content.values())
    by_column = same and all(key.isdecimal() for key in inner) and not all(key.isdecimal() for key in content)
    if by_column:
        rows = list(zip(*(column.values() for column in content.values()), strict=True))
        return _Shape(rows, "It is written column by column.", tuple(content))
    return _Shape(list(content.values()), "Its records stand under names or numbers, which are no column.")


def _alike(values: list[dict[str, Any]]) -> bool:
    """Whether mappings are records of one table, or columns of one."""
    first = list(values[0])
    if len(values) > 1 and all(list(value) == first for value in values):
        return True
    return len(values) > 2 and len({key for value in values for key in value}) <= 2 * max(map(len, values)) < 50


def _member(content: dict[str, Any], shown: str, file: TableFile) -> _Shape | None:
    """One of the lists of rows in an object."""
    lists = _lists_of_rows(content)
    if not lists:
        return None
    name = chosen_name(list(lists), [len(value) for value in lists.values()], file.member, shown)
    rows = lists[name]
    words = f"Its rows stand under '{name}'."
    return _Shape(rows, words, _numbered(rows) if _are_lists(rows) else (), name, tuple(lists))


def _lists_of_rows(content: dict[str, Any]) -> dict[str, Rows]:
    """By key; where there are none, those that stand deeper, by dotted keys: `response.docs`."""
    return {key: value for key, value in content.items() if _are_rows(value)} or _lists_below(content)


def _lists_below(content: dict[str, Any], under: str = "") -> dict[str, Rows]:
    """Only where there are enough rows, and beside and above them stand single values and a few objects alone: what is
    in a list beside other lists is a part of a record."""
    rows = {
        under + key: value
        for key, value in content.items()
        if under and _are_rows(value) and len(value) >= FEWEST_BELOW
    }
    objects = {key: value for key, value in content.items() if isinstance(value, dict)}
    lists = sum(isinstance(value, list) and bool(value) for value in content.values())
    if lists > len(rows) or len(objects) > MOST_OBJECTS or under.count(".") > DEEPEST:
        return {}
    if rows:
        return rows
    deeper = (_lists_below(value, f"{under}{key}.") for key, value in objects.items())
    return {name: found for lists_of_one in deeper for name, found in lists_of_one.items()}


def _are_rows(value: Any) -> bool:
    return _are_lists(value) or (isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value))


def _are_lists(value: Any) -> bool:
    """Whether it is a list of lists of as many cells, more than one."""
    if not isinstance(value, list) or not value or not all(isinstance(row, list) for row in value):
        return False
    return len({len(row) for row in value}) == 1 and len(value[0]) > 1


def _numbered(rows: Rows) -> tuple[str, ...]:
    return numbered_names(len(rows[0]))


def _keys(rows: Rows) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))


def _values(rows: Rows, keys: list[str]) -> Iterator[Sequence[Any]]:
    for row in rows:
        yield [row.get(key) for key in keys] if isinstance(row, Mapping) else row


def _cells(rows: Rows, keys: list[str]) -> Iterator[list[str | None]]:
    for values in _values(rows, keys):
        yield [_text(value) for value in values]


def _is_nan(value: Any) -> bool:
    return isinstance(value, Decimal) and value.is_nan()


def _text(value: Any) -> str | None:
    """A string as it is, any other value as the JSON that it was written as."""
    if value is None or _is_nan(value):
        return None
    written = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=float)
    if isinstance(value, Decimal):
        written = str(value)
    return whole_characters(written)


_KINDS = {str: "text", bool: "boolean", int: "integer", Decimal: "number", list: "list", dict: "object"}


def _type(rows: Rows, place: int, key: str) -> str:
    values = (row.get(key) if isinstance(row, Mapping) else row[place] for row in rows[:MOST_KEYS])
    kinds = {_KINDS[type(value)] for value in values if value is not None}
    if kinds == {"integer", "number"}:
        return "number"
    return kinds.pop() if len(kinds) == 1 else "text"
