"""report.html: one file that opens from disk without a network, in light and dark, at any width.

Whatever comes from data, names included, goes through `escape`; the page's policy allows no request and no script but
the one that sorts the table.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from core.durations import duration
from core.evaluation import matrix_table, multi_tables, sureness, tables
from core.evaluation.charts import figure_html
from core.evaluation.colours import class_colour
from core.evaluation.learning_curves import history_of, loss_drawing, validation_drawing
from core.evaluation.overfitting import overfitting_words
from core.evaluation.tables import Report, section, sentence
from core.evaluation.verdict import counted, percent

CLAMPED_FROM = 260
"""Characters above which a text is folded to three lines."""
LONGEST_TEXT = 3000
LABELS_SHOWN = 3
LONGEST_REASON = 400
"""Characters kept of why a library was not used."""
FREE_EXAMPLES = 5
"""Answers shown of each time that the model was asked."""
LONGEST_ANSWER = 300
FILES = {
    "report.json": "every figure of this page, for programs",
    "predictions.parquet": "what the model said of each row of validation and test",
    "baselines.parquet": "what each baseline said of each test row",
}
KEPT_HINT = "Against training steps. “Kept” marks the checkpoint that this report is about, chosen on validation."
WHEN_ASKED = {"untuned": "Before", "tuned": "After"}
FREE_ANSWERS_HINT = (
    "What it writes when nothing makes it choose. Only a check: all other figures come from scoring every class as the "
    "answer, which always gives one."
)


def report_html(
    report: Report, mistakes: Sequence[Mapping[str, Any]], mistakes_total: int, figures: Sequence[str] = ()
) -> str:
    """The page. report: the content of report.json; mistakes: the first rows that are wrong; figures: names of
    the files in the folder beside it."""
    several = report.get("kind") == "multi"
    sections = [
        verdict_section(report),
        multi_tables.ladder(report) if several else tables.ladder(report),
        _failures(report),
        tables.classes(report),
        multi_tables.differences(report) if several else matrix_table.matrix(report),
        _curves(report),
        sureness.section_html(report) if "calibration" in report else tables.calibration(report),
        _free_answers(report),
        _mistakes(report, mistakes, mistakes_total),
        facts_section(report),
        files_section(figures, FILES),
    ]
    return page_html(report, sections)


def files_section(figures: Sequence[str], files: Mapping[str, str]) -> str:
    """What lies beside this page in the run's report folder. files: name -> what is in it."""
    drawn = sorted({name.rsplit(".", 1)[0] for name in figures})
    named = dict(files)
    if drawn:
        named["figures"] = f"SVG and PNG of {', '.join(drawn)}; all of them also in figures.zip"
    return section("Files beside this page", "", f'<div class="facts"><div>{_pairs(iter(named.items()))}</div></div>')


def page_html(report: Report, sections: Sequence[str]) -> str:
    """A whole page of sections that are escaped already, with style and script inside."""
    here = Path(__file__).parent
    style = (here / "report.css").read_text(encoding="utf-8")
    script = (here / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    title = escape(report["name"] or report["run"])
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'\"><title>{title}: report</title><style>{style}</style></head><body><main>"
        f'<div class="top"><h1 dir="auto">{title}</h1><span>{escape(_when(report["created"]))}</span></div>'
        f"{''.join(sections)}<footer>Made by Tunedesk. Run {escape(report['run'])}.</footer>"
        f"</main><script>{script}</script></body></html>\n"
    )


def _when(created: str) -> str:
    """`2026-11-21 08:15 UTC`."""
    return f"{created[:10]} {created[11:16]} UTC"


def verdict_section(report: Report) -> str:
    first, *others = report["verdict_sentences"]
    rest = f"<p>{sentence(' '.join(others))}</p>" if others else ""
    return f'<div class="verdict {report["tone"]}"><strong>{sentence(first)}</strong>{rest}</div>'


def _failures(report: Report) -> str:
    items = "".join(f"<li>{sentence(finding)}</li>" for finding in report["findings"])
    body = f'<ul class="fails">{items}</ul>' if items else "<p>Nowhere on this test part.</p>"
    return section("Where it fails", "", body)


def _curves(report: Report) -> str:
    charts = figure_html(loss_drawing(report)) + figure_html(validation_drawing(report))
    if not charts:
        return ""
    return section("How it learned", KEPT_HINT, f'<div class="charts">{charts}</div>{overfitting_html(report)}')


def overfitting_html(report: Report) -> str:
    """What the loss curves show of overfitting; '' where they show none."""
    curves = history_of(report)
    words = overfitting_words(curves.get("train/loss", []), curves.get("validation/loss", []))
    return f"<p>{escape(words)}</p>" if words else ""


def _free_answers(report: Report) -> str:
    """What a language model wrote when nothing made it choose a class."""
    answers = report.get("answers")
    if not answers:
        return ""
    shares = "".join(f"<p>{sentence(words)}</p>" for words in free_answer_words(answers))
    items = "".join(
        f'<div class="mistake"><span class="sure">{when}</span><div>{folded_text(example["text"])}<div class="pair">'
        f'<span>wrote {_written(example["answer"])}</span><span>true <b dir="auto">{escape(example["true"])}</b></span>'
        "</div></div></div>"
        for when, example in free_answer_examples(answers)
    )
    shown = f'<details class="fold"><summary>Some of these answers</summary>{items}</details>' if items else ""
    return section("Left to itself", FREE_ANSWERS_HINT, shares + shown)


def free_answer_words(answers: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """A sentence on the share of answers that are no class, for each time the model was asked."""
    for name, when in WHEN_ASKED.items():
        if name in answers:
            rows, strays = answers[name]["rows"], answers[name]["no_label"]
            yield f"{when} training {strays:,} of {counted(rows, 'answer')} ({percent(strays / rows)}) were no class."


def free_answer_examples(answers: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """(Before or After, example) of some answers that are no class, those after training first."""
    for name in ("tuned", "untuned"):
        for example in answers[name]["examples"][:FREE_EXAMPLES] if name in answers else ():
            yield WHEN_ASKED[name], example


def _written(answer: str) -> str:
    cut = answer[:LONGEST_ANSWER] + (" …" if len(answer) > LONGEST_ANSWER else "")
    return f'<b dir="auto">{escape(cut)}</b>' if answer.strip() else "nothing"


def _mistakes(report: Report, mistakes: Sequence[Mapping[str, Any]], total: int) -> str:
    if not total:
        return ""
    shown = f"{len(mistakes):,} of {total:,}, those" if total > len(mistakes) else f"All {total:,}, those"
    if total == 1:
        shown = "One, and here it is: those"
    index = {label: number for number, label in enumerate(report["labels"])}
    items = "".join(
        _several_mistaken(row, report) if "missed" in row else _mistake(row, report["labels"], index)
        for row in mistakes
    )
    hint = f"{shown} it was surest of first. A wrong label in the data is often found here."
    return section("Mistakes", hint, f"<div>{items}</div>")


def _mistake(row: Mapping[str, Any], labels: Sequence[str], index: Mapping[str, int]) -> str:
    ranked = sorted(zip(labels, row["probabilities"], strict=True), key=lambda pair: -pair[1])[:LABELS_SHOWN]
    others = ", ".join(f"<bdi>{escape(label)}</bdi> {percent(share)}" for label, share in ranked[1:])
    return (
        f'<div class="mistake"><span class="sure" title="How sure it was">{percent(row["confidence"])}</span><div>'
        f'{folded_text(row["text"])}<div class="pair"><span>predicted {_chip(row["predicted"], index)}</span>'
        f"<span>true {_chip(row['true'], index)}</span><span>then {others}</span></div></div></div>"
    )


def _several_mistaken(row: Mapping[str, Any], report: Report) -> str:
    return (
        '<div class="mistake"><span class="sure" title="How sure it was of its least sure decision">'
        f"{percent(row['confidence'])}</span><div>{folded_text(row['text'])}"
        f'<div class="pair">{multi_tables.differing_chips(row, report)}</div></div></div>'
    )


def _chip(label: str, index: Mapping[str, int]) -> str:
    return f'<i class="dot" style="--c:{class_colour(index[label])}"></i><b dir="auto">{escape(label)}</b>'


def folded_text(text: str) -> str:
    """As text, right to left where it is; a long one is folded, a very long one cut."""
    if len(text) <= CLAMPED_FROM:
        return f'<div class="text" dir="auto">{escape(text)}</div>'
    cut = f" … ({len(text) - LONGEST_TEXT:,} more characters)" if len(text) > LONGEST_TEXT else ""
    return (
        f'<details><summary><div class="text clamped" dir="auto">{escape(text[:LONGEST_TEXT] + cut)}</div>'
        "<small>more</small></summary></details>"
    )


def facts_section(report: Report) -> str:
    lists = [
        ("Data", _data_facts(report["data"])),
        ("Training", _training_facts(report["training"])),
        ("Machine", _machine_facts(report["machine"])),
    ]
    body = "".join(f"<div><h3>{name}</h3>{_pairs(pairs)}</div>" for name, pairs in lists)
    settings = _pairs(_flat(report["settings"]))
    return section(
        "What it came from",
        "",
        f'<div class="facts">{body}</div>{_checks(report["data"])}'
        f'<details class="fold"><summary>All settings</summary>{settings}</details>',
    )


def _checks(data: Mapping[str, Any]) -> str:
    """What was put right in the data before training, and what the checks still found."""
    items = "".join(f"<li>{sentence(words)}</li>" for words in data_check_words(data))
    return f'<h3>Checks of the data</h3><ul class="fails">{items}</ul>' if items else ""


def data_check_words(data: Mapping[str, Any]) -> list[str]:
    """Steps of cleaning with the rows they left out, then what the checks found, in words. data: DataFacts as JSON."""
    steps = [f"{step['words']}: {counted(step['rows'], 'row')}." for step in data.get("steps", [])]
    return [*steps, *(finding["what"] for finding in data["findings"])]


def _pairs(pairs: Iterator[tuple[str, str]]) -> str:
    lines = "".join(f'<div><dt>{escape(name)}</dt><dd dir="auto">{escape(value)}</dd></div>' for name, value in pairs)
    return f"<dl>{lines}</dl>"


def _data_facts(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for role, file in data["files"].items():
        rejected = f", {file['rejected']:,} rejected" if file["rejected"] else ""
        yield f"{role.capitalize()} file", f"{file['name']}, {counted(file['rows'], 'row')}{rejected}"
    for part, rows in data["parts"].items():
        yield f"Rows for {part}", f"{rows:,}"
    for reason, rows in data["left_out"].items():
        if rows:
            yield f"Left out, {reason.replace('_', ' ')}", f"{rows:,}"
    if data["labels"]:
        yield "Classes", f"{len(data['labels']):,}"
    lengths = data["lengths"]
    yield (
        "Characters a text" if data["labels"] else "Characters a conversation",
        f"half up to {lengths['p50']:,.0f}, longest {lengths['max']:,.0f}",
    )


def _training_facts(training: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "Time", duration(training["seconds"])
    if backend_words(training):
        yield "Trained with", backend_words(training)
    yield "Steps", f"{training['steps']:,}"
    yield "Epochs", f"{training['epochs']:.3g}"
    if training.get("rows_per_second"):
        yield "Rows labelled a second", f"{training['rows_per_second']:,.3g}"
    best = training["best"]
    if best["value"] is not None:
        named = best["name"].capitalize().replace("_f1", " F1")
        yield f"{named} on validation, kept", f"{best['value']:.4f}"
    for name in ("parameters", "trainable_parameters"):
        if name in training:
            yield name.replace("_", " ").capitalize(), f"{training[name]:,}"


def backend_words(training: Mapping[str, Any]) -> str:
    """`Unsloth`, or what trained in its place and why; '' where there was no choice."""
    if "backend" not in training:
        return ""
    name = {"unsloth": "Unsloth"}.get(training["backend"], training["backend"])
    reason = " ".join(training["backend_reason"].split())[:LONGEST_REASON]
    return f"{name}. {reason}" if reason else name


def _machine_facts(machine: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in _flat(machine):
        if name == "memory_bytes":
            yield "Memory", f"{machine['memory_bytes'] / 2**30:.0f} GiB"
        else:
            words = name.removeprefix("versions.")
            yield words if words != name else words.capitalize(), value


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Leaves of nested settings as (dotted name, value); what is empty is left out."""
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif value not in (None, "", [], ()):
            shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            yield f"{prefix}{name}", shown
