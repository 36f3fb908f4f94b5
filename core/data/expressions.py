"""How the cells of a row become a text and a label: one expression, used by checks, lengths, splits and predictions."""

from core.data.database import identifier, literal
from core.text_template import template_pieces

WHITE_SPACE = "' ' || chr(9) || chr(10) || chr(11) || chr(12) || chr(13) || chr(160) || chr(12288) || chr(65279)"
"""SQL for the characters that do not count at the ends of a cell: blanks, tabs, line ends, byte order marks."""
AT_A_TIME = 25
"""Columns in one query: planning one takes time that grows with the square of their number."""


def cell_sql(column: str) -> str:
    """A cell without white space around it; an empty one and a missing one are both ''."""
    cell = identifier(column)
    # DuckDB's trim reads all of a cell, and most cells have nothing at their ends: six times as fast on texts.
    ends = f"{cell}[1] BETWEEN '!' AND '~' AND {cell}[-1] BETWEEN '!' AND '~'"
    return f"CASE WHEN {ends} THEN {cell} ELSE trim(coalesce({cell}, ''), {WHITE_SPACE}) END"


def text_sql(columns: tuple[str, ...], joiner: str, backslash_is_space: bool = False, template: str = "") -> str:
    """The text columns of a row joined in order, empty ones left out; '' where all are empty.

    template: in place of the joiner, where each cell stands (core.text_template); it names no other columns.
    """
    cells = {column: _text_cell_sql(column, backslash_is_space) for column in columns}
    parts = [f"nullif({cell}, '')" for cell in cells.values()]
    if not template:
        return f"concat_ws({literal(joiner)}, {', '.join(parts)})"
    pieces = [
        cells[words] if is_column else literal(words) for words, is_column in template_pieces(template)
    ]  # fmt: skip
    return f"CASE WHEN coalesce({', '.join(parts)}) IS NULL THEN '' ELSE concat({', '.join(pieces)}) END"


def _text_cell_sql(column: str, backslash_is_space: bool) -> str:
    cell = cell_sql(column)
    return f"trim(replace({cell}, chr(92), ' '), {WHITE_SPACE})" if backslash_is_space else cell


def label_sql(column: str) -> str:
    """The label value of a row, without white space around it; '' where there is none."""
    return cell_sql(column)


YES = ("1", "1.0", "true", "yes")
NO = ("", "0", "0.0", "false", "no")
"""What a cell of a class's own column holds, in any case: whether the row has the class."""


QUOTED = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
SET = rf"(?s)\{{(?:\s*|\s*[^\s{{}}'\"][^{{}}]*|\s*{QUOTED}\s*(?:,[^{{}}]*)?)\}}"
"""A cell that is a set of Python or an array of Postgres: {'a', 'b'} or {a,"b, c"}, and no dictionary."""
TUPLE = rf"(?s)\(\s*(?:(?:{QUOTED}|[0-9]+\s*,)(?:\s*,?\s*(?:{QUOTED}|[0-9]+))*\s*,?\s*)?\)"
"""One that is a tuple of Python: ('a', 'b') or (1,), and no words in brackets."""
NUMBERS = r"\[\s*[0-9]+(?:\s+[0-9]+)*\s*\]"
"""One that is an array of numpy: [1 2 3]."""
UNDIVIDED = r"""(['"])\s+(['"])"""
"""What stands between the texts of an array of numpy: ['a' 'b']."""
SINGLE_QUOTED = r"[{,]\s*'"
"""How a text of a set begins; in an array of Postgres, where it does not, ' is a letter like others."""


def listed_sql(cell: str) -> str:
    """A cell that is a list as one with square brackets and commas; NULL where it is none."""
    tuple_or_set = f"regexp_full_match({cell}, {literal(SET)}) OR regexp_full_match({cell}, {literal(TUPLE)})"
    whole = f"regexp_replace({cell}[2:-2], ',\\s*$', '')"
    plain = f"starts_with({cell}, '{{') AND NOT regexp_matches({cell}, {literal(SINGLE_QUOTED)})"
    inside = f"CASE WHEN {plain} THEN replace({whole}, chr(39), '\\' || chr(39)) ELSE {whole} END"
    return (
        f"CASE WHEN regexp_full_match({cell}, {literal(NUMBERS)}) THEN regexp_replace({cell}, '\\b\\s+\\b', ', ', 'g') "
        f"WHEN starts_with({cell}, '[') THEN {cell} WHEN {tuple_or_set} THEN '[' || {inside} || ']' END"
    )


def classes_sql(column: str, separator: str) -> str:
    """The label values of a row as a list, without white space around them and without empty ones.

    A cell that is a list (`["a", "b"]`, as Parquet and JSON files give it, or as Python, numpy and Postgres write
    theirs) is taken as one, whatever the separator; so is one value that stands in square brackets. A missing or empty
    cell is an empty list.
    """
    cell = cell_sql(column)
    written = listed_sql(cell)
    split = f"string_split({cell}, {literal(separator.strip() or separator)})"
    # Quoted texts as JSON, which alone knows escapes; then what looks like it, as Python prints lists. Numbers are no
    # JSON: they stay as they are written.
    as_json = "CASE WHEN contains(w, '\"') AND json_valid(w) THEN from_json(w, '[\"VARCHAR\"]') END"
    divided = f"regexp_replace(w, {literal(UNDIVIDED)}, '\\1, \\2', 'g')"
    as_list = f"list_transform([{written}], lambda w: coalesce({as_json}, TRY_CAST({divided} AS VARCHAR[])))[1]"
    listed = f"CASE WHEN {cell}[1] IN ('[', '{{', '(') THEN coalesce({as_list}, {split}) ELSE {split} END"
    return f"list_filter(list_transform({listed}, lambda x: trim(x, {WHITE_SPACE})), lambda x: x <> '')"


def empty_list_sql(column: str) -> str:
    """Whether the cell is a list with nothing in it: it says that no class fits, where an empty cell says nothing."""
    return f"regexp_full_match({cell_sql(column)}, '\\[\\s*\\]|\\{{\\s*\\}}|\\(\\s*\\)')"


def label_values_sql(column: str) -> str:
    """The label value of a row as a list of one; empty where there is none."""
    return f"CASE WHEN {label_sql(column)} = '' THEN [] ELSE [{label_sql(column)}] END"


def flag_sql(column: str) -> str:
    """1 where the row has the class of this column, 0 where it has not, -1 where the cell says neither."""
    cell = f"lower({cell_sql(column)})"
    return f"(CASE WHEN {cell} IN {YES} THEN 1 WHEN {cell} IN {NO} THEN 0 ELSE -1 END)::TINYINT"


def probability_sql(column: str) -> str:
    """The number in a cell (0.5 or 0,5) as DOUBLE: 0 where it is empty, -1 where it is no number."""
    cell = cell_sql(column)
    return f"(CASE WHEN {cell} = '' THEN 0 ELSE coalesce(TRY_CAST(replace({cell}, ',', '.') AS DOUBLE), -1) END)"
