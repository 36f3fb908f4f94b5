# ruff: noqa: S608  (names and paths become SQL through identifier() and literal() alone)
"""Parquet and JSON: DuckDB reads them, every value becomes its usual text form, nested values JSON text."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from core.data.database import identifier, literal
from core.data.reading.encodings import as_utf8
from core.data.reading.json_lines import is_json_lines, is_record, write_records
from core.data.reading.json_shapes import parsed, read_shape
from core.data.reading.json_values import may_hold_nan, nan_notes
from core.data.reading.line_log import LineLog
from core.data.reading.names import distinct_names
from core.data.reading.result import Reading
from core.data.reading.write import write_parquet
from core.errors import UserError
from core.schema import TableFile

MAXIMUM_OBJECT = 64 * 2**20
"""Largest JSON record, in bytes."""

_TYPES = {
    "VARCHAR": "text",
    "BOOLEAN": "boolean",
    "TINYINT": "integer",
    "SMALLINT": "integer",
    "INTEGER": "integer",
    "BIGINT": "integer",
    "HUGEINT": "integer",
    "UTINYINT": "integer",
    "USMALLINT": "integer",
    "UINTEGER": "integer",
    "UBIGINT": "integer",
    "UHUGEINT": "integer",
    "FLOAT": "number",
    "DOUBLE": "number",
    "DATE": "date",
    "TIME": "time",
    "BLOB": "binary",
}


def read_parquet(
    database: duckdb.DuckDBPyConnection, source: Path, shown: str, file: TableFile, target: Path
) -> Reading:
    """Rewrite the Parquet file `source` as texts. Raises UserError where it is cut off or damaged."""
    rows = f"read_parquet({literal(str(source))})"
    try:
        described = database.execute(f"DESCRIBE SELECT * FROM {rows}").fetchall()
        columns = [(str(row[0]), str(row[1])) for row in described]
        names, notes = distinct_names([name for name, _ in columns])
        missing = _missing_numbers(database, rows, [name for name, kind in columns if kind in {"FLOAT", "DOUBLE"}])
        in_utf8 = _utf8_columns(database, rows, [name for name, kind in columns if kind == "BLOB"])
        types = tuple("text" if name in in_utf8 else _type(kind) for name, kind in columns)
        if in_utf8:
            notes.append(f"Bytes that are all UTF-8 are read as text: {', '.join(map(repr, in_utf8))}.")
        if "binary" in types:
            notes.append("Columns of bytes are shown as escaped text.")
        notes += nan_notes(sum(missing.values()))
        texts = {name: _parquet_text(name, kind) for (name, _), kind in zip(columns, types, strict=True)}
        texts.update((name, f"decode({identifier(name)})") for name in in_utf8)
        texts.update((name, f"CASE WHEN NOT ({_is_nan(texts[name])}) THEN {texts[name]} END") for name in missing)
        selected = [
            f"{_without(file.null_words, texts[name])} AS {identifier(new)}"
            for (name, _), new in zip(columns, names, strict=True)
        ]
        write_parquet(database, f"SELECT {', '.join(selected)} FROM {rows}", target)
    except duckdb.Error as error:
        raise UserError(
            f"{shown} is not a whole Parquet file: {_first_line(error)}",
            shown,
            "It was probably cut off while it was copied or written; copy it again.",
        ) from error
    return Reading(format="parquet", names=names, types=types, notes=tuple(notes))


def _missing_numbers(database: duckdb.DuckDBPyConnection, rows: str, columns: Sequence[str]) -> dict[str, int]:
    """How many values of these columns are NaN, as pandas and polars write what is missing; only columns with some."""
    are_nan = [_is_nan(f"CAST({identifier(name)} AS VARCHAR)") for name in columns]
    counts = _one_row(database, [f"count(*) FILTER (WHERE {is_nan})" for is_nan in are_nan], rows)
    return {name: count for name, count in zip(columns, counts, strict=True) if count}


def _is_nan(text: str) -> str:
    """Of a number's text: DuckDB's own isnan is wrong where a Parquet file's statistics leave NaN out, as they may."""
    return f"lower({text}) IN ('nan', '-nan')"


def _utf8_columns(database: duckdb.DuckDBPyConnection, rows: str, columns: Sequence[str]) -> tuple[str, ...]:
    """Columns of bytes that are texts in every row. A few rows are asked first: pictures are told from those."""
    for some in (f"(SELECT * FROM {rows} LIMIT 100)", rows):
        # Numbers that were packed into bytes are often valid UTF-8, and full of zeros.
        texts = [
            f"bool_and(coalesce(NOT contains(TRY(decode({identifier(name)})), chr(0)), {identifier(name)} IS NULL))"
            for name in columns
        ]
        found = _one_row(database, texts, some)
        columns = [name for name, is_text in zip(columns, found, strict=True) if is_text]
    return tuple(columns)


def _one_row(database: duckdb.DuckDBPyConnection, expressions: Sequence[str], rows: str) -> tuple[Any, ...]:
    """What aggregates come to; () for none."""
    if not expressions:
        return ()
    return database.execute(f"SELECT {', '.join(expressions)} FROM {rows}").fetchone() or ()


def class_label_names(source: Path, column: str) -> tuple[str, ...]:
    """Names of a column's numbers, from 0, as the `datasets` library writes them into a Parquet file; () for none."""
    try:
        facts = pq.read_schema(source).metadata or {}
        feature = json.loads(facts.get(b"huggingface", b"{}"))["info"]["features"][column]
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        # Packed files and foreign facts; what cannot be read here only means that there are no names.
        return ()
    names = feature.get("names") if isinstance(feature, dict) else None
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _parquet_text(name: str, kind: str) -> str:
    column = identifier(name)
    return f"CAST(to_json({column}) AS VARCHAR)" if kind in {"list", "object"} else f"CAST({column} AS VARCHAR)"


def _without(null_words: Sequence[str], text: str) -> str:
    """SQL for `text`, where one of the words is no text at all."""
    return f"CASE WHEN {text} NOT IN ({', '.join(map(literal, null_words))}) THEN {text} END" if null_words else text


def _type(duckdb_type: str) -> str:
    if duckdb_type.endswith("]"):
        return "list"
    if duckdb_type.startswith(("STRUCT", "MAP", "UNION")):
        return "object"
    if duckdb_type.startswith("TIMESTAMP"):
        return "timestamp"
    if duckdb_type.startswith("DECIMAL"):
        return "number"
    return _TYPES.get(duckdb_type, "text")


def read_json(
    database: duckdb.DuckDBPyConnection, source: Path, shown: str, file: TableFile, target: Path, log: LineLog
) -> Reading:
    """Rewrite a JSON list of records, or JSON Lines, as texts. Raises UserError where it holds anything else.

    Lines of JSON Lines that are no record are rejected; a JSON list is whole or not at all.
    """
    decoded = as_utf8(source, shown, file.encoding, log.path.parent)
    reading = _other_shape(decoded.path, shown, file, target)
    if reading is None:
        lines = is_json_lines(decoded.path)
        try:
            reading = _json(database, decoded.path, shown, "newline_delimited" if lines else "auto", file, target)
        except duckdb.Error as error:
            try:
                reading = _good_lines(database, decoded.path, shown, file, target, log) if lines else None
                reading = reading or _json(database, decoded.path, shown, "auto", file, target)
            except duckdb.Error:
                raise UserError(
                    f"{shown} is not valid JSON: {_first_line(error)}",
                    shown,
                    "Correct the place that it names, or save the data as CSV.",
                ) from error
    return replace(reading, encoding=decoded.encoding, notes=(*decoded.notes, *reading.notes))


def _good_lines(
    database: duckdb.DuckDBPyConnection, source: Path, shown: str, file: TableFile, target: Path, log: LineLog
) -> Reading | None:
    """The lines that are records; None where none is: one record over several lines looks like JSON Lines at first."""
    cleaned = log.path.with_name("records.jsonl")
    found = LineLog(log.path.with_name("found.csv"))
    notes = write_records(source, shown, cleaned, found)
    found.close()
    if cleaned.stat().st_size == 0:
        return None
    reading = _json(database, cleaned, shown, "newline_delimited", file, target)
    if found.path.exists():
        found.path.replace(log.path)
    return replace(
        reading,
        rejected=found.rejected,
        rejected_lines=tuple(found.rejected_lines),
        repaired=found.repaired,
        repaired_lines=tuple(found.repaired_lines),
        notes=(*notes, *found.notes(), *reading.notes),
    )


def _other_shape(source: Path, shown: str, file: TableFile, target: Path) -> Reading | None:
    """The table of a JSON file that is no list of records and not one record a line; None for those two.

    Told from the first line, so that a large file is not read for nothing.
    """
    with source.open("rb") as opened:
        first = opened.readline(MAXIMUM_OBJECT).strip()
    if first.startswith(b"{"):
        if is_record(first) and is_json_lines(source):
            return None
    elif not first.startswith(b"["):
        return None
    content = parsed(source)
    return None if content is None else read_shape(content, shown, file, target)


def _json(
    database: duckdb.DuckDBPyConnection, source: Path, shown: str, written: str, file: TableFile, target: Path
) -> Reading:
    """Raises duckdb.Error where the file is not what `written` (newline_delimited or auto) says."""
    options = f"format = '{written}', maximum_object_size = {MAXIMUM_OBJECT}, maximum_depth = 1"
    path = literal(str(source))
    described = database.execute(f"DESCRIBE SELECT * FROM read_json({path}, {options}, sample_size = -1)").fetchall()
    keys = [str(row[0]) for row in described]
    if keys == ["json"]:
        raise UserError(
            f"{shown} holds no records with named fields.",
            shown,
            'Write it as a list of records, e.g. [{"text": "...", "label": "..."}], or one record a line.',
        )
    twins = _differ_in_case_alone(keys)
    if twins:
        keys = _keys_as_written(database, path, written)
    names, notes = distinct_names(keys)
    if twins:
        rows = _rows_by_exact_key(path, written, keys, names)
    else:
        kinds = ", ".join(f"{literal(key)}: 'JSON'" for key in keys)
        columns = ", ".join(f"{identifier(key)} AS {identifier(name)}" for key, name in zip(keys, names, strict=True))
        rows = f"(SELECT {columns} FROM read_json({path}, {options}, columns = {{{kinds}}}))"
    # ->> '$' gives a string without its quotes and any other value as the JSON text it was written as.
    texts = {name: f"({identifier(name)} ->> '$')" for name in names}
    if may_hold_nan(source):
        missing = {
            name: f"json_type({column}) = 'DOUBLE' AND {_is_nan(f'CAST({column} AS VARCHAR)')}"
            for name, column in zip(names, map(identifier, names), strict=True)
        }
        counts = _one_row(database, [f"count(*) FILTER (WHERE {is_nan})" for is_nan in missing.values()], rows)
        notes += nan_notes(sum(counts))
        texts = {name: f"CASE WHEN {missing[name]} THEN NULL ELSE {text} END" for name, text in texts.items()}
    selected = ", ".join(f"{_without(file.null_words, text)} AS {identifier(name)}" for name, text in texts.items())
    write_parquet(database, f"SELECT {selected} FROM {rows}", target)
    return Reading(
        format="jsonl" if written == "newline_delimited" else "json",
        names=names,
        types=_json_types(database, rows, names),
        notes=tuple(notes),
    )


def _differ_in_case_alone(keys: list[str]) -> bool:
    """Whether records may have keys such as `Label` and `label`: DuckDB names the second `label_1`, in vain."""
    folded = {key.casefold() for key in keys}
    return any(
        re.fullmatch(r"_[0-9]+", key[len(base) :])
        for key in keys
        if (base := key.rpartition("_")[0]).casefold() in folded
    )


def _keys_as_written(database: duckdb.DuckDBPyConnection, path: str, written: str) -> list[str]:
    """Every key of the records, in the order in which they come first."""
    found = database.execute(
        "SELECT key FROM (SELECT unnest(json_keys(json)) AS key, row_number() OVER () AS position "
        f"FROM {_objects(path, written)}) GROUP BY key ORDER BY min(position)"
    )
    return [str(row[0]) for row in found.fetchall()]


def _rows_by_exact_key(path: str, written: str, keys: list[str], names: Sequence[str]) -> str:
    """Slower than DuckDB's own columns by key, whose names do not differ in case alone."""
    pointers = [literal("/" + key.replace("~", "~0").replace("/", "~1")) for key in keys]  # RFC 6901
    columns = ", ".join(f"json -> {at} AS {identifier(name)}" for at, name in zip(pointers, names, strict=True))
    return f"(SELECT {columns} FROM {_objects(path, written)})"


def _objects(path: str, written: str) -> str:
    return f"read_json_objects({path}, format = '{written}', maximum_object_size = {MAXIMUM_OBJECT})"


_JSON_TYPES = {
    "VARCHAR": "text",
    "BIGINT": "integer",
    "UBIGINT": "integer",
    "HUGEINT": "integer",
    "DOUBLE": "number",
    "BOOLEAN": "boolean",
    "ARRAY": "list",
    "OBJECT": "object",
}


def _json_types(database: duckdb.DuckDBPyConnection, rows: str, names: Sequence[str]) -> tuple[str, ...]:
    kinds = ", ".join(f"list(DISTINCT json_type({identifier(name)}))" for name in names)
    found = database.execute(f"SELECT {kinds} FROM (SELECT * FROM {rows} LIMIT 10000)").fetchone() or ()
    types = []
    for seen in found:
        words = {_JSON_TYPES.get(word, "text") for word in seen or [] if word not in {None, "NULL"}}
        if words == {"integer", "number"}:
            words = {"number"}
        types.append(words.pop() if len(words) == 1 else "text")
    return tuple(types)


def _first_line(error: duckdb.Error) -> str:
    """What DuckDB says, without the path of the copy that it read."""
    line = str(error).splitlines()[0].removeprefix("Invalid Input Error: ").rstrip()
    return re.sub(r" (?:in |at end of )?file [\"'][^\"']*[\"']", "", line)
