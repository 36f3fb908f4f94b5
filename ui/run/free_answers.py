"""Run / Report of a language model: what it wrote when nothing made it choose a class."""

from collections.abc import Mapping
from html import escape
from typing import Any

from core.evaluation.html import FREE_ANSWERS_HINT, free_answer_examples, free_answer_words
from ui.bubbles import clamped_html


def free_answers_html(answers: Mapping[str, Mapping[str, Any]]) -> str:
    """answers: as in report.json; '' where nothing was asked."""
    if not answers:
        return ""
    shares = "".join(f"<li>{escape(words)}</li>" for words in free_answer_words(answers))
    items = "".join(_example(when, example) for when, example in free_answer_examples(answers))
    shown = f'<details><summary>Some of these answers</summary><div class="td-strays">{items}</div></details>'
    return (
        f'<section class="td-free"><h3>Left to itself</h3><p class="td-hint">{escape(FREE_ANSWERS_HINT)}</p>'
        f"<ul>{shares}</ul>{shown if items else ''}</section>"
    )


def _example(when: str, example: Mapping[str, str]) -> str:
    wrote = clamped_html(example["answer"]) if example["answer"].strip() else "<p>(nothing)</p>"
    return (
        f"<article><small>{when} training</small>{clamped_html(example['text'])}"
        f'<p>true <b dir="auto">{escape(example["true"])}</b>, wrote</p>{wrote}</article>'
    )
