"""Memory and time of whole runs on a processor beside what was forecast, on real data sets with rows of many lengths.

    python benchmarks/run_memory.py [NAME ...]

Needs ../shared/data beside the project. Each line is `launch.py train` on some rows of a data set for some steps,
without baselines, as its worker itself told forecast and measurement. Those marked with * set the constants of
core/training/memory.py; how much the forecast is worth elsewhere is what the others say. Memory is told without the
correction by earlier runs; time rests on the runs before it in this list, so that the first has none.
"""

import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from benchmarks.machine import heading  # noqa: E402  the project is found only now
from core.runs.store import open_store  # noqa: E402
from core.training.measuring import MEASURED  # noqa: E402
from core.workspace import Workspace  # noqa: E402

SHARED_DATA = PROJECT.parent / "shared" / "data"
TRAIN_ROWS, TEST_ROWS, STEPS = 1500, 100, 80
GOAL, TOO_LOW = 0.10, -0.05


@dataclass(frozen=True)
class Case:
    data: str
    label: str = "label"
    method: str = "full"
    more: tuple[str, ...] = ()
    """Further settings."""
    sets_constants: bool = False

    @property
    def name(self) -> str:
        return "/".join((self.data, self.method, *(setting.split(".")[-1] for setting in self.more)))


FROZEN = ("model.frozen_layers=4", "training.prefix_cache=off")
CASES = [
    Case("trec", sets_constants=True),
    Case("sentipers_fa", sets_constants=True),
    Case("sentipers_fa", method="freeze", more=FROZEN, sets_constants=True),
    Case("rusentitweet", method="lora", sets_constants=True),
    Case("banking77", label="category"),
    Case("waimai_zh"),
    Case("bbc_news"),
    Case("bbc_news", more=("training.batch_size=8",)),
    Case("sentipers_fa", more=("model.max_length=128",)),
    Case("bbc_news", method="freeze", more=(*FROZEN, "model.max_length=128")),
    Case("clinc150", method="lora"),
    Case("waimai_zh", method="head", more=("training.prefix_cache=off",)),
]


def main(names: list[str], workspace: Workspace) -> int:
    print(heading("torch", "transformers", "peft"))
    errors: dict[bool, list[float]] = {True: [], False: []}
    times: list[float] = []
    for case in CASES:
        if names and case.name not in names:
            continue
        run = measured(case, workspace)
        told, taken = run["uncorrected_bytes"], run["bytes"]
        error = told / taken - 1
        errors[case.sets_constants].append(error)
        mark = "*" if case.sets_constants else " "
        line = f"{case.name:54}{mark} {told / 1e9:.2f} GB told  {taken / 1e9:.2f} GB taken  {error:+6.1%}"
        if run["forecast_seconds"] is not None:
            seconds = run["seconds"]
            times.append(run["forecast_seconds"] / seconds - 1)
            line += f"  {run['forecast_seconds']:4.0f} s told  {seconds:4.0f} s taken  {times[-1]:+6.1%}"
        print(line, flush=True)
    for words, sets in (("those that set the constants", True), ("the others", False)):
        within = sum(abs(error) <= GOAL for error in errors[sets])
        low = sum(error < TOO_LOW for error in errors[sets])
        print(f"{words}: within 10 % in {within} of {len(errors[sets])}, too low by more than 5 % in {low}")
    if times:
        apart = [abs(error) for error in times]
        print(f"time: {statistics.median(apart):.0%} off in the median, {max(apart):.0%} at most, of {len(times)}")
    return 0


def measured(case: Case, workspace: Workspace) -> dict[str, Any]:
    """What the run itself has kept of forecast and measurement: bytes of the whole process, seconds."""
    with tempfile.TemporaryDirectory() as folder:
        train, test = (_some_rows(case.data, *part, folder) for part in (("train", TRAIN_ROWS), ("test", TEST_ROWS)))
        settings = (
            f"model.method={case.method}",
            f"training.max_steps={STEPS}",
            "evaluation.baselines=false",
            *case.more,
        )
        words = ["--data", train, "--test", test, "--text", "text", "--label", case.label]
        words += [word for setting in settings for word in ("--set", setting)]
        command = [sys.executable, PROJECT / "launch.py", "--no-venv", "--workspace", workspace.root, "train", *words]
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        store = open_store(workspace)
        [event] = store.events(store.runs(limit=1)[0].id, MEASURED)
        return dict(event.detail)


def _some_rows(data: str, part: str, rows: int, folder: str) -> str:
    chosen = Path(folder) / f"{part}.csv"
    read = f"read_csv('{SHARED_DATA / data / part}.csv', all_varchar = true)"
    duckdb.sql(f"SELECT * FROM {read} USING SAMPLE reservoir({rows} ROWS) REPEATABLE (1)").write_csv(str(chosen))
    return str(chosen)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as kept:
        sys.exit(main(sys.argv[1:], Workspace(Path(kept))))
