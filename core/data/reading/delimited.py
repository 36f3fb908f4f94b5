# ruff: noqa: S608  (names and paths become SQL through identifier() and literal() alone)
"""CSV and its kin: DuckDB reads what is written cleanly, the forgiving reader the rest.

DuckDB is told the dialect and to take nothing that breaks its rules, so it either reads all rows or none. Then every
line is read by Python's csv with recovery, and rows that had to be mended or left out are listed.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from core.data.database import identifier, literal, parquet_rows
from core.data.reading.decimals import find_decimal
from core.data.reading.dialects import MOST_COLUMNS, Trial, find_dialect, single_column
from core.data.reading.encodings import as_utf8
from core.data.reading.layout import MOST_BEFORE, Layout, lay_out
from core.data.reading.line_log import LineLog
from core.data.reading.lines import read_lines, sample_lines
from core.data.reading.progress import Progress, no_progress
from core.data.reading.ragged import ColumnShape, column_shapes, fitted, has_rows
from core.data.reading.records import Comments, Record, read_records
from core.data.reading.result import Dialect, Reading
from core.data.reading.write import text_batches, text_schema, write_batches, write_parquet
from core.errors import UserError
from core.schema import TableFile

LONGEST_LINE = 4 * 2**20
"""Bytes of the longest line that DuckDB reads, here and below; longer ones the forgiving reader does."""
MOST_AFTER = 50
"""Lines that may stand after the table."""
LINE_BREAK_CELLS = 2000
"""Cells with line breaks that are looked at for rows that a stray quote drew together."""
LINE_BREAK_CHARACTERS = 20_000
"""Of each of them."""
FEW_COLUMNS = 20

_LABEL_WORD = re.compile(r"\S*[:_#/=|]\S*|\d+|[A-Z][A-Z0-9]+")


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
    opening = _open(lines, more or cut, file, shown)
    layout, trial = opening.layout, opening.trial
    if not _is_for_duckdb(opening) or not _read_by_duckdb(
        database, decoded.path, opening, lines, more, file, target, progress.part(0.15, 0.9)
    ):
        read = progress.part(0.15, 0.9).of_bytes(decoded.path)
        rows = _rows(decoded.path, shown, opening, file, log, cut, read)
        write_batches(text_schema(layout.names), text_batches(rows, layout.names, frozenset(file.null_words)), target)
    notes = [*decoded.notes, *layout.notes, *_comment_notes(opening.comments), *log.notes()]
    if opening.labels_first:
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


@dataclass(frozen=True)
class _Opening:
    """How a file is to be read, as its first lines tell."""

    trial: Trial
    layout: Layout
    shapes: tuple[ColumnShape, ...]
    labels_first: bool
    comments: Comments
    """Counted anew by whoever reads all of it."""


def _open(lines: list[str], cut: bool, file: TableFile, shown: str) -> _Opening:
    skipped = file.skip_lines or 0
    comment = _comment(lines, file)
    body = _without_leading(lines, comment)
    told = [line for line in lines if not line.startswith(comment)] if comment else lines
    trial = find_dialect(body or lines, cut, file)
    if comment:
        # A line of a quoted cell may begin with the character, too: without it that cell would not end.
        trial = max(trial, find_dialect(told or lines, cut, file), key=lambda trial: trial.score)
    if file.comment is None and comment and _is_of_table(lines[: len(lines) - len(body)], trial):
        comment = ""
        trial = find_dialect(lines, cut, file)
    labels_first = file.delimiter is None and _begin_with_labels(told, of_one_column=trial.width == 1)
    if labels_first:
        trial = single_column(lines, cut, TableFile(path=file.path, quote=""))
    if comment or skipped:
        comments = Comments(comment)
        records = read_records(lines, trial.dialect, trial.width, (), cut, skipped, comments)
        trial = replace(trial, records=list(records))
        if not trial.records:
            raise UserError(
                f"{shown} holds nothing but comments, lines that begin with {comment}.",
                "comment",
                "Choose a file that holds rows, or say that no line is a comment.",
            )
    if labels_first:
        records_at_blank = [_at_first_blank(record) for record in trial.records]
        trial = replace(trial, dialect=Dialect(" ", "", ""), records=records_at_blank, width=2)
    width = max(trial.width, max((len(record.cells) for record in trial.records[:MOST_BEFORE]), default=1))
    if width > MOST_COLUMNS:
        raise UserError(
            f"{shown} seems to have {width:,} columns.", shown, "Set the delimiter and the quote character."
        )
    layout = lay_out(trial.records, trial.width, file, shown)
    shapes = column_shapes([record.cells for record in trial.records[layout.before :]], layout.width)
    return _Opening(trial, layout, shapes, labels_first, Comments(comment))


def _comment(lines: list[str], file: TableFile) -> str:
    """The character that begins comments: the one given, else # where the file begins with it."""
    if file.comment is not None:
        return file.comment
    first = next((line for line in lines if line.strip()), "")
    return "#" if first.startswith("#") else ""


def _without_leading(lines: list[str], comment: str) -> list[str]:
    """The lines behind the comments at the head of a file."""
    if not comment:
        return lines
    return list(itertools.dropwhile(lambda line: line.startswith(comment) or not line.strip(), lines))


def _is_of_table(leading: list[str], trial: Trial) -> bool:
    """Whether the lines at the head that look like comments are rows or names of the table after all (`#id,text`)."""
    if trial.width < 2:
        return True
    return any(len(record.cells) >= trial.width for record in read_records(leading, trial.dialect))


def _comment_notes(comments: Comments) -> list[str]:
    if not comments.count:
        return []
    if comments.count == 1:
        return [f"1 line begins with {comments.character} and was left out as a comment."]
    return [f"{comments.count:,} lines begin with {comments.character} and were left out as comments."]


def _is_for_duckdb(opening: _Opening) -> bool:
    """Whether the first lines are written so cleanly that DuckDB may read the file: it knows no exceptions."""
    layout, dialect = opening.layout, opening.trial.dialect
    rows = opening.trial.records[layout.before :]
    clean = all(len(record.cells) == layout.width and not record.doubtful for record in rows)
    # DuckDB's comments may also begin in the midst of a line.
    usual = not (opening.labels_first or opening.comments.character or dialect.skip_blanks)
    return clean and usual and bool(layout.first_line) and layout.width > 1


def _read_by_duckdb(
    database: duckdb.DuckDBPyConnection,
    source: Path,
    opening: _Opening,
    lines: list[str],
    more: bool,
    file: TableFile,
    target: Path,
    progress: Progress,
) -> bool:
    """Whether DuckDB, held to the dialect, read all of the file into `target`."""
    layout, dialect = opening.layout, opening.trial.dialect
    if _ends_of_lines(lines) != 1:
        return False
    nulls = ", ".join(map(literal, ("", *file.null_words)))
    names = [f"c{number}" for number in range(layout.width)]
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
    selected = ", ".join(
        f"CASE WHEN {name} NOT IN ({nulls}) THEN {name} END AS {identifier(new)}"
        for name, new in zip(names, layout.names, strict=True)
    )
    query = (
        f"SELECT {selected} FROM read_csv({literal(str(source))}, auto_detect = false, header = false, "
        f"skip = {layout.first_line - 1}, delim = {literal(dialect.delimiter)}, quote = {literal(dialect.quote)}, "
        f"escape = {literal(dialect.escape or dialect.quote)}, columns = {{{columns}}}, strict_mode = true, "
        f"null_padding = false, max_line_size = {LONGEST_LINE})"
    )
    try:
        with progress.of_query(database):
            write_parquet(database, query, target)
    except duckdb.Error:
        # Whatever it is that DuckDB objects to, the forgiving reader says what becomes of it.
        return False
    rows = pq.read_metadata(target).num_rows
    expected = len(opening.trial.records) - layout.before
    if rows < expected - 1 or (rows != expected and not more):
        return False
    return not _has_swallowed_rows(database, target, layout, dialect, opening.shapes)


def _ends_of_lines(lines: list[str]) -> int:
    """How many ways lines end."""
    return len({line[len(line.rstrip("\r\n")) :] for line in lines if line.strip("\r\n")} - {""}) or 1


def _has_swallowed_rows(
    database: duckdb.DuckDBPyConnection,
    parquet: Path,
    layout: Layout,
    dialect: Dialect,
    shapes: tuple[ColumnShape, ...],
) -> bool:
    """Whether cells with line breaks hold lines that are whole rows: a stray quote drew them together."""
    if not dialect.quote:
        return False
    columns = [identifier(name) for name in layout.names]
    broken = " UNION ALL ".join(
        f"(SELECT left({name}, {LINE_BREAK_CHARACTERS}) FROM {parquet_rows(parquet)} WHERE contains({name}, chr(10)) "
        f"LIMIT {LINE_BREAK_CELLS})"
        for name in columns
    )
    if layout.width > FEW_COLUMNS:
        # One look at all columns takes longer than one at each, but a query of thousands of parts takes longest.
        shortened = ", ".join(f"left({name}, {LINE_BREAK_CHARACTERS})" for name in columns)
        broken = (
            f"SELECT unnest(list_filter([{shortened}], lambda cell: contains(cell, chr(10)))) "
            f"FROM {parquet_rows(parquet)} LIMIT {LINE_BREAK_CELLS}"
        )
    cells = database.execute(broken).fetchall()
    inner = (cell.splitlines()[1:-1] for (cell,) in cells)
    return any(has_rows(shapes, [record.cells for record in read_records(lines, dialect)]) for lines in inner)


def _rows(
    source: Path, shown: str, opening: _Opening, file: TableFile, log: LineLog, cut: bool, progress: Progress
) -> Iterator[list[str]]:
    """Rows as the forgiving reader finds them, each with the table's number of cells."""
    layout, shapes, dialect = opening.layout, opening.shapes, opening.trial.dialect
    reading = Dialect("", "", "") if opening.labels_first else dialect
    skip = file.skip_lines or 0
    lines = progress.counting(read_lines(source, shown, skip))
    records = read_records(lines, reading, layout.width, shapes, cut, skip, opening.comments)
    table = itertools.islice(records, layout.before, None)
    for found in table if cut else _without_footnotes(table, layout.width, log):
        record = _at_first_blank(found) if opening.labels_first else found
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


def _begin_with_labels(lines: list[str], *, of_one_column: bool) -> bool:
    """Whether lines are `LABEL text`: first words that are few, repeat, and look like labels rather than prose."""
    split = [line.split(maxsplit=1) for line in lines if line.strip()]
    if len(split) < 20 or any(len(words) < 2 for words in split):
        return False
    labels = [words[0] for words in split]
    if all(label.startswith("__label__") for label in labels):
        return True
    if not of_one_column:
        return False
    looks = sum(bool(_LABEL_WORD.fullmatch(label)) for label in labels)
    return len(set(labels)) <= 0.15 * len(labels) and looks > 0.9 * len(labels)


def _at_first_blank(record: Record) -> Record:
    return replace(record, cells=record.cells[0].split(maxsplit=1))
