"""How good `quickstart-minilm`, or its encoder with other settings, gets from few rows, beside the baselines.

    python benchmarks/few_rows.py ROWS [ROWS ...] [--data DATA_SET ...] [--seeds N] [--set KEY=VALUE ...]

Needs ../shared/data beside the project. Of the data set's train file so many rows are drawn, anew by each seed, and
1,000 of the others are the test part; its test file is not read. Each line is a run of `launch.py train`: accuracy and
macro F1 of the model and of each baseline, and seconds in all.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from benchmarks.machine import heading  # noqa: E402  the project is found only now

SHARED_DATA = PROJECT.parent / "shared" / "data"
HELD_OUT = 1000
DATA_SETS = {
    "trec": ("trec/train.csv", ("text",), "label"),
    "trec_fine": ("trec/train.csv", ("text",), "fine_label"),
    "banking77": ("banking77/train.csv", ("text",), "category"),
    "sms_spam": ("sms_spam/train.csv", ("text",), "label"),
    "ag_news": ("ag_news/train_part.parquet", ("text",), "label"),
    "politifact": ("messy/politifact_cp1252.csv", ("News_Headline", "Source"), "Label"),
    "bbc_news": ("bbc_news/train.csv", ("title", "text"), "label"),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", type=int, nargs="+")
    parser.add_argument("--data", nargs="+", default=["trec", "banking77", "sms_spam", "ag_news"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--set", action="append", default=[])
    given = parser.parse_args()
    print(heading("torch", "transformers", "scikit-learn"), flush=True)
    for data in given.data:
        for rows in given.rows:
            for seed in range(1, given.seeds + 1):
                print(f"{data} {rows:,} rows, seed {seed}: {_told(data, rows, seed, given.set)}", flush=True)


def _told(data: str, rows: int, seed: int, settings: list[str]) -> str:
    file, texts, label = DATA_SETS[data]
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        _divide(SHARED_DATA / file, rows, seed, root)
        words = [word for column in texts for word in ("--text", column)]
        words += [word for setting in [f"training.seed={seed}", *settings] for word in ("--set", setting)]
        command = [sys.executable, PROJECT / "launch.py", "--no-venv", "--workspace", root / "w", "train", "--json"]
        command += ["--data", root / "train.csv", "--test", root / "test.csv", "--label", label, *words]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    test, others = answer["metrics"]["test"], answer["metrics"]["baselines"]
    figures = {"ours": test, **others}
    told = [f"{name} {figure['accuracy']:.3f}/{figure['macro_f1']:.3f}" for name, figure in figures.items()]
    return f"{', '.join(told)}, {answer['seconds']:.0f} s"


def _divide(source: Path, rows: int, seed: int, root: Path) -> None:
    """Write train.csv, so many rows of `source`, and test.csv, up to 1,000 others."""
    if source.suffix == ".parquet":
        frame = pd.read_parquet(source).astype("string")
    else:
        encoding = "cp1252" if "cp1252" in source.name else "utf-8"
        frame = pd.read_csv(source, dtype=str, keep_default_na=False, encoding=encoding)
    table = frame.to_dict("records")
    random.Random(seed).shuffle(table)
    pd.DataFrame(table[:rows]).to_csv(root / "train.csv", index=False)
    pd.DataFrame(table[rows : rows + HELD_OUT]).to_csv(root / "test.csv", index=False)


if __name__ == "__main__":
    main()
