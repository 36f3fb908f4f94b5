"""The frozen division of conversations: as core.data.split's of labelled texts, without classes to keep the shares of.

`text` in examples.parquet is the conversation as JSON (core.data.examples reads it back), `label` is ''.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from core.chat_rows import Conversation
from core.data.chat_checks import check_chat
from core.data.conversations import NOT_USED, Conversations, conversations_of, divided, read_rows
from core.data.examples import EXAMPLES, PARTS, DataFacts, conversation_text, read_data_facts, write_data_facts
from core.data.findings import Finding, kept_of, raise_errors
from core.data.reading.write import write_batches
from core.data.same_rows import rows_of_run, taken_over
from core.data.table import Table, file_facts, open_tables
from core.files import replacing
from core.schema import ChatColumns, RunSpec
from core.workspace import RunFolder, Workspace

BATCH = 1024
"""Conversations at once when they are written."""

Parts = Mapping[str, npt.NDArray[np.int8]]
"""Part of each row by file, as core.data.conversations.divided gives it."""


def write_chat_split(spec: RunSpec, workspace: Workspace, folder: RunFolder) -> DataFacts:
    """Divide the conversations and write split.parquet, examples.parquet and data.json.

    Raises UserError where the checks find an error.
    """
    tables = open_tables(spec.data, workspace)
    findings = check_chat(tables, spec.mapping, spec.split)
    raise_errors(findings)
    found = {role: conversations_of(table, spec.mapping.chat) for role, table in tables.items()}
    same_as, about_rows = taken_over(spec, tables, workspace)
    rows = {role: table.rows for role, table in tables.items()}
    parts = rows_of_run(workspace.run(same_as), 1, rows) if same_as else divided(found, spec.split)
    folder.root.mkdir(parents=True, exist_ok=True)
    with replacing(folder.examples) as target:
        write_batches(EXAMPLES, _examples(tables, spec.mapping.chat, parts), target)
    write_data_facts(folder, _facts(tables, found, parts, [*findings, *about_rows], same_as))
    # Written last: where split.parquet stands, the two others are whole.
    with replacing(folder.split) as target:
        write_batches(pa.schema([EXAMPLES.field(name) for name in ("file", "row", "part")]), _split(parts), target)
    return read_data_facts(folder)


def _examples(tables: Mapping[str, Table], form: ChatColumns, parts: Parts) -> Iterator[pa.RecordBatch]:
    row_id = 0
    rows: list[int] = []
    texts: list[str] = []

    def batch(role: str) -> pa.RecordBatch:
        return pa.record_batch(
            [
                np.arange(row_id, row_id + len(rows), dtype=np.int64),
                pa.array([role] * len(rows), pa.string()),
                np.array(rows, dtype=np.int64),
                pa.array([PARTS[parts[role][row]] for row in rows], pa.string()),
                pa.array(texts, pa.string()),
                pa.array([""] * len(rows), pa.string()),
            ],
            schema=EXAMPLES,
        )

    for role, table in tables.items():
        for number, (_, talk) in enumerate(read_rows(table.parquet, form)):
            if isinstance(talk, Conversation):
                rows.append(number)
                texts.append(conversation_text(talk))
            if rows and (len(rows) == BATCH or number == table.rows - 1):
                yield batch(role)
                row_id += len(rows)
                rows.clear()
                texts.clear()


def _split(parts: Parts) -> Iterator[pa.RecordBatch]:
    for role, part in parts.items():
        rows = np.flatnonzero(part != NOT_USED)
        names = pa.array([PARTS[number] for number in part[rows]], pa.string())
        yield pa.record_batch({"file": pa.array([role] * len(rows), pa.string()), "row": rows, "part": names})


def _facts(
    tables: Mapping[str, Table],
    found: Mapping[str, Conversations],
    parts: Parts,
    findings: list[Finding],
    same_rows: str,
) -> DataFacts:
    train = found["train"].lengths[parts["train"] == PARTS.index("train")]
    p50, p90, p99 = np.quantile(train, (0.5, 0.9, 0.99), method="inverted_cdf")
    return DataFacts(
        labels=[],
        files={role: file_facts(table) for role, table in tables.items()},
        parts={name: sum(int((part == number).sum()) for part in parts.values()) for number, name in enumerate(PARTS)},
        class_counts={},
        left_out={"no_conversation": sum(int((~file.usable).sum()) for file in found.values())},
        lengths={
            "p50": float(p50), "p90": float(p90), "p99": float(p99), "max": float(train.max()),
            "mean": float(train.mean()),
        },
        findings=[kept_of(finding) for finding in findings],
        same_rows=same_rows,
    )  # fmt: skip
