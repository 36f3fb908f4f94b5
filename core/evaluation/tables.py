"""The tables of report.html: model beside baselines, each class, calibration. As HTML text."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from core.evaluation.colours import class_colour
from core.evaluation.paired import compared_words, p_value_words
from core.evaluation.verdict import COMPARED_WORDS, capital, counted, percent

CALIBRATION_HEADS = ("How sure", "Rows", "Sure on average", "Right")
CHANGES = ("F1 before", "Change of F1", "Recall before", "Change of recall")
"""Columns more where the model was measured before training."""
BAR_HEAD = '<td class="bar-head"></td>'

SOFT_HINT = (
    " Right is a row whose likeliest class is that of the data. KL divergence and Brier score say how far all "
    "probabilities are from those in the data: 0 is exact."
)

Report = Mapping[str, Any]
"""The content of report.json."""


def section(title: str, hint: str, body: str) -> str:
    about = f'<p class="hint">{sentence(hint)}</p>' if hint else ""
    return f"<section><h2>{escape(title)}</h2>{about}{body}</section>"


def sentence(words: str) -> str:
    """Escaped; a figure stays on one line with its percent sign."""
    return escape(words).replace(" %", "&nbsp;%")


def ladder(report: Report) -> str:
    """The model beside itself before training and the baselines, each with its interval."""
    ordered = sorted(report["baselines"].items(), key=lambda item: -item[1]["accuracy"])
    rows = [_rung("This model", report["test"], "own", "var(--accent)")]
    if report.get("untuned"):
        rows.append(_rung("The same model before training", report["untuned"], "", "var(--quiet)"))
    rows += [_rung(scores["title"], scores, "", "var(--quiet)") for _, scores in ordered]
    soft = '<th scope="col">KL</th><th scope="col">Brier</th>' if is_soft(report) else ""
    table = (
        f'<div class="scroll card"><table class="figures"><thead><tr><th scope="col">On the test part</th>{BAR_HEAD}'
        '<th scope="col">Accuracy</th><th scope="col">95 % sure</th><th scope="col">Macro F1</th>'
        f'<th scope="col">Micro F1</th><th scope="col">Weighted F1</th>{soft}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
    hint = f"All on the same {counted(report['test']['rows'], 'row')}, which none of them saw in training."
    hint += SOFT_HINT if is_soft(report) else ""
    return section("Against the baselines", hint, table + _comparisons(report))


def rung_head(name: str, kind: str, colour: str, share: float, interval: Sequence[float]) -> str:
    """A row's name, and its share (0 to 1) as a bar with its interval."""
    low, high = interval
    return (
        f'<tr class="{kind}"><th scope="row">{escape(name)}</th>'
        f'<td class="bar"><span class="track" style="--c:{colour}">'
        f'<i style="width:{share * 100:.2f}%"></i>'
        f'<u style="left:{low * 100:.2f}%;width:{(high - low) * 100:.2f}%"></u></span></td>'
    )


def _rung(name: str, scores: Mapping[str, Any], kind: str, colour: str) -> str:
    low, high = scores["accuracy_interval"]
    return (
        rung_head(name, kind, colour, scores["accuracy"], (low, high))
        + f"<td>{percent(scores['accuracy'])}</td><td>{low * 100:.1f} to {high * 100:.1f}</td>"
        f"<td>{scores['macro_f1']:.3f}</td><td>{scores['micro_f1']:.3f}</td><td>{scores['weighted_f1']:.3f}</td>"
        f"{soft_cells(scores)}</tr>"
    )


def is_soft(report: Report) -> bool:
    """Reports of before there were other kinds than single do not name theirs."""
    return bool(report.get("kind") == "soft")


def soft_cells(scores: Mapping[str, Any]) -> str:
    """How far the probabilities are off, where that was measured."""
    if "kl_divergence" not in scores:
        return ""
    return f"<td>{scores['kl_divergence']:.3f}</td><td>{scores['brier']:.3f}</td>"


def _comparisons(report: Report) -> str:
    """What the paired tests say and how the baselines were made, a line each."""
    notes = [f"{scores['title']}: {scores['note']}" for scores in report["baselines"].values()]
    lines = [*comparison_words(report), *notes]
    return f'<ul class="notes">{"".join(f"<li>{sentence(line)}</li>" for line in lines)}</ul>'


def comparison_words(report: Report) -> list[str]:
    """What the paired tests say of the model beside the others, and how sure that is."""
    return [
        f"{capital(compared_words(found['outcome'], COMPARED_WORDS[name], found['p_value']))}: "
        f"{counted(found['model_only'], 'row')} right that it has wrong, {found['baseline_only']:,} the other way "
        f"round (exact McNemar test).{macro_f1_words(found)}"
        for name, found in report["comparisons"].items()
    ]


def macro_f1_words(found: Mapping[str, Any]) -> str:
    """The difference in macro F1; reports of before it was tested do not hold it."""
    if "macro_f1" not in found:
        return ""
    macro = found["macro_f1"]
    low, high = macro["interval"]
    return (
        f" Macro F1 {macro['difference']:+.3f} (95 % sure: {low:+.3f} to {high:+.3f}; paired bootstrap, "
        f"p {p_value_words(macro['p_value'])})."
    )


def classes(report: Report) -> str:
    untuned = report.get("untuned")
    before = untuned["per_class"] if untuned else [None] * len(report["labels"])
    heads = ["Class", "Rows", "Precision", "Recall", "F1", "", "Predicted"]
    heads += [*CHANGES] if untuned else []
    several = report.get("kind") == "multi"
    heads += ["Threshold"] if several else []
    head = "".join(
        f'<th scope="col"><button type="button">{name}</button></th>' if name else BAR_HEAD for name in heads
    )
    numbered = [*enumerate(zip(report["test"]["per_class"], before, strict=True))]
    if several:
        numbered.sort(key=lambda one: -one[1][0]["support"])
    rows = "".join(_class_row(number, figures, earlier) for number, (figures, earlier) in numbered)
    hint = (
        "Precision: of the rows given this class, the share that has it. Recall, also called the class's accuracy: "
        "of the rows that have it, the share found. Press a heading to sort."
    )
    hint += " A row is given a class from its threshold on, which was chosen on validation." if several else ""
    hint += " Before is before training, where the mark in the bar stands." if untuned else ""
    table = (
        '<div class="scroll tall card" tabindex="0"><table class="figures" data-sortable>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody>"
        f"<tfoot>{_averages(report['test'], len(heads))}</tfoot></table></div>"
    )
    return section("Each class", hint, table)


def bar_words(figures: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> str:
    """What the bar of a class shows."""
    earlier = f"; before training {before['f1']:.3f}" if before else ""
    return (
        f"{figures['label']}: F1 {figures['f1']:.3f}, precision {figures['precision']:.3f}, recall "
        f"{figures['recall']:.3f}, {counted(figures['support'], 'row')}{earlier}"
    )


def averages(test: Mapping[str, Any]) -> list[tuple[str, int, list[float]]]:
    """(name, rows, [precision, recall, F1]) over the classes, as classification reports have them. Reports of before
    they were kept lack those weighted by rows."""
    found = []
    for name, words in (("macro", "Mean of the classes"), ("weighted", "Mean weighted by rows")):
        if f"{name}_precision" in test:
            figures = [test[f"{name}_{figure}"] for figure in ("precision", "recall", "f1")]
            found.append((words, sum(one["support"] for one in test["per_class"]), figures))
    return found


def _averages(test: Mapping[str, Any], columns: int) -> str:
    return "".join(
        f'<tr><th scope="row">{words}</th><td>{rows:,}</td>{"".join(f"<td>{figure:.3f}</td>" for figure in figures)}'
        f'<td class="bar-head"></td>{"<td></td>" * (columns - 6)}</tr>'
        for words, rows, figures in averages(test)
    )


def change_cells(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """What stands under CHANGES, as cells that sort by their data-value."""
    return "".join(
        f'<td data-value="{before[name]}">{before[name]:.3f}</td>'
        f'<td data-value="{after[name] - before[name]}">{after[name] - before[name]:+.3f}</td>'
        if after["support"]
        else '<td data-value="0">–</td><td data-value="0">–</td>'
        for name in ("f1", "recall")
    )


def _class_row(number: int, figures: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    label, colour = escape(figures["label"]), class_colour(number)
    shown = [f'<td data-value="{figures[name]}">{figures[name]:.3f}</td>' for name in ("precision", "recall", "f1")]
    if not figures["support"]:
        shown = [f'<td data-value="{figures[name]}">–</td>' for name in ("precision", "recall", "f1")]
    changes = change_cells(before, figures) if before else ""
    mark = f'<u style="left:{before["f1"] * 100:.1f}%;width:0"></u>' if before else ""
    if "threshold" in figures:
        changes += f'<td data-value="{figures["threshold"]}">{figures["threshold"]:.2f}</td>'
    return (
        f'<tr{"" if figures["support"] else " class=none"}><th scope="row" title="{label}">'
        f'<i class="dot" style="--c:{colour}"></i><bdi>{label}</bdi></th>'
        f'<td data-value="{figures["support"]}">{figures["support"]:,}</td>{"".join(shown)}'
        f'<td class="bar" title="{escape(bar_words(figures, before))}"><span class="track" style="--c:{colour}">'
        f'<i style="width:{figures["f1"] * 100:.1f}%"></i>{mark}</span></td>'
        f'<td data-value="{figures["predicted"]}">{figures["predicted"]:,}</td>{changes}</tr>'
    )


def calibration(report: Report) -> str:
    test = report["test"]
    rows = "".join(
        f'<tr><th scope="row">{step["from"] * 100:.0f} to {step["to"] * 100:.0f} %</th><td>{step["rows"]:,}</td>'
        f"<td>{percent(step['confidence'])}</td><td>{percent(step['accuracy'])}</td>"
        f'<td class="bar"><span class="track" style="--c:var(--accent)">'
        f'<i style="width:{step["accuracy"] * 100:.1f}%"></i>'
        f'<u style="left:{step["confidence"] * 100:.1f}%;width:0"></u></span></td></tr>'
        for step in reversed(test["calibration"])
    )
    several = report.get("kind") == "multi"
    hint = (
        "Whether its probabilities can be believed: how sure it was (the mark) against how often it was right (the "
        "bar). "
    )
    if several:
        hint = (
            "Whether its probabilities can be believed, over every class of every row: how probable it said that a row "
            "has a class (the mark) against how often that was so (the bar). "
        )
    hint += f"Expected calibration error {percent(test['calibration_error'])}: the mean distance between the two."
    names = ("Probability", "Pairs", "On average", "Was so") if several else CALIBRATION_HEADS
    heads = "".join(f'<th scope="col">{name}</th>' for name in names)
    table = (
        f'<div class="scroll card"><table class="figures"><thead><tr>{heads}'
        f"{BAR_HEAD}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
    return section("How sure it is", hint, table)
