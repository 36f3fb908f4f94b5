"""CSV and its kin: DuckDB reads what is written cleanly, the forgiving reader the rest.

DuckDB is told the dialect and to take nothing that breaks its rules, so it either reads all rows or none. Then every
line is read by Python's csv with recovery, and rows that had to be mended or left out are listed.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import duckdb

from core.data.reading.clean import is_clean, read_clean
from core.data.reading.decimals import find_decimal
from core.data.reading.encodings import as_utf8
from core.data.reading.first_labels import any_has_several, at_text
from core.data.reading.line_log import LineLog
from core.data.reading.lines import read_lines, sample_lines
from core.data.reading.opening import Opening, open_lines
from core.data.reading.progress import Progress, no_progress
from core.data.reading.ragged import fitted
from core.data.reading.records import Comments, Record, read_records
from core.data.reading.result import Dialect, Reading
from core.data.reading.wrapped import unwrapped
from core.data.reading.write import text_batches, text_schema, write_batches
from core.errors import UserError
from core.schema import TableFile

MOST_AFTER = 50
"""Lines that may stand after the table."""


def read_delimited(
    database: duckdb.DuckDBPyConnection,
    source: Path,
    shown: str,
    file: TableFile,
    target: Path,
    log: LineLog,
    *,
    cut: bool = False,
    progress: Progress = no_progress,
) -> Reading:
    """Rewrite a file of separated cells as Parquet, every cell as it is written; empty ones become null.

    cut: the file is the start of a longer one. A copy in UTF-8 may be made beside `log`. Raises UserError where the
    file holds no table.
    """
    decoded = as_utf8(source, shown, file.encoding, log.path.parent, progress.part(0.0, 0.15))
    lines, more = sample_lines(decoded.path, shown, file.skip_lines or 0)
    if not "".join(lines).strip():
        raise UserError(f"{shown} holds nothing but blank lines.", shown, "Choose a file that holds rows.")
    opening = open_lines(lines, more or cut, file, shown)
    layout, trial = opening.layout, opening.trial
    in_lists = opening.labels_first and any_has_several(read_lines(decoded.path, shown, opening.before))
    if not is_clean(opening) or not read_clean(
        database, decoded.path, opening, lines, more, file, target, progress.part(0.15, 0.9)
    ):
        read = progress.part(0.15, 0.9).of_bytes(decoded.path)
        rows = _rows(decoded.path, shown, opening, file, log, cut, in_lists, read)
        write_batches(text_schema(layout.names), text_batches(rows, layout.names, frozenset(file.null_words)), target)
    notes = [*decoded.notes, *opening.notes, *layout.notes, *_comment_notes(opening.comments), *log.notes()]
    if in_lists:
        notes.append("Lines begin with label words, some with several: a list of them is the first column.")
    elif opening.labels_first:
        notes.append("Each line begins with a label word: it is the first column, the rest of the line the second.")
    return Reading(
        format="csv",
        names=layout.names,
        types=("",) * layout.width,
        encoding=decoded.encoding,
        dialect=trial.dialect,
        header=layout.header,
        skipped=layout.skipped,
        comment=opening.comments.character,
        decimal=file.decimal or find_decimal([record.cells for record in trial.records[layout.before :]]),
        rejected=log.rejected,
        rejected_lines=tuple(log.rejected_lines),
        repaired=log.repaired,
        repaired_lines=tuple(log.repaired_lines),
        notes=tuple(notes),
    )


def _comment_notes(comments: Comments) -> list[str]:
    notes = []
    if comments.marks:
        places = "1 place" if comments.marks == 1 else f"{comments.marks:,} places"
        notes.append(f"A byte order mark, with which a file begins, stands within this one at {places}: left out.")
    if comments.count == 1:
        notes.append(f"1 line begins with {comments.character} and was left out as a comment.")
    elif comments.count:
        notes.append(f"{comments.count:,} lines begin with {comments.character} and were left out as comments.")
    return notes


def _rows(
    source: Path,
    shown: str,
    opening: Opening,
    file: TableFile,
    log: LineLog,
    cut: bool,
    in_lists: bool,
    progress: Progress,
) -> Iterator[list[str]]:
    """Rows as the forgiving reader finds them, each with the table's number of cells."""
    layout, shapes, dialect = opening.layout, opening.shapes, opening.trial.dialect
    reading = Dialect("", "", "") if opening.labels_first else dialect
    lines = progress.counting(read_lines(source, shown, opening.before))
    if opening.wrapped:
        lines = unwrapped(lines)
    records = read_records(lines, reading, layout.width, shapes, cut, opening.before, opening.comments)
    table = itertools.islice(records, layout.before, None)
    for found in table if cut else _without_footnotes(table, layout.width, log):
        record = at_text(found, in_lists=in_lists) if opening.labels_first else found
        if layout.is_names(record.cells):
            log.reject(record.line, "repeats the names of the columns", dialect.delimiter.join(record.cells))
            continue
        cells, done = fitted(record.cells, shapes, dialect.delimiter)
        if not done and record.delimiter:
            done = f"is divided by {record.delimiter!r}"
        if not done and record.doubtful:
            done = "a quote in it does not match"
        if done and (not cells or file.ragged_rows == "reject"):
            # What would have been done to mend it is no reason.
            log.reject(record.line, done.partition(":")[0], dialect.delimiter.join(record.cells))
            continue
        if done:
            log.repair(record.line, done, dialect.delimiter.join(record.cells))
        yield cells


def _without_footnotes(records: Iterator[Record], width: int, log: LineLog) -> Iterator[Record]:
    """All records but lines of one cell behind the last row of a table that has more: they are none of its rows."""
    lone: list[Record] = []
    for record in records:
        if len(record.cells) == 1 and width > 2 and len(lone) < MOST_AFTER:
            lone.append(record)
            continue
        yield from lone
        lone = []
        yield record
    if len(lone) == MOST_AFTER:
        yield from lone
        return
    for record in lone:
        log.reject(record.line, "stands after the table", record.cells[0])
