"""Cells that are lists in the writing of JSON, Python, numpy or Postgres: one reading in SQL and in Python."""

import duckdb
import pytest

from core.data.expressions import classes_sql, empty_list_sql
from core.data.label_guess import cell_classes
from core.data.labels import read_labels
from core.data.mapping import mapping_from, suggest_mapping
from core.data.table import open_table
from core.workspace import Workspace
from tests.unit.labelled_tables import table_file

LISTS = [
    ("['rock' 'jazz']", ["rock", "jazz"]),
    ("['rock' 'jazz'\n 'drum and bass']", ["rock", "jazz", "drum and bass"]),
    ("""["it's" 'jazz']""", ["it's", "jazz"]),
    ("""["it's", 'jazz']""", ["it's", "jazz"]),
    ("['rock']", ["rock"]),
    ("[ 2 14]", ["2", "14"]),
    ("[1 2 3]", ["1", "2", "3"]),
    ("[27]", ["27"]),
    ("['drum, bass', 'jazz']", ["drum, bass", "jazz"]),
    ("{'rock', 'jazz'}", ["rock", "jazz"]),
    ("{'rock'}", ["rock"]),
    ("('jazz',)", ["jazz"]),
    ("('jazz', 'rock')", ["jazz", "rock"]),
    ("(3,)", ["3"]),
    ("(3, 14)", ["3", "14"]),
    ('{jazz,"drum, bass"}', ["jazz", "drum, bass"]),
    ("{jazz}", ["jazz"]),
    ('{"drum, bass"}', ["drum, bass"]),
    ("{it's,rock 'n' roll}", ["it's", "rock 'n' roll"]),
    ('{"it\'s",jazz}', ["it's", "jazz"]),
    ("{cs:AI,cs:CL}", ["cs:AI", "cs:CL"]),
    ("{jazz,NULL}", ["jazz"]),
    ('["a", null, 1.10, true]', ["a", "1.1", "true"]),
    ("[]", []),
    ("{}", []),
    ("()", []),
]
TEXTS = [
    "(live)",
    "(live), rock",
    "(3)",
    '{"a": 1}',
    "{'a': 1, 'b': 0}",
    "{a}{b}",
    "{a",
    "[broken",
    "rock 'n' roll",
]


@pytest.mark.parametrize(("cell", "classes"), [*LISTS, *((text, None) for text in TEXTS)])
def test_sql_and_python_read_a_cell_alike(cell: str, classes: list[str] | None) -> None:
    expected = cell.split(";") if classes is None else classes
    assert duckdb.execute(f"SELECT {classes_sql('cell', ';')} FROM (SELECT ? AS cell)", [cell]).fetchone() == (
        expected,
    )
    assert cell_classes(cell, ";") == expected
    empty = duckdb.execute(f"SELECT {empty_list_sql('cell')} FROM (SELECT ? AS cell)", [cell]).fetchone()
    assert empty == (classes == [],)


@pytest.mark.parametrize("form", ["['{}']", "{{'{}'}}", "{{{}}}", "('{}',)"])
def test_lists_of_every_writing_are_guessed_and_read(form: str, workspace: Workspace) -> None:
    between = {"['{}']": "' '", "{{{}}}": ","}.get(form, "', '")
    names = ["rock", "jazz", "drum bass", "folk"]
    picked = [[names[row % 4], names[row // 4 % 4]][: 1 + (row // 4 % 4 != row % 4)] for row in range(80)]
    rows = [(f"a song about {row}", form.format(between.join(cell))) for row, cell in enumerate(picked)]
    table = open_table(table_file(rows, workspace, ("text", "genres")), workspace)
    mapping = mapping_from(suggest_mapping(table))
    assert mapping is not None
    assert (mapping.kind, mapping.label) == ("multi", "genres")
    assert read_labels(table, mapping).names == ["drum bass", "folk", "jazz", "rock"]
