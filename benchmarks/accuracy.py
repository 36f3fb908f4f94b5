"""How good `quickstart-minilm` gets with its default settings, beside TF-IDF, on public data sets of many kinds.

    python benchmarks/accuracy.py [DATA_SET ...]

Needs ../shared/data beside the project. Each line is a run of `launch.py train` with nothing but the preset, the files
and the columns: the test part is read once, when training is over; settings were chosen on validation parts alone.
Seconds are the whole run's wall time, baselines and evaluation included. A mark is what the project holds itself to.
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

SHARED_DATA = PROJECT.parent / "shared" / "data"
PRESET = "quickstart-minilm"


@dataclass(frozen=True)
class DataSet:
    train: str
    test: str
    text: tuple[str, ...]
    label: str
    figures: tuple[str, ...] = ("accuracy", "macro_f1")
    mark: float = 0.0
    """Of the first figure; 0: none but to be above TF-IDF."""
    english: bool = True
    """Its base is English: of other languages no more is asked than that the report says how it compares."""
    more: tuple[str, ...] = ()
    """Further words of the command."""
    rows: str = ""
    """SQL over a file's rows, where it is not taken as it is: {file}."""


DATA_SETS = {
    "trec": DataSet("trec/train.csv", "trec/test.csv", ("text",), "label", mark=0.97),
    "trec_fine": DataSet("trec/train.csv", "trec/test.csv", ("text",), "fine_label", mark=0.92),
    "banking77": DataSet("banking77/train.csv", "banking77/test.csv", ("text",), "category", mark=0.94),
    "clinc150": DataSet(
        "clinc150/train.csv", "clinc150/test.csv", ("text",), "label", mark=0.96,
        rows="SELECT * FROM {file} WHERE label <> 'oos'",
    ),
    "sms_spam": DataSet("sms_spam/train.csv", "sms_spam/test.csv", ("text",), "label"),
    "bbc_news": DataSet("bbc_news/train.csv", "bbc_news/test.csv", ("title", "text"), "label"),
    "newsgroups_mini": DataSet(
        "newsgroups_mini/train.parquet", "newsgroups_mini/test.parquet", ("subject", "text"), "label"
    ),
    "ag_news": DataSet(
        "ag_news/train_part.parquet", "ag_news/test.csv", ("text",), "label", mark=0.93,
        # The train file's own text is title and description; in some of its rows there is nothing else.
        rows="SELECT label, coalesce(text, concat_ws(' ', title, description)) AS text FROM "
        "(SELECT * FROM {file} UNION ALL BY NAME SELECT NULL AS text WHERE false)",
    ),
    "arxiv": DataSet(
        "arxiv/train.parquet", "arxiv/test.parquet", ("title", "abstract"), "categories",
        figures=("micro_f1", "macro_f1"), more=("--multi", "--label-separator", ";"),
    ),
    "sentipers_fa": DataSet("sentipers_fa/train.csv", "sentipers_fa/test.csv", ("text",), "label", english=False),
    "rusentitweet": DataSet("rusentitweet/train.csv", "rusentitweet/test.csv", ("text",), "label", english=False),
}  # fmt: skip


def main(names: list[str]) -> int:
    print(heading("torch", "transformers", "scikit-learn"))
    reached = True
    with tempfile.TemporaryDirectory() as workspace:
        for name in names or DATA_SETS:
            reached &= _told(name, DATA_SETS[name], _trained(DATA_SETS[name], workspace))
    return 0 if reached else 1


def _trained(data: DataSet, workspace: str) -> dict[str, Any]:
    train, test = (_file(data, file, workspace) for file in (data.train, data.test))
    words = ["--data", train, "--test", test, "--label", data.label, *data.more]
    texts = [word for column in data.text for word in ("--text", column)]
    command = [
        sys.executable,
        PROJECT / "launch.py",
        "--no-venv",
        "--workspace",
        workspace,
        "train",
        "--preset",
        PRESET,
    ]
    told = subprocess.run(
        [*command, *words, *texts, "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
    )
    answer: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
    return answer


def _file(data: DataSet, file: str, workspace: str) -> Path:
    if not data.rows:
        return SHARED_DATA / file
    source = f"'{SHARED_DATA / file}'"
    table = f"read_parquet({source})" if file.endswith(".parquet") else f"read_csv({source}, all_varchar = true)"
    chosen = Path(workspace) / f"{Path(file).parent.name}_{Path(file).stem}.csv"
    duckdb.sql(data.rows.format(file=table)).write_csv(str(chosen))
    return chosen


def _told(name: str, data: DataSet, answer: dict[str, Any]) -> bool:
    test, tfidf = answer["metrics"]["test"], answer["metrics"]["baselines"]["tfidf"]
    figure = data.figures[0]
    beside = "  ".join(f"{word} {test[word]:.4f} (TF-IDF {tfidf[word]:.4f})" for word in data.figures)
    reached = bool(test[figure] >= data.mark if data.mark else not data.english or test[figure] > tfidf[figure])
    verdict = "reached" if reached else "MISSED"
    words = (
        f"mark {data.mark:g}: {verdict}" if data.mark else (f"above TF-IDF: {verdict}" if data.english else "no mark")
    )
    print(f"{name:13} {test['rows']:6,} rows  {beside}  {answer['seconds']:6.0f} s  {words}", flush=True)
    return reached


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
