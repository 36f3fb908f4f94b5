"""What a careful colleague would say about conversations before an hour is spent on them."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from core.data.conversations import Conversations, LeftOut, chat_columns, conversations_of, divided
from core.data.examples import PARTS
from core.data.findings import Finding, counted, errors_first
from core.data.learnable_checks import FEWEST_ROWS
from core.data.row_checks import LONGEST_TEXT, missing_columns, rejected_lines
from core.data.table import Table
from core.schema import ChatColumns, MappingSpec, SplitSpec

REASONS_SHOWN = 5


def check_chat(tables: Mapping[str, Table], mapping: MappingSpec, split: SplitSpec) -> list[Finding]:
    """Everything found, errors first; only errors keep a run from starting. tables: train, and validation and test
    where they are files of their own."""
    form = mapping.chat
    findings = [found for table in tables.values() for found in missing_columns(table, chat_columns(form))]
    if form.instruction and form.instruction == form.response:
        findings.append(_same_column(form.instruction))
    if split.by != "chance" or split.folds:
        told = "Conversations are divided by chance, in one division: no groups, times, named parts or folds."
        findings.append(
            Finding("error", told, "split", "Set split.by to chance and split.folds to 0.", 1, "divided_otherwise")
        )
    if findings:
        return findings
    found = {role: conversations_of(table, form) for role, table in tables.items()}
    for role, table in tables.items():
        findings += _about_rows(table, found[role], form) + rejected_lines(table)
    if not any(finding.severity == "error" for finding in findings):
        parts = divided(found, split)
        findings += _empty_parts(tables["train"], found["train"], parts, split)
        findings += _repeated(tables, found, parts)
    return errors_first(findings)


def _same_column(column: str) -> Finding:
    return Finding(
        "error",
        f"'{column}' is both what is asked and what is answered.",
        "mapping.chat",
        "Choose the column that holds the answers.",
        1,
        "same_column",
    )


def _about_rows(table: Table, found: Conversations, form: ChatColumns) -> list[Finding]:
    where = table.path.name
    usable = int(found.usable.sum())
    if table.rows == 0:
        return [
            Finding("error", f"{where} holds no rows.", where, "Choose a file with a row for each conversation.", 0,
                    "no_rows")
        ]  # fmt: skip
    if usable < table.rows - usable:
        return [_mostly_unusable(table, found, form)]
    findings = []
    if usable < FEWEST_ROWS:
        findings.append(
            Finding("error", f"Only {counted(usable, 'row is a conversation', 'rows are conversations')}.", where,
                    f"Give at least {FEWEST_ROWS}; a model begins to learn a manner of answering from some hundred.",
                    usable, "few_rows")
        )  # fmt: skip
    ordered = sorted(found.left_out.items(), key=lambda item: -item[1].count)
    findings += [_left_out(where, why, rows) for why, rows in ordered[:REASONS_SHOWN]]
    rest = sum(rows.count for _, rows in ordered[REASONS_SHOWN:])
    if rest:
        findings.append(_left_out(where, "for other reasons", LeftOut(rest)))
    if found.lengths.max() > LONGEST_TEXT:
        findings.append(
            Finding("warning", f"One conversation has {found.lengths.max():,} characters; only its beginning will be "
                    "read.", where, "Look whether several conversations stand in one row.", 1, "long_text")
        )  # fmt: skip
    return findings


def _mostly_unusable(table: Table, found: Conversations, form: ChatColumns) -> Finding:
    why, rows = max(found.left_out.items(), key=lambda item: item[1].count)
    missing = table.rows - int(found.usable.sum())
    columns = form.conversation or f"{form.instruction} and {form.response}"
    shown = f" There stands: {rows.cell}" if rows.cell.strip() else ""
    return Finding(
        "error",
        f"{missing:,} of {counted(table.rows, 'row', 'rows')} are no conversations (column {columns}). "
        f"Row {rows.rows[0]}, for example: {why}.{shown}",
        table.path.name,
        "Choose the columns that hold the conversations, or correct the file.",
        missing,
        "no_conversations",
    )


def _left_out(where: str, why: str, rows: LeftOut) -> Finding:
    more = " and more" if rows.count > len(rows.rows) else ""
    named = f" ({'row' if rows.count == 1 else 'rows'} {', '.join(f'{row:,}' for row in rows.rows)}{more})"
    return Finding(
        "warning",
        f"{counted(rows.count, 'row is', 'rows are')} left out: {why}{named if rows.rows else ''}.",
        where,
        "Correct them if they should count.",
        rows.count,
        "no_conversation",
    )


def _empty_parts(
    train: Table, found: Conversations, parts: Mapping[str, npt.NDArray[np.int8]], split: SplitSpec
) -> list[Finding]:
    return [
        Finding(
            "error",
            f"A share of {share:g} leaves no conversation for {name}: there are {int(found.usable.sum()):,}.",
            train.path.name,
            f"Give more rows, a larger share, or a file for {name}.",
            0,
            "empty_part",
        )
        for name, share in (("test", split.test), ("validation", split.validation))
        if name not in parts and not (parts["train"] == PARTS.index(name)).any()
    ]


def _repeated(
    tables: Mapping[str, Table], found: Mapping[str, Conversations], parts: Mapping[str, npt.NDArray[np.int8]]
) -> list[Finding]:
    """Conversations of validation and test that stand word for word in the train part."""
    learned = found["train"].marks[parts["train"] == PARTS.index("train")]
    findings = []
    for name in ("validation", "test"):
        role = name if name in found else "train"
        marks = found[role].marks[parts[role] == PARTS.index(name)]
        count = int(np.isin(marks, learned).sum())
        if count:
            findings.append(
                Finding(
                    "warning",
                    f"{counted(count, 'conversation', 'conversations')} of the {name} part "
                    f"{'stands' if count == 1 else 'stand'} word for word in the training part too: the figures for "
                    f"{name} will look better than they are.",
                    tables[role].path.name,
                    "Remove the copies.",
                    count,
                    "shared_text",
                )
            )
    return findings
