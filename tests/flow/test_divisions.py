"""Runs whose rows are divided otherwise than by chance, through the real worker: groups, and cross-validation."""

import csv
import json
import shutil
import statistics
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from core.data.table import open_table
from core.evaluate_run import evaluate_file
from core.model_facts import joined_text, run_model_facts
from core.model_input import read_chunks
from core.runs.store import open_store
from core.runs.supervisor import resume, submit
from core.schema import MappingSpec, RunSpec, TableFile
from core.training import worker
from core.workspace import Workspace
from tests.flow.conftest import run_here, tiny_spec


def with_split(spec: RunSpec, **split: object) -> RunSpec:
    return RunSpec.model_validate(spec.model_dump() | {"split": split})


def test_grouped_run(questions: Path, tiny_bert: Path, workspace: Workspace) -> None:
    grouped = workspace.root / "grouped.csv"
    with questions.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with grouped.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "author"])
        writer.writerows((row["text"], row["label"], f"author {number // 9}") for number, row in enumerate(rows))
    spec = with_split(tiny_spec(grouped, tiny_bert), by="group", column="author", test=0.2)
    mapping = MappingSpec(
        text=("author", "text"), label="label", text_template="{author} asks: {text}", fold_label_variants=True
    )
    run = run_here(workspace, spec.model_copy(update={"mapping": mapping}))
    assert run.state == "finished", run.error
    assert _same_text_and_labels_on_a_new_file(workspace, run.id) == 3
    split = pq.read_table(workspace.run(run.id).split).to_pydict()
    parts: dict[int, set[str]] = {}
    for row, part in zip(split["row"], split["part"], strict=True):
        parts.setdefault(row // 9, set()).add(part)
    assert all(len(found) == 1 for found in parts.values())
    rows = run.summary["rows"]
    assert sum(rows.values()) == 240
    # On the run's own file: what it learned from is counted, said first, and tells nothing of a drift.
    own = evaluate_file(workspace, run.id, grouped)
    assert (own["scored"], own["seen"]) == (240, rows["train"] + rows["validation"])
    assert own["notes"][0].startswith(f"{own['seen']} of the 240 rows that are scored have a text that the model")
    assert own["drift"] is not None
    assert abs(rows["test"] - 48) < 9 and abs(rows["validation"] - 24) < 9


def _same_text_and_labels_on_a_new_file(workspace: Workspace, run_id: str) -> int:
    """Rows scored of a file whose columns stand in another order and whose labels are spelled otherwise."""
    new = workspace.root / "new.csv"
    new.write_text("label,text,author\nhum,Who wrote it ?,a\n LOC ,Where is it ?,b\nnum,When was it ?,c\n")
    facts = run_model_facts(workspace.run(run_id))
    table = open_table(TableFile(path=str(new)), workspace)
    ((texts, _),) = read_chunks(table, facts, facts.text_columns, [])
    assert texts[0] == joined_text(facts, ["a", "Who wrote it ?"]) == "a asks: Who wrote it ?"
    return int(evaluate_file(workspace, run_id, new)["scored"])


def test_folds_are_gone_on_with_and_summed_up(
    questions: Path, tiny_bert: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(workspace)
    measure, measured = worker._measured, []

    def counting(job, facts):
        measured.append(job.folder.id)
        if measured[-1] == "fold-3" and measured.count("fold-3") == 1:
            store.move(run_id, ["running"], "stopping")
        return measure(job, facts)

    monkeypatch.setattr(worker, "_measured", counting)
    run_id = submit(workspace, with_split(tiny_spec(questions, tiny_bert), folds=3))
    folder = workspace.run(run_id)
    store.claim_next()
    worker.main(str(folder.root))
    assert store.run(run_id).state == "stopped"
    assert measured == [run_id, "fold-2", "fold-3"]
    resume(workspace, run_id)
    store.claim_next()
    worker.main(str(folder.root))
    run = store.run(run_id)
    assert run.state == "finished", run.error
    assert measured == [run_id, "fold-2", "fold-3", "fold-3"]

    folds = run.summary["folds"]
    assert (folds["measured"], folds["rows"]) == (3, 240)
    accuracy = folds["test"]["accuracy"]
    assert accuracy["values"][0] == run.summary["test"]["accuracy"]
    assert accuracy["mean"] == pytest.approx(statistics.fmean(accuracy["values"]))
    assert accuracy["spread"] == pytest.approx(statistics.stdev(accuracy["values"]))
    assert set(folds["baselines"]) == set(run.summary["baselines"])
    report = json.loads((folder.report / "report.json").read_text(encoding="utf-8"))
    assert "over 3 folds with 240 tested rows" in report["verdict"]
    assert "over 3 folds with 240 tested rows" in (folder.report / "report.html").read_text(encoding="utf-8")
    assert (folder.model / "model.safetensors").exists()
    assert not list(folder.root.glob("folds/runs/*/model"))
    assert not folder.checkpoints.exists()
    shutil.rmtree(folder.root / "folds")
