"""Waits for a run on the command line: shows how it goes, passes a stop on, and says what came of it."""

import contextlib
import json
import shutil
import signal
import sys
from typing import Any

from core.cli.answer import DONE, RUN_FAILED, STOPPED, Answer, note
from core.errors import UserError
from core.runs.store import Run
from core.runs.supervisor import run_to_end, stop
from core.workspace import Workspace


def follow(run_id: str, workspace: Workspace) -> Answer:
    """Wait for a run and show how it goes. Ctrl-C, or the system's SIGTERM, asks it to stop and waits for that."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    display = _Display()
    try:
        run = run_to_end(workspace, run_id, display.show)
    except KeyboardInterrupt:
        display.end_line()
        note("Stopping: the run finishes its step and saves a checkpoint. (Ctrl-C again: do not wait for that.)")
        with contextlib.suppress(UserError):  # it came to its end just before
            stop(workspace, run_id)
        run = run_to_end(workspace, run_id, display.show)
    display.end_line()
    return _outcome(run, workspace)


class _Display:
    """A run's progress on standard error: one live line on a terminal, else a line for each phase and tenth."""

    def __init__(self) -> None:
        self.live = sys.stderr.isatty()
        self.shown: tuple[object, ...] = ()

    def show(self, run: Run) -> None:
        progress = run.progress
        if progress is None:
            self._write(run.state, (run.state,))
            return
        parts = [progress.phase]
        tenth = 0
        if progress.total_steps:
            # Only training has epochs; other phases count rows.
            unit = "step" if progress.epochs else "row"
            parts.append(f"{unit} {progress.step} of {progress.total_steps}")
            tenth = 10 * progress.step // progress.total_steps
        if progress.seconds_left is not None:
            parts.append(f"{progress.seconds_left:.0f} s left")
        if progress.best is not None:
            parts.append(f"best {progress.best.name} {progress.best.value:.3f} at step {progress.best.step}")
        best = progress.best.step if progress.best else None
        self._write(", ".join(parts), (run.state, progress.phase, tenth, best))

    def _write(self, text: str, mark: tuple[object, ...]) -> None:
        if self.live:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write("\r" + text[:width].ljust(width))
            sys.stderr.flush()
        elif mark != self.shown:
            note(text)
        self.shown = mark

    def end_line(self) -> None:
        if self.live:
            note("")


def _outcome(run: Run, workspace: Workspace) -> Answer:
    folder = workspace.run(run.id)
    content: dict[str, Any] = {"run": run.id, "status": run.state, "seconds": round(run.seconds, 1), "metrics": {}}
    if run.state == "finished":
        report = json.loads((folder.report / "report.json").read_text(encoding="utf-8"))
        content["report"] = str(folder.report / "report.html")
        content |= {"verdict": report["verdict"], "tone": report["tone"]}
        if report.get("task") == "chat":
            content["metrics"] = {name: report[name] for name in ("test", "untuned") if report[name]}
            return Answer(_chat_summary(run, report, content), content, DONE)
        content["metrics"] = {
            "test": _figures(report["test"]),
            "validation": _figures(report["validation"]),
            "baselines": {name: _figures(figures) for name, figures in report["baselines"].items()},
            **({"untuned": _figures(report["untuned"])} if report["untuned"] else {}),
        }
        return Answer(_summary(run, report, content), content, DONE)
    if run.state == "stopped":
        note(f"{run.reason} `python launch.py resume {run.id}` goes on with it.")
        return Answer("", content, STOPPED)
    error = run.error or {"what": run.reason, "where": str(folder.log), "todo": "Read the end of the log."}
    note(f"The run {run.state}: {error['what']}\n  where: {error['where']}\n  what to do: {error['todo']}")
    if run.state == "interrupted":
        note(f"`python launch.py resume {run.id}` goes on from its last checkpoint.")
    parts = {name: error[name] for name in ("what", "where", "todo")}
    return Answer("", {**content, "error": parts, "log": error.get("log", "")}, RUN_FAILED)


def _figures(metrics: dict[str, Any]) -> dict[str, Any]:
    """A part's single figures and the interval of its accuracy; the tables stand in report.json."""
    kept = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
    return {**kept, "accuracy_interval": metrics["accuracy_interval"]}


def _summary(run: Run, report: dict[str, Any], content: dict[str, Any]) -> str:
    before = {"before training": report["untuned"]} if report["untuned"] else {}
    rows = {"this model": report["test"], **before, **report["baselines"]}
    first, title = ("micro_f1", "micro F1") if report["kind"] == "multi" else ("accuracy", "accuracy")
    lines = [report["verdict"], "", f"{'on the test rows':<20}{title:>10}{'macro F1':>10}"]
    for name, figures in rows.items():
        lines.append(f"{name:<20}{figures[first]:>10.3f}{figures['macro_f1']:>10.3f}")
    lines += [
        "",
        f"Run {run.id}, {run.seconds:.0f} s. Report: {content['report']}",
        f"Label a file:  python launch.py predict {run.id} IN OUT",
        f"Take it away:  python launch.py export {run.id} --to DIR",
    ]
    return "\n".join(lines)


def _chat_summary(run: Run, report: dict[str, Any], content: dict[str, Any]) -> str:
    rows = {"before training": report["untuned"], "after training": report["test"]}
    lines = [report["verdict"], "", f"{'on the test rows':<20}{'loss':>10}{'perplexity':>12}"]
    for name, figures in rows.items():
        if figures:
            lines.append(f"{name:<20}{figures['loss']:>10.4f}{figures['perplexity']:>12.2f}")
    lines += [
        "",
        f"Run {run.id}, {run.seconds:.0f} s. Report: {content['report']}",
        f"Take it away:  python launch.py export {run.id} --to DIR",
    ]
    return "\n".join(lines)
