"""report.html of a run that learned from conversations, in the style of core.evaluation.html."""

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from core.evaluation.charts import figure_html
from core.evaluation.html import (
    KEPT_HINT,
    facts_section,
    files_section,
    folded_text,
    overfitting_html,
    page_html,
    verdict_section,
)
from core.evaluation.learning_curves import loss_drawing
from core.evaluation.tables import Report, section
from core.evaluation.verdict import counted

MESSAGES_SHOWN = 6
"""The last ones before the answer; what stands before them is only counted."""


def chat_report_html(report: Report, figures: Sequence[str] = ()) -> str:
    """The page. report: the content of report.json; figures: names of the files in the folder beside it."""
    files = {"report.json": "every figure of this page, for programs"}
    sections = [
        verdict_section(report),
        _figures(report),
        _samples(report),
        _curves(report),
        facts_section(report),
        files_section(figures, files),
    ]
    return page_html(report, sections)


def _figures(report: Report) -> str:
    body = "".join(
        f'<tr class="{kind}"><th scope="row">{name}</th>{"".join(f"<td>{figure}</td>" for figure in figures)}</tr>'
        for name, figures, kind in before_and_after(report)
    )
    tokens = report["test"]["tokens"]
    hint = (
        f"On the {counted(int(report['test']['rows']), 'conversation')} of the test part, which it did not learn from: "
        f"{counted(int(tokens), 'token')} of answers. Loss is in nats a token, lower is better; perplexity is e to the "
        "power of the loss; the last column is the chance it gives the right next token, as a geometric mean."
    )
    table = (
        '<div class="scroll card"><table class="figures short"><thead><tr><th scope="col">On the test part</th>'
        '<th scope="col">Loss</th><th scope="col">Perplexity</th><th scope="col">Right next token</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
    return section("Before and after", hint, table)


def before_and_after(report: Report) -> list[tuple[str, tuple[str, str, str], str]]:
    """(name, its loss, perplexity and chance of the right next token in words, `own` or nothing): what the page of the
    run shows too."""
    rows = [("Before training", report["untuned"], "")] if report["untuned"] else []
    rows.append(("After training", report["test"], "own"))
    return [
        (
            name,
            (f"{scores['loss']:.4f}", f"{scores['perplexity']:,.2f}", f"{math.exp(-scores['loss']) * 100:.1f} %"),
            kind,
        )
        for name, scores, kind in rows
    ]


def answers_html(sample: Mapping[str, Any], heading: str, shown: Callable[[str], str]) -> str:
    """What the data, the untuned and the tuned model answer, each below a heading. shown: a text as HTML."""
    answers = [
        ("In the data", sample["expected"], ""),
        ("Before training", sample["untuned"], ""),
        ("After training", sample["tuned"], "own"),
    ]
    return "".join(
        f'<div class="{kind}"><{heading}>{name}</{heading}>{shown(text) if text.strip() else "<p>(nothing)</p>"}</div>'
        for name, text, kind in answers
        if text is not None
    )


def _samples(report: Report) -> str:
    samples = report["samples"]
    if not samples:
        return ""
    hint = "Conversations of the test part, and how they were answered. The model had not seen these answers."
    return section("Samples", hint, "".join(map(_sample, samples)))


def _sample(sample: Mapping[str, Any]) -> str:
    said = answers_html(sample, "h3", folded_text)
    return f'<div class="sample card">{_asked(sample["messages"])}<div class="answers">{said}</div></div>'


def _asked(messages: Sequence[Mapping[str, str]]) -> str:
    hidden = len(messages) - MESSAGES_SHOWN
    before = f'<p class="hint">{counted(hidden, "message")} before</p>' if hidden > 0 else ""
    lines = "".join(
        f'<div class="said"><b>{escape(message["role"].capitalize())}</b>{folded_text(message["content"])}</div>'
        for message in messages[-MESSAGES_SHOWN:]
    )
    return f'<div class="asked">{before}{lines}</div>'


def _curves(report: Report) -> str:
    chart = figure_html(loss_drawing(report))
    if not chart:
        return ""
    return section("How it learned", KEPT_HINT, f'<div class="charts">{chart}</div>{overfitting_html(report)}')
