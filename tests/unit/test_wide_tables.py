"""Tables of more columns than one query is asked about: each column's facts are its own."""

from core.data.column_facts import column_facts
from core.data.database import connection
from core.data.expressions import AT_A_TIME
from core.data.label_guess import flag_columns, probability_columns
from core.data.mapping import suggest_mapping
from core.data.table import open_table
from core.workspace import Workspace
from tests.unit.labelled_tables import table_file

KINDS = ("integer", "text", "number", "boolean", "date")
WIDE = 2 * AT_A_TIME + 7


def cell(column: int, row: int) -> str:
    return (
        str(row % (column + 2)),
        f"w{row % 4}",
        f"{row}.5",
        "yes" if row % 2 else "no",
        f"2024-01-{row % 9 + 1:02}",
    )[column % len(KINDS)]


def test_facts_of_a_wide_table_are_those_of_each_column_alone(workspace: Workspace) -> None:
    rows = [[cell(column, row) for column in range(WIDE)] for row in range(40)]
    rows[0][AT_A_TIME] = ""
    header = [f"n{column}" for column in range(WIDE)]
    wide = open_table(table_file(rows, workspace, header), workspace)
    assert tuple(column.name for column in wide.columns) == tuple(header)
    assert [column.type for column in wide.columns] == [KINDS[column % len(KINDS)] for column in range(WIDE)]
    for start in range(0, WIDE, 20):
        part = [row[start : start + 20] for row in rows]
        narrow = open_table(table_file(part, workspace, header[start : start + 20], f"{start}.csv"), workspace)
        assert wide.columns[start : start + 20] == narrow.columns
    with connection(workspace.tables) as database:
        facts = column_facts(database, wide)
    assert [fact.filled for fact in facts] == [39 if column == AT_A_TIME else 40 for column in range(WIDE)]
    assert [fact.distinct for fact in facts[:5]] == [2, 4, 40, 2, 9]


def test_columns_of_classes_are_found_far_to_the_right(workspace: Workspace) -> None:
    numbers = [[str(row * column + 2) for column in range(WIDE)] for row in range(60)]
    header = [f"n{column}" for column in range(WIDE)]
    rows = [[*numbers[row], row % 2, row % 3 % 2, f"a text about {row}"] for row in range(60)]
    table = open_table(table_file(rows, workspace, (*header, "rude", "long", "text")), workspace)
    with connection(workspace.tables) as database:
        assert flag_columns(database, table, table.names) == ("rude", "long")
    shares = [[*numbers[row], 0.25, row / 80, round(0.75 - row / 80, 6), f"a text about {row}"] for row in range(60)]
    table = open_table(table_file(shares, workspace, (*header, "a", "b", "c", "text"), "s.csv"), workspace)
    with connection(workspace.tables) as database:
        assert probability_columns(database, table, table.names[:-1]) == ("a", "b", "c")
    assert suggest_mapping(table, "soft").label_columns == ("a", "b", "c")
