"""Paths as people write them: what cannot be one is said, and is no folder."""

import os
from pathlib import Path

import psutil
import pytest

from core.data import reading_job as reading
from core.data.given import files_given
from core.data.hub_data import look_up, parse_hub_name
from core.data.reading.contents import entries_of
from core.data.reading_job import reading_job
from core.errors import UserError
from core.files import folder_given, new_folder, path_given, refuse_to_overwrite
from core.models.source import check_source
from core.opening import on_this_computer
from core.schema import ModelSpec, TableFile
from core.workspace import Workspace

IMPOSSIBLE = ["~nobody-of-that-name/data.csv", "x" * 3000]


@pytest.mark.parametrize("text", IMPOSSIBLE)
def test_what_cannot_be_a_path_is_said(workspace: Workspace, text: str) -> None:
    with pytest.raises(UserError, match="is not a path") as caught:
        path_given(text)
    assert len(caught.value.what) < 300
    assert folder_given(text) is None and not on_this_computer(text)
    with pytest.raises(UserError, match="is not a path"):
        files_given([text], workspace)
    with pytest.raises(UserError, match="neither a folder on this computer"):
        check_source(ModelSpec(source=text))


def test_a_folder_that_may_not_be_searched_is_no_wrong_spelling(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", refused)
    assert path_given("/home/ann/data.csv") == Path("/home/ann/data.csv")


def test_a_new_folder_vanishes_where_its_making_fails_and_an_old_one_stays(tmp_path: Path) -> None:
    with pytest.raises(ValueError), new_folder(tmp_path / "a" / "b") as made:
        (made / "half").write_text("x")
        raise ValueError
    assert list(tmp_path.iterdir()) == [tmp_path / "a"] and not list((tmp_path / "a").iterdir())
    (tmp_path / "kept").write_text("x")
    with pytest.raises(FileExistsError), new_folder(tmp_path):
        raise AssertionError
    assert (tmp_path / "kept").exists()


def test_what_is_read_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("x")
    (tmp_path / "link.csv").symlink_to(tmp_path / "data.csv")
    with pytest.raises(UserError, match="nothing is written over it"):
        refuse_to_overwrite(tmp_path / "link.csv", ["other.csv", str(tmp_path / "data.csv")])
    refuse_to_overwrite(tmp_path / "new.csv", [tmp_path / "data.csv"])


def test_home_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert path_given("~/data.csv") == tmp_path / "data.csv"
    assert folder_given("~") == tmp_path


def test_a_link_to_nothing_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\nx,y\n")
    (tmp_path / "b.csv").symlink_to(tmp_path / "gone.csv")
    assert [entry.name for entry in entries_of(tmp_path)] == ["a.csv"]


def test_a_name_that_the_hub_does_not_allow(workspace: Workspace) -> None:
    with pytest.raises(UserError, match="neither a folder on this computer nor a name on the hub"):
        look_up(parse_hub_name("hub:owner/my--data"))


def test_reading_is_over_where_its_pid_is_another_process(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\nx,y\n")
    file = TableFile(path=str(path))
    monkeypatch.setattr(reading, "first_look_is_whole", lambda *_: False)
    began = psutil.Process().create_time()
    reading._write(file, workspace, "running", os.getpid(), began + 1, 0.4)
    assert reading_job(file, workspace).state == "running"
    reading._write(file, workspace, "running", os.getpid(), began - 1000, 0.4)
    assert reading_job(file, workspace).state == "failed"
