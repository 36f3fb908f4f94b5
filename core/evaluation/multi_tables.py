"""What report.html shows in place of accuracy, confusion matrix and mistaken classes where a row may have several
classes. As HTML text; everything that comes from data is escaped."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from core.evaluation.colours import class_colour
from core.evaluation.multi_verdict import COMPARED_SETS, added_most, missed_most
from core.evaluation.paired import compared_words
from core.evaluation.tables import BAR_HEAD, Report, macro_f1_words, rung_head, section, sentence
from core.evaluation.verdict import capital, counted, percent

CLASSES_SHOWN = 15


def ladder(report: Report) -> str:
    """The model beside the baselines, each with its interval."""
    ordered = sorted(report["baselines"].items(), key=lambda item: -item[1]["micro_f1"])
    rows = [_rung("This model", report["test"], "own", "var(--accent)")]
    rows += [_rung(scores["title"], scores, "", "var(--quiet)") for _, scores in ordered]
    table = (
        f'<div class="scroll card"><table class="figures"><thead><tr><th scope="col">On the test part</th>{BAR_HEAD}'
        '<th scope="col">Micro F1</th><th scope="col">95 % sure</th><th scope="col">Macro F1</th>'
        '<th scope="col">Samples F1</th><th scope="col">All right</th><th scope="col">Hamming</th>'
        f"</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
    hint = (
        f"All on the same {counted(report['test']['rows'], 'row')}, which none of them saw in training. Micro F1 takes "
        "all classes of all rows together, macro F1 is the mean over the classes, samples F1 over the rows. All right: "
        "rows whose classes are all right, and none too many. Hamming loss: the share of all yes and no that is wrong."
    )
    return section("Against the baselines", hint, table + _comparisons(report))


def _rung(name: str, scores: Mapping[str, Any], kind: str, colour: str) -> str:
    low, high = scores["micro_f1_interval"]
    return (
        rung_head(name, kind, colour, scores["micro_f1"], (low, high))
        + f"<td>{scores['micro_f1']:.3f}</td><td>{low:.3f} to {high:.3f}</td><td>{scores['macro_f1']:.3f}</td>"
        f"<td>{scores['samples_f1']:.3f}</td><td>{percent(scores['accuracy'])}</td>"
        f"<td>{scores['hamming_loss']:.4f}</td></tr>"
    )


def _comparisons(report: Report) -> str:
    """What the paired tests say, how many classes are given, and how the baselines were made, a line each."""
    notes = [f"{scores['title']}: {scores['note']}" for scores in report["baselines"].values()]
    lines = [*comparison_words(report), class_count_words(report["test"]), *notes]
    return f'<ul class="notes">{"".join(f"<li>{sentence(line)}</li>" for line in lines)}</ul>'


def comparison_words(report: Report) -> list[str]:
    """What the paired tests say of the model beside the others, and how sure that is."""
    return [
        f"{capital(compared_words(found['outcome'], COMPARED_SETS[name], found['p_value']))}: "
        f"micro F1 {found['difference']:+.3f} (95 % sure: {found['interval'][0]:+.3f} to {found['interval'][1]:+.3f}; "
        f"paired bootstrap).{macro_f1_words(found)}"
        for name, found in report["comparisons"].items()
    ]


def class_count_words(test: Mapping[str, Any]) -> str:
    a_row, without = test["classes_a_row"], test["rows_without_class"]
    return (
        f"The rows have {a_row['true']:.2f} classes on average, the model gives {a_row['predicted']:.2f}; it gives "
        f"none to {counted(without['predicted'], 'row')}, {without['true']:,} have none."
    )


def differences(report: Report) -> str:
    """Which classes are missed and which are wrongly added most: what a confusion matrix would say of one class."""
    test = report["test"]
    number = {label: place for place, label in enumerate(report["labels"])}
    missed = _difference_table(
        "Missed", "Rows that have it", missed_most(test, CLASSES_SHOWN), "missed", "support", number
    )  # fmt: skip
    added = _difference_table(
        "Wrongly added", "Rows given it", added_most(test, CLASSES_SHOWN), "added", "predicted", number
    )  # fmt: skip
    if not missed and not added:
        return ""
    hint = "The classes with the most rows that lack them though they should have them, and the other way round."
    return section("Missed and wrongly added", hint, f'<div class="charts">{missed}{added}</div>')


def _difference_table(
    title: str, of: str, classes: Sequence[Mapping[str, Any]], what: str, whole: str, number: Mapping[str, int]
) -> str:
    if not classes:
        return ""
    rows = "".join(
        f'<tr><th scope="row" title="{escape(figures["label"])}">'
        f'<i class="dot" style="--c:{class_colour(number[figures["label"]])}"></i>'
        f"<bdi>{escape(figures['label'])}</bdi></th>"
        f"<td>{figures[what]:,}</td><td>{figures[whole]:,}</td><td>{percent(figures[what] / figures[whole])}</td></tr>"
        for figures in classes
    )
    return (
        f'<div class="scroll card"><table class="figures"><thead><tr><th scope="col">Class</th>'
        f'<th scope="col">{title}</th><th scope="col">{of}</th><th scope="col">Share</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def differing_chips(row: Mapping[str, Any], report: Report) -> str:
    """Of a mistake: the classes that it missed, those that it added, and those that it has right."""
    number = {label: place for place, label in enumerate(report["labels"])}
    parts = []
    for words, labels in (
        ("missed", row["missed"]),
        ("wrongly added", row["added"]),
        ("right", right_ones(row, report)),
    ):
        if labels:
            chips = ", ".join(
                f'<i class="dot" style="--c:{class_colour(number[label])}"></i><b dir="auto">{escape(label)}</b>'
                for label in labels
            )
            parts.append(f"<span>{words} {chips}</span>")
    return "".join(parts)


def right_ones(row: Mapping[str, Any], report: Report) -> list[str]:
    """The classes that the row has and was given, by the report's thresholds."""
    return [label for label in given_labels(row["probabilities"], report) if label not in row["added"]]


def given_labels(probabilities: Sequence[float], report: Report) -> Iterator[str]:
    for figures, probability in zip(report["test"]["per_class"], probabilities, strict=True):
        if probability >= figures["threshold"]:
            yield figures["label"]
