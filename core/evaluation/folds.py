"""Mean and spread of the test figures over the folds of a cross-validation, put into the report of the first fold."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from core.evaluation.report_file import save_report
from core.schema import LabelKind
from core.workspace import RunFolder

FIGURES = ("accuracy", "macro_f1", "micro_f1", "weighted_f1")


def fold_figures(reports: Sequence[Mapping[str, Any]], asked: int) -> dict[str, Any]:
    """asked, measured (folds), rows (tested in all), test and baselines (by name): figure -> values (a fold each),
    mean, spread (standard deviation between folds, n - 1)."""
    baselines = set.intersection(*(set(report["baselines"]) for report in reports))
    return {
        "asked": asked,
        "measured": len(reports),
        "rows": sum(report["parts"]["test"] for report in reports),
        "test": _figures([report["test"] for report in reports]),
        "baselines": {
            name: _figures([report["baselines"][name] for report in reports])
            for name in reports[0]["baselines"]
            if name in baselines
        },
    }


def _figures(measured: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    found = {}
    for name in FIGURES:
        if all(isinstance(figures.get(name), int | float) for figures in measured):
            values = [float(figures[name]) for figures in measured]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            found[name] = {"values": values, "mean": statistics.fmean(values), "spread": spread}
    return found


def folds_sentence(folds: Mapping[str, Any], titles: Mapping[str, str], kind: LabelKind) -> str:
    """titles: baseline -> what people call it. Where a row may have several classes it is told by F1: accuracy would be
    that all classes of a row are right."""
    first, first_words = ("micro_f1", "micro F1") if kind == "multi" else ("accuracy", "accuracy")
    if folds["measured"] < 2:
        return f"Of {folds['asked']} folds only the first was measured, so nothing is known of the spread between them."
    some = "" if folds["measured"] == folds["asked"] else f" ({folds['asked']} were asked for)"
    test = folds["test"]
    figures = [
        f"{words} {test[name]['mean']:.3f} ± {test[name]['spread']:.3f} (from {min(test[name]['values']):.3f} to "
        f"{max(test[name]['values']):.3f})"
        for name, words in ((first, first_words), ("macro_f1", "macro F1"))
        if name in test
    ]
    beside = [
        f"{titles[name]} {found[first]['mean']:.3f} ± {found[first]['spread']:.3f}"
        for name, found in folds["baselines"].items()
        if first in found
    ]
    said = f" {first_words[0].upper()}{first_words[1:]} beside it: {'; '.join(beside)}." if beside else ""
    return (
        f"Cross-validation, mean and standard deviation over {folds['measured']} folds{some} with {folds['rows']:,} "
        f"tested rows in all: {', '.join(figures)}.{said} All other figures are those of the first fold, whose model "
        "is kept."
    )


def add_folds(
    folder: RunFolder, report: Mapping[str, Any], reports: Sequence[Mapping[str, Any]], asked: int
) -> dict[str, Any]:
    """Write report.json and report.html anew with `folds` and a sentence on it behind the verdict's first; returns
    the report. report: of the first fold, which is also the first of `reports`."""
    folds = fold_figures(reports, asked)
    first, *others = report["verdict_sentences"]
    known = report.get("folds", {}).get("sentence")
    told = folds_sentence(folds, {name: found["title"] for name, found in report["baselines"].items()}, report["kind"])
    sentences = [first, told, *(sentence for sentence in others if sentence != known)]
    content = {
        **report,
        "verdict": " ".join(sentences),
        "verdict_sentences": sentences,
        "folds": {**folds, "sentence": told},
    }
    save_report(folder, content)
    return content
