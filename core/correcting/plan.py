# ruff: noqa: S608  (names and paths become SQL through identifier() and literal() alone)
"""What corrected files would change, before anything is written: row, text, old class, new class."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.correcting.cells import CellWriter, cell_writer
from core.correcting.marks import Place
from core.data.database import connection, identifier, literal, parquet_rows
from core.data.examples import DataFacts, read_data_facts
from core.data.expressions import classes_sql
from core.data.reading.sources import sha256_of
from core.data.table import Table, open_tables
from core.errors import UserError
from core.runs.label_marks import LabelMark
from core.schema import RunSpec
from core.spec_files import read_spec
from core.workspace import RunFolder


@dataclass(frozen=True)
class Change:
    role: str
    """train, validation or test: whose file it is."""
    row: int
    """0-based, in that file."""
    text: str
    old: tuple[str, ...]
    new: tuple[str, ...] | None
    """None: the row is left out, as its label is ambiguous."""
    cells: Mapping[str, str | None]
    """Label column -> what will stand in it."""

    @property
    def words(self) -> tuple[str, str]:
        """Old and new, for people."""
        return _words(self.old), "left out" if self.new is None else _words(self.new)


@dataclass(frozen=True)
class Plan:
    folder: RunFolder
    spec: RunSpec
    facts: DataFacts
    tables: Mapping[str, Table]
    changes: tuple[Change, ...]
    """By file and row."""
    kept_ambiguous: int
    """Rows marked ambiguous that stay as they are."""
    unusable: int
    """Marks on rows that the run does not use, or with classes that it does not know."""

    @property
    def roles(self) -> tuple[str, ...]:
        """The files that change."""
        return tuple(role for role in self.tables if any(change.role == role for change in self.changes))

    def left_out(self, role: str) -> tuple[int, ...]:
        return tuple(change.row for change in self.changes if change.role == role and change.new is None)

    def pairs(self) -> list[tuple[str, str, int]]:
        """(old, new, rows), the commonest first."""
        counted = Counter(change.words for change in self.changes)
        return [(old, new, rows) for (old, new), rows in counted.most_common()]


def require_labels(folder: RunFolder, facts: DataFacts) -> None:
    """Raises UserError where the run learned from conversations."""
    if facts.kind == "none":
        raise UserError("Conversations have no labels.", folder.id, "Correct their file by hand.")


def plan_corrections(folder: RunFolder, marks: Mapping[Place, LabelMark], *, leave_out_ambiguous: bool = True) -> Plan:
    """What the marks come to. Raises UserError where a file is gone, or is not the one that the run read."""
    spec, facts = read_spec(folder.spec), read_data_facts(folder)
    require_labels(folder, facts)
    tables = open_tables(spec.data, folder.workspace)
    for role in {role for role, _ in marks}:
        if sha256_of(tables[role].file) != facts.files[role]["sha256"]:
            raise UserError(
                f"{tables[role].title} has changed since the run read it, so its rows are not surely the same.",
                str(tables[role].path),
                "Put the file back as it was, or start a run with the new one and mark its labels.",
            )
    writer = cell_writer(tables["train"], spec.mapping, facts.labels, facts.rare)
    changes: list[Change] = []
    kept_ambiguous = usable = 0
    for role, table in tables.items():
        of_file = {row: mark for (file, row), mark in marks.items() if file == role}
        known = _known_rows(folder, facts, role, sorted(of_file))
        cells = _label_cells(table, writer, sorted(known))
        for row, (text, old) in sorted(known.items()):
            mark = of_file[row]
            if mark.verdict == "ambiguous":
                kept_ambiguous += not leave_out_ambiguous
                if leave_out_ambiguous:
                    changes.append(Change(role, row, text, old, None, {}))
            elif set(mark.classes) <= set(facts.labels):
                new = tuple(name for name in facts.labels if name in mark.classes)
                if new != old:
                    found, values = cells[row]
                    changes.append(Change(role, row, text, old, new, writer.corrected(found, new, values)))
            else:
                continue
            usable += 1
    return Plan(folder, spec, facts, tables, tuple(changes), kept_ambiguous, len(marks) - usable)


def _words(classes: Sequence[str]) -> str:
    return "; ".join(classes) or "no class"


def _known_rows(
    folder: RunFolder, facts: DataFacts, role: str, rows: Sequence[int]
) -> dict[int, tuple[str, tuple[str, ...]]]:
    """Row -> text and classes, of those rows that the run uses."""
    if not rows:
        return {}
    with connection(folder.report) as database:
        found = database.execute(
            f"SELECT row, text, label FROM read_parquet({literal(str(folder.examples))}) "
            "WHERE file = ? AND row IN (SELECT unnest(?))",
            [role, list(rows)],
        ).fetchall()
    return {row: (text, classes_of(facts, label)) for row, text, label in found}


def classes_of(facts: DataFacts, label: Any) -> tuple[str, ...]:
    """The classes of a label as examples.parquet holds it; of probabilities the likeliest."""
    if facts.kind == "multi":
        return tuple(name for name in facts.labels if name in label)
    if facts.kind == "soft":
        return (max(zip(label, facts.labels, strict=True), key=lambda pair: pair[0])[1],)
    return (label,)


def _label_cells(
    table: Table, writer: CellWriter, rows: Sequence[int]
) -> dict[int, tuple[dict[str, str | None], list[str]]]:
    """Row -> its label cells, and where a cell holds several values these."""
    if not rows:
        return {}
    mapping = writer.mapping
    listed = mapping.kind == "multi" and not mapping.label_columns
    values = classes_sql(mapping.label, mapping.label_separator) if listed else "[]::VARCHAR[]"
    with connection(table.parquet.parent) as database:
        found = database.execute(
            f"SELECT file_row_number, {values}, {', '.join(map(identifier, writer.columns))} "
            f"FROM {parquet_rows(table.parquet)} WHERE file_row_number IN (SELECT unnest(?))",
            [list(rows)],
        ).fetchall()
    return {row: (dict(zip(writer.columns, cells, strict=True)), several) for row, several, *cells in found}
