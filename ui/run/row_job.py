"""One job over the rows of a file, as the page lists it: labelled (Try it), or measured on (Report)."""

from html import escape

from core.evaluation_jobs import EvaluationJob
from core.label_jobs import LabelJob
from ui.run.words import time_left


def row_job_html(job: EvaluationJob | LabelJob, inside: str) -> str:
    """inside: markup of what came of it."""
    share = job.done / job.total if job.total else 0.0
    return (
        f'<li class="td-job td-job-{job.state}"><div><strong dir="auto">{escape(job.name)}</strong>'
        f"<span>{escape(_words(job))}</span></div>"
        f'<div class="td-progress td-{job.state}"><i style="width:{share * 100:.1f}%"></i></div>{inside}</li>'
    )


def _words(job: EvaluationJob | LabelJob) -> str:
    if job.state == "failed" and job.error:
        return f"{job.error['what']} {job.error['todo']}"
    rows = f"{job.done:,} of {job.total:,} rows" if job.total else "reading the file"
    if job.state == "running":
        return f"{rows}, {time_left(job.seconds_left)}" if job.seconds_left is not None else rows
    return rows if job.state == "finished" else f"{job.state} after {rows}"
