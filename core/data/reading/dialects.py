"""Which characters separate and quote the cells: the dialect whose records come out most alike.

Every likely dialect reads the first lines through the forgiving reader; the score of each is the share of records with
the commonest number of cells, less what is doubtful, still wrapped in quotes, or holds another dialect's delimiter
(after the consistency measure of van den Burg, Nazábal and Sutton, "Wrangling messy CSV files", 2019).
"""

import re
from collections import Counter
from dataclasses import dataclass, replace
from itertools import islice

from core.data.reading.cells import kind
from core.data.reading.records import Record, inner_quotes, read_records
from core.data.reading.result import Dialect
from core.schema import TableFile

DELIMITERS = {
    ",": 1.0, ";": 1.0, "\t": 1.0, "|": 1.0,
    "~": 0.9, "^": 0.9, "\x01": 0.9, "\x1f": 0.9, "\x1e": 0.9, "¦": 0.9, "§": 0.9, "¬": 0.9,
    " ": 0.6, ":": 0.35, "#": 0.4, "*": 0.4, "&": 0.4, "!": 0.4, "@": 0.4, "$": 0.4, "%": 0.4, "/": 0.3,
}  # fmt: skip
"""Delimiters and how willingly each is taken for one; one under 0.9 has to divide nine lines in ten alike."""
QUOTES = "\"'`|~^$%#*@&!/"
MOST_COLUMNS = 4096
VALUE_RECORDS = 300
"""Records whose cells are looked at one by one."""
LEAST_VALUES = 0.4
"""Share of cells other than words where blanks divide cells and none is quoted; with fewer the lines are sentences."""
LEAST_DIVIDED = 0.9
"""Share of records that a blank must divide as it would a table's; the others are damaged."""
ALL_VALUES = 0.95
"""Share of cells other than words from which on a blank divides cells, whatever else does (`1,5 2,5` is two)."""
FIRST_RECORDS = 200
"""So many tell that a delimiter is none that its records are all alike by."""
LEAST_SCORE = 0.2
"""Below this the lines are taken to be one column."""

_TIGHT = re.compile(r"[^\s\d][,;|][^\s\d]|\d[;|]|[;|]\d|\t")
"""Another delimiter between two cells, unlike one within prose (with a blank) or a number."""


@dataclass(frozen=True)
class Trial:
    dialect: Dialect
    records: list[Record]
    width: int
    """The commonest number of cells."""
    score: float


def find_dialect(lines: list[str], cut: bool, file: TableFile) -> Trial:
    """The dialect of a file's first lines; what `file` states is not questioned."""
    if file.delimiter == "":
        return single_column(lines, cut, file)
    text = "".join(lines)
    trials = [
        _trial(lines, cut, dialect, DELIMITERS.get(dialect.delimiter[:1], 0.3))
        for dialect in _candidates(lines, text, file)
    ]
    best = max(_explained(trials), key=lambda trial: trial.score, default=None)
    if best is None or (best.score < LEAST_SCORE and file.delimiter is None):
        return single_column(lines, cut, file)
    # Read again now that the width is known: recovery from stray quotes goes by it.
    return replace(best, records=list(read_records(lines, best.dialect, best.width, cut=cut)))


def _explained(trials: list[Trial]) -> list[Trial]:
    """All trials, but none by blanks where another delimiter divides every record alike: prose has blanks as well."""
    others = [trial for trial in trials if DELIMITERS.get(trial.dialect.delimiter[:1], 0) >= 0.9]
    if not any(trial.score >= LEAST_SCORE and _is_even(trial) for trial in others):
        return trials
    return [
        trial for trial in trials
        if trial.dialect.delimiter != " " or trial.score == 0 or _share_of_values(trial) >= ALL_VALUES
    ]  # fmt: skip


def _is_even(trial: Trial) -> bool:
    """Whether every record has as many cells, and its quotes are no part of them."""
    return all(
        len(record.cells) == trial.width
        and not record.guessed
        and (trial.dialect.quote == '"' or not any(cell.strip().startswith('"') for cell in record.cells))
        for record in trial.records
    )


def _share_of_values(trial: Trial) -> float:
    """The share of cells other than words; the first record may be names."""
    cells = [cell for record in trial.records[1 : VALUE_RECORDS + 1] or trial.records for cell in record.cells]
    return sum(_is_value(cell) for cell in cells) / max(len(cells), 1)


def single_column(lines: list[str], cut: bool, file: TableFile) -> Trial:
    """One column: quoted where every record then is one cell, else the lines as they are."""
    quoted = Dialect(",", file.quote if file.quote is not None else '"', file.escape or "")
    if quoted.quote and file.delimiter is None and _starts(lines, ",", quoted.quote):
        records = list(read_records(lines, quoted, cut=cut))
        if all(len(record.cells) == 1 and not record.doubtful for record in records):
            return Trial(quoted, records, 1, 0.0)
    plain = Dialect("", "", "")
    return Trial(plain, list(read_records(lines, plain, cut=cut)), 1, 0.0)


def _candidates(lines: list[str], text: str, file: TableFile) -> list[Dialect]:
    dialects = []
    for delimiter in [file.delimiter] if file.delimiter else _delimiters(lines, text):
        blanks = _blanks_follow(text, delimiter)
        for quote in [file.quote] if file.quote is not None else _quotes(lines, text, delimiter):
            for escape in [file.escape] if file.escape is not None else _escapes(text, quote):
                # A quote that escapes itself is one that is doubled.
                dialects.append(Dialect(delimiter, quote, "" if escape == quote else escape, blanks))
    return dialects


def _delimiters(lines: list[str], text: str) -> list[str]:
    """Characters, and pairs of them, that occur about once a line or more."""
    least = 0.5 * min(len(lines), 20)
    pairs = [delimiter * 2 for delimiter in DELIMITERS if delimiter not in " \t,#"]
    pairs += [f"{delimiter}\t" for delimiter in ",;|"]
    return [delimiter for delimiter in (*DELIMITERS, *pairs) if text.count(delimiter) >= least]


def _blanks_follow(text: str, delimiter: str) -> bool:
    """Whether nearly every delimiter has a blank after it, as in `a, "b, c", d`."""
    if delimiter.isspace():
        return False
    count = text.count(delimiter)
    # A quote after the blank shows that the blank is no part of the cell; without one it does no harm there.
    followed = text.count(f"{delimiter} ")
    return followed > 0.9 * count and (f'{delimiter} "' in text or followed == count)


def _quotes(lines: list[str], text: str, delimiter: str) -> list[str]:
    """The double quote, others that wrap many cells, and none where the double quote may be a plain character."""
    found = ['"']
    for quote in QUOTES[1:]:
        if quote in delimiter or quote not in text:
            continue
        starts = _starts(lines, delimiter, quote)
        least = 0.05 if quote == "'" else 0.5
        if starts >= max(2, least * len(lines)) and _ends(lines, delimiter, quote) >= 0.7 * starts:
            found.append(quote)
    return [*found, ""] if '"' in text else found


def _starts(lines: list[str], delimiter: str, quote: str) -> int:
    """Quotes that begin a cell."""
    pattern = re.compile(rf"(?:^|{re.escape(delimiter)} ?){re.escape(quote)}")
    return sum(len(pattern.findall(line)) for line in lines)


def _ends(lines: list[str], delimiter: str, quote: str) -> int:
    """Quotes that end a cell."""
    pattern = re.compile(rf"{re.escape(quote)}(?:\s*$|{re.escape(delimiter)})")
    return sum(len(pattern.findall(line)) for line in lines)


def _escapes(text: str, quote: str) -> list[str]:
    return ["", "\\"] if quote and f"\\{quote}" in text else [""]


def _trial(lines: list[str], cut: bool, dialect: Dialect, liking: float) -> Trial:
    reading = read_records(lines, dialect, cut=cut)
    records = list(islice(reading, FIRST_RECORDS))
    width, alike = _commonest_width(records)
    if liking < 0.9 and alike < 0.5 * len(records):
        # All are not going to be alike either.
        return Trial(dialect, records, width, 0.0)
    records += reading
    counts = Counter(len(record.cells) for record in records)
    width, _ = _commonest_width(records)
    total = len(records)
    if width == 1 or width > MOST_COLUMNS or (liking < 0.9 and counts[width] < 0.9 * total):
        return Trial(dialect, records, width, 0.0)
    doubtful = sum(record.doubtful for record in records) / total
    guessed = sum(record.guessed for record in records) / total
    alone = counts[1] / total
    cells = [cell for record in records[:VALUE_RECORDS] if len(record.cells) == width for cell in record.cells]
    if dialect.delimiter == " " and not _is_divided_by_blanks(records, width, cells):
        return Trial(dialect, records, width, 0.0)
    wrapped = sum(_has_quotes(cell, dialect.quote) for cell in cells) / max(len(cells), 1)
    tight = sum(_is_tight(cell) for cell in cells) / max(len(cells), 1)
    score = liking * counts[width] / total * (width - 1) / width
    score *= (1 - alone) ** 2 * (1 - guessed) * (1 - 0.2 * doubtful) * (1 - 0.7 * wrapped) * (1 - 0.3 * tight)
    score *= 1 - 0.3 * _plain_quotes(lines, dialect)
    # Half of a delimiter of two characters leaves every other column empty.
    filled = {column for column in range(width) if any(cells[column::width])}
    score *= 0.5 + 0.5 * len(filled) / width
    return Trial(dialect, records, width, score)


def _commonest_width(records: list[Record]) -> tuple[int, int]:
    """The commonest number of cells that divides records, wider ones preferred, and the records that have it; or 1."""
    counts = Counter(len(record.cells) for record in records)
    width = max(
        (width for width in counts if width > 1), key=lambda width: counts[width] * (width - 1) / width, default=1
    )
    return width, counts[width]


def _is_divided_by_blanks(records: list[Record], width: int, cells: list[str]) -> bool:
    """Whether blanks divide a table's cells and not the words of sentences, which may happen to be equally many.

    Either the cells that hold blanks were quoted, or most cells are numbers, dates and the like. `item 7` in every line
    is no such table: two values a record are the least that prose does not have by chance.
    """
    if len(records[0].cells) == 1 or sum(record.doubtful for record in records) > (1 - LEAST_DIVIDED) * len(records):
        return False
    whole = [record.cells for record in records if len(record.cells) == width]
    quoted = sum(any(" " in cell.strip() for cell in row) for row in whole)
    if quoted >= LEAST_DIVIDED * (len(records) - 1) and quoted:
        return True
    body = whole[1:] or whole
    plain = sum(sum(map(_is_value, row)) >= 2 for row in body)
    return plain >= LEAST_DIVIDED * len(body) and sum(map(_is_value, cells)) >= LEAST_VALUES * len(cells)


def _is_value(cell: str) -> bool:
    """Whether a cell is a number, a date or the like, or was quoted because it holds a blank."""
    return kind(cell) not in {"", "text"} or " " in cell.strip()


def _plain_quotes(lines: list[str], dialect: Dialect) -> float:
    """How much the quotes look like characters of the text, 0 to 1: few begin a cell, many stand within one.

    A program that quotes cells would have quoted and doubled those.
    """
    if not dialect.quote or dialect.escape:
        return 0.0
    starts = _starts(lines, dialect.delimiter, dialect.quote)
    edges = starts + _ends(lines, dialect.delimiter, dialect.quote)
    pattern = inner_quotes(dialect.delimiter, dialect.quote)
    inner = sum(len(match) % 2 for line in lines for match in pattern.findall(line))
    if inner <= 0.3 * (edges + inner):
        return 0.0
    return inner / (edges + inner) * max(0.0, 1 - starts / (0.2 * len(lines)))


def _has_quotes(cell: str, quote: str) -> bool:
    """Whether a cell is still wrapped in quotes, or has the half of a pair at one end (another cell has the other)."""
    stripped = cell.strip()
    if len(stripped) < 2:
        return False
    if quote != '"' and (stripped[0] == '"') + (stripped[-1] == '"') > 0:
        return True
    return stripped[0] == stripped[-1] == "'"


def _is_tight(cell: str) -> bool:
    return kind(cell) == "text" and any(match.group().strip() for match in _TIGHT.finditer(cell[:200]))
