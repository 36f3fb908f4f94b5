"""How long the run list and a run's charts take to read from a store of 1,000 runs and 5 million metric points.

    python -m benchmarks.store_size [--runs N] [--points N] [--keep DIR]

Prints for each reading the median and the longest of some repetitions, and the median of its own time on the processor,
which is what remains of it on a computer that does nothing else: in milliseconds. One run of them has a million
points, a thousand times what training writes (callbacks log at most some hundred steps a curve), so that thinning has
something to thin. Written is one transaction a run, which says nothing of how fast a worker writes.
"""

import argparse
import math
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.machine import heading
from core.runs.store import Store, open_store
from core.workspace import Workspace, open_workspace
from ui.run.live import DRAWN, curves_html

REPETITIONS = 15
LARGEST = 1_000_000
SUMMARY = {
    "verdict": "Right on 96.6 % of 500 unseen questions (95 % sure: 94.8 to 98.0).",
    "labels": 6,
    "rows": {"train": 4906, "validation": 546, "test": 500},
    "test": {"rows": 500, "accuracy": 0.966, "accuracy_interval": [0.948, 0.98], "macro_f1": 0.958},
    "baselines": {"tfidf": {"rows": 500, "accuracy": 0.892, "accuracy_interval": [0.861, 0.917], "macro_f1": 0.88}},
}


def fill(store: Store, runs: int, points: int) -> str:
    """Returns the id of the run with the most points."""
    numbers = random.Random(0)
    each = (points - LARGEST) // (runs - 1)
    for run in range(runs):
        run_id = f"20261101-000000-{run:04x}"
        count = LARGEST if run == 0 else each
        steps = count // len(DRAWN)
        rows = [
            (name, step, math.exp(-step / steps) + numbers.random() / 10, 1.7e9 + step)
            for name in DRAWN
            for step in range(1, steps + 1)
        ]
        values: dict[str, Any] = {
            "id": run_id, "name": f"questions {run}", "state": "finished", "reason": "", "preset": "quickstart-minilm",
            "model": "packaged", "data_name": "questions.csv", "created": 1.7e9 + run, "started": 1.7e9 + run,
            "ended": 1.7e9 + run + 60, "seconds": 60.0, "summary": str(SUMMARY).replace("'", '"'),
        }  # fmt: skip
        store.put_back_run(values, rows, [(1.7e9, "queued", {}), (1.7e9, "running", {}), (1.7e9, "finished", {})])
    return "20261101-000000-0000"


def measured(title: str, read: Callable[[], object], repetitions: int = REPETITIONS) -> None:
    seconds, own = [], []
    for _ in range(repetitions):
        began, own_began = time.perf_counter(), time.process_time()
        read()
        seconds.append(time.perf_counter() - began)
        own.append(time.process_time() - own_began)
    figures = (statistics.median(seconds), max(seconds), statistics.median(own))
    print(f"{title:<60}" + "".join(f"{figure * 1000:>10.1f}" for figure in figures), flush=True)


def measure(workspace: Workspace, runs: int, points: int) -> None:
    store = open_store(workspace)
    began = time.perf_counter()
    largest = fill(store, runs, points)
    usual = f"20261101-000000-{runs // 2:04x}"
    size = workspace.database.stat().st_size / 1e6
    print(f"{runs:,} runs, {points:,} points: {size:,.0f} MB, filled in {time.perf_counter() - began:.0f} s")
    print(f"{'reading, milliseconds':<60}{'median':>10}{'longest':>10}{'processor':>10}")
    measured("the store opened, as each page does", lambda: open_store(workspace))
    measured(f"all {runs:,} runs", lambda: store.runs(limit=runs))
    measured("the last 50 runs", lambda: store.runs(limit=50))
    for run_id, words in ((usual, "a run of the usual size"), (largest, "the run of 1,000,000 points")):
        count = sum(1 for _ in store.metrics(run_id)) if run_id == usual else LARGEST
        read = partial(store.curves, run_id, DRAWN)
        measured(f"chart data, {words} ({count:,} points)", read, REPETITIONS if run_id == usual else 3)
    curves: dict[str, Any] = {name: [] for name in DRAWN}
    for point in store.curves(largest, DRAWN):
        curves[point.name].append(point)
    print(f"drawn of the 1,000,000 points: {sum(map(len, curves.values())):,}")
    measured("and as markup of the page", lambda: curves_html(curves, None, "macro_f1"))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--runs", type=int, default=1000)
    options.add_argument("--points", type=int, default=5_000_000)
    options.add_argument("--keep", metavar="DIR", help="make the workspace here and leave it")
    given = options.parse_args()
    print(heading("gradio"))
    print("load of the computer meanwhile:", " ".join(f"{load:.1f}" for load in os.getloadavg()))
    with tempfile.TemporaryDirectory() as folder:
        measure(open_workspace(Path(given.keep or folder) / "workspace"), given.runs, given.points)


if __name__ == "__main__":
    main()
