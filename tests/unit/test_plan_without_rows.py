"""`plan` of data of which nothing can be learned."""

from pathlib import Path

import pytest

from core.cli.arguments import parse
from core.cli.commands import main


def test_plan_of_rows_without_labels_stops(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"a text of some words {row},\n" for row in range(40))
    (tmp_path / "a.csv").write_text("text,label\n" + rows, encoding="utf-8")
    words = ["plan", "--data", str(tmp_path / "a.csv"), "--text", "text", "--label", "label", "--workspace"]
    assert main(parse([*words, str(tmp_path / "w")])) == 2
    told = capsys.readouterr()
    assert "No row of a.csv has a label in column 'label'" in told.err + told.out
    assert "It fits" not in told.out
