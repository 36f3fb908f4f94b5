"""Where the labels stand when a row may have several, or a probability for each; and what becomes of rare classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from core.data.class_steps import class_counts, class_steps, without_dropped
from core.data.label_guess import guess_separator
from core.data.labels import OTHER, name_of, value_counts
from core.data.mapping import suggest_mapping
from core.data.table import Table
from core.runs.store import Store
from core.schema import MappingSpec
from ui.new_run.draft import SETTINGS, Draft, by_columns, editing
from ui.new_run.source import fit_model

ONE, EACH = "one", "each"
PLACES = [("In one column, together", ONE), ("In a column for each class, as 1 and 0", EACH)]
SEPARATORS = [("semicolon  ;", ";"), ("bar  |", "|"), ("comma  ,", ","), ("blank", " ")]
KEEP = "keep"
RARE = [("Keep them", KEEP), (f"Make them one class, '{OTHER}'", "merge"), ("Drop them", "drop")]
RARE_KEY = "mapping.rare_below"
UNTOUCHED: dict[str, Any] = {"class_names": {}, "dropped_classes": [], "fold_label_variants": False}
"""What is done to classes, of labels that nobody has looked at yet."""
USUAL_RARE = 10
"""Rows: with fewer, a class is hardly learned."""
RARE_SHOWN = 8
"""Classes that go, by name."""
MOST_RARE = int(SETTINGS[RARE_KEY].maximum or 0)
COLUMNS_INFO = {
    "multi": "One for each class: 1 (or true, yes) where a row has it, else 0 or nothing.",
    "soft": "One for each class, with its probability. A row is divided by its sum.",
}


@dataclass(frozen=True)
class LabelChoice:
    place: gr.Radio
    columns: gr.Dropdown
    separator: gr.Dropdown
    rare_fold: gr.Accordion
    rare: gr.Radio
    rare_below: gr.Slider
    rare_said: gr.HTML

    def components(self) -> list[Any]:
        return [
            self.place, self.columns, self.separator, self.rare_fold, self.rare, self.rare_below, self.rare_said,
        ]  # fmt: skip


def build_place() -> gr.Radio:
    return gr.Radio(
        PLACES, value=ONE, label="Where do the classes of a row stand?", visible=False, elem_id="label-place"
    )


def build_label_columns() -> tuple[gr.Dropdown, gr.Dropdown]:
    """The columns of the classes, and what stands between classes in one column."""
    columns = gr.Dropdown(
        [], multiselect=True, label="Columns of the classes", min_width=260, visible=False, elem_id="label-columns"
    )
    separator = gr.Dropdown(
        SEPARATORS, label="Between the classes of a row", allow_custom_value=True, min_width=200, visible=False,
        info="Type it where it is another. Lists like [\"a\", \"b\"] need none.", elem_id="label-separator",
    )  # fmt: skip
    return columns, separator


def build_rare() -> tuple[gr.Accordion, gr.Radio, gr.Slider, gr.HTML]:
    with gr.Accordion("Rare classes", open=False, elem_id="rare-classes", elem_classes="fold") as fold:
        rare = gr.Radio(RARE, value=KEEP, label="Classes with few rows", elem_id="rare-how")
        below = gr.Slider(
            2, 100, value=USUAL_RARE, step=1, label="Few: fewer rows than", visible=False, elem_id="rare-below"
        )
        said = gr.HTML(apply_default_css=False, visible=False, elem_classes="said", elem_id="rare-said")
    return fold, rare, below, said


def label_view(choice: LabelChoice, draft: Draft, table: Table, counts: Sequence[tuple[str, int]]) -> dict[Any, Any]:
    """New values; what means nothing for the kind of label is hidden."""
    mapping = draft.spec["mapping"]
    kind, each = draft.kind, by_columns(draft)
    rare = mapping.get("rare_classes", "merge") if wants_rare(draft) else KEEP
    has_rare = kind in ("single", "multi") and bool(counts)
    return {
        choice.place: gr.update(value=EACH if each else ONE, visible=kind == "multi"),
        choice.columns: gr.update(
            choices=list(table.names), value=[name for name in mapping.get("label_columns", ()) if name in table.names],
            info=COLUMNS_INFO.get(kind), visible=each,
        ),
        choice.separator: gr.update(
            value=mapping.get("label_separator", ";"), visible=kind == "multi" and not each
        ),
        choice.rare_fold: gr.update(visible=has_rare, **({"open": True} if wants_rare(draft) else {})),
        choice.rare: rare,
        choice.rare_below: gr.update(
            value=int(mapping.get("rare_below") or USUAL_RARE), maximum=_most_rare(draft, counts), visible=rare != KEEP
        ),
        choice.rare_said: gr.update(value=rare_words(draft, counts), visible=rare != KEEP),
    }  # fmt: skip


def wants_rare(draft: Draft) -> bool:
    """Whether rare classes are merged or dropped, or were asked to be below a number that cannot be used."""
    return draft.kind in ("single", "multi") and (
        RARE_KEY in draft.raw or bool(draft.spec["mapping"].get("rare_below"))
    )


def rare_words(draft: Draft, counts: Sequence[tuple[str, int]]) -> str:
    """What the choice does to the classes of this file."""
    if RARE_KEY in draft.raw:
        return f"<p class=\"bad\">'{escape(draft.raw[RARE_KEY])}' is no number of rows.</p>"
    mapping = draft.spec["mapping"]
    labels = _labels(draft)
    name, found = name_of(labels), dict[str, int]()
    for value, rows in counts:
        found[name(value)] = found.get(name(value), 0) + rows
    named = without_dropped(found, class_steps(found, labels))
    few = [(name, rows) for name, rows in named.items() if rows < int(mapping.get("rare_below") or 0)]
    if not few:
        return '<p class="quiet">No class has so few rows.</p>'
    verb = "dropped" if mapping.get("rare_classes") == "drop" else f"made one, '{OTHER}'"
    shown = ", ".join(f"{escape(name[:40])} ({rows:,})" for name, rows in few[:RARE_SHOWN])
    more = f" and {len(few) - RARE_SHOWN:,} more" if len(few) > RARE_SHOWN else ""
    return (
        f'<p class="quiet">{len(few):,} of {len(named):,} classes {"is" if len(few) == 1 else "are"} {verb}, '
        f"{sum(rows for _, rows in few):,} rows: {shown}{more}.</p>"
    )


def rare_step(labels: MappingSpec) -> str:
    """What is done to rare classes, as markup."""
    become = f"are one, '{OTHER}'" if labels.rare_classes == "merge" else "are left out"
    return f"Classes with fewer than {labels.rare_below:,} rows {become}."


def rare_preview(choice: LabelChoice, draft: Draft, counts: Sequence[tuple[str, int]]) -> dict[Any, Any]:
    """What goes where the slider stands, while it moves."""
    return {choice.rare_said: rare_words(draft, counts)}


def _most_rare(draft: Draft, counts: Sequence[tuple[str, int]]) -> int:
    """How far the slider reaches: to the largest class."""
    largest = max((rows for _, rows in counts), default=0)
    return min(max(largest, USUAL_RARE, int(draft.spec["mapping"].get("rare_below") or 0)), MOST_RARE)


def labels_of(draft: Draft, table: Table) -> MappingSpec | None:
    """Where the draft's labels stand, whether or not the text is chosen; None until they are."""
    mapping = draft.spec["mapping"]
    columns = mapping.get("label_columns", ()) if by_columns(draft) else [mapping["label"]]
    return _labels(draft) if columns and set(columns) <= set(table.names) else None


def _labels(draft: Draft) -> MappingSpec:
    mapping = draft.spec["mapping"]
    columns = mapping.get("label_columns", ()) if by_columns(draft) else ()
    # Not validated: that would ask for the text columns.
    return MappingSpec.model_construct(
        kind=draft.kind,
        label=mapping["label"] or "",
        label_columns=tuple(columns),
        label_separator=mapping.get("label_separator", ";"),
        class_names=mapping.get("class_names") or {},
        rare_below=int(mapping.get("rare_below") or 0),
        rare_classes=mapping.get("rare_classes", "merge"),
        fold_label_variants=bool(mapping.get("fold_label_variants")),
        dropped_classes=tuple(mapping.get("dropped_classes") or ()),
    )


def draft_counts(draft: Draft, table: Table) -> list[tuple[str, int]]:
    """The draft's label values with their rows, most frequent first; [] until they are chosen."""
    labels = labels_of(draft, table)
    return [] if labels is None else value_counts(table, labels)


def counts_shown(
    draft: Draft, table: Table, counts: list[tuple[str, int]]
) -> tuple[list[tuple[str, int]], dict[str, str]]:
    """What the chart of classes shows, as (value, rows) and names: with rare classes merged or dropped as chosen."""
    labels = labels_of(draft, table)
    asked = labels is not None and (labels.rare_below or labels.fold_label_variants or labels.dropped_classes)
    if labels is None or not asked or draft.kind == "soft":
        return counts, draft.spec["mapping"].get("class_names") or {}
    return class_counts(table, labels), {}


def choose_label_kind(store: Store, draft_id: str, table: Table, kind: Any) -> Draft:
    """Another kind of label: its columns are suggested anew, the text stays where it was chosen."""
    suggestion = suggest_mapping(table, kind)
    with editing(store, draft_id) as draft:
        mapping = draft.spec["mapping"]
        chosen = list(suggestion.label_columns) or [suggestion.label]
        text = [name for name in mapping["text"] if name not in chosen] if not draft.is_chat else []
        mapping |= {
            "kind": kind,
            "text": text or list(suggestion.text),
            # '' says that the classes have columns of their own, None that the one column is still to be chosen.
            "label": "" if kind == "soft" or suggestion.label_columns else suggestion.label,
            "label_columns": list(suggestion.label_columns),
            "label_separator": suggestion.label_separator,
            **UNTOUCHED,
            "class_names": suggestion.class_names,
            "chat": {},
        }
        draft.reasons = suggestion.reasons
        fit_model(draft)
    return draft


def choose_place(store: Store, draft_id: str, table: Table, place: str) -> Draft:
    """One column for all classes of a row, or one for each."""
    suggestion = suggest_mapping(table, "multi", by_columns=place == EACH)
    with editing(store, draft_id) as draft:
        columns = list(suggestion.label_columns) if place == EACH else []
        label = "" if place == EACH else suggestion.label
        draft.spec["mapping"] |= {
            "label": label, "label_columns": columns, "label_separator": suggestion.label_separator, **UNTOUCHED,
        }  # fmt: skip
        draft.reasons = suggestion.reasons
    return draft


def choose_label_columns(store: Store, draft_id: str, columns: list[str]) -> Draft:
    with editing(store, draft_id) as draft:
        mapping = draft.spec["mapping"]
        names = {value: name for value, name in mapping["class_names"].items() if value in columns}
        mapping |= {"label_columns": list(columns), "class_names": names}
        draft.reasons = ()
    return draft


def choose_separator(store: Store, draft_id: str, separator: str | None) -> Draft:
    """Keep what stands between classes; where nothing is left of it, the semicolon."""
    with editing(store, draft_id) as draft:
        draft.spec["mapping"] |= {"label_separator": (separator or ";")[:5], **UNTOUCHED}
    return draft


def follow_label(store: Store, draft_id: str, table: Table) -> Draft:
    """After another column of several classes was chosen: what stands between them there, where it can be told."""
    with editing(store, draft_id) as draft:
        label = draft.spec["mapping"]["label"]
        found = guess_separator(table, label) if label else None
        if found:
            draft.spec["mapping"]["label_separator"] = found
    return draft


def choose_rare(store: Store, draft_id: str, how: str, below: float | str) -> Draft:
    """Keep what becomes of rare classes; a number that cannot be used is kept beside it."""
    with editing(store, draft_id) as draft:
        if how == KEEP:
            draft.raw.pop(RARE_KEY, None)
            draft.put(RARE_KEY, 0)
            return draft
        draft.put("mapping.rare_classes", how)
        given = (below.strip() if isinstance(below, str) else f"{below:.0f}") or str(USUAL_RARE)
        if given.isdecimal() and 1 <= int(given) <= MOST_RARE:
            draft.raw.pop(RARE_KEY, None)
            draft.put(RARE_KEY, int(given))
        else:
            draft.raw[RARE_KEY] = given
    return draft
