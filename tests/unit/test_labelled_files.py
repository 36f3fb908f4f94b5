"""The files that labelling writes: names of new columns, and cells that a spreadsheet could run."""

import csv
from pathlib import Path

import pyarrow as pa
import pytest

from core.errors import UserError
from core.formulas import starts_formula
from core.labelled_files import check_output, labelled_file, result_columns


def test_new_columns_never_take_a_name_that_is_there() -> None:
    assert result_columns(["text"], 2) == ["label", "probability", "label_2", "probability_2"]
    assert result_columns(["text", "Label"], 1) == ["predicted_label", "probability"]
    assert result_columns(["label", "predicted_label"], 1) == ["predicted_predicted_label", "probability"]


@pytest.mark.parametrize(
    "cell", ["=1+1", "+SUM(A1)", "-2+3", "@cmd", "\tx", "\rx", "\0x", "=", "-", "+49 30 1234", "--5"]
)
def test_what_could_start_a_formula(cell: str) -> None:
    assert starts_formula(cell)


@pytest.mark.parametrize("cell", ["", "a=1", " =1", "5", "-5", "+1.5", "-1,234.5", "-.5", "-1e-5", "-12%", "'=1", "01"])
def test_what_cannot(cell: str) -> None:
    assert not starts_formula(cell)


@pytest.mark.parametrize(("safe", "changed"), [(True, 3), (False, 0)])
def test_formula_cells_get_a_quote_and_are_counted(tmp_path: Path, safe: bool, changed: int) -> None:
    path = tmp_path / "out"
    names = ["text", "=header", "probability"]
    cells = [
        pa.array(["=1+1", "-5", None]),
        pa.array(["@x", "plain", "a\rb"]),
        pa.array([0.5, None, 1.0], pa.float32()),
    ]
    with labelled_file(path, ".csv", names, [pa.string()] * 3, spreadsheet_safe=safe) as file:
        file.write(cells)
    assert file.formula_cells == changed
    rows = list(csv.reader(path.open(encoding="utf-8", newline="")))
    quote = "'" if safe else ""
    assert rows == [
        ["text", f"{quote}=header", "probability"],
        [f"{quote}=1+1", f"{quote}@x", "0.500000"],
        ["-5", "plain", ""],
        ["", "a\rb", "1.000000"],
    ]


def test_outputs_that_cannot_be(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.touch()
    (tmp_path / "folder.csv").mkdir()
    check_output(tmp_path / "out.PARQUET", source)
    for output, words in (
        (tmp_path / "out.xlsx", "neither a .csv nor a .parquet"),
        (tmp_path / "absent" / "out.csv", "does not exist"),
        (tmp_path / "folder.csv", "is a folder"),
        (source, "is the file that is to be labelled"),
    ):
        with pytest.raises(UserError, match=words):
            check_output(output, source)
