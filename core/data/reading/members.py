"""From a path to one table: out of an archive or a folder where it lies in one, then by the reader of its format."""

from dataclasses import replace
from pathlib import Path
from shutil import rmtree

import duckdb

from core.data.reading.archives import extract, is_archive, limit_of, require_small, too_large, workbook_inside
from core.data.reading.backslashes import with_slashes
from core.data.reading.class_folders import read_class_folders
from core.data.reading.contents import Member, apart, chosen_member, entries_of, find_members, members_note
from core.data.reading.delimited import read_delimited
from core.data.reading.line_log import LineLog
from core.data.reading.progress import Progress
from core.data.reading.result import Reading
from core.data.reading.sources import JSON_ENDINGS, format_of, unpacked
from core.data.reading.stacked import Piece, stack
from core.data.reading.structured import read_json, read_parquet
from core.data.reading.workbook import is_old_workbook, read_workbook
from core.errors import UserError
from core.schema import TableFile


def is_plain(path: Path) -> bool:
    """Whether it is one file of one table, not a folder, an archive or a workbook."""
    return not (path.is_dir() or is_archive(path) or is_old_workbook(path))


def read_file(
    database: duckdb.DuckDBPyConnection, path: Path, file: TableFile, target: Path, log: LineLog, progress: Progress
) -> Reading:
    """Rewrite the table that `file` names as texts; beside `log` is room for what comes up. Raises UserError."""
    folder = log.path.parent
    if path.is_dir():
        return _read_member(database, path, path, file, target, log, progress)
    source, _ = unpacked(path, folder)
    if is_archive(source) and not workbook_inside(source, path.name):
        return _read_member(database, source, path, file, target, log, progress)
    reading = _read_plain(database, source, path, file, target, log, progress)
    if file.member is not None and file.member != reading.member:
        raise UserError(
            f"{path.name} holds no table '{file.member}'.", "member", "Leave it out: it holds one table only."
        )
    return reading


def _read_member(
    database: duckdb.DuckDBPyConnection,
    source: Path,
    path: Path,
    file: TableFile,
    target: Path,
    log: LineLog,
    progress: Progress,
) -> Reading:
    """path: what a person gave, for messages; source: the same, or what was unpacked of it."""
    source = with_slashes(source, log.path.parent)
    members = find_members(entries_of(source))
    if file.member is not None and file.member not in {member.name for member in members}:
        members = apart(members)
    shown = f"{path} is a folder and" if path.is_dir() else path.name
    member = chosen_member(members, file.member, shown)
    plain = file.model_copy(update={"member": None})
    notes: tuple[str, ...] = ()
    if member.is_texts:
        reading = read_class_folders(source, member, file, target)
    else:
        try:
            reading = _read_pieces(database, source, member, plain, target, log, progress)
        except UserError as error:
            if len(member.files) == 1:
                raise
            alike = f"{len(member.files)} files that are called alike were not put together ({member.name})"
            notes = (f"{alike}: {error.what} Only one of them was read; choose another, or give all the same columns.",)
            members, member = apart(members), max(apart([member]), key=lambda one: one.bytes)
            reading = _read_pieces(database, source, member, plain, target, log, progress)
    if len(members) == 1:
        return reading
    names = tuple(member.name for member in members)
    notes = (members_note(names, member.name), *notes, *reading.notes)
    return replace(reading, notes=notes, member=member.name, members=names)


def _read_pieces(
    database: duckdb.DuckDBPyConnection,
    source: Path,
    member: Member,
    file: TableFile,
    target: Path,
    log: LineLog,
    progress: Progress,
) -> Reading:
    """A table in one file or in several, one after the other. Raises UserError where those are not alike."""
    if len(member.files) == 1:
        table = _table(source, member.name, log.path.parent)
        return _read_plain(database, *table, file, target, log, progress)
    pieces: list[Piece] = []
    unpacked_bytes = 0
    for place, entry in enumerate(member.files):
        folder = log.path.with_name(f"piece-{place}")
        folder.mkdir()
        inside, shown = _table(source, entry.name, folder)
        unpacked_bytes += inside.stat().st_size
        if source.is_file() and unpacked_bytes > limit_of(source):
            raise too_large(source.name, limit_of(source))
        piece = folder.with_suffix(".parquet")
        piece_log = LineLog(folder / "lines.csv")
        part = progress.part(place / len(member.files), (place + 1) / len(member.files))
        reading = _read_plain(database, inside, shown, file, piece, piece_log, part)
        piece_log.close()
        pieces.append(Piece(shown.name, piece, reading))
        # All that was unpacked may fill the disk.
        rmtree(folder)
        if set(reading.names) != set(pieces[0].reading.names):
            break  # stack() says how they differ; the others need not be read for that.
    return stack(database, pieces, file.source_column, target)


def _table(source: Path, name: str, folder: Path) -> tuple[Path, Path]:
    """The file of a table inside, and the name to show: of an archive a copy under a name of our own."""
    shown = Path(Path(name).name)
    if source.is_dir():
        inside = source / name
    else:
        inside = folder / "member"
        extract(source, name, inside, source.name)
    if inside.stat().st_size == 0:
        raise UserError(f"{shown} is empty (0 bytes).", str(shown), "Choose a file that holds rows.")
    return unpacked(inside, folder)[0], shown


def _read_plain(
    database: duckdb.DuckDBPyConnection,
    source: Path,
    shown: Path,
    file: TableFile,
    target: Path,
    log: LineLog,
    progress: Progress,
) -> Reading:
    """One table of one file, and what was done to its cells. shown: its name."""
    reading = _read_format(database, source, shown, file, target, log, progress)
    if not file.null_words:
        return reading
    words = " or ".join(map(repr, file.null_words[:5]))
    return replace(reading, notes=(*reading.notes, f"Cells that hold {words} are taken as empty."))


def _read_format(
    database: duckdb.DuckDBPyConnection,
    source: Path,
    shown: Path,
    file: TableFile,
    target: Path,
    log: LineLog,
    progress: Progress,
) -> Reading:
    """One file of one format."""
    folder = log.path.parent
    if is_archive(source):
        if not workbook_inside(source, shown.name):
            raise UserError(f"{shown.name} is an archive in an archive.", shown.name, "Unpack it first.")
        require_small(source, shown.name)
        return read_workbook(source, shown.name, file, target, folder)
    if is_old_workbook(source):
        return read_workbook(source, shown.name, file, target, folder)
    kind = format_of(source, shown)
    if kind == "parquet":
        return read_parquet(database, source, shown.name, file, target)
    if kind == "json":
        reading = read_json(database, source, shown.name, file, target, log)
        if JSON_ENDINGS.isdisjoint(map(str.lower, shown.suffixes)):
            reading = replace(reading, notes=(f"{shown.name} holds JSON, and is read as that.", *reading.notes))
        return reading
    return read_delimited(database, source, shown.name, file, target, log, progress=progress)
