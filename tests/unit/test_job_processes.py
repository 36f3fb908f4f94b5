"""What every job in a process of its own shares; with a real one: test_prediction_service.py and the flow tests."""

import time
from pathlib import Path

import pytest

from core.errors import UserError
from core.job_processes import bury, gone_error, job_folders, new_job, stop, write_json
from core.workspace import Workspace

NO_PROCESS = {"pid": 2**22 + 1, "started": 0}


def written_job(workspace: Workspace, state: str) -> Path:
    with new_job(workspace, workspace.probes, "It") as job:
        write_json(job / "status.json", {"state": state, "error": None})
        write_json(job / "process.json", NO_PROCESS)
        (job / "half.csv.1234.partial").touch()
        (job / "scratch").mkdir()
    return job


def test_a_job_that_cannot_be_launched_leaves_nothing(workspace: Workspace) -> None:
    with (
        pytest.raises(UserError, match=r"^Labelling new\.csv could not be started \(No space left on device\)\."),
        new_job(workspace, workspace.probes, "Labelling new.csv") as job,
    ):
        write_json(job / "job.json", {})
        raise OSError(28, "No space left on device")
    assert list(workspace.probes.iterdir()) == []


def test_jobs_cannot_begin_where_their_folder_cannot_be_made(workspace: Workspace) -> None:
    workspace.probes.touch()
    with pytest.raises(UserError, match="could not be started") as told, new_job(workspace, workspace.probes, "It"):
        raise AssertionError("there is no folder to write to")
    assert told.value.where == str(workspace.root)


def test_a_job_is_buried_once_its_process_is_gone(workspace: Workspace) -> None:
    job = written_job(workspace, "running")
    assert bury(job, time.time())
    assert sorted(path.name for path in job.iterdir()) == ["process.json", "scratch", "status.json"]
    assert gone_error(job, "Labelling")["what"] == "Labelling ended without a word: its process is gone."


def test_a_job_has_time_to_note_its_process(workspace: Workspace) -> None:
    job = written_job(workspace, "running")
    (job / "process.json").unlink()
    assert not bury(job, time.time())
    assert bury(job, time.time() - 3600)


def test_the_last_word_of_a_job_holds(workspace: Workspace) -> None:
    for state in ("finished", "failed", "stopped"):
        job = written_job(workspace, state)
        assert not bury(job, time.time())
        assert not stop(job)


def test_what_is_half_written_is_said_by_a_pattern(workspace: Workspace) -> None:
    job = written_job(workspace, "running")
    assert stop(job, "scratch")
    assert sorted(path.name for path in job.iterdir()) == ["half.csv.1234.partial", "process.json", "status.json"]


def test_only_jobs_with_a_status_are_found_the_newest_first(workspace: Workspace) -> None:
    for name in ("20261121-000000-aaaa", "20261122-000000-aaaa"):
        (workspace.probes / name).mkdir(parents=True)
        write_json(workspace.probes / name / "status.json", {"state": "running"})
    (workspace.probes / "20261123-000000-aaaa").mkdir()
    assert [job.name for job in job_folders(workspace.probes)] == ["20261122-000000-aaaa", "20261121-000000-aaaa"]
