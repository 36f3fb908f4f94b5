"""Writing a trained model, and what is measured once, to the run folder, whole or not at all. Worker only, light."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from core.decision import AS_IT_IS, Decision
from core.evaluation.calibration import fitted_temperature
from core.evaluation.predictions import Predictions
from core.files import replacing, sync_file, sync_folder
from core.model_facts import MODEL_FACTS_FILE, NEWEST_VERSION
from core.training.job import Job


def save_model(
    job: Job,
    labels: Sequence[str],
    write: Callable[[Path], None],
    validation: Predictions | None = None,
    prompt_columns: Sequence[str] = (),
    thresholds: Sequence[float] = (),
    architecture: str = "",
) -> None:
    """`write` puts weights and tokenizer into a folder, which then takes its place; tunedesk.json goes with them.

    validation: what the model said of that part; of one class a row its temperature is fitted on it.
    """
    mapping, model = job.spec.mapping, job.spec.model
    decision = AS_IT_IS
    if validation is not None and mapping.kind == "single":
        decision = Decision(temperature=fitted_temperature(validation.true, validation.probabilities).value)
    facts = {
        "schema_version": NEWEST_VERSION,
        "run": job.folder.id,
        "name": job.spec.name,
        "preset": job.spec.preset,
        "base": model.source,
        "base_revision": model.revision,
        "family": model.family,
        "method": model.method,
        "double_quantization": model.double_quantization,
        "task": job.spec.task,
        "labels": list(labels),
        "max_length": model.max_length,
        "text_columns": list(mapping.text),
        "prompt_columns": list(prompt_columns),
        "joiner": mapping.joiner,
        "backslash_is_space": mapping.backslash_is_space,
        "text_template": mapping.text_template,
        "class_names": dict(mapping.class_names),
        "label_kind": mapping.kind,
        "architecture": architecture,
        "head": model.head,
        "head_size": model.head_size,
        "pooling": model.pooling,
        "thresholds": list(thresholds),
        "decision": asdict(decision),
    }
    partial = job.folder.root / "model.partial"
    shutil.rmtree(partial, ignore_errors=True)
    write(partial)
    (partial / MODEL_FACTS_FILE).write_text(json.dumps(facts, ensure_ascii=False, indent=1), encoding="utf-8")
    for written in partial.rglob("*"):
        if written.is_file():
            sync_file(written)
    sync_folder(partial)
    shutil.rmtree(job.folder.model, ignore_errors=True)
    partial.rename(job.folder.model)
    sync_folder(job.folder.root)


def measured_once(file: Path, measure: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """What `measure` gave when it was first asked, kept in an npz file, so that a resumed run need not ask again."""
    if not file.exists():
        measured = measure()
        with replacing(file) as partial, partial.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **measured)
    with np.load(file) as found:
        return dict(found)
