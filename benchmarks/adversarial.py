"""What adversarial training brings where classes have few rows, and what it costs: all sides in one run.

    python benchmarks/adversarial.py [NAME ...]

Needs ../shared/data beside the project. Each line is `launch.py train` with `quickstart-minilm` on some rows of a train
file, tested on other rows of the same file; test files are not read. Without, with, and with half the
epochs, which takes as long as without. Seconds are those of the whole run.
"""

import json
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
from core.epochs import suggested_epochs  # noqa: E402

SHARED_DATA = PROJECT.parent / "shared" / "data"


@dataclass(frozen=True)
class Case:
    data: str
    label: str
    train_rows: int
    test_rows: int
    seed: int = 1
    """Of the choice of rows."""

    classes: int = 0
    """Those that the epochs follow."""

    @property
    def name(self) -> str:
        return f"{self.data}/{self.label}/{self.train_rows}/{self.seed}"


CASES = [
    Case("trec", "label", 500, 1000),
    Case("trec", "fine_label", 2000, 1000, classes=50),
    Case("banking77", "category", 2000, 2000, classes=77),
    Case("trec", "fine_label", 4000, 1000, seed=2, classes=50),
]


def main(names: list[str]) -> int:
    print(heading("torch", "transformers"))
    for case in CASES:
        if names and case.name not in names:
            continue
        epochs = suggested_epochs(case.train_rows, case.classes)
        for side, word, passes in (("off", "off", epochs), ("on", "on", epochs), ("on, half", "on", epochs / 2)):
            run = trained(case, word, passes)
            test = run["metrics"]["test"]
            figures = f"accuracy {test['accuracy']:.4f}  macro F1 {test['macro_f1']:.4f}  {run['seconds']:5.0f} s"
            print(f"{case.name:28} {side:8}  {passes:2g} epochs  {figures}", flush=True)
    return 0


def trained(case: Case, word: str, epochs: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        train, test = _some_rows(case, Path(folder))
        settings = (
            f"training.adversarial={word}",
            f"training.epochs={epochs:g}",
            "evaluation.baselines=false",
        )
        words = ["--data", train, "--test", test, "--text", "text", "--label", case.label, "--json"]
        words += [word for setting in settings for word in ("--set", setting)]
        command = [sys.executable, PROJECT / "launch.py", "--no-venv", "--workspace", folder, "train", *words]
        said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, text=True).stdout
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


def _some_rows(case: Case, folder: Path) -> tuple[Path, Path]:
    """Of the train file, some to train on and others to test on."""
    read = f"read_csv('{SHARED_DATA / case.data / 'train.csv'}', all_varchar = true)"
    drawn = f"SELECT *, row_number() OVER (ORDER BY hash(text || {case.seed}), text) AS place FROM {read}"
    limits = ("train", 1, case.train_rows), ("test", case.train_rows + 1, case.train_rows + case.test_rows)
    for name, first, last in limits:
        rows = duckdb.sql(f"SELECT * EXCLUDE (place) FROM ({drawn}) WHERE place BETWEEN {first} AND {last}")
        rows.write_csv(str(folder / f"{name}.csv"))
    return folder / "train.csv", folder / "test.csv"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
