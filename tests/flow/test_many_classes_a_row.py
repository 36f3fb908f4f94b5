"""A short run on real papers, of which each has some of very many subjects, most of them rare."""

import csv
import json
from pathlib import Path

import pytest

from core.runs.store import open_store
from core.runs.supervisor import submit
from core.spec_files import parse_spec
from core.training.job import Job
from core.training.worker import run

TRAIN, TEST = 1000, 400


@pytest.fixture
def papers(shared_data: Path, tmp_path: Path) -> dict[str, str]:
    """Titles and subjects of the first papers, in two files."""
    with (shared_data / "arxiv" / "sample_1500.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    paths = {}
    for name, part in {"train": rows[:TRAIN], "test": rows[TRAIN : TRAIN + TEST]}.items():
        path = tmp_path / f"{name}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["title", "categories"], extrasaction="ignore")
            writer.writeheader()
            writer.writerows(part)
        paths[name] = str(path)
    return paths


def test_the_defaults_learn_more_than_how_common_each_class_is(papers, workspace):
    spec = parse_spec(
        {
            "name": "papers",
            "data": {"train": {"path": papers["train"]}, "test": {"path": papers["test"]}},
            "mapping": {"text": ["title"], "label": "categories", "kind": "multi", "label_separator": ";"},
            "model": {"source": "packaged:all-MiniLM-L6-v2", "max_length": 48},
            "training": {"learning_rate": 2e-4, "layer_decay": 0.8},
        },
        "the test",
    )
    run_id = submit(workspace, spec)
    store = open_store(workspace)
    store.claim_next()
    run(Job(spec, workspace.run(run_id), store))
    report = json.loads((workspace.run(run_id).report / "report.json").read_text(encoding="utf-8"))
    for figure in ("micro_f1", "macro_f1"):
        for baseline in ("majority", "tfidf"):
            assert report["test"][figure] > report["baselines"][baseline][figure], (baseline, figure)
