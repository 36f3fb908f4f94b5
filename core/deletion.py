"""What goes with a run or a draft that is deleted: work that goes on with it, and the uploads that nothing else needs.

And what goes by itself after a day: uploads that were never used, and files of guests.

An upload lies in a folder named by an id of its own. Whatever text names that id needs it: a run's spec.yaml, a draft,
a labelling, an evaluation. So a file that a run came from is never removed, not even where its spec can no longer be
read.
"""

import json
import re
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from core.errors import UserError
from core.job_processes import job_folders, stop
from core.label_jobs import cancel_label_job
from core.runs import supervisor
from core.runs.store import ACTIVE, open_store
from core.sharing.guest_files import KEPT_SECONDS, old_guest_jobs
from core.workspace import Workspace

TIDY_SECONDS = 600.0
LEAST_AGE_SECONDS = 3600
"""Younger uploads may be on their way into a draft, of this program or another one over the same workspace."""
NAMING = ("spec.yaml", "predictions/*/job.json", "evaluations/*/job.json")
"""Files of a run's folder that name uploads."""

_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4,8}")


def delete_run(workspace: Workspace, run_id: str) -> None:
    """Delete a run with its folder and its uploads, and end what is at work with it (labelling, evaluating, exporting,
    publishing). Raises UserError while it runs."""
    folder = workspace.run(run_id)
    uploads = _named(file for pattern in NAMING for file in folder.root.glob(pattern))
    if open_store(workspace).run(run_id).state not in ACTIVE:
        for jobs in (folder.predictions, folder.evaluations, folder.exports, folder.publications):
            for job in job_folders(jobs):
                stop(job)
    supervisor.delete(workspace, run_id)
    _remove(workspace, uploads)


def delete_draft(workspace: Workspace, draft_id: str) -> None:
    """Delete a draft and its uploads; nothing happens where there is no such draft."""
    store = open_store(workspace)
    uploads = _ids(json.dumps(store.draft(draft_id)))
    store.delete_draft(draft_id)
    _remove(workspace, uploads)


def remove_unneeded_uploads(workspace: Workspace, least_age_seconds: float = LEAST_AGE_SECONDS) -> None:
    """Remove uploads that no run, draft or labelling names, and files that arrived and were never kept."""
    before = time.time() - least_age_seconds
    _remove(workspace, {path.name for path in _older(workspace.uploads, before) if _ID.fullmatch(path.name)})
    for path in _older(workspace.incoming, before):
        shutil.rmtree(path, ignore_errors=True)


def remove_old_guest_files(workspace: Workspace) -> None:
    """Remove what guests had labelled more than a day ago, and what came of it; a labelling still at work is ended."""
    old = old_guest_jobs(workspace)
    for job in old:
        with suppress(UserError):  # it never came so far as to have a status
            cancel_label_job(workspace, job.folder.parents[1].name, job.folder.name)
        shutil.rmtree(job.folder, ignore_errors=True)
    _remove(workspace, {job.upload.parent.name for job in old if _ID.fullmatch(job.upload.parent.name)})


def tidy_for_ever(workspace: Workspace, closing: threading.Event) -> None:
    """Clear away what nothing needs any more, now and every ten minutes until `closing`."""
    least_age = float(LEAST_AGE_SECONDS)
    while True:
        # A full disk or a store that is locked for long passes; a folder may go while it is looked at.
        with suppress(OSError, sqlite3.Error, UserError):
            remove_old_guest_files(workspace)
            remove_unneeded_uploads(workspace, least_age)
        least_age = KEPT_SECONDS  # from now on pages are open that hold uploads
        if closing.wait(TIDY_SECONDS):
            return


def _older(folder: Path, moment: float) -> Iterator[Path]:
    """Folders inside `folder` that were last changed before `moment`, seconds since 1970."""
    if folder.is_dir():
        yield from (path for path in folder.iterdir() if path.is_dir() and path.stat().st_mtime < moment)


def _remove(workspace: Workspace, uploads: set[str]) -> None:
    """Remove those uploads that nothing names any more."""
    if not uploads:
        return
    needed = _named(file for pattern in NAMING for file in workspace.runs.glob(f"*/{pattern}"))
    for _, _, content in open_store(workspace).drafts():
        needed |= _ids(json.dumps(content))
    for upload in uploads - needed:
        shutil.rmtree(workspace.uploads / upload, ignore_errors=True)


def _named(files: Iterable[Path]) -> set[str]:
    return {upload for file in files for upload in _ids(file.read_text(encoding="utf-8", errors="replace"))}


def _ids(text: str) -> set[str]:
    return set(_ID.findall(text))
