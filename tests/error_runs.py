"""Finished runs on real files, split for real, whose model is TF-IDF with logistic regression: errors worth looking at,
in seconds."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from core.data.examples import DataFacts, label_array
from core.data.split import read_examples, write_split
from core.evaluation.predictions import Predictions
from core.evaluation.report import write_report
from core.runs.store import open_store
from core.spec_files import parse_spec, spec_yaml
from core.workspace import RunFolder, Workspace
from tests.label_kinds import MACHINE, KindRun, Part


def split_file(workspace: Workspace, run_id: str, path: Path, mapping: dict[str, Any], **spec: Any) -> KindRun:
    """A run over a file of one class a row, up to its frozen split."""
    data = {"train": {"path": str(path)}, **spec.pop("data", {})}
    parsed = parse_spec({"name": "Questions", "data": data, "mapping": mapping, **spec}, "test")
    folder = workspace.run(run_id)
    folder.root.mkdir(parents=True)
    folder.spec.write_text(spec_yaml(parsed), encoding="utf-8")
    facts = write_split(parsed, workspace, folder)
    return KindRun(folder, parsed, facts, parts_of(folder, facts))


def parts_of(folder: RunFolder, facts: DataFacts) -> dict[str, Part]:
    parts = {}
    for name in ("train", "validation", "test"):
        examples = read_examples(folder, name)
        labels = label_array(examples["label"], facts)
        parts[name] = Part(examples["row_id"].to_numpy(), examples["text"].to_pylist(), labels, {})
    return parts


def measured(run: KindRun) -> dict[str, Any]:
    """Its report, with what a linear model of words says."""
    train = run.parts["train"]
    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2)
    model = LogisticRegression(C=10, max_iter=300).fit(words.fit_transform(train.texts), train.labels)
    assert len(model.classes_) == len(run.facts.labels)
    said = {
        name: Predictions(
            part.row_ids, part.labels, model.predict_proba(words.transform(part.texts)).astype(np.float32)
        )
        for name, part in run.parts.items()
        if name != "train"
    }
    training = {"steps": 1, "epochs": 1.0, "seconds": 1.0, "best": {"name": "macro_f1", "value": 0.5, "step": 1}}
    return write_report(
        run.folder, run.spec, run.facts, test=said["test"], validation=said["validation"], baselines=[],
        training={**training, "history": [], "machine": MACHINE},
    )  # fmt: skip


def finished(workspace: Workspace, folder: RunFolder, report: dict[str, Any]) -> None:
    """The run in the store, as its page needs it."""
    # Finished from the start: a server that is at work here would take a run that stands in the queue.
    values = {
        "id": folder.id, "name": "Questions", "state": "finished", "preset": "quickstart-minilm",
        "model": "packaged:all-MiniLM-L6-v2", "data_name": "questions.csv",
        "created": time.time(), "ended": time.time(),
        "summary": json.dumps({"test": report["test"], "verdict": report["verdict"]}),
    }  # fmt: skip
    open_store(workspace).put_back_run(values, [], [])
