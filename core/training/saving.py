"""Writing a trained model to the run's `model` folder, whole or not at all. Worker only, though light."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from core.model_facts import MODEL_FACTS_FILE, NEWEST_VERSION
from core.training.job import Job


def save_model(
    job: Job, labels: Sequence[str], write: Callable[[Path], None], prompt_columns: Sequence[str] = ()
) -> None:
    """`write` puts weights and tokenizer into a folder, which then takes its place; tunedesk.json goes with them."""
    mapping, model = job.spec.mapping, job.spec.model
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
        "class_names": dict(mapping.class_names),
    }
    partial = job.folder.root / "model.partial"
    shutil.rmtree(partial, ignore_errors=True)
    write(partial)
    (partial / MODEL_FACTS_FILE).write_text(json.dumps(facts, ensure_ascii=False, indent=1), encoding="utf-8")
    shutil.rmtree(job.folder.model, ignore_errors=True)
    partial.rename(job.folder.model)
