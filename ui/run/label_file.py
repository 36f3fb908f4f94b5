"""Run / Try it, lower half: a file goes in, the same file with labels comes out. Jobs run on when the page closes."""

import threading
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import gradio as gr

from core.decision import AS_IT_IS, Decision, decision_sentences
from core.errors import UserError
from core.label_jobs import LabelJob, cancel_label_job, label_jobs, start_label_job
from core.model_facts import run_model_facts
from core.schema import LabelKind, TableFile
from core.sharing.allowance import read_allowance
from core.sharing.guest_files import KEPT_WORDS
from core.workspace import RunFolder, Workspace
from ui.new_run.files import FILE_TYPES, keep_upload
from ui.run.actions import QUIET, Updates, tell
from ui.run.job_list import download_html, jobs_html, row_job_html
from ui.sharing.roles import count, open_to_guests, seen_run, visitor

WATCHING_SECONDS = 1.0
_STARTING = threading.Lock()
"""Of two guests who press at once the second sees the first one's job."""


@dataclass(frozen=True)
class LabelFile:
    about: gr.HTML
    jobs: gr.HTML
    stop: gr.Button
    timer: gr.Timer

    def parts(self) -> list[Any]:
        """What `label_file_updates` may change."""
        return [self.about, self.jobs, self.stop, self.timer]


def build_label_file(workspace: Workspace) -> LabelFile:
    about = gr.HTML(about_html("single"), apply_default_css=False, elem_classes="td-heading td-section")
    with gr.Row(elem_classes="td-label-file"):
        given = gr.File(
            label="A file with the text columns", file_types=FILE_TYPES, height=160, elem_id="run-file", min_width=260
        )
        with gr.Column(min_width=260):
            with gr.Row():
                kind = gr.Radio([("CSV", "csv"), ("Parquet", "parquet")], value="csv", label="Give me", min_width=120)
                top = gr.Number(1, label="Likeliest labels a row", minimum=1, maximum=20, precision=0, min_width=120)
            columns = gr.Textbox(
                "", label="Its text columns, if they are named otherwise", placeholder="title, description",
                max_lines=1, elem_id="run-file-columns",
            )  # fmt: skip
            with gr.Row(elem_classes="td-foot"):
                stop = gr.Button("Stop labelling", visible=False, min_width=120)
                start = gr.Button("Label the file", min_width=120, elem_id="run-label-file")
    jobs = gr.HTML(apply_default_css=False, elem_id="run-jobs")
    tab = LabelFile(about, jobs, stop, gr.Timer(WATCHING_SECONDS, active=False))
    _connect(workspace, tab, start, [given, kind, top, columns])
    return tab


def _connect(workspace: Workspace, tab: LabelFile, start: gr.Button, inputs: list[Any]) -> None:
    @open_to_guests
    def begin(path: str | None, kind: str, top: float | None, columns: str, request: gr.Request) -> Updates:
        folder = seen_run(workspace, request)
        try:
            if not path:
                raise UserError("No file is chosen.", "file", "Drop one into the box on the left first.")
            names = [name.strip() for name in columns.split(",") if name.strip()]
            with _STARTING:
                limits = _guest_limits(folder)
                start_label_job(
                    workspace,
                    folder.id,
                    TableFile(path=str(kept_upload(workspace, Path(path)))),
                    _format(kind),
                    max(1, min(int(top or 1), 1000)),
                    text_columns=names,
                    **limits,
                )
        except UserError as error:
            tell(error)
        return label_file_updates(tab, folder)

    @open_to_guests
    def cancel(request: gr.Request) -> Updates:
        folder = seen_run(workspace, request)
        for job in _own_jobs(folder):
            if job.state == "running":
                cancel_label_job(workspace, folder.id, job.id)
        return label_file_updates(tab, folder)

    @open_to_guests
    def look(request: gr.Request) -> Updates:
        return label_file_updates(tab, seen_run(workspace, request))

    start.click(begin, inputs, tab.parts(), **QUIET)
    tab.stop.click(cancel, None, tab.parts(), **QUIET)
    tab.timer.tick(look, None, tab.parts(), concurrency_limit=None, **QUIET)


def _format(kind: str) -> Literal["csv", "parquet"]:
    return "parquet" if kind == "parquet" else "csv"


def _guest_limits(folder: RunFolder) -> dict[str, Any]:
    """What holds of a guest's file; nothing of the owner's. Raises UserError while another guest's is labelled."""
    guest = visitor()
    if guest.role == "owner":
        return {}
    count("label")
    if any(job.visitor and job.state == "running" for job in label_jobs(folder.workspace, folder.id)):
        raise UserError("A guest's file is being labelled already.", "file", "Start yours when that one is done.")
    return {"visitor": guest.id, "most_rows": read_allowance(folder.workspace).guest_rows}


def _own_jobs(folder: RunFolder) -> list[LabelJob]:
    """Every job to the owner; to a guest those of this session."""
    jobs, who = label_jobs(folder.workspace, folder.id), visitor()
    return jobs if who.role == "owner" else [job for job in jobs if job.visitor == who.id]


def kept_upload(workspace: Workspace, upload: Path) -> Path:
    """A copy among the workspace's uploads: gradio may clear its own while the job still reads.

    Raises UserError for a file that did not arrive as an upload (the path comes from the browser), and where the
    workspace has no room.
    """
    if upload.is_symlink() or not upload.resolve().is_relative_to(workspace.incoming.resolve()):
        raise UserError("That is no file that was uploaded.", "file", "Drop it into the box on the left first.")
    return keep_upload(workspace, str(upload), copied=True)


def label_file_updates(tab: LabelFile, folder: RunFolder) -> Updates:
    jobs, facts = _own_jobs(folder), run_model_facts(folder)
    kept = KEPT_WORDS if visitor().role == "guest" else ""
    running = any(job.state == "running" for job in jobs)
    return {
        tab.about: about_html(facts.label_kind, facts.decision, kept),
        tab.jobs: jobs_html(_job(folder.id, job) for job in jobs),
        tab.stop: gr.update(visible=running),
        tab.timer: gr.Timer(active=running),
    }


def about_html(kind: LabelKind, decision: Decision = AS_IT_IS, more: str = "") -> str:
    words = {
        "multi": "The same columns, plus the labels that reach their thresholds, and the likeliest ones with how "
        "likely they are.",
        "soft": "The same columns, plus the likeliest label and how likely it and every other is.",
    }
    said = words.get(kind, "The same columns, plus the label and how likely it is.")
    if kind == "single" and decision != AS_IT_IS:
        said = f"{said} {' '.join(decision_sentences(decision))}"
    return f"<h3>Label a whole file</h3><p>{said}{f' {more}' if more else ''}</p>"


def _job(run_id: str, job: LabelJob) -> str:
    link = _link(run_id, job.id, job.output) if job.output else ""
    return row_job_html(job, link + "".join(f"<p>{escape(note)}</p>" for note in job.notes))


def _link(run_id: str, job_id: str, output: Path) -> str:
    """Through a route that knows whose file it is (ui/sharing/routes.py)."""
    address = f"labelled?run={quote(run_id)}&job={quote(job_id)}"
    return download_html(address, output.name, output.stat().st_size)
