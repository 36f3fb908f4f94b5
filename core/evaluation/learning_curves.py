"""The learning curves of a report, read from its history: loss, and the figures of the validation part."""

from collections.abc import Mapping
from typing import Any

from core.evaluation.charts import Drawing, Line, line_drawing

Report = Mapping[str, Any]
"""The content of report.json."""
WORDS = {"accuracy": "accuracy", "macro_f1": "macro F1", "micro_f1": "micro F1"}


def history_of(report: Report) -> dict[str, list[tuple[float, float]]]:
    """(step, value) of each curve of training, by its name."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for point in report["training"]["history"]:
        curves.setdefault(point["name"], []).append((point["step"], point["value"]))
    return curves


def loss_drawing(report: Report) -> Drawing | None:
    curves = history_of(report)
    lines = [
        Line("training", "train", curves.get("train/loss", [])),
        Line("validation", "validation", curves.get("validation/loss", [])),
    ]
    baseline = curves.get("baseline/tfidf/loss", [])
    references = [(f"TF-IDF {value:.3f}", value) for _, value in baseline]
    return line_drawing("Loss", lines, references, report["training"]["best"]["step"])


def validation_drawing(report: Report) -> Drawing | None:
    """Macro F1 with accuracy, or with micro F1 where a row may have several classes."""
    curves = history_of(report)
    several = report.get("kind") == "multi"
    references = []
    if "tfidf" in report["baselines"]:
        to_beat = report["baselines"]["tfidf"]["validation"]["macro_f1"]
        if several and curves.get("baseline/tfidf/macro_f1"):
            # With thresholds of one half, as the curve is; the report's own are tuned.
            ((_, to_beat),) = curves["baseline/tfidf/macro_f1"]
        references = [(f"TF-IDF macro F1 {to_beat:.3f}", to_beat)]
    other = "micro_f1" if several and curves.get("validation/micro_f1") else "accuracy"
    lines = [
        Line(WORDS[name], style, curves.get(f"validation/{name}", []))
        for name, style in (("macro_f1", "validation"), (other, "other"))
    ]
    return line_drawing("On the validation part", lines, references, report["training"]["best"]["step"])
