"""How the cells of a row become a text and a label: one expression, used by checks, lengths, splits and predictions."""

from core.data.database import identifier

WHITE_SPACE = "' ' || chr(9) || chr(10) || chr(11) || chr(12) || chr(13) || chr(160) || chr(12288) || chr(65279)"
"""SQL for the characters that do not count at the ends of a cell: blanks, tabs, line ends, byte order marks."""


def cell_sql(column: str) -> str:
    """A cell without white space around it; an empty one and a missing one are both ''."""
    return f"trim(coalesce({identifier(column)}, ''), {WHITE_SPACE})"


def text_sql(columns: tuple[str, ...], joiner: str, backslash_is_space: bool = False) -> str:
    """The text columns of a row joined in order, empty ones left out; '' where all are empty."""
    parts = []
    for column in columns:
        cell = cell_sql(column)
        if backslash_is_space:
            cell = f"trim(replace({cell}, chr(92), ' '), {WHITE_SPACE})"
        parts.append(f"nullif({cell}, '')")
    escaped = joiner.replace("'", "''")
    return f"concat_ws('{escaped}', {', '.join(parts)})"


def label_sql(column: str) -> str:
    """The label value of a row, without white space around it; '' where there is none."""
    return cell_sql(column)
