"""Numbers, times and states of a run in the words that the page uses."""

import math
import time
from typing import Any

from core.durations import duration
from core.runs.store import Progress, Run

STATE_WORDS = {
    "queued": "Waiting in the queue",
    "running": "Starting",
    "stopping": "Stopping after this step",
    "stopped": "Stopped",
    "interrupted": "Interrupted",
    "failed": "Failed",
    "finished": "Finished",
}
METRIC_WORDS = {
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "accuracy": "accuracy",
    "weighted_f1": "weighted F1",
    "loss": "loss",
}
BASELINE_WORDS = {"majority": "Commonest class", "tfidf": "TF-IDF", "neighbours": "Nearest neighbours"}


def time_left(seconds: float) -> str:
    """Coarser the further away, so that the words do not flicker: `about 40 s left`, `1 min 40 s left`."""
    if seconds < 10:
        return "a few seconds left"
    step = 5 if seconds < 120 else 10 if seconds < 600 else 60
    return f"{duration(math.ceil(seconds / step) * step)} left"


def percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def figure_words(summary: dict[str, Any]) -> str:
    """What a finished run is worth, shortly: `96.6 % right`, `micro F1 0.674`, `perplexity 3.24`.

    '' where it was not measured.
    """
    if "test" not in summary:
        return ""
    if summary.get("task") == "chat":
        return f"perplexity {summary['test']['perplexity']:,.3g}"
    if summary.get("kind") == "multi":
        return f"micro F1 {summary['test']['micro_f1']:.3f}"
    return f"{percent(summary['test']['accuracy'])} right"


def interval(bounds: tuple[float, float] | list[float]) -> str:
    """`94.6 to 97.9`, in percent."""
    return f"{bounds[0] * 100:.1f} to {bounds[1] * 100:.1f}"


def size(count: float) -> str:
    """Bytes as `840 kB`, `91 MB`, `1.3 GB`."""
    if count < 1e6:
        return f"{max(1, round(count / 1e3))} kB"
    if count < 1e9:
        return f"{count / 1e6:.0f} MB"
    return f"{count / 1e9:.1f} GB"


def rows(count: int) -> str:
    return f"{count:,} row" if count == 1 else f"{count:,} rows"


def moment(seconds: float) -> str:
    """A time of day, with the date unless it is today's: `14:02`, `21 Nov, 14:02`."""
    then, now = time.localtime(seconds), time.localtime()
    clock = time.strftime("%H:%M", then)
    if then[:3] == now[:3]:
        return clock
    return f"{then.tm_mday} {time.strftime('%b', then)}, {clock}"


def state_words(run: Run) -> str:
    """The state, or what a running worker is doing: `Training`, `Reading data`."""
    if run.state == "running" and run.progress is not None:
        return run.progress.phase.capitalize()
    return STATE_WORDS[run.state]


def progress_words(progress: Progress) -> list[str]:
    """`step 340 of 513`, `epoch 2 of 3`; of a phase that counts rows `row 12 of 500`; nothing before that is known."""
    if not progress.total_steps:
        return []
    if not progress.epochs:
        return [f"row {progress.step:,} of {progress.total_steps:,}"]
    current = min(max(1, math.ceil(progress.epoch)), math.ceil(progress.epochs))
    return [f"step {progress.step:,} of {progress.total_steps:,}", f"epoch {current} of {progress.epochs:g}"]


def training_steps(progress: Progress | None) -> int:
    """Steps of the whole training, 0 where the phase counts rows or nothing: how far charts reach at least."""
    return progress.total_steps if progress is not None and progress.epochs else 0


def done_share(run: Run) -> float:
    """How much of the training, or of the phase that counts rows, is over: 0 to 1."""
    if run.state == "finished":
        return 1.0
    progress = run.progress
    if progress is None or not progress.total_steps:
        return 0.0
    return progress.step / progress.total_steps
