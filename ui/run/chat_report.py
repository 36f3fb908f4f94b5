"""Run / Report of a run that learned from conversations: loss before and after, and samples side by side."""

from collections.abc import Mapping
from html import escape
from typing import Any

from core.evaluation.chat_html import answers_html, before_and_after
from ui.bubbles import clamped_html, conversation_html


def is_chat(report: Mapping[str, Any]) -> bool:
    """Whether a report is of conversations: it has no classes, no mistakes and no accuracy."""
    return report.get("task") == "chat"


def chat_verdict_html(report: Mapping[str, Any]) -> str:
    """The verdict, then the figures before and after training."""
    headline, *rest = report["verdict_sentences"]
    return (
        f'<section class="td-verdict td-{report["tone"]}"><h2 dir="auto">{escape(headline)}</h2>'
        f'<p>{escape(" ".join(rest))}</p><div class="td-scroll"><table class="td-ladder td-short"><thead><tr>'
        '<th scope="col">On the test part</th><th scope="col">Loss</th><th scope="col">Perplexity</th>'
        '<th scope="col" title="The chance it gives the right next token, as a geometric mean">Right next token</th>'
        f"</tr></thead><tbody>{''.join(_row(*row) for row in before_and_after(report))}</tbody></table></div></section>"
    )


def _row(name: str, figures: tuple[str, str, str], kind: str) -> str:
    loss, *others = figures
    cells = "".join(f"<td>{figure}</td>" for figure in others)
    return f'<tr class="{kind and "td-own"}"><th scope="row">{name}</th><td><b>{loss}</b></td>{cells}</tr>'


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
    said = answers_html(sample, "b", clamped_html)
    return f'<article>{conversation_html(sample["messages"])}<div class="beside">{said}</div></article>'
