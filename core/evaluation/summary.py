"""What the store keeps of a report: the headline figures that lists and leaderboards show."""

from typing import Any

from core.evaluation.kinds import KIND_FIGURES
from core.schema import LabelKind


def summary_of(report: dict[str, Any]) -> dict[str, Any]:
    """From the content of report.json; an earlier Tunedesk's says neither kind nor what an untuned model said."""
    untuned = report.get("untuned")
    if report.get("task") == "chat":
        return {
            "task": "chat",
            "verdict": report["verdict"],
            "rows": report["parts"],
            "seconds": report["training"]["seconds"],
            **peak_and_forecast(report["training"]),
            "test": report["test"],
            **({"untuned": untuned} if untuned else {}),
        }
    kind: LabelKind = report.get("kind", "single")
    headline = ("rows", "accuracy", "accuracy_interval", "macro_f1", "weighted_f1", *KIND_FIGURES[kind])
    return {
        **({"kind": kind} if kind != "single" else {}),
        "verdict": report["verdict"],
        "labels": len(report["labels"]),
        "rows": report["parts"],
        "seconds": report["training"]["seconds"],
        **peak_and_forecast(report["training"]),
        "test": {name: report["test"][name] for name in headline},
        **({"untuned": {name: untuned[name] for name in headline}} if untuned else {}),
        "baselines": {
            name: {figure: scores[figure] for figure in headline} for name, scores in report["baselines"].items()
        },
        **({"folds": report["folds"]} if "folds" in report else {}),
    }


def peak_and_forecast(training: dict[str, Any]) -> dict[str, Any]:
    """`peak_bytes`, the most memory that a run held (on a GPU what torch held there, else the whole process), and
    `forecast` as the run began: bytes of the same and seconds, null where that was not known. Empty of an earlier
    Tunedesk's.

    training: of its report.
    """
    if "forecast" not in training:
        return {}
    told = training["forecast"] or {}
    on_gpu = training["peak_gpu_memory_bytes"] is not None
    is_of_this_device = on_gpu == (told.get("kind") == "cuda")
    return {
        "peak_bytes": training["peak_gpu_memory_bytes"] if on_gpu else training["peak_memory_bytes"],
        "forecast": {
            "bytes": told.get("compared_bytes") if is_of_this_device else None,
            "seconds": told.get("seconds") if is_of_this_device else None,
        },
    }
