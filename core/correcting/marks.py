"""What people say of labels: "it is wrong, it is C", or "ambiguous". Kept in the store by the file's content and the
row's number, so that it belongs to the data and shows in every run on the same file.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence

from core.data.examples import DataFacts, read_data_facts
from core.errors import UserError
from core.runs.label_marks import LabelMark, add_mark, marks_on, undo_mark
from core.runs.store import Store
from core.schema import RunSpec, TableFile
from core.spec_files import read_spec
from core.workspace import RunFolder

ROW_OPTIONS = (
    "member", "sheet", "encoding", "delimiter", "quote", "escape", "header", "skip_lines", "comment", "ragged_rows",
)  # fmt: skip
"""Reading options that decide which rows a file has."""

Place = tuple[str, int]
"""train, validation or test, whose file it is, and the row in it."""


def data_key(file: TableFile, sha256: str) -> str:
    """Which rows these are: the file's content, and how it is read where a person has said how."""
    said = file.model_dump(mode="json", include=set(ROW_OPTIONS), exclude_defaults=True)
    if not said:
        return sha256
    return f"{sha256}-{hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]}"


def data_keys(folder: RunFolder) -> dict[str, str]:
    """Role -> key of each file of a run. Raises UserError where the run has no split yet, or no data at all."""
    return _keys(read_spec(folder.spec), read_data_facts(folder))


def _keys(spec: RunSpec, facts: DataFacts) -> dict[str, str]:
    if not facts.files:
        raise UserError(
            "This run was opened from a model, so it has no rows whose labels could be corrected.",
            "run",
            "Take the run that trained it.",
        )
    files = {"train": spec.data.train, "validation": spec.data.validation, "test": spec.data.test}
    return {role: data_key(file, facts.files[role]["sha256"]) for role, file in files.items() if file is not None}


def run_marks(store: Store, folder: RunFolder) -> dict[Place, LabelMark]:
    """Every mark on the files of a run, by file and row, in the order they were made."""
    keys = data_keys(folder)
    roles: Mapping[str, list[str]] = {key: [role for role in keys if keys[role] == key] for key in keys.values()}
    return {(role, mark.row): mark for mark in marks_on(store, set(keys.values())) for role in roles[mark.data]}


def mark_wrong(store: Store, folder: RunFolder, place: Place, classes: Sequence[str]) -> None:
    """The label of this row is wrong, it is `classes`. Raises UserError for classes that the run does not know."""
    facts = read_data_facts(folder)
    check_classes(facts, classes)
    role, row = place
    add_mark(store, LabelMark(data_keys(folder)[role], row, "wrong", tuple(classes), folder.id))


def check_classes(facts: DataFacts, classes: Sequence[str]) -> None:
    """Raises UserError for a class that the run does not know, and for too many or too few."""
    for name in classes:
        check_class(facts, name)
    if facts.kind != "multi" and len(classes) != 1:
        raise UserError("A row has exactly one class here.", "label", "Choose the class that is right.")


def check_class(facts: DataFacts, name: str) -> None:
    """Raises UserError for a class that the run does not know."""
    if name not in facts.labels:
        raise UserError(f"'{name}' is no class of this run.", "label", f"Choose one of {', '.join(facts.labels[:20])}.")


def mark_ambiguous(store: Store, folder: RunFolder, place: Place) -> None:
    role, row = place
    add_mark(store, LabelMark(data_keys(folder)[role], row, "ambiguous", (), folder.id))


def take_back(store: Store, folder: RunFolder, place: Place) -> None:
    """The row's label is taken at its word again."""
    role, row = place
    add_mark(store, LabelMark(data_keys(folder)[role], row, "right", (), folder.id))


def undo_last(store: Store, folder: RunFolder) -> LabelMark | None:
    """Undo the newest mark on any file of the run; None where there is none."""
    return undo_mark(store, set(data_keys(folder).values()))
