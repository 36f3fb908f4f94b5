"""A table's rows as the texts that a run's model reads. Light: no torch."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import pyarrow as pa

from core.data.database import connection, literal
from core.data.expressions import cell_sql, text_sql
from core.data.table import Table, open_table, require_columns
from core.errors import UserError
from core.model_facts import ModelFacts, ModelText
from core.schema import TableFile
from core.spec_files import read_spec
from core.text_template import renamed
from core.workspace import RunFolder, Workspace

ROWS_AT_ONCE = 4096
CHARACTERS_AT_ONCE = 4_000_000
"""A tokenizer takes some hundred bytes a token, so long texts are handed to it a few at a time."""


def open_like_training(workspace: Workspace, folder: RunFolder, file: TableFile) -> Table:
    """Open a file for this run's model; one without a header gets the names that the training file was given by hand.

    Words that stand for an empty cell are those of the training file, too. Raises UserError where the file cannot be
    read.
    """
    train = read_spec(folder.spec).data.train
    names = train.column_names
    file = file.model_copy(update={"null_words": file.null_words or train.null_words})
    table = open_table(file, workspace)
    if table.header is False and not file.column_names and len(names) == len(table.columns):
        return open_table(file.model_copy(update={"header": False, "column_names": names}), workspace)
    return table


def model_text_columns(facts: ModelFacts, table: Table, chosen: Sequence[str] | None = None) -> tuple[str, ...]:
    """The columns to read: `chosen`, else those the model was trained on. Raises UserError where one is absent.

    So it does for a column that the model's prompt names.
    """
    columns = tuple(chosen or facts.text_columns)
    missing = [name for name in columns if name not in table.names]
    if missing:
        raise UserError(
            f"The text column {', '.join(repr(name) for name in missing)} is not in {table.path.name} "
            f"(columns: {', '.join(table.names)}).",
            table.path.name,
            "Choose which of its columns hold the text, or give them the names that the model was trained on: "
            f"{', '.join(facts.text_columns)}.",
        )
    require_columns(table, facts.prompt_columns)
    if facts.text_template and len(columns) != len(facts.text_columns):
        raise UserError(
            f"The model's text is made of {len(facts.text_columns)} columns ({', '.join(facts.text_columns)}), and "
            f"{len(columns)} are named.",
            "text",
            "Name as many, in that order.",
        )
    return columns


def read_chunks(
    table: Table, facts: ModelFacts, text_columns: Sequence[str], also: Sequence[str]
) -> Iterator[tuple[list[ModelText], list[pa.Array]]]:
    """The table's rows in order, a few thousand at a time: the model's texts, and the SQL expressions `also`.

    A text is '' where all its cells are empty.
    """
    template = renamed(facts.text_template, dict(zip(facts.text_columns, text_columns, strict=False)))
    text = text_sql(tuple(text_columns), facts.joiner, facts.backslash_is_space, template)
    cells = map(cell_sql, facts.prompt_columns)
    query = f"SELECT {', '.join([text, *cells, *also])} FROM read_parquet({literal(str(table.parquet))})"  # noqa: S608
    with connection(table.parquet.parent) as database:
        # .sql() streams, in the file's order (preserve_insertion_order); .execute() would hold every row in memory.
        for batch in database.sql(query).to_arrow_reader(ROWS_AT_ONCE):
            texts = batch.column(0).to_pylist()
            rows, rest = _with_cells(texts, facts.prompt_columns, batch), batch.columns[1 + len(facts.prompt_columns) :]
            bounds = _bounds([len(text) for text in texts])
            for start, end in pairwise(bounds):
                yield rows[start:end], [column.slice(start, end - start) for column in rest]


def _with_cells(texts: list[str], names: Sequence[str], batch: pa.RecordBatch) -> list[ModelText]:
    """The texts, beside each the cells of its row that the prompt names, which stand behind column 0; '' stays ''."""
    if not names:
        return list(texts)
    columns = [batch.column(number).to_pylist() for number in range(1, 1 + len(names))]
    cells = (dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))
    return [{"text": text, **row} if text else "" for text, row in zip(texts, cells, strict=True)]


def _bounds(lengths: Sequence[int]) -> list[int]:
    """Where to cut rows of these lengths (characters), so that no piece of several rows is too long."""
    bounds = [0]
    held = 0
    for row, length in enumerate(lengths):
        if held and held + length > CHARACTERS_AT_ONCE:
            bounds.append(row)
            held = 0
        held += length
    return [*bounds, len(lengths)]
