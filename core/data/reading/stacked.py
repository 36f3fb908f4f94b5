"""Several files as one table: their rows one after the other, where they have the same columns."""

# ruff: noqa: S608  (names and paths become SQL through identifier() and literal() alone)
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import duckdb

from core.data.database import identifier, literal
from core.data.reading.result import KEPT_REJECTED_LINES, Reading, RejectedLine
from core.data.reading.write import write_parquet
from core.errors import UserError

NAMED = 5
"""Columns, and notes of files, that are told."""


@dataclass(frozen=True)
class Piece:
    """One file of several, read."""

    name: str
    """Shown and, where it is asked for, in the column that names the file."""
    parquet: Path
    reading: Reading


def stack(
    database: duckdb.DuckDBPyConnection, pieces: Sequence[Piece], source_column: str | None, target: Path
) -> Reading:
    """Write the rows of all pieces in their order, with the columns in the first one's. Raises UserError where they
    differ."""
    first = pieces[0].reading
    for piece in pieces[1:]:
        _require_alike(pieces[0], piece)
    named = _named(pieces)
    if source_column and source_column.casefold() in {name.casefold() for name in first.names}:
        raise UserError(f"There is a column '{source_column}' already.", "source_column", "Name it otherwise.")
    selects = []
    for piece, name in zip(pieces, named, strict=True):
        columns = [identifier(column) for column in first.names]
        if source_column:
            columns.append(f"{literal(name)} AS {identifier(source_column)}")
        selects.append(f"SELECT {', '.join(columns)} FROM read_parquet({literal(str(piece.parquet))})")
    write_parquet(database, " UNION ALL ".join(selects), target)
    types = [_type(place, name, pieces) for place, name in enumerate(first.names)]
    return replace(
        first,
        names=(*first.names, source_column) if source_column else first.names,
        types=(*types, "text") if source_column else tuple(types),
        rejected=sum(piece.reading.rejected for piece in pieces),
        rejected_lines=_lines(pieces, named, repaired=False),
        repaired=sum(piece.reading.repaired for piece in pieces),
        repaired_lines=_lines(pieces, named, repaired=True),
        notes=tuple(_notes(pieces, named)),
    )


def _require_alike(first: Piece, other: Piece) -> None:
    one, two = set(first.reading.names), set(other.reading.names)
    if one == two:
        return
    told = [
        f"only {name} has {_listed(found)}"
        for name, found in ((first.name, sorted(one - two)), (other.name, sorted(two - one)))
        if found
    ]
    todo = "Give the columns the same names in each file, or use the files one at a time."
    if len(one) == len(two):
        todo += " Where one has no row of names, give the column names: they are then those of every file."
    raise UserError(
        f"The columns of {first.name} and {other.name} are not the same: {' and '.join(told)}.", other.name, todo
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:NAMED])
    return shown + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _named(pieces: Sequence[Piece]) -> list[str]:
    """The files' names; with numbers where two are called alike."""
    names = [piece.name for piece in pieces]
    return [name if names.count(name) == 1 else f"{name} ({place})" for place, name in enumerate(names, start=1)]


def _type(place: int, name: str, pieces: Sequence[Piece]) -> str:
    """What all files state of a column; '' where they do not agree, so that it is judged from the cells."""
    stated = {piece.reading.types[piece.reading.names.index(name)] for piece in pieces}
    return pieces[0].reading.types[place] if len(stated) == 1 else ""


def _lines(pieces: Sequence[Piece], named: Sequence[str], *, repaired: bool) -> tuple[RejectedLine, ...]:
    found = (
        replace(line, reason=f"{name}: {line.reason}")
        for piece, name in zip(pieces, named, strict=True)
        for line in (piece.reading.repaired_lines if repaired else piece.reading.rejected_lines)
    )
    return tuple(line for line, _ in zip(found, range(KEPT_REJECTED_LINES), strict=False))


def _notes(pieces: Sequence[Piece], named: Sequence[str]) -> list[str]:
    """That they were put together, and what is to be said of each; what is said of all once."""
    shown = ", ".join(named[:NAMED]) + (f" and {len(named) - NAMED} more" if len(named) > NAMED else "")
    of_all = [note for note in pieces[0].reading.notes if all(note in piece.reading.notes for piece in pieces)]
    each = [
        f"{name}: {note}"
        for piece, name in zip(pieces, named, strict=True)
        for note in piece.reading.notes
        if note not in of_all
    ]
    more = [f"And {len(each) - 2 * NAMED} more remarks on single files."] if len(each) > 2 * NAMED else []
    return list(chain([f"{len(pieces)} files, one after the other: {shown}."], of_all, each[: 2 * NAMED], more))
