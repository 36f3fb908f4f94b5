"""`launch.py leaderboard`: what the Runs page shows as its leaderboard, as text or JSON."""

import argparse

from core.cli.answer import Answer
from core.workspace import Workspace

NOTHING = (
    "No finished run can be compared yet. `python launch.py train --data FILE` makes one, "
    "`python launch.py demo` in about two minutes."
)


def leaderboard(_request: argparse.Namespace, workspace: Workspace) -> Answer:
    """A table for each set of test rows that runs share, the best first."""
    from core.evaluation.leaderboard import Board, Entry, as_json
    from core.evaluation.leaderboard import leaderboard as boards_of

    def line(entry: Entry, board: Board, wide: int) -> str:
        figures = entry.figures
        headline, interval = figures.accuracy, figures.accuracy_interval
        if board.several and figures.micro_f1_interval:
            headline, interval = figures.micro_f1, figures.micro_f1_interval
        cells = [
            f"{headline:.3f} ({interval[0]:.3f} to {interval[1]:.3f})",
            f"{figures.macro_f1:.3f} ({figures.macro_f1_interval[0]:.3f} to {figures.macro_f1_interval[1]:.3f})",
            _calibration(figures.calibration_error, figures.calibration_error_interval),
            _number(figures.rows_per_second, 1, ",.0f"),
            _number(figures.size_bytes, 1e6, ",.1f"),
            _number(figures.training_seconds, 1, ",.0f"),
            _number(figures.peak_memory_bytes, 1e6, ",.0f"),
        ]
        widths = (25, 25, 24, 9, 9, 9, 9)
        shown = "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        verdict = entry.against_best.words if entry.against_best else "the best"
        title = entry.title.replace(f" ({entry.run})", "")
        # Baselines of several runs are told apart by the run that they were measured with.
        run = "" if figures.rank == "baseline" and " (of " not in entry.title else entry.run
        return f"{title[:39]:<40}{run:<{wide}}{shown}  {verdict}"

    boards = boards_of(workspace)
    if not boards:
        return Answer(NOTHING, as_json(boards))
    lines = []
    for board in boards:
        figure = "micro F1" if board.several else "accuracy"
        wide = max(len(entry.run) for entry in board.entries)
        head = f"{'':<40}{'run':<{wide}}{figure + ' (95 % sure)':>25}{'macro F1 (95 % sure)':>25}"
        lines += [
            f"{board.data}: {board.rows:,} test rows, {board.classes:,} classes",
            f"{head}{'calib. (95 % sure)':>24}{'rows/s':>9}{'MB':>9}{'seconds':>9}{'peak MB':>9}",
            *(line(entry, board, wide) for entry in board.entries),
            board.sentence,
            "",
        ]
    return Answer("\n".join(lines[:-1]), as_json(boards))


def _calibration(error: float, bounds: list[float] | None) -> str:
    return f"{error:.3f}" if bounds is None else f"{error:.3f} ({bounds[0]:.3f} to {bounds[1]:.3f})"


def _number(value: float | None, unit: float, form: str) -> str:
    return "-" if value is None else format(value / unit, form)
