"""Which rows of the training file a CleaningSpec leaves out: the one place where its steps are carried out.

Every row is looked at, whatever the size of the file, where the checks may look at some. A row is counted for the first
reason that holds: too short, another script, in the validation or test file, labels that contradict each other, copies.
"""

from collections.abc import Mapping
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from core.data.characters import RowTexts, characters, row_texts
from core.data.class_steps import before_rare
from core.data.database import connection
from core.data.labels import (
    CONFLICTING_LABEL,
    COPY,
    IN_OTHER_FILE,
    OTHER_SCRIPT,
    REASONS,
    TOO_SHORT,
    USED,
    RowLabels,
    label_marks,
    without_rows,
)
from core.data.scripts import foreign, letters, main_script
from core.data.similar import Sketches, joined, similar_pairs, sketches
from core.data.table import Table
from core.schema import CleaningSpec, MappingSpec

READ_OF_A_TEXT = 2000
"""Characters of a text that its script is told by."""
STEPS = {
    "shorter_than": TOO_SHORT,
    "other_scripts": OTHER_SCRIPT,
    "leaked_rows": IN_OTHER_FILE,
    "conflicting_labels": CONFLICTING_LABEL,
    "copies": COPY,
}
"""Setting of CleaningSpec -> why its rows are left out, in the order in which they are."""


def cleaned(
    database: duckdb.DuckDBPyConnection,
    tables: Mapping[str, Table],
    texts: Mapping[str, RowTexts],
    labels: RowLabels,
    mapping: MappingSpec,
    cleaning: CleaningSpec,
) -> RowLabels:
    """The labels of train, with the rows marked that are left out. tables and texts: by role, train among them."""
    reasons = np.zeros(len(labels.left_out), dtype=np.int8)
    train = texts["train"]

    def leave_out(rows: npt.NDArray[np.bool_], reason: int) -> None:
        reasons[rows & labels.used & (reasons == USED)] = reason

    if cleaning.shorter_than:
        leave_out(train.lengths < cleaning.shorter_than, TOO_SHORT)
    if cleaning.other_scripts == "drop":
        leave_out(_in_other_script(database, tables["train"], mapping), OTHER_SCRIPT)
    if cleaning.leaked_rows != "keep":
        for role in texts:
            if role != "train":
                leave_out(np.isin(train.alike, texts[role].alike), IN_OTHER_FILE)
                if cleaning.leaked_rows == "drop_similar":
                    leave_out(_similar(database, tables["train"], tables[role], mapping), IN_OTHER_FILE)
    if "drop" in (cleaning.conflicting_labels, cleaning.copies):
        classes = before_rare(labels, mapping)
        marks = label_marks(classes)
        if cleaning.conflicting_labels == "drop":
            leave_out(conflicting(train.alike, marks, classes.used & (reasons == USED)), CONFLICTING_LABEL)
        if cleaning.copies == "drop":
            leave_out(copies(train.alike, marks, classes.used & (reasons == USED)), COPY)
    return without_rows(labels, reasons)


def clean_train(
    tables: Mapping[str, Table], labels: RowLabels, mapping: MappingSpec, cleaning: CleaningSpec
) -> RowLabels:
    """The same from the tables alone; nothing is read where nothing is to be left out."""
    if cleaning == CleaningSpec():
        return labels
    with connection(tables["train"].parquet.parent) as database:
        texts = {role: row_texts(database, table, mapping) for role, table in tables.items()}
        return cleaned(database, tables, texts, labels, mapping, cleaning)


def applied_steps(cleaning: CleaningSpec, rows: Mapping[str, int]) -> list[dict[str, Any]]:
    """What is done, for pages and reports: key (of the setting), words, rows. rows: as left_out_by counts them."""
    words = {
        "shorter_than": f"Texts of fewer than {cleaning.shorter_than:,} characters are left out",
        "other_scripts": "Texts in another script than the rest are left out",
        "leaked_rows": "Texts that stand in the validation or test file too"
        + (", word for word or nearly," if cleaning.leaked_rows == "drop_similar" else "")
        + " are left out of train",
        "conflicting_labels": "Texts that stand with different labels are left out",
        "copies": "Of copies only the first counts",
    }
    usual = CleaningSpec()
    return [
        {"key": f"data.cleaning.{step}", "words": words[step], "rows": rows[step]}
        for step in STEPS
        if getattr(cleaning, step) != getattr(usual, step)
    ]


def left_out_by(labels: RowLabels) -> dict[str, int]:
    """Setting of CleaningSpec -> rows that it leaves out, those that leave out none too."""
    counts = np.bincount(labels.left_out, minlength=len(REASONS))
    return {step: int(counts[reason]) for step, reason in STEPS.items()}


def conflicting(
    texts: npt.NDArray[np.uint64], labels: npt.NDArray[np.uint64], used: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """[rows]: whether the row's text stands with more than one label among the rows that are used."""
    rows = np.flatnonzero(used)
    _, group = np.unique(texts[rows], return_inverse=True)
    lowest, highest = np.full(len(rows), np.iinfo(np.uint64).max, dtype=np.uint64), np.zeros(len(rows), dtype=np.uint64)
    np.minimum.at(lowest, group, labels[rows])
    np.maximum.at(highest, group, labels[rows])
    found = np.zeros(len(texts), dtype=bool)
    found[rows] = (lowest != highest)[group]
    return found


def copies(
    texts: npt.NDArray[np.uint64], labels: npt.NDArray[np.uint64], used: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """[rows]: whether an earlier row that is used has the same text and the same label."""
    rows = np.flatnonzero(used)
    order = np.lexsort((rows, labels[rows], texts[rows]))
    text, label = texts[rows][order], labels[rows][order]
    again = np.zeros(len(rows), dtype=bool)
    again[order[1:]] = (text[1:] == text[:-1]) & (label[1:] == label[:-1])
    found = np.zeros(len(texts), dtype=bool)
    found[rows] = again
    return found


def _in_other_script(database: duckdb.DuckDBPyConnection, table: Table, mapping: MappingSpec) -> npt.NDArray[np.bool_]:
    counts = np.concatenate([letters(batch) for batch in characters(database, table, mapping, READ_OF_A_TEXT)])
    main = main_script(counts)
    return np.zeros(len(counts), dtype=bool) if main is None else foreign(counts, main)


def _similar(
    database: duckdb.DuckDBPyConnection, train: Table, other: Table, mapping: MappingSpec
) -> npt.NDArray[np.bool_]:
    """[rows of train]: whether the text is nearly the same as one of the other file."""
    found = np.zeros(train.rows, dtype=bool)
    against: Sketches = joined(list(sketches(database, other, mapping)))
    for batch in sketches(database, train, mapping):
        pairs = similar_pairs(against, batch)
        found[batch.rows[pairs[:, 1]]] = True
    return found
