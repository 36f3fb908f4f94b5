"""What a model card says of the kind of label: one class a text, several, or a probability for each."""

from typing import Any

from core.export.markdown import code, percent, table
from core.model_facts import ModelFacts
from core.schema import LabelKind, MappingSpec

MOST_COLUMNS = 20
"""Label columns that are named."""

KIND_WORDS: dict[LabelKind, str] = {
    "single": "It sorts texts into {classes} classes",
    "multi": "It gives a text any number of {classes} classes",
    "soft": "It gives a text a probability for each of {classes} classes",
}


def columns_words(mapping: MappingSpec) -> str:
    """Where the labels stood in the data."""
    if mapping.kind == "soft" or (mapping.kind == "multi" and mapping.label_columns):
        named = ", ".join(code(name) for name in mapping.label_columns[:MOST_COLUMNS])
        more = len(mapping.label_columns) - MOST_COLUMNS
        what = "probabilities" if mapping.kind == "soft" else "labels"
        return f"{what} from {named}{f' and {more} columns more' if more > 0 else ''}"
    if mapping.kind == "multi":
        return f"labels from {code(mapping.label)}, parted by {code(mapping.label_separator)}"
    return f"label from {code(mapping.label)}"


def kind_limit(facts: ModelFacts) -> str:
    """What it answers to texts that belong to no class."""
    if facts.label_kind == "multi":
        return (
            "A text is given every class whose probability reaches that class's threshold, and none where none does. "
            "The thresholds were chosen on the validation rows; those of rare classes rest on few."
        )
    if facts.label_kind == "soft":
        return (
            f"Its {len(facts.labels)} probabilities always sum to 1, also for texts that belong to none of the classes."
        )
    if facts.decision.abstain_below > 0:
        return (
            f"It knows {len(facts.labels)} classes. A text that belongs to none of them is only left without a label "
            "where its likeliest class stays below the threshold."
        )
    return f"It always answers with one of its {len(facts.labels)} classes, also for texts that belong to none of them."


def several_table(rows: list[tuple[str, dict[str, Any]]]) -> str:
    """Names and figures of multi_label_metrics."""
    return table(
        ["", "micro F1", "95 % interval", "macro F1", "samples F1", "all classes right", "Hamming loss"],
        [
            [
                name, f"{s['micro_f1']:.3f}", " to ".join(f"{bound:.3f}" for bound in s["micro_f1_interval"]),
                f"{s['macro_f1']:.3f}", f"{s['samples_f1']:.3f}", percent(s["accuracy"]), f"{s['hamming_loss']:.4f}",
            ]
            for name, s in rows
        ],
    )  # fmt: skip
