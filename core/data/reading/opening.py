"""How a file of separated cells is to be read, as its first lines tell."""

import itertools
import re
from dataclasses import dataclass, replace

from core.data.reading.dialects import MOST_COLUMNS, Trial, find_dialect, single_column
from core.data.reading.first_labels import at_text, begin_with_labels
from core.data.reading.layout import MOST_BEFORE, Layout, lay_out
from core.data.reading.ragged import ColumnShape, column_shapes
from core.data.reading.records import Comments, read_records
from core.data.reading.result import Dialect
from core.data.reading.wrapped import are_wrapped, unwrapped
from core.errors import UserError
from core.schema import TableFile

_SEPARATOR = re.compile(r"\"?sep=([^\w\s\"]|[\t ])\"?\1*[\r\n]*", re.IGNORECASE)


@dataclass(frozen=True)
class Opening:
    """What the first lines tell."""

    trial: Trial
    layout: Layout
    shapes: tuple[ColumnShape, ...]
    labels_first: bool
    wrapped: bool
    """Lines are wrapped in quotes as a whole."""
    comments: Comments
    """Counted anew by whoever reads all of it."""
    before: int
    """Lines that are skipped unread."""
    notes: tuple[str, ...]


def open_lines(lines: list[str], cut: bool, file: TableFile, shown: str) -> Opening:
    skipped = file.skip_lines or 0
    notes = []
    separator = _separator(lines) if file.skip_lines is None else ""
    if separator:
        notes.append(f"The first line ({lines[0].strip()}) says what divides the cells and was left out.")
        skipped, lines = 1, lines[1:]
        if file.delimiter is None:
            file = file.model_copy(update={"delimiter": separator})
    wrapped = (
        file.quote in {None, '"'}
        and file.delimiter != ""
        and are_wrapped(_without_leading(lines, _comment(lines, file)), file.delimiter)
    )
    if wrapped:
        lines = list(unwrapped(lines))
        notes.append("Lines are wrapped in quotes as a whole: what stands within the quotes was read as the row.")
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
    labels_first = file.delimiter is None and begin_with_labels(told, of_one_column=trial.width == 1)
    if labels_first:
        trial = single_column(lines, cut, TableFile(path=file.path, quote=""))
    if comment or skipped:
        comments = Comments(comment, guessed=file.comment is None)
        records = read_records(lines, trial.dialect, trial.width, (), cut, skipped, comments)
        trial = replace(trial, records=list(records))
        if not trial.records:
            raise UserError(
                f"{shown} holds nothing but comments, lines that begin with {comment}.",
                "comment",
                "Choose a file that holds rows, or say that no line is a comment.",
            )
    if labels_first:
        records_at_blank = [at_text(record, in_lists=False) for record in trial.records]
        trial = replace(trial, dialect=Dialect(" ", "", ""), records=records_at_blank, width=2)
    width = max(trial.width, max((len(record.cells) for record in trial.records[:MOST_BEFORE]), default=1))
    if width > MOST_COLUMNS:
        raise UserError(
            f"{shown} seems to have {width:,} columns.", shown, "Set the delimiter and the quote character."
        )
    layout = lay_out(trial.records, trial.width, file, shown)
    rows = [record.cells for record in trial.records[layout.before :] if not layout.is_names(record.cells)]
    shapes = column_shapes(rows, layout.width)
    comments = Comments(comment, guessed=file.comment is None)
    return Opening(trial, layout, shapes, labels_first, wrapped, comments, skipped, tuple(notes))


def _separator(lines: list[str]) -> str:
    """What Excel's own first line says that divides the cells; '' where there is no such line."""
    found = _SEPARATOR.fullmatch(lines[0])
    return found[1] if found and "".join(lines[1:]).strip() else ""


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
