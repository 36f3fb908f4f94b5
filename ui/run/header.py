"""The head of a run's page: what it is, how far it is, what went wrong, and what can be done with it."""

from html import escape

from core.durations import duration
from core.runs.heartbeat import silent_seconds
from core.runs.store import ACTIVE, Run
from ui.words import done_share, figure_words, moment, progress_words, state_words, time_left

AFTER_TRAINING = ("evaluating", "saving")


def header_html(run: Run, waiting: str = "") -> str:
    """The name, and the state with its dot. waiting: what a run in the queue waits for."""
    return (
        f'<div class="td-head"><h1 dir="auto" title="{escape(run.name)}">{escape(run.name)}</h1>'
        f'<p class="td-state"><span class="td-dot td-{run.state}"></span><strong>{escape(state_words(run))}</strong>'
        f"{''.join(f'<span>{escape(words)}</span>' for words in _facts(run, waiting))}</p></div>"
    )


def course_html(run: Run) -> str:
    """The progress bar, and where the run comes from. Its height never changes."""
    share = 1.0 if run.progress and run.progress.phase in AFTER_TRAINING else done_share(run)
    busy = run.state in ACTIVE and not 0 < share < 1
    kind = f"td-progress td-{run.state}{' td-busy' if busy else ''}"
    return (
        f'<div class="td-course"><div class="{kind}" role="progressbar" aria-label="Progress" aria-valuemin="0" '
        f'aria-valuemax="100" aria-valuenow="{share * 100:.0f}"><i style="width:{share * 100:.1f}%"></i></div>'
        f'<p class="td-origin" dir="auto">{escape(_origin(run))}</p></div>'
    )


def _facts(run: Run, waiting: str) -> list[str]:
    progress = run.progress
    if run.state in ACTIVE and progress is not None:
        left = [time_left(progress.seconds_left)] if progress.seconds_left and run.state == "running" else []
        silent = silent_seconds(run)
        quiet = [f"no sign of life for {duration(silent)}"] if silent else []
        return progress_words(progress) + left + quiet
    if run.state == "finished":
        return [*filter(None, [figure_words(run.summary)]), f"took {duration(run.seconds)}"]
    if run.state == "queued":
        return [waiting] if waiting else []
    return [*(progress_words(progress) if progress else []), f"ran for {duration(run.seconds)}"]


def _origin(run: Run) -> str:
    begun = f"started {moment(run.started)}" if run.started else f"made {moment(run.created)}"
    return f"{run.preset} on {run.data_name}, {begun}"


def trouble_html(run: Run, can_finish: bool = False) -> str:
    """Why a run stands still and what to do about it; empty where nothing is wrong.

    can_finish: what it has learned can be measured and kept as it is.
    """
    also = " Finish as it is trains no further: its best checkpoint is measured and kept." if can_finish else ""
    if run.state == "failed":
        cause = run.error or {"what": run.reason, "where": "", "todo": "The log below the charts holds the details."}
        return _trouble("td-bad", cause["what"], cause["todo"] + also, cause["where"], cause.get("log", ""))
    if run.state == "interrupted":
        todo = "Resume goes on from the last checkpoint; nothing before it is lost."
        cause = run.error or {"what": run.reason, "where": "", "todo": todo}
        return _trouble("td-warn", cause["what"], cause["todo"] + also, "", cause.get("log", ""))
    if run.state == "stopped":
        return _trouble("td-calm", run.reason, f"Resume goes on from where it stopped.{also}", "")
    return ""


def _trouble(kind: str, what: str, todo: str, where: str, log: str = "") -> str:
    place = f'<span class="td-where">{escape(where)}</span>' if where else ""
    lines = f"<details><summary>The last lines of its log</summary><pre>{escape(log)}</pre></details>" if log else ""
    return (
        f'<div class="td-trouble {kind}" role="status"><strong dir="auto">{escape(what)}</strong>'
        f"<p>{escape(todo)}</p>{place}{lines}</div>"
    )


def missing_html(run_id: str) -> str:
    return (
        '<div class="td-empty"><h2>There is no such run</h2>'
        f"<p>Nothing here is called <code>{escape(run_id)}</code>. "
        "It may have been deleted, or the address was cut.</p>"
        '<p><a href="/runs">See all runs</a> or <a href="/">start a new one</a>.</p></div>'
    )


def empty_html(title: str, words: str) -> str:
    """What a tab says before it has anything to show."""
    return f'<div class="td-empty"><h2>{escape(title)}</h2><p>{escape(words)}</p></div>'
