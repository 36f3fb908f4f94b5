"""The adapter of an encoder's LoRA run, which was kept when it was merged: adapter and head, without the base.

Light: no torch.
"""

from pathlib import Path

from core.export.bundle import copy_files, copy_tokenizer
from core.export_formats import Exported, exported_facts
from core.model_facts import run_model_facts
from core.workspace import RunFolder


def copy_adapter(folder: RunFolder, place: Path) -> Exported:
    facts = run_model_facts(folder)
    copy_files(folder.adapter, place, facts)
    copy_tokenizer(folder.model, place)
    return Exported(exported_facts(facts, "adapter"), "adapter")
