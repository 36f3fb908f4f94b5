"""The files that labelling writes: the rows as they were, with a label and a probability. Light: no torch.

In CSV a cell that begins with = + - @, a tab, a carriage return or a NUL can run as a formula when a spreadsheet opens
the file (CWE-1236; OWASP ASVS 1.2.10). Such text cells get a single quote in front, which spreadsheets take as "this is
text"; they are counted, so that whoever labels the file is told. Numbers such as -5 or +1.5 stay as they are, and so
does everything in Parquet.
"""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from core.decision import is_sure, label_sets
from core.errors import UserError
from core.evaluation.multi_label import given_classes, joined_labels
from core.evaluation.prediction_rows import names_of
from core.formulas import guarded
from core.model_facts import ModelFacts
from core.schema import LabelKind

RANKED = ("label", "probability")
"""What is written of each of the likeliest classes."""
FORMATS = (".csv", ".parquet")


def result_columns(
    names: Sequence[str], top_k: int, kind: LabelKind = "single", labels: Sequence[str] = (), *, sets: bool = False
) -> list[str]:
    """label, probability, label_2, probability_2 ...: `predicted_` goes before a name that the file already has.

    Where a row may have several classes, or is given a set of likely ones (`sets`), `labels` stands before them; of
    soft labels `probability of CLASS` follows for each class.
    """
    ranked = [word if rank == 1 else f"{word}_{rank}" for rank in range(1, top_k + 1) for word in RANKED]
    every = [f"probability of {label}" for label in labels] if kind == "soft" else []
    taken = {name.casefold() for name in names}
    chosen = []
    for name in [*(["labels"] if kind == "multi" or sets else []), *ranked, *every]:
        while name.casefold() in taken:
            name = f"predicted_{name}"
        taken.add(name.casefold())
        chosen.append(name)
    return chosen


def gives_sets(facts: ModelFacts) -> bool:
    """Whether each row is given a set of likely classes beside its one class."""
    return facts.label_kind == "single" and facts.decision.label_set != "one"


def result_types(facts: ModelFacts, top_k: int) -> list[pa.DataType]:
    """Of the columns that result_columns names."""
    several = [pa.string()] if facts.label_kind == "multi" or gives_sets(facts) else []
    every = [pa.float32()] * len(facts.labels) if facts.label_kind == "soft" else []
    return [*several, *[pa.string(), pa.float32()] * top_k, *every]


def result_arrays(
    facts: ModelFacts,
    probabilities: npt.NDArray[np.float32],
    filled: npt.NDArray[np.bool_],
    top_k: int,
    separator: str,
) -> list[pa.Array]:
    """The columns that result_columns names, null where a row has no text.

    probabilities: [filled rows, classes]. filled: [rows], whether a row has a text. `labels` holds the classes whose
    probability reaches their threshold, joined by `separator` ('' where none does); then come the `top_k` likeliest
    classes, each with its probability. Of one class a row `labels` holds its set of likely classes, where it is given
    one; a row that is not sure enough for a label has its probabilities and its set alone.
    """
    rows = pa.array(np.cumsum(filled) - 1, mask=~filled)
    columns = []
    unsure = np.zeros(len(probabilities), dtype=np.bool_)
    if facts.label_kind == "single":
        unsure = ~is_sure(probabilities, facts.decision)
    if facts.label_kind == "multi" or gives_sets(facts):
        chosen = (
            given_classes(probabilities, np.array(facts.thresholds))
            if facts.label_kind == "multi"
            else label_sets(probabilities, facts.decision)
        )
        given = names_of(facts.labels, chosen)
        columns.append(pa.array([joined_labels(names, separator) for names in given], pa.string()))
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_k]
    ordered = np.take_along_axis(probabilities, order, axis=1)
    labels = pa.array(facts.labels, pa.string())
    for rank in range(top_k):
        columns += [labels.take(pa.array(order[:, rank], mask=unsure)), pa.array(ordered[:, rank], pa.float32())]
    if facts.label_kind == "soft":
        columns += [pa.array(column, pa.float32()) for column in probabilities.T]
    return [column.take(rows) for column in columns]


def check_output(output: Path, source: Path) -> None:
    """Raises UserError for a suffix that cannot be written, a missing folder, or the file that is being labelled."""
    if output.suffix.lower() not in FORMATS:
        raise UserError(
            f"{output.name} is neither a .csv nor a .parquet file.", str(output), "End its name with .csv or .parquet."
        )
    if not output.absolute().parent.is_dir():
        raise UserError(
            f"The folder {output.absolute().parent} does not exist.", str(output), "Make it, or choose another folder."
        )
    if output.is_dir():
        raise UserError(f"{output} is a folder.", str(output), "Give the name of a file.")
    if output.resolve() == source.resolve():
        raise UserError(
            f"{output.name} is the file that is to be labelled.", str(output), "Give the result another name."
        )


class CsvFile:
    """A CSV file (UTF-8, comma, CRLF: RFC 4180) that is written as its rows come."""

    def __init__(self, path: Path, names: Sequence[str], spreadsheet_safe: bool) -> None:
        self.formula_cells = 0
        self._safe = spreadsheet_safe
        self._file = path.open("w", encoding="utf-8", newline="")
        # Python 3.11 puts quotes around a lone CR or LF in a cell only where the line end holds it.
        self._writer = csv.writer(self._file, lineterminator="\r\n")
        self._writer.writerow(self._guarded(names))

    def write(self, columns: Sequence[pa.Array]) -> None:
        """Rows as columns of equal length, texts or numbers; a missing value becomes an empty cell."""
        lists = [self._guarded(_cells(column)) for column in columns]
        self._writer.writerows(zip(*lists, strict=True))

    def close(self) -> None:
        self._file.close()

    def _guarded(self, cells: Sequence[str | None]) -> list[str | None]:
        if not self._safe:
            return list(cells)
        safe = [guarded(cell) if cell else cell for cell in cells]
        self.formula_cells += sum(new is not old for new, old in zip(safe, cells, strict=True))
        return safe


def _cells(column: pa.Array) -> list[str | None]:
    """Texts as they are; probabilities with six decimals."""
    values = column.to_pylist()
    if pa.types.is_floating(column.type):
        return [None if value is None else f"{value:.6f}" for value in values]
    return values


class ParquetFile:
    """A Parquet file (zstd) that is written as its rows come, each call to `write` as a row group."""

    formula_cells = 0

    def __init__(self, path: Path, names: Sequence[str], types: Sequence[pa.DataType]) -> None:
        self._schema = pa.schema(list(zip(names, types, strict=True)))
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")

    def write(self, columns: Sequence[pa.Array]) -> None:
        self._writer.write_batch(pa.record_batch(list(columns), schema=self._schema))

    def close(self) -> None:
        self._writer.close()


@contextmanager
def labelled_file(
    path: Path, suffix: str, names: Sequence[str], types: Sequence[pa.DataType], spreadsheet_safe: bool
) -> Iterator[CsvFile | ParquetFile]:
    """Open a file of these columns in the format of `suffix` (.csv or .parquet); closed at the end."""
    file = CsvFile(path, names, spreadsheet_safe) if suffix.lower() == ".csv" else ParquetFile(path, names, types)
    try:
        yield file
    finally:
        file.close()
