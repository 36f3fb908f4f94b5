"""What is deleted takes its uploads along, and no file that anything else still needs."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from core.deletion import delete_draft, delete_run, remove_old_guest_files, remove_unneeded_uploads
from core.errors import UserError
from core.runs.store import open_store
from core.runs.supervisor import submit
from core.schema import DataSpec, MappingSpec, RunSpec, TableFile
from core.sharing.allowance import Room, guests_bytes, save_allowance
from core.workspace import Workspace

SLEEPING = [sys.executable, "-c", "import time; time.sleep(600)"]


def uploaded(workspace: Workspace, number: int) -> Path:
    """An upload of two hours ago."""
    file = workspace.uploads / f"20260102-03040{number}-00a{number}" / "naïve, data.csv"
    file.parent.mkdir()
    file.write_text("text,label\na,b\n", encoding="utf-8")
    aged(file.parent)
    return file


def aged(folder: Path) -> None:
    then = time.time() - 7200
    os.utime(folder, (then, then))


def run_of(workspace: Workspace, train: Path, test: Path | None = None) -> str:
    files = DataSpec(train=TableFile(path=str(train)), test=TableFile(path=str(test)) if test else None)
    return submit(workspace, RunSpec(data=files, mapping=MappingSpec(text=("text",), label="label")))


def draft_of(workspace: Workspace, train: Path) -> str:
    return open_store(workspace).save_draft(None, {"spec": {"data": {"train": {"path": str(train)}}}})


def labelling(workspace: Workspace, run_id: str, file: Path, pid: int, visitor: str = "") -> Path:
    job = workspace.run(run_id).predictions / "20260102-030405-beef"
    job.mkdir(parents=True)
    request = {"file": {"path": str(file)}, "name": file.name, "output": "out.csv", "created": time.time()}
    request["visitor"] = visitor
    status = {"state": "running", "done": 0, "total": 9, "seconds_left": None, "error": None, "notes": []}
    process = {"pid": pid, "started": psutil.Process(pid).create_time()}
    for name, content in (("job", request), ("status", status), ("process", process)):
        (job / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return job


def test_a_deleted_run_takes_its_labelling_and_its_uploads(workspace: Workspace) -> None:
    shared, own, labelled = (uploaded(workspace, number) for number in range(3))
    run_id, other = run_of(workspace, shared, own), run_of(workspace, shared)
    open_store(workspace).move(run_id, ["queued"], "stopped")
    child = subprocess.Popen(SLEEPING)
    labelling(workspace, run_id, labelled, child.pid)
    delete_run(workspace, run_id)
    child.wait(30)
    assert not workspace.run(run_id).root.exists()
    assert (shared.exists(), own.exists(), labelled.exists()) == (True, False, False)
    assert open_store(workspace).run(other).id == other


@pytest.mark.parametrize("kind", ["predictions", "evaluations", "exports", "publications"])
def test_work_with_a_deleted_run_is_ended(workspace: Workspace, kind: str) -> None:
    run_id = run_of(workspace, uploaded(workspace, 0))
    open_store(workspace).move(run_id, ["queued"], "stopped")
    child = subprocess.Popen(SLEEPING)
    job = labelling(workspace, run_id, uploaded(workspace, 1), child.pid)
    job.parent.rename(job.parents[1] / kind)
    delete_run(workspace, run_id)
    child.wait(30)
    assert not workspace.run(run_id).root.exists()


def test_the_file_of_an_evaluation_stays_while_the_run_does(workspace: Workspace) -> None:
    run_id, file = run_of(workspace, uploaded(workspace, 0)), uploaded(workspace, 1)
    child = subprocess.Popen(SLEEPING)
    job = labelling(workspace, run_id, file, child.pid)
    job.parent.rename(job.parents[1] / "evaluations")
    child.kill()
    child.wait(30)
    remove_unneeded_uploads(workspace)
    assert file.exists()


def test_files_of_guests_go_after_a_day_and_count_until_then(workspace: Workspace) -> None:
    guests, owners = uploaded(workspace, 1), uploaded(workspace, 2)
    run_id = run_of(workspace, uploaded(workspace, 3))
    child = subprocess.Popen(SLEEPING)
    jobs = [labelling(workspace, run_id, guests, child.pid, visitor="a guest"), workspace.run(run_id).predictions / "x"]
    jobs[0].rename(jobs[1])
    jobs = [labelling(workspace, run_id, owners, child.pid), jobs[1]]
    (jobs[1] / "out.csv").write_bytes(bytes(10_000))
    used = guests_bytes(workspace)
    assert used > 10_000 + guests.stat().st_size
    room = Room(workspace)
    save_allowance(workspace, {"guests_bytes": used + 500})
    assert room.most("guest") == 500
    room.add(500, "guest")
    with pytest.raises(UserError, match="Guests' files take as much room"):
        room.most("guest")
    assert room.most("owner") > 500
    remove_old_guest_files(workspace)
    assert jobs[1].exists() and guests.exists()
    for job in jobs:
        asked = json.loads((job / "job.json").read_text(encoding="utf-8"))
        (job / "job.json").write_text(json.dumps(asked | {"created": time.time() - 25 * 3600}), encoding="utf-8")
    remove_old_guest_files(workspace)
    child.wait(30)
    assert (jobs[1].exists(), guests.exists()) == (False, False)
    assert (jobs[0].exists(), owners.exists()) == (True, True), "what is the owner's stays"
    assert guests_bytes(workspace) == 0


def test_a_run_at_work_keeps_everything(workspace: Workspace) -> None:
    file = uploaded(workspace, 1)
    run_id = run_of(workspace, file)
    open_store(workspace).move(run_id, ["queued"], "running")
    with pytest.raises(UserError):
        delete_run(workspace, run_id)
    assert file.exists()
    assert workspace.run(run_id).spec.exists()


def test_a_deleted_draft_takes_what_no_run_and_no_other_draft_needs(workspace: Workspace, tmp_path: Path) -> None:
    alone, of_run, of_two = (uploaded(workspace, number) for number in range(3))
    elsewhere = tmp_path / "mine.csv"
    elsewhere.write_text("text,label\n", encoding="utf-8")
    run_of(workspace, of_run)
    draft_of(workspace, of_two)
    for file in (alone, of_run, of_two, elsewhere):
        delete_draft(workspace, draft_of(workspace, file))
    assert [file.exists() for file in (alone, of_run, of_two, elsewhere)] == [False, True, True, True]
    delete_draft(workspace, "no-such-draft")


def test_uploads_of_nothing_are_removed_later(workspace: Workspace) -> None:
    forgotten, of_run, of_draft, of_damaged = (uploaded(workspace, number) for number in range(4))
    run_of(workspace, of_run)
    draft_of(workspace, of_draft)
    damaged = workspace.run(run_of(workspace, of_damaged)).spec
    damaged.write_text(f"data: [ {of_damaged}", encoding="utf-8")
    fresh = workspace.uploads / "20260102-030409-00ff" / "new.csv"
    fresh.parent.mkdir()
    fresh.touch()
    arrived = workspace.incoming / "0a1b" / "never.csv"
    arrived.parent.mkdir(parents=True)
    arrived.touch()
    aged(arrived.parent)
    remove_unneeded_uploads(workspace)
    kept = [file.exists() for file in (forgotten, of_run, of_draft, of_damaged, fresh, arrived)]
    assert kept == [False, True, True, True, True, False]
