"""Real files and a small real model for flows through the real worker process."""

import csv
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

from core.models.source import packaged_encoder
from core.runs.store import Run, open_store
from core.runs.supervisor import submit
from core.schema import RunSpec
from core.spec_files import parse_spec
from core.workspace import Workspace
from tests.elsewhere import Elsewhere

QUESTIONS = {
    "HUM": ("Who wrote {} ?", "Which president signed {} ?", "What person founded {} ?"),
    "LOC": ("Where is {} ?", "What country borders {} ?", "Which city is near {} ?"),
    "NUM": ("How many people saw {} ?", "How far away is {} ?", "When did {} begin ?"),
}
THINGS = ("the river", "Hamlet", "the railway", "the treaty", "a volcano", "the library", "the bridge", "the museum")


@pytest.fixture(autouse=True)
def one_thread_each(monkeypatch):
    """A tiny model gains nothing from a second thread, and waits for it where other tests keep the cores busy."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def questions(tmp_path_factory) -> Path:
    """A CSV of 240 questions in three classes that a model can learn from their first words."""
    path = tmp_path_factory.mktemp("data") / "questions.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for number in range(240):
            label = list(QUESTIONS)[number % 3]
            template = QUESTIONS[label][number // 3 % 3]
            writer.writerow([template.format(f"{THINGS[number // 9 % 8]} {number}"), label])
    return path


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory) -> Path:
    """A BERT of four narrow layers with random weights and a real tokenizer, as a local folder."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "tiny-bert"
    config = BertConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=64, max_position_embeddings=128
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(packaged_encoder()).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def elsewhere() -> Iterator[Elsewhere]:
    process = Elsewhere()
    yield process
    process.close()


def run_here(workspace: Workspace, spec: RunSpec) -> Run:
    """Submit a run and take it to its end in this process."""
    return to_end_here(workspace, submit(workspace, spec))


def to_end_here(workspace: Workspace, run_id: str) -> Run:
    """Take a queued run to its end by the worker's own entry point, in this process.

    A worker process imports for ten seconds before it begins: those that test the process have one, others this.
    """
    # Only where it is needed: the worker takes seconds to import.
    from core.training.worker import main

    store = open_store(workspace)
    folder = workspace.run(run_id)
    with folder.log.open("a", encoding="utf-8") as log, redirect_stdout(log), redirect_stderr(log):
        while store.run(run_id).state == "queued":
            claimed = store.claim_next()
            assert claimed is not None and claimed.id == run_id
            main(str(folder.root))
    return store.run(run_id)


def tiny_spec(questions: Path, tiny_bert: Path, model: dict | None = None, **training) -> RunSpec:
    """A run of a few steps on the tiny model."""
    return parse_spec(
        {
            "name": "tiny",
            "data": {"train": {"path": str(questions)}},
            "mapping": {"text": ["text"], "label": "label"},
            "model": {"source": str(tiny_bert), "max_length": 32, **(model or {})},
            "training": {"max_steps": 8, "batch_size": 16, "learning_rate": 1e-3, **training},
        },
        "the test",
    )
