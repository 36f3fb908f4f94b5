"""An open row of the error browser: text, what the model said, the words that mattered, rows of train that are like it,
and what is to be said of its label. Everything that comes from data is escaped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from core.correcting.marks import Place
from core.evaluation.nearest_rows import Like
from core.runs.label_marks import LabelMark
from ui.run.row_list import TEXT_SHOWN as LINE_SHOWN
from ui.run.row_list import bars_html, chip, in_full_html, mark_chip

LONGEST_SHOWN = 20_000
LIKE_SHOWN = 300
STRONGEST = 48
"""Percent of colour behind the word that matters most: text on it stays readable (WCAG AA) in light and dark."""


@dataclass(frozen=True)
class OpenRow:
    row: Mapping[str, Any]
    """As core.evaluation.mistakes.one_row gives it."""
    place: Place
    file_name: str
    labels: Sequence[str]
    several: bool
    """Whether a row may have several classes."""
    thresholds: Mapping[str, float]
    mark: LabelMark | None
    like: Like | None
    """None: not looked for yet."""
    words: str
    """What is known of the words that mattered, as HTML; '' where nobody has asked."""
    explains: bool
    """Whether the model can say which words mattered."""


def open_row_html(one: OpenRow) -> str:
    row, index = dict(one.row), {label: number for number, label in enumerate(one.labels)}
    return (
        f'<div class="td-whole">{_text(row["text"])}{_facts(one, index)}{in_full_html(row, one.labels)}'
        f"{bars_html(row, one.labels, index, one.thresholds)}{_label_form(one, index)}{_words_part(one)}"
        f"{_like_part(one, index)}</div>"
    )


def _text(text: str) -> str:
    """What the row's line cuts off, clamped; '' where the line shows all of it."""
    if len(text) <= LINE_SHOWN:
        return ""
    shown = text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + " …"
    return (
        f'<div class="td-full td-clamped" dir="auto">{escape(shown)}</div>'
        '<button type="button" class="td-link" data-do="more">more</button>'
    )


def _facts(one: OpenRow, index: dict[str, int]) -> str:
    row = one.row
    role, place = one.place
    facts = []
    if not one.several:
        facts.append(f"Label {chip(row['true'], index)}")
        facts.append(f"Model {chip(row['predicted'], index)}")
    facts.append(f"Confidence <b>{row['confidence'] * 100:.1f} %</b>")
    if row["loss"] is not None:
        facts.append(f"Loss <b>{row['loss']:.2f}</b>")
    part = row["part"] if row["fold"] == 1 else f"{row['part']} of fold {row['fold']}"
    facts.append(f"Row <b>{place:,}</b> (counted from 0) of <bdi>{escape(one.file_name or role)}</bdi> ({part})")
    if row["suggested"]:
        facts.append(f"Confident learning takes it for {chip(row['suggested'], index)}")
    return f'<p class="td-differ">{"".join(f"<span>{fact}</span>" for fact in facts)}</p>'


def _label_form(one: OpenRow, index: dict[str, int]) -> str:
    """What is wrong with the label, and what is right."""
    if one.mark is not None:
        return (
            f'<div class="td-say" role="status"><p>Said of this label: {mark_chip(one.mark, index)}</p>'
            '<button type="button" class="td-button" data-do="right">Take it back</button></div>'
        )
    if one.several:
        choice, kind = _several_choice(one, index), "several"
    else:
        choice, kind = _one_choice(one), "one"
    return (
        f'<form class="td-say" data-kind="{kind}">{choice}'
        '<button type="button" class="td-button" data-do="wrong">Correct it</button>'
        '<button type="button" class="td-button" data-do="ambiguous">It is ambiguous</button></form>'
    )


def _one_choice(one: OpenRow) -> str:
    """The class that the model, or confident learning, would have it is chosen already, where it is another one."""
    said = one.row["suggested"] or one.row["predicted"]
    options = "".join(
        f'<option value="{escape(label)}"{" selected" * (label == said != one.row["true"])}>{escape(label)}</option>'
        for label in one.labels
        if label != one.row["true"]
    )
    nothing = "" if said != one.row["true"] else '<option value="" selected>choose</option>'
    return f"<label>The label is wrong: it is <select>{nothing}{options}</select></label>"


def _several_choice(one: OpenRow, index: dict[str, int]) -> str:
    row = one.row
    given = [label for label, said in zip(one.labels, row["probabilities"], strict=True) if _has(one, label, said)]
    boxes = "".join(
        f'<label><input type="checkbox" value="{escape(label)}"{" checked" * (label in given)}> {chip(label, index)}'
        "</label>"
        for label in one.labels
    )
    return f'<fieldset><legend>The labels are wrong: they are</legend><div class="td-boxes">{boxes}</div></fieldset>'


def _has(one: OpenRow, label: str, said: float) -> bool:
    """Whether the data gives the row this class: the model's decision, but where it is wrong."""
    decided = said >= one.thresholds.get(label, 0.5)
    return decided != (label in one.row["missed"] or label in one.row["added"])


def _words_part(one: OpenRow) -> str:
    if not one.explains:
        return ""
    if one.words:
        return f'<section class="td-about"><h4>The words that mattered</h4>{one.words}</section>'
    asked = dict.fromkeys([one.row["added"][0] if one.several and one.row["added"] else _likeliest(one)])
    if not one.several:
        asked |= {one.row["true"]: None}
    buttons = "".join(
        f'<button type="button" class="td-button" data-do="words" data-label="{escape(label)}">'
        f"Words for <bdi>{escape(label)}</bdi></button>"
        for label in asked
    )
    return (
        '<section class="td-about"><h4>The words that mattered</h4>'
        '<p class="td-hint">Each word is hidden once, to see how much less likely a class becomes.</p>'
        f"{buttons}</section>"
    )


def _likeliest(one: OpenRow) -> str:
    return max(zip(one.row["probabilities"], one.labels, strict=True))[1]


def words_wait_html(seconds: float | None, loaded: bool) -> str:
    loading = "" if loaded else "Loading the model, some seconds the first time. "
    long = f"About {seconds:.0f} seconds." if seconds is not None and seconds > 2 else ""
    return (
        f'<p class="td-hint" role="status">{loading}Hiding one word after the other. {long}</p>'
        '<div class="td-progress td-busy"></div>'
    )


def words_html(effects: Mapping[str, Any], label: str) -> str:
    """The text with what each word does for `label`. effects: content of core.evaluation.word_effects.WordEffects."""
    pieces = [(text, effect) for text, effect in effects["pieces"]]
    strongest = max((abs(effect) for _, effect in pieces if effect is not None), default=0.0)
    shown = "".join(_piece(text, effect, strongest) for text, effect in pieces)
    notes = []
    if effects["grouped"] > 1:
        notes.append(f"The text is long: {effects['grouped']} neighbouring words were hidden at a time.")
    if effects["cut"]:
        notes.append("The model reads the start of this text only.")
    note = f'<p class="td-hint">{" ".join(notes)}</p>' if notes else ""
    name = f"<bdi>{escape(label)}</bdi>"
    return (
        f'<p class="td-legend"><span class="td-word td-for" style="--s:{STRONGEST}%">speaks for {name}</span>'
        f'<span class="td-word td-against" style="--s:{STRONGEST}%">speaks against</span>'
        f"<span>{name} is {effects['probability'] * 100:.1f} % likely; the strongest word changes that by "
        f'{strongest * 100:.1f} points.</span></p><p class="td-words" dir="auto">{shown}</p>{note}'
    )


def _piece(text: str, effect: float | None, strongest: float) -> str:
    if effect is None or not strongest or abs(effect) < 0.05 * strongest:
        return escape(text)
    side = "td-for" if effect > 0 else "td-against"
    words = f"Without it {abs(effect) * 100:.1f} points {'less' if effect > 0 else 'more'}"
    return (
        f'<span class="td-word {side}" style="--s:{STRONGEST * abs(effect) / strongest:.0f}%" title="{words}">'
        f"{escape(text)}</span>"
    )


def _like_part(one: OpenRow, index: dict[str, int]) -> str:
    head = "<h4>Training rows most like it</h4>"
    if one.like is None:
        return (
            f'<section class="td-about">{head}'
            '<button type="button" class="td-button" data-do="like">Find them by shared words</button></section>'
        )
    if not one.like.rows:
        return f'<section class="td-about">{head}<p class="td-hint">None shares a word with it.</p></section>'
    rows = "".join(
        f'<li><span class="td-sure">{row.cosine:.2f}</span>'
        f'<span class="td-text" dir="auto">{escape(row.text[:LIKE_SHOWN])}</span>{chip(row.label, index)}</li>'
        for row in one.like.rows
    )
    return (
        f'<section class="td-about">{head}<p class="td-hint">By {escape(one.like.by)}; 1 is the same.</p>'
        f'<ol class="td-like">{rows}</ol></section>'
    )
