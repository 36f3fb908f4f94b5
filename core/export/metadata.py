"""The metadata at the head of a model card, as the hub reads it."""

from collections.abc import Iterator
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from core.data.examples import DataFacts
from core.export.base import base_license, hub_id
from core.export_formats import Exported
from core.schema import RunSpec

PROGRAM = "Tunedesk"


def card_metadata(exported: Exported, spec: RunSpec, data: DataFacts, report: dict[str, Any] | None) -> ModelCardData:
    """report: the content of report.json, or None where the run was not evaluated."""
    facts = exported.facts
    license_stated, base = base_license(facts), hub_id(facts)
    results = list(_results(data, report)) if report and facts.task != "chat" else []
    more: dict[str, Any] = {}
    if base:
        # Never "quantized", also in 8 or 4 bits: that is for the base's own weights.
        more["base_model_relation"] = "adapter" if facts.is_adapter else "finetune"
    return ModelCardData(
        library_name=library(exported),
        pipeline_tag="text-classification" if facts.task == "classify" else "text-generation",
        tags=list(_tags(exported)),
        base_model=base,
        metrics=["accuracy", "f1"] if results else None,
        model_name=spec.name,
        eval_results=results or None,
        license=license_stated.get("license"),
        license_name=license_stated.get("license_name"),
        license_link=license_stated.get("license_link"),
        **more,
    )


def library(exported: Exported) -> str:
    """What loads the files, as the hub names libraries (https://huggingface.co/models?library=onnx, =gguf)."""
    if exported.format == "gguf":
        return "gguf"
    if exported.format == "onnx" or (exported.format == "server" and exported.facts.family == "encoder"):
        return "onnx"
    return "peft" if exported.facts.is_adapter else "transformers"


def _tags(exported: Exported) -> Iterator[str]:
    facts = exported.facts
    yield "conversational" if facts.task == "chat" else "text-classification"
    if facts.is_adapter:
        yield "lora"
    if facts.method == "qlora":
        yield "qlora"
    if facts.label_kind == "multi":
        yield "multi-label-classification"
    if exported.format == "gguf":
        yield "llama-cpp"
    if exported.precision:
        yield exported.precision
    yield PROGRAM.lower()


def _results(data: DataFacts, report: dict[str, Any]) -> Iterator[EvalResult]:
    test = report["test"]
    several = report.get("kind") == "multi"
    first = [("f1", "Micro F1", test["micro_f1"])] if several else []
    accuracy = "Subset accuracy" if several else "Accuracy"
    for kind, name, value in [
        *first, ("accuracy", accuracy, test["accuracy"]), ("f1", "Macro F1", test["macro_f1"]),
    ]:  # fmt: skip
        yield EvalResult(
            task_type="text-classification",
            task_name="Multi-label text classification" if several else "Text classification",
            dataset_type="local-file",
            dataset_name=str(data.files["test" if "test" in data.files else "train"]["name"]),
            dataset_split="test",
            metric_type=kind,
            metric_name=name,
            metric_value=round(value, 4),
        )
