"""Rows of a run's report/predictions.parquet that pass a filter, a page at a time, whatever the file's size.

DuckDB reads the columns that sort and filter, and the texts of one page only.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from core.data.database import connection, identifier, literal, parquet_rows
from core.data.examples import read_data_facts
from core.data.same_rows import fold_folder
from core.evaluation.row_filter import RowFilter
from core.evaluation.suspicious import held_out_folds, suspicious_file
from core.workspace import RunFolder

FILE = "predictions.parquet"
COLUMNS = ("row_id", "part", "text", "true", "predicted", "confidence", "probabilities")
MORE_COLUMNS = ("missed", "added", "true_probabilities")
"""Of several classes a row the first two, of soft labels the last."""


def page_of_rows(folder: RunFolder, wanted: RowFilter, offset: int = 0, limit: int = 50) -> list[dict[str, Any]]:
    """One page of the rows that pass: COLUMNS, those of MORE_COLUMNS that there are, fold and loss as keys; of
    suspicious ones also suggested (a class) and suspicion.

    probabilities is aligned with the report's `labels`. loss in nats, None of runs of several classes a row that were
    measured before it was kept. fold: whose model said it, 1 but in a cross-validation.
    """
    names = _names(folder)
    source, values = _source(folder, wanted, names)
    where, more = _conditions(names, wanted)
    suspicious = wanted.shown == "suspicious"
    chosen = [*names, "fold", "loss", *(("suggested", "suspicion") if suspicious else ())]
    by = wanted.order if suspicious or wanted.order != "suspicion" else "confidence"
    query = (
        f"SELECT {', '.join(map(identifier, chosen))} FROM ({source}) WHERE {where} "  # noqa: S608
        f"ORDER BY {identifier(by)} DESC NULLS LAST, fold, row_id LIMIT ? OFFSET ?"
    )
    with connection(folder.report) as database:
        rows = database.execute(query, [*values, *more, limit, offset]).fetchall()
    return _aligned(folder, [dict(zip(chosen, row, strict=True)) for row in rows])


def count_rows(folder: RunFolder, wanted: RowFilter) -> int:
    """How many rows `page_of_rows` would page through."""
    names = _names(folder)
    source, values = _source(folder, wanted, names)
    where, more = _conditions(names, wanted)
    with connection(folder.report) as database:
        query = f"SELECT count(*) FROM ({source}) WHERE {where}"  # noqa: S608
        ((count,),) = database.execute(query, [*values, *more]).fetchall()
    return int(count)


def one_row(folder: RunFolder, fold: int, row_id: int) -> dict[str, Any] | None:
    """The row as `page_of_rows` gives it, suggested and suspicion None where its label is not suspicious; or None."""
    names = _names(folder)
    suspects = suspicious_file(folder)
    every, values = _with_loss(folder, names, [(fold, fold_folder(folder, fold))])
    query = f"SELECT * FROM ({every}) WHERE row_id = ?"  # noqa: S608
    with connection(folder.report) as database:
        found = database.execute(query, [*values, row_id])
        keys = [column[0] for column in found.description or ()]
        row = found.fetchone()
        if row is None:
            return None
        told = None
        if suspects is not None:
            told = database.execute(
                f"SELECT suggested, suspicion FROM read_parquet({literal(str(suspects))}) "  # noqa: S608
                "WHERE fold = ? AND row_id = ?",
                [fold, row_id],
            ).fetchone()
    (found_row,) = _aligned(folder, [dict(zip(keys, row, strict=True))])
    return found_row | dict(zip(("suggested", "suspicion"), told or (None, None), strict=True))


def _aligned(folder: RunFolder, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With probabilities in the order of the report's labels: another fold may know other classes."""
    own = read_data_facts(folder).labels
    for fold in {row["fold"] for row in rows} - {1}:
        known = read_data_facts(fold_folder(folder, fold)).labels
        for row in rows:
            if row["fold"] == fold and known != own:
                said = dict(zip(known, row["probabilities"], strict=True))
                row["probabilities"] = [said.get(name, 0.0) for name in own]
    return rows


def places_of(folder: RunFolder, fold: int, row_ids: Sequence[int]) -> dict[int, tuple[str, int]]:
    """row_id -> its file (train, validation or test) and its row in it: split.parquet holds them in that order."""
    split = fold_folder(folder, fold).split
    with connection(folder.report) as database:
        rows = database.execute(
            f"SELECT file_row_number, file, row FROM {parquet_rows(split)} "  # noqa: S608
            "WHERE list_contains(?, file_row_number)",
            [list(row_ids)],
        ).fetchall()
    return {int(number): (str(file), int(row)) for number, file, row in rows}


def _names(folder: RunFolder) -> list[str]:
    present = pq.read_schema(folder.report / FILE).names
    return [*COLUMNS, *(name for name in MORE_COLUMNS if name in present)]


def _source(folder: RunFolder, wanted: RowFilter, names: Sequence[str]) -> tuple[str, list[Any]]:
    """SQL of all rows that `shown` is about, and the values of its marks."""
    if wanted.shown != "suspicious":
        return _with_loss(folder, names, [(1, folder)])
    every, values = _with_loss(folder, names, held_out_folds(folder))
    suspects = suspicious_file(folder)
    if suspects is None:
        return f"SELECT *, '' AS suggested, 0 AS suspicion FROM ({every}) WHERE false", values  # noqa: S608
    return (
        f"SELECT said.*, suggested, suspicion FROM read_parquet({literal(str(suspects))}) suspects "  # noqa: S608
        f"JOIN ({every}) said USING (fold, part, row_id)",
        values,
    )


def _with_loss(
    folder: RunFolder, names: Sequence[str], folds: Sequence[tuple[int, RunFolder]]
) -> tuple[str, list[Any]]:
    """SQL of the predictions of these folds, each with its fold and its loss."""
    pieces, values = [], []
    for fold, one in folds:
        path = one.report / FILE
        if "loss" in pq.read_schema(path).names:
            loss = "loss"
        elif set(names) & set(MORE_COLUMNS):
            loss = "NULL::FLOAT AS loss"
        else:
            loss = '-ln(greatest(probabilities[list_position(?, "true")], 1e-12))::FLOAT AS loss'
            values.append(read_data_facts(one).labels)
        pieces.append(
            f"SELECT {', '.join(map(identifier, names))}, {loss}, {fold} AS fold "  # noqa: S608
            f"FROM read_parquet({literal(str(path))})"
        )
    return " UNION ALL ".join(pieces), values


def _conditions(names: Sequence[str], wanted: RowFilter) -> tuple[str, list[Any]]:
    """A WHERE clause and the values of its marks: what people type never becomes SQL."""
    conditions, values = ["true"], list[Any]()
    several = "missed" in names
    if wanted.shown != "suspicious":
        conditions.append("part = ?")
        values.append(wanted.part)
    if wanted.shown == "mistakes":
        # Joined classes could be the same text of other classes, where a name holds the separator.
        conditions.append("len(missed) + len(added) > 0" if several else '"true" <> predicted')
    for column, differing, name in (("true", "missed", wanted.true), ("predicted", "added", wanted.predicted)):
        if name is not None:
            conditions.append(f"list_contains({differing}, ?)" if several else f"{identifier(column)} = ?")
            values.append(name)
    for compared, bound, open_end in ((">=", wanted.least, 0.0), ("<=", wanted.most, 1.0)):
        if bound != open_end:
            conditions.append(f"confidence {compared} ?")
            # As the file holds them: 0.7 as a double is less than 0.7 as a float.
            values.append(float(np.float32(bound)))
    if wanted.search.strip():
        # contains, not LIKE: what a person types is text, with no characters that mean something else.
        conditions.append("contains(lower(text), lower(?))")
        values.append(wanted.search.strip())
    return " AND ".join(conditions), values
