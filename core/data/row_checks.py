"""What is wrong with a file's columns and rows: absent or named twice, no text, no label, lines that are no rows."""

from core.data.findings import Finding, counted, listed
from core.data.label_checks import no_label_words, nothing_labelled
from core.data.labelled_part import Part
from core.data.labels import has_label_columns, label_columns
from core.data.table import Table
from core.schema import MappingSpec

GRAVE_LOSS = 0.2
"""Where more than this share of a file's rows is left out, a run is not started without asking."""
LONGEST_TEXT = 1_000_000
"""Characters; a longer one is more likely a slip than a text."""


def about_columns(mapping: MappingSpec, columns: tuple[str, ...]) -> list[Finding]:
    """Errors where a column is both text and label, or named twice."""
    findings = [
        Finding(
            "error",
            f"'{column}' is both the label and a text column: a model would only learn to copy it.",
            "mapping",
            "Take it out of the text columns, or choose another label.",
            1,
            "label_is_text",
        )
        for column in dict.fromkeys(columns)
        if column in mapping.text
    ]
    twice = [column for column in dict.fromkeys(columns) if columns.count(column) > 1]
    if twice:
        findings.append(
            Finding("error", f"Columns of classes are named twice ({listed(twice)}).", "mapping.label_columns",
                    "Name each once.", len(twice), "column_twice")
        )  # fmt: skip
    return findings


def missing_columns(table: Table, columns: tuple[str, ...]) -> list[Finding]:
    """An error for each of `columns` that the table lacks."""
    missing = [column for column in dict.fromkeys(columns) if column not in table.names]
    return [
        Finding(
            "error",
            f"Column '{column}' is not in {table.path.name} (columns: {', '.join(table.names)}).",
            table.path.name,
            "Choose a column that the file has, or give its columns the names of the training file.",
            1,
            "missing_column",
        )
        for column in missing
    ]


def about_rows(part: Part, mapping: MappingSpec) -> list[Finding]:
    where = part.table.path.name
    columns = " + ".join(mapping.text)
    rows = part.table.rows
    if rows == 0:
        return [
            Finding(
                "error", f"{where} holds no rows.", where, "Choose a file with a row for each example.", 0, "no_rows"
            )
        ]
    if part.empty_text == rows:
        return [
            Finding(
                "error",
                f"Every row of {where} is empty in the text columns ({columns}).",
                where,
                "Choose the columns that hold the text.",
                rows,
                "all_text_empty",
            )
        ]
    if part.usable == 0 or nothing_labelled(part):
        if part.name == "train" and part.only_dropped and not part.only_rare:
            return []  # about_class_steps says so
        if part.only_rare and part.name == "train":
            return [_all_rare(part, mapping)]
        named = listed(list(label_columns(mapping)))
        return [
            Finding(
                "error",
                f"No row of {where} has a label in {'columns' if has_label_columns(mapping) else 'column'} {named}.",
                where,
                "Choose the column that holds the class.",
                part.empty_label,
                "no_labels",
            )
        ]
    findings = []
    if part.empty_text:
        findings.append(
            Finding(
                "warning",
                f"{counted(part.empty_text, 'row has', 'rows have')} no text ({columns}) and "
                f"{'is' if part.empty_text == 1 else 'are'} left out.",
                where,
                "Fill them in if they should count.",
                part.empty_text,
                "empty_text",
                asks=part.empty_text > GRAVE_LOSS * rows,
            )
        )
    if part.empty_label:
        findings.append(
            Finding(
                "warning",
                no_label_words(part, mapping),
                where,
                "Fill them in if they should count.",
                part.empty_label,
                "empty_label",
                asks=part.empty_label > GRAVE_LOSS * rows,
            )
        )
    if part.longest > LONGEST_TEXT:
        findings.append(
            Finding(
                "warning",
                f"One text has {part.longest:,} characters; only its beginning will be read.",
                where,
                "Look whether a quote is missing there.",
                1,
                "long_text",
            )
        )
    return findings + rejected_lines(part.table)


def _all_rare(part: Part, mapping: MappingSpec) -> Finding:
    return Finding(
        "error",
        f"Every class of {part.table.path.name} has fewer than {mapping.rare_below:,} rows, so no row is left.",
        part.table.path.name,
        "Set the number for rare classes lower, or merge them.",
        part.only_rare,
        "all_rare",
    )


def rejected_lines(table: Table) -> list[Finding]:
    """A warning where lines of the file are no rows."""
    if not table.rejected:
        return []
    return [
        Finding(
            "warning",
            f"{counted(table.rejected, 'line', 'lines')} could not be read as a row "
            f"(the first: line {table.rejected_lines[0].line}, {table.rejected_lines[0].reason}).",
            table.path.name,
            "See them on the Data step, under the name of the file, or with `python launch.py inspect FILE --lines-to "
            "OUT.csv`.",
            table.rejected,
            "rejected_lines",
            asks=table.rejected > GRAVE_LOSS * (table.rows + table.rejected),
        )
    ]
