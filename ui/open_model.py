"""Runs / Open a model: a folder that was taken away from here, or a hub repository with one, as a finished run.

A repository is fetched by a process of its own (core.opening_jobs), which a reload finds again.
"""

from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.context import Context

from core.errors import UserError
from core.export.hub_login import current_token
from core.opening import Asked, on_this_computer, open_model
from core.opening_jobs import OpeningJob, opening_jobs, start_opening, stop_opening
from core.workspace import Workspace
from ui.events import GO, PRIVATE
from ui.new_run.data_html import problem_html
from ui.words import size, time_left

WATCHING_SECONDS = 1.0
ABOUT = (
    '<p class="quiet">A model, adapter or merged folder that was taken away from here (unpack a zip first), or a hub '
    "repository with one. It becomes a finished run: try it, label files with it, measure it on a labelled file. "
    "Nothing that is fetched is run, and of weights only safetensors are.</p>"
)
Updates = dict[Any, Any]


def build_open_model(workspace: Workspace) -> None:
    """Build the fold in the current Blocks."""
    with gr.Accordion("Open a model", open=False, elem_classes="card fold", elem_id="open-model") as fold:
        gr.HTML(ABOUT, apply_default_css=False)
        with gr.Row(elem_classes="fields"):
            place = gr.Textbox(
                label="Folder here, or USER/NAME on the hub", max_lines=1, min_width=240,
                elem_id="open-place",
            )  # fmt: skip
            revision = gr.Textbox(
                label="On the hub: branch, tag or commit", placeholder="main", max_lines=1, min_width=240,
                elem_id="open-revision",
            )  # fmt: skip
            base = gr.Textbox(
                label="Base of an adapter, if it lies elsewhere", max_lines=1, min_width=240,
                elem_id="open-base",
            )  # fmt: skip
        told = gr.HTML(apply_default_css=False, elem_id="open-told")
        with gr.Row(elem_classes="right"):
            stop = gr.Button("Stop opening", visible=False, size="md", min_width=120, elem_id="open-stop")
            go = gr.Button("Open it", variant="primary", size="md", min_width=120, elem_id="open-go")
    address = gr.Textbox(visible=False)
    pressed = gr.State("")
    timer = gr.Timer(WATCHING_SECONDS, active=False)
    shown = [told, stop, timer]

    def opened(place: str, revision: str, base: str) -> Updates:
        asked = Asked(place.strip(), revision.strip() or None, base.strip() or None)
        try:
            if not asked.model:
                raise UserError("No model is named.", "model", "Give its folder, or its name on the hub.")
            if on_this_computer(asked.model):
                run_id = open_model(workspace, asked)
                named = escape(Path(asked.model).name)
                return {told: f'<p class="quiet">Opened <b>{named}</b>.</p>', address: _address(run_id)}
            job = start_opening(workspace, asked, current_token())
        except UserError as error:
            return {told: problem_html(error)}
        return {pressed: job} | follow(workspace)

    def follow(workspace: Workspace) -> Updates:
        jobs = opening_jobs(workspace)
        running = any(job.state == "running" for job in jobs)
        return {told: jobs_html(jobs), stop: gr.update(visible=running), timer: gr.Timer(active=running)}

    def watch(pressed: str) -> Updates:
        """How it goes; the page that asked for it goes on to the run, another one shows a link."""
        done = [job for job in opening_jobs(workspace) if job.id == pressed and job.state == "finished"]
        return follow(workspace) | ({address: _address(done[0].run)} if done else {})

    def find() -> Updates:
        """After a reload, or in another window."""
        if not any(job.state == "running" for job in opening_jobs(workspace)):
            return {}
        return {fold: gr.update(open=True)} | follow(workspace)

    def halt() -> Updates:
        for job in opening_jobs(workspace):
            stop_opening(workspace, job.id)
        return follow(workspace)

    def wait(place: str) -> str:
        return f'<p class="quiet" role="status">Opening {escape(place.strip())} …</p>' if place.strip() else ""

    Context.root_block.load(find, None, [fold, *shown], **PRIVATE)
    gr.on([go.click, place.submit, revision.submit, base.submit], wait, place, told, **PRIVATE).then(
        opened, [place, revision, base], [*shown, pressed, address], **PRIVATE
    ).then(None, address, None, js=GO, **PRIVATE)
    timer.tick(watch, pressed, [*shown, address], **PRIVATE).then(None, address, None, js=GO, **PRIVATE)
    stop.click(halt, None, shown, **PRIVATE)


def _address(run_id: str) -> str:
    return f"/?run={run_id}&tab=try"


def jobs_html(jobs: list[OpeningJob]) -> str:
    """Each with its files; the newest first."""
    return "".join(map(_job, jobs))


def _job(job: OpeningJob) -> str:
    if job.error:
        return problem_html(UserError(**job.error))
    name = f"<b>{escape(job.asked.model)}</b>{f', commit {escape(job.commit[:12])}' if job.commit else ''}"
    link = f' <a href="{_address(job.run)}">Go to the run</a>' if job.run else ""
    bar = ""
    if job.state == "running":
        share = job.done / job.total if job.total else 0.0
        bar = f'<progress max="1" value="{share:.3f}" aria-label="fetched"></progress>'
    words = f'<p class="quiet">{name}: {escape(_words(job))}{link}</p>'
    return f'<div class="opening" role="status">{words}{bar}{_files(job)}</div>'


def _words(job: OpeningJob) -> str:
    if job.state != "running" or not job.total:
        return job.words
    left = f", {time_left(job.seconds_left)}" if job.seconds_left is not None else ""
    return f"{job.words}, {size(job.done)} of {size(job.total)}{left}"


def _files(job: OpeningJob) -> str:
    if not job.files:
        return ""
    rows = "".join(
        f"<tr><th scope=row>{escape(name)}</th><td class=n>{size(bytes_)}</td></tr>" for name, bytes_ in job.files
    )
    return (
        f"<details><summary>{len(job.files)} files, {size(job.total)}</summary><table><tbody>{rows}</tbody></table>"
        "</details>"
    )
