"""Jobs of a run as the page lists them: exports, publications, files that were labelled or measured on."""

from collections.abc import Iterable
from html import escape

from core.evaluation_jobs import EvaluationJob
from core.job_processes import State
from core.label_jobs import LabelJob
from ui.words import size, time_left


def jobs_html(jobs: Iterable[str]) -> str:
    """jobs: markup of each, the newest first."""
    items = "".join(jobs)
    return f'<ol class="td-jobs">{items}</ol>' if items else ""


def job_html(state: State, name: str, words: str, done: int, total: int, inside: str) -> str:
    """done, total: rows, bytes or whatever the job counts; total 0 where that is not known yet. inside: markup of what
    came of it."""
    share = 1.0 if state == "finished" else done / total if total else 0.0
    return (
        f'<li class="td-job td-job-{state}"><div><strong dir="auto">{escape(name)}</strong>'
        f"<span>{escape(words)}</span></div>"
        f'<div class="td-progress td-{state}"><i style="width:{share * 100:.1f}%"></i></div>{inside}</li>'
    )


def row_job_html(job: EvaluationJob | LabelJob, inside: str) -> str:
    """A job over the rows of a file."""
    return job_html(job.state, job.name, _words(job), job.done, job.total, inside)


def download_html(address: str, name: str, bytes_: int) -> str:
    return (
        f'<a class="td-download" href="{escape(address)}" download="{escape(name)}">Download {escape(name)}'
        f"<small>{size(bytes_)}</small></a>"
    )


def _words(job: EvaluationJob | LabelJob) -> str:
    if job.state == "failed" and job.error:
        return f"{job.error['what']} {job.error['todo']}"
    rows = f"{job.done:,} of {job.total:,} rows" if job.total else "reading the file"
    if job.state == "running":
        return f"{rows}, {time_left(job.seconds_left)}" if job.seconds_left is not None else rows
    return rows if job.state == "finished" else f"{job.state} after {rows}"
