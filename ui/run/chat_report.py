"""Run / Report of a run that learned from conversations: loss before and after, and samples side by side."""

import math
from collections.abc import Mapping
from html import escape
from typing import Any

from ui.bubbles import clamped_html, conversation_html


def is_chat(report: Mapping[str, Any]) -> bool:
    """Whether a report is of conversations: it has no classes, no mistakes and no accuracy."""
    return report.get("task") == "chat"


def chat_verdict_html(report: Mapping[str, Any]) -> str:
    """The verdict, then the figures before and after training."""
    headline, *rest = report["verdict_sentences"]
    rows = [("Before training", report["untuned"], "")] if report["untuned"] else []
    rows.append(("After training", report["test"], "td-own"))
    return (
        f'<section class="td-verdict td-{report["tone"]}"><h2 dir="auto">{escape(headline)}</h2>'
        f'<p>{escape(" ".join(rest))}</p><div class="td-scroll"><table class="td-ladder td-short"><thead><tr>'
        '<th scope="col">On the test part</th><th scope="col">Loss</th><th scope="col">Perplexity</th>'
        '<th scope="col" title="The chance it gives the right next token, as a geometric mean">Right next token</th>'
        f"</tr></thead><tbody>{''.join(_row(*row) for row in rows)}</tbody></table></div></section>"
    )


def _row(name: str, scores: Mapping[str, float], kind: str) -> str:
    return (
        f'<tr class="{kind}"><th scope="row">{name}</th><td><b>{scores["loss"]:.4f}</b></td>'
        f"<td>{scores['perplexity']:,.2f}</td><td>{math.exp(-scores['loss']) * 100:.1f} %</td></tr>"
    )


def samples_html(report: Mapping[str, Any]) -> str:
    """Conversations of the test part, each with the answer of the data beside those of the model."""
    if not report["samples"]:
        return ""
    items = "".join(map(_sample, report["samples"]))
    return (
        '<section class="samples-said"><h3>Samples</h3><p class="quiet">Conversations of the test part. The model had '
        f"not seen these answers.</p>{items}</section>"
    )


def _sample(sample: Mapping[str, Any]) -> str:
    answers = [
        ("In the data", sample["expected"], ""),
        ("Before training", sample["untuned"], ""),
        ("After training", sample["tuned"], "own"),
    ]
    said = "".join(
        f'<div class="{kind}"><b>{name}</b>{clamped_html(text) if text.strip() else "<p>(nothing)</p>"}</div>'
        for name, text, kind in answers
        if text is not None
    )
    return f'<article>{conversation_html(sample["messages"])}<div class="beside">{said}</div></article>'
