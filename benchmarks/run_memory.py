"""Memory of whole runs on a processor beside what was forecast for them, on real data sets with rows of many lengths.

    python benchmarks/run_memory.py [NAME ...]

Needs ../shared/data beside the project. Each line is `launch.py train` on some rows of a data set for some steps, as
its worker itself told forecast and measurement. Those marked with * set the constants of core/training/memory.py; how
much the forecast is worth elsewhere is what the others say.
"""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

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


def main(names: list[str]) -> int:
    print(heading("torch", "transformers", "peft"))
    errors: dict[bool, list[float]] = {True: [], False: []}
    for case in CASES:
        if names and case.name not in names:
            continue
        told, taken = measured(case)
        error = told / taken - 1
        errors[case.sets_constants].append(error)
        mark = "*" if case.sets_constants else " "
        print(f"{case.name:54}{mark} {told / 1e9:.2f} GB told  {taken / 1e9:.2f} GB taken  {error:+6.1%}", flush=True)
    for words, sets in (("those that set the constants", True), ("the others", False)):
        within = sum(abs(error) <= GOAL for error in errors[sets])
        low = sum(error < TOO_LOW for error in errors[sets])
        print(f"{words}: within 10 % in {within} of {len(errors[sets])}, too low by more than 5 % in {low}")
    return 0


def measured(case: Case) -> tuple[int, int]:
    """Bytes told and taken, of the whole process."""
    with tempfile.TemporaryDirectory() as folder:
        train, test = (_some_rows(case.data, *part, folder) for part in (("train", TRAIN_ROWS), ("test", TEST_ROWS)))
        settings = (f"model.method={case.method}", f"training.max_steps={STEPS}", *case.more)
        words = ["--data", train, "--test", test, "--text", "text", "--label", case.label]
        words += [word for setting in settings for word in ("--set", setting)]
        command = [sys.executable, PROJECT / "launch.py", "--no-venv", "--workspace", folder, "train", *words]
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        store = open_store(Workspace(Path(folder)))
        [event] = store.events(store.runs(limit=1)[0].id, MEASURED)
        return event.detail["uncorrected_bytes"], event.detail["bytes"]


def _some_rows(data: str, part: str, rows: int, folder: str) -> str:
    chosen = Path(folder) / f"{part}.csv"
    read = f"read_csv('{SHARED_DATA / data / part}.csv', all_varchar = true)"
    duckdb.sql(f"SELECT * FROM {read} USING SAMPLE reservoir({rows} ROWS) REPEATABLE (1)").write_csv(str(chosen))
    return str(chosen)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
