"""A run that learned from conversations, as it stands when it has finished, made without training."""

import json
from pathlib import Path
from typing import Any

from core.data.split import write_split
from core.evaluation.chat_report import ChatSample, write_chat_report
from core.presets import find_preset, preset_spec
from core.runs.store import open_store
from core.schema import ChatColumns, DataSpec, MappingSpec, RunSpec, TableFile
from core.spec_files import spec_yaml
from core.workspace import RunFolder, Workspace
from tests.run_folders import add_running

TUNED = {"loss": 1.2, "perplexity": 3.3201, "tokens": 900}
UNTUNED = {"loss": 1.7, "perplexity": 5.4739, "tokens": 900}
HISTORY = [
    {"name": name, "step": step, "value": 2.0 - step / 40}
    for step in range(10, 40, 10)
    for name in ("train/loss", "validation/loss")
]
TRAINING: dict[str, Any] = {
    "steps": 30,
    "epochs": 3.0,
    "seconds": 61.0,
    "best": {"name": "loss", "value": 1.25, "step": 30},
    "history": HISTORY,
    "machine": {"gpu": None, "processor": "a processor", "memory_bytes": 2**33, "versions": {"torch": "2.14.1"}},
}


def chat_spec(file: Path, **columns: str) -> RunSpec:
    """A run of the smallest language model on a file's conversations; columns: those of core.schema.ChatColumns."""
    form = ChatColumns(**(columns or {"instruction": "instruction", "response": "output"}))
    data = DataSpec(train=TableFile(path=str(file)))
    return preset_spec(find_preset("llama-3.2-1b-4bit"), data, MappingSpec(kind="none", chat=form))


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_chat_run(workspace: Workspace, run_id: str, words: str = "Why?") -> RunFolder:
    """A finished run in the store and on disk, without weights; `words` stand in every text that data can hold."""
    rows = [{"instruction": f"{words} {number}", "output": f"Because {words} {number}"} for number in range(60)]
    spec = chat_spec(write_lines(workspace.root / "talks.jsonl", rows)).model_copy(update={"name": words})
    folder = workspace.run(run_id)
    facts = write_split(spec, workspace, folder)
    folder.spec.write_text(spec_yaml(spec), encoding="utf-8")
    sample = ChatSample([{"role": "user", "content": words}], f"Because {words}", f"No {words}", f"Yes {words}")
    scores = {"tuned": TUNED, "untuned": UNTUNED}
    report = write_chat_report(folder, spec, facts, scores=scores, samples=[sample] * 2, training=TRAINING)
    folder.model.mkdir()
    (folder.model / "tunedesk.json").write_text(json.dumps(_model_facts(run_id, spec)), encoding="utf-8")
    store = open_store(workspace)
    add_running(store, run_id, spec.name, spec.preset, spec.model.source, "talks.jsonl")
    summary = {
        "task": "chat", "verdict": report["verdict"], "seconds": 61.0, "rows": report["parts"],
        "test": report["test"], "untuned": report["untuned"],
    }  # fmt: skip
    for point in HISTORY:
        store.add_metrics(run_id, point["step"], {point["name"]: point["value"]})
    store.move(run_id, ["running"], "finished", summary=summary)
    return folder


def _model_facts(run_id: str, spec: RunSpec) -> dict[str, Any]:
    return {
        "schema_version": 2, "run": run_id, "name": spec.name, "preset": spec.preset, "base": spec.model.source,
        "base_revision": None, "method": spec.model.method, "labels": [], "max_length": spec.model.max_length,
        "text_columns": [], "joiner": " ", "backslash_is_space": False, "class_names": {}, "family": "causal",
        "task": "chat", "prompt_columns": [],
    }  # fmt: skip
