"""A big file on the Data step: shown from its start at once, read whole in the background, with progress and cancel."""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from core.data.reading_job import ReadingJob, cancel_reading, reading_job, start_reading
from core.errors import UserError
from core.runs.store import open_store
from core.schema import TableFile
from core.workspace import Workspace
from ui.events import PRIVATE
from ui.new_run.data_html import problem_html
from ui.new_run.draft import Draft, read_draft
from ui.new_run.files import ROLES, open_role
from ui.words import time_left

WATCHING_SECONDS = 1.0


@dataclass(frozen=True)
class BigFile:
    box: gr.Column
    progress: gr.HTML
    cancel: gr.Button
    again: gr.Button
    timer: gr.Timer
    whole: gr.State
    """Whether all of every file is read; when it becomes so, the step is shown anew."""

    def components(self) -> list[Any]:
        return [self.box, self.progress, self.cancel, self.again, self.timer, self.whole]


def build_big_file() -> BigFile:
    with gr.Column(visible=False, elem_id="big-file", elem_classes="inset") as box:
        progress = gr.HTML(apply_default_css=False)
        with gr.Row(elem_classes="right"):
            cancel = gr.Button("Cancel reading", size="md", min_width=140, elem_id="cancel-reading")
            again = gr.Button("Read all of it", size="md", min_width=140, visible=False, elem_id="read-whole")
    return BigFile(box, progress, cancel, again, gr.Timer(WATCHING_SECONDS, active=False), gr.State(True))


def unread(workspace: Workspace, draft: Draft) -> list[TableFile]:
    """The draft's files of which only the start was read. Raises UserError where one cannot be read."""
    tables = (open_role(workspace, draft, role) for role in ROLES)
    return [table.file for table in tables if table is not None and table.rows_in_all is not None]


def check_waits(workspace: Workspace, draft: Draft) -> None:
    """Raises UserError while there are rows that were not read: what the checks say must hold for all of them."""
    waiting = unread(workspace, draft)
    if waiting:
        raise UserError(
            "The checks look at every row, and only the start of the file has been read yet.",
            waiting[0].path,
            "They begin by themselves once all of it is read; columns can be chosen meanwhile.",
        )


def big_file_view(big: BigFile, workspace: Workspace, draft: Draft) -> dict[Any, Any]:
    """How far reading is; begins it for files that nobody has begun to read."""
    try:
        files = unread(workspace, draft)
        for file in files:
            if reading_job(file, workspace).state == "none":
                start_reading(file, workspace)
    except UserError:
        files = []  # shown where the file is chosen
    return _updates(big, [reading_job(file, workspace) for file in files])


def _updates(big: BigFile, jobs: list[ReadingJob]) -> dict[Any, Any]:
    running = any(job.state == "running" for job in jobs)
    failed = next((job.error for job in jobs if job.error is not None), None)
    return {
        big.box: gr.update(visible=bool(jobs)),
        big.progress: progress_html(jobs) + (problem_html(UserError(**failed)) if failed else ""),
        big.cancel: gr.update(visible=running),
        big.again: gr.update(visible=bool(jobs) and not running),
        big.timer: gr.Timer(active=running),
        big.whole: not jobs,
    }


def progress_html(jobs: list[ReadingJob]) -> str:
    """A bar, with the time that is left."""
    if not jobs:
        return ""
    if not any(job.state == "running" for job in jobs):
        return '<p class="quiet">Reading was ended: what is shown is of the start of the file.</p>'
    share = sum(job.share for job in jobs) / len(jobs)
    left = [job.seconds_left for job in jobs if job.seconds_left is not None]
    words = f"Reading all of the file: {100 * share:.0f} %" + (f", {time_left(max(left))}" if left else "")
    return (
        f'<p role="status">{escape(words)}</p><div class="td-progress" role="progressbar" aria-valuemin="0" '
        f'aria-valuenow="{100 * share:.0f}" aria-valuemax="100" aria-label="Reading all of the file">'
        f'<i style="width:{100 * share:.1f}%"></i></div>'
    )


def connect_big_file(
    workspace: Workspace, big: BigFile, draft_id: gr.Textbox, show: Callable[[Draft], dict[Any, Any]],
    outputs: list[Any], then: dict[str, Any],
) -> None:  # fmt: skip
    """show: the whole step anew, once all is read. then: what checks the data."""
    store = open_store(workspace)

    def jobs_of(draft: Draft) -> list[ReadingJob]:
        return [reading_job(file, workspace) for file in unread(workspace, draft)]

    def look(draft_id: str) -> dict[Any, Any]:
        return _updates(big, jobs_of(read_draft(store, draft_id)))

    def renew(draft_id: str, is_whole: bool) -> dict[Any, Any]:
        return show(read_draft(store, draft_id)) if is_whole else {}

    def cancel(draft_id: str) -> dict[Any, Any]:
        draft = read_draft(store, draft_id)
        for file in unread(workspace, draft):
            cancel_reading(file, workspace)
        return _updates(big, jobs_of(draft))

    def again(draft_id: str) -> dict[Any, Any]:
        draft = read_draft(store, draft_id)
        for file in unread(workspace, draft):
            start_reading(file, workspace)
        return _updates(big, jobs_of(draft))

    big.timer.tick(look, draft_id, big.components(), **PRIVATE)
    big.whole.change(renew, [draft_id, big.whole], outputs, **PRIVATE).then(**then)
    big.cancel.click(cancel, draft_id, big.components(), **PRIVATE)
    big.again.click(again, draft_id, big.components(), **PRIVATE)
