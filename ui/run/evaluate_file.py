"""Run / Report, its foot: measure the model on another labelled file. What was found stays in the run's folder, and
jobs run on when the page closes."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.context import Context

from core.errors import UserError
from core.evaluation_jobs import EvaluationJob, evaluation_jobs, start_evaluation, stop_evaluations
from core.schema import TableFile
from core.workspace import RunFolder, Workspace
from ui.new_run.files import FILE_TYPES
from ui.run.actions import QUIET, Updates, tell
from ui.run.job_list import jobs_html, row_job_html
from ui.run.label_file import kept_upload
from ui.words import interval, percent

WATCHING_SECONDS = 1.5


@dataclass(frozen=True)
class EvaluateFile:
    box: gr.Accordion
    jobs: gr.HTML
    stop: gr.Button
    timer: gr.Timer

    def parts(self) -> list[Any]:
        """What `evaluate_file_updates` may change."""
        return [self.jobs, self.stop, self.timer]


def build_evaluate_file(workspace: Workspace) -> EvaluateFile:
    with gr.Accordion(
        "Evaluate on another labelled file", open=False, elem_id="run-evaluate", elem_classes="td-fold"
    ) as box:
        with gr.Row(elem_classes="td-label-file"):
            given = gr.File(
                label="A file with texts and their true labels",
                file_types=FILE_TYPES, height=140, elem_id="run-evaluate-file", min_width=260,
            )  # fmt: skip
            with gr.Column(min_width=260):
                label = gr.Textbox(
                    "", label="Its label column, if it is named otherwise", max_lines=1, elem_id="run-evaluate-label"
                )
                columns = gr.Textbox(
                    "", label="Its text columns, if they are named otherwise", placeholder="title, description",
                    max_lines=1,
                )  # fmt: skip
                with gr.Row(elem_classes="td-foot"):
                    stop = gr.Button("Stop", visible=False, min_width=90)
                    start = gr.Button("Evaluate", min_width=120, elem_id="run-evaluate-start")
        jobs = gr.HTML(apply_default_css=False, elem_id="run-evaluations")
    tab = EvaluateFile(box, jobs, stop, gr.Timer(WATCHING_SECONDS, active=False))

    def begin(path: str | None, label: str, columns: str, request: gr.Request) -> Updates:
        folder = workspace.run(request.query_params["run"])
        try:
            if not path:
                raise UserError("No file is chosen.", "file", "Drop one into the box on the left first.")
            file = TableFile(path=str(kept_upload(workspace, Path(path))))
            names = [name.strip() for name in columns.split(",") if name.strip()]
            start_evaluation(workspace, folder.id, file, text_columns=names, label_column=label.strip())
        except UserError as error:
            tell(error)
        return evaluate_file_updates(tab, folder)

    def look(request: gr.Request) -> Updates:
        run_id = request.query_params.get("run")
        return evaluate_file_updates(tab, workspace.run(run_id)) if run_id else {}

    def cancel(request: gr.Request) -> Updates:
        folder = workspace.run(request.query_params["run"])
        stop_evaluations(folder)
        return evaluate_file_updates(tab, folder)

    start.click(begin, [given, label, columns], tab.parts(), **QUIET)
    stop.click(cancel, None, tab.parts(), **QUIET)
    tab.timer.tick(look, None, tab.parts(), concurrency_limit=None, **QUIET)
    Context.root_block.load(look, None, tab.parts(), concurrency_limit=None, **QUIET)
    return tab


def evaluate_file_updates(tab: EvaluateFile, folder: RunFolder) -> Updates:
    jobs = evaluation_jobs(folder)
    running = any(job.state == "running" for job in jobs)
    return {
        tab.jobs: evaluations_html(jobs),
        tab.stop: gr.update(visible=running),
        tab.timer: gr.Timer(active=running),
    }


def evaluations_html(jobs: Sequence[EvaluationJob]) -> str:
    return jobs_html(row_job_html(job, _result(job.result) if job.result else "") for job in jobs)


def _result(found: dict[str, Any]) -> str:
    metrics = found["metrics"]
    if found["kind"] == "multi":
        low, high = metrics["micro_f1_interval"]
        headline = f"Micro F1 {metrics['micro_f1']:.3f} (95 % sure: {low:.3f} to {high:.3f})"
    else:
        headline = f"Right on {percent(metrics['accuracy'])} (95 % sure: {interval(metrics['accuracy_interval'])})"
    notes = "".join(f'<li dir="auto">{escape(note)}</li>' for note in found["notes"])
    classes = "".join(
        f'<tr><th scope="row"><bdi>{escape(one["label"])}</bdi></th><td>{one["support"]:,}</td>'
        f"<td>{one['precision']:.3f}</td><td>{one['recall']:.3f}</td><td>{one['f1']:.3f}</td></tr>"
        for one in metrics["per_class"]
    )
    heads = "".join(f'<th scope="col">{name}</th>' for name in ("Class", "Rows", "Precision", "Recall", "F1"))
    return (
        f"<p><b>{headline}</b> of {found['scored']:,} rows, macro F1 {metrics['macro_f1']:.3f}.</p>"
        f'<ul class="td-notes">{notes}</ul><details><summary>Each class</summary><div class="td-classes">'
        f'<div class="td-scroll"><table><thead><tr>{heads}</tr></thead><tbody>{classes}</tbody></table></div></div>'
        "</details>"
    )
