"""Bad input on the command line: a refusal with its three parts, before anything is made."""

import json
from pathlib import Path

import pytest

from core.cli.arguments import parse
from core.cli.commands import main
from core.runs.store import open_store
from core.workspace import Workspace
from tests.bad_files import many_classes, unlearnable, unreadable


def refused(workspace: Workspace, capsys: pytest.CaptureFixture[str], file: Path, *words: str) -> dict[str, str]:
    """The error's parts."""
    columns = ["--text", "text", "--label", "label"]
    line = ["train", "--data", str(file), *columns, *words, "--json", "--workspace", str(workspace.root)]
    assert main(parse(line)) == 2
    assert open_store(workspace).count_runs() == 0
    assert list(workspace.runs.iterdir()) == []
    error = json.loads(capsys.readouterr().out.splitlines()[-1])["error"]
    assert error["what"] and error["where"] and error["todo"]
    return error


def test_files_that_cannot_be_learned_from(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learnable = ("single.csv", "one_column.csv")
    for bad in [*unreadable(tmp_path), *(bad for bad in unlearnable(tmp_path) if bad.path.name not in learnable)]:
        assert bad.words in refused(workspace, capsys, bad.path)["what"]
    assert "not in one_column.csv" in refused(workspace, capsys, tmp_path / "one_column.csv")["what"]


@pytest.mark.parametrize("rate", ["0", "-1e-4", "nan", "fast"])
def test_learning_rates_that_teach_nothing(
    rate: str, workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = refused(workspace, capsys, many_classes(tmp_path), "--set", f"training.learning_rate={rate}")
    assert "learning_rate" in error["where"]


def test_label_that_is_the_text(workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = refused(workspace, capsys, many_classes(tmp_path), "--set", "mapping.label=text")
    assert "text" in error["what"]
