"""What is done to the classes before anything learns: spellings made one, classes merged or left out, each step undone
with a click. The file stays as it is."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from core.data.class_steps import ClassSteps, Variants, class_steps, label_variants, without_dropped
from core.data.labels import name_by, name_of, variant_key
from core.data.mapping import natural_order
from core.data.table import Table
from core.errors import UserError
from core.runs.store import Store
from core.schema import MappingSpec
from ui.new_run.data_html import class_colours
from ui.new_run.draft import Draft, editing
from ui.new_run.label_columns import labels_of, rare_step, wants_rare
from ui.new_run.source import PICK_SCRIPT

MOST_PICKED = 1000
"""Classes that can be picked from; more are merged by rows or by a file of names."""
SPELLINGS_SHOWN = 8
Counts = Sequence[tuple[str, int]]


@dataclass(frozen=True)
class ClassStepChoice:
    fold: gr.Accordion
    variants: gr.Checkbox
    variants_said: gr.HTML
    picked: gr.Dropdown
    into: gr.Textbox
    merge: gr.Button
    drop: gr.Button
    problem: gr.HTML
    done: gr.HTML

    def components(self) -> list[Any]:
        return [
            self.fold, self.variants, self.variants_said, self.picked, self.into, self.problem, self.done,
        ]  # fmt: skip


def build_class_steps() -> ClassStepChoice:
    with gr.Accordion("Merge or leave out classes", open=False, elem_id="class-steps", elem_classes="fold") as fold:
        variants = gr.Checkbox(
            label="Labels that differ only in case, spaces or the like are one class",
            visible=False,
            elem_id="fold-variants",
        )
        said = gr.HTML(apply_default_css=False, visible=False, elem_classes="said", elem_id="variants-said")
        with gr.Row(elem_classes="two"):
            picked = gr.Dropdown(
                [], multiselect=True, label="Classes", info="Pick some to merge or to leave out.", min_width=260,
                elem_id="picked-classes",
            )  # fmt: skip
            into = gr.Textbox(
                label="Name of the merged class", info="Empty: that of the first picked.", max_lines=1, min_width=200,
                elem_id="merge-into",
            )  # fmt: skip
        with gr.Row(elem_classes="left"):
            merge = gr.Button("Make them one", size="md", elem_id="merge-classes")
            drop = gr.Button("Leave them out", size="md", elem_id="drop-classes")
        problem = gr.HTML(apply_default_css=False, visible=False)
    done = gr.HTML(apply_default_css=False, visible=False, js_on_load=PICK_SCRIPT, elem_id="steps-done")
    return ClassStepChoice(fold, variants, said, picked, into, merge, drop, problem, done)


def steps_of_draft(draft: Draft, table: Table, counts: Counts) -> tuple[MappingSpec, dict[str, int], ClassSteps] | None:
    """The draft's labels, its classes with their rows by name, and the steps; None where there are none."""
    labels = labels_of(draft, table)
    if labels is None or draft.kind not in ("single", "multi") or not counts:
        return None
    named: dict[str, int] = {}
    name = name_of(labels)
    for value, rows in counts:
        named[name(value)] = named.get(name(value), 0) + rows
    return labels, named, class_steps(named, labels)


def shown_classes(draft: Draft, table: Table, counts: Counts) -> tuple[dict[str, str], dict[str, str]]:
    """Label value -> what its class is called in the end, where that differs; and -> the colour of that class."""
    found = steps_of_draft(draft, table, counts)
    names = draft.spec["mapping"].get("class_names") or {}
    if found is None:
        return names, class_colours(counts, names)
    labels, _, steps = found
    name = name_of(labels)
    become = {value: steps.of(name(value)) for value, _ in counts}
    kept = [(value, rows) for value, rows in counts if become[value]]
    # A class that is left out has no colour.
    return {value: given for value, given in become.items() if given not in ("", value)}, class_colours(kept, become)


def class_steps_view(choice: ClassStepChoice, draft: Draft, table: Table, counts: Counts) -> dict[Any, Any]:
    """New values; counts: the label's values with their rows."""
    found = steps_of_draft(draft, table, counts)
    hidden = {choice.fold: gr.update(visible=False), choice.done: gr.update(value="", visible=False)}
    if found is None:
        return hidden
    labels, named, steps = found
    variants = label_variants(named.items(), labels.model_copy(update={"class_names": {}}))
    classes = natural_order(list(without_dropped(named, steps)))[:MOST_PICKED]
    told = steps_html(draft, table, counts)
    return {
        choice.fold: gr.update(visible=True, **({"open": True} if variants or labels.dropped_classes else {})),
        choice.variants: gr.update(value=labels.fold_label_variants, visible=bool(variants)),
        choice.variants_said: gr.update(
            value=_variants_html(variants, labels.fold_label_variants), visible=bool(variants)
        ),
        choice.picked: gr.update(choices=classes, value=[]),
        choice.into: "",
        choice.problem: gr.update(value="", visible=False),
        choice.done: gr.update(value=told, visible=bool(told)),
    }


def _variants_html(variants: Sequence[Variants], folded: bool) -> str:
    items = "".join(
        f"<li>{', '.join(f'<q>{escape(name[:60])}</q> ({rows:,})' for name, rows in one.others)} "
        f"{'is' if folded else 'would be'} <q>{escape(one.kept[:60])}</q></li>"
        for one in variants[:SPELLINGS_SHOWN]
    )
    more = len(variants) - SPELLINGS_SHOWN
    rest = f'<p class="quiet">and {more:,} classes more.</p>' if more > 0 else ""
    return f'<p class="quiet">The commonest spelling is kept:</p><ul>{items}</ul>{rest}'


def merged_names(draft: Draft) -> dict[str, list[str]]:
    """Name -> the label values that were given it, where it was given to several."""
    values: dict[str, list[str]] = {}
    for value, name in (draft.spec["mapping"].get("class_names") or {}).items():
        values.setdefault(name, []).append(value)
    return {name: found for name, found in values.items() if len(found) > 1}


def step_words(draft: Draft, table: Table, counts: Counts) -> list[tuple[str, str]]:
    """(key, what is done as markup) for each step that the mapping takes, in order."""
    found = steps_of_draft(draft, table, counts)
    if found is None:
        return []
    labels, named, _ = found
    merged, told = merged_names(draft), []
    alone = [value for value, name in labels.class_names.items() if name not in merged and name != value]
    if alone:
        what = f"{_quoted(alone[0])} is called {_quoted(labels.class_names[alone[0]])}"
        more = f", and {len(alone) - 1:,} more classes have other names" if len(alone) > 1 else ""
        told.append(("names", f"{what}{more}."))
    for name, values in merged.items():
        shown = ", ".join(map(_quoted, values[:5])) + (f" and {len(values) - 5:,} more" if len(values) > 5 else "")
        told.append((f"merge:{name}", f"{shown} are one class, {_quoted(name)}."))
    if labels.fold_label_variants:
        rows = sum(
            count
            for one in label_variants(named.items(), labels.model_copy(update={"class_names": {}}))
            for _, count in one.others
        )
        told.append(("fold", f"Spellings that differ in case, spaces or the like are one class: {rows:,} rows."))
    told += [(f"drop:{name}", f"{_quoted(name)} is left out.") for name in labels.dropped_classes]
    if wants_rare(draft) and labels.rare_below:
        told.append(("rare", rare_step(labels)))
    return told


def _quoted(name: str) -> str:
    return f"<q dir=auto>{escape(name[:60])}</q>"


def steps_html(draft: Draft, table: Table, counts: Counts) -> str:
    items = "".join(
        f'<li><span>{words}</span> <button type="button" data-key="{escape(key)}">Undo</button></li>'
        for key, words in step_words(draft, table, counts)
    )
    return f"<p>Done to the classes, not to the file:</p><ol>{items}</ol>" if items else ""


def choose_fold(store: Store, draft_id: str, fold: bool) -> Draft:
    with editing(store, draft_id) as draft:
        draft.spec["mapping"]["fold_label_variants"] = fold
    return draft


def merge_picked(store: Store, draft_id: str, table: Table, counts: Counts, picked: list[str], into: str) -> Draft:
    """Give the picked classes one name. Raises UserError where fewer than two classes would be merged."""
    with editing(store, draft_id) as draft:
        found = steps_of_draft(draft, table, counts)
        name = into.strip() or (picked[0] if picked else "")
        if found is None or len({*picked, name}) < 2:
            raise UserError("Only one class is picked.", "Classes", "Pick two or more to make one of them.")
        labels, _, steps = found
        shown = name_of(labels)
        names = dict(labels.class_names)
        for value, _ in counts:
            if steps.spelled(shown(value)) in (*picked, name):
                names[value] = name
        name_classes(draft.spec["mapping"], names, (value for value, _ in counts))
    return draft


def drop_picked(store: Store, draft_id: str, picked: list[str]) -> Draft:
    """Raises UserError where none is picked."""
    if not picked:
        raise UserError("No class is picked.", "Classes", "Pick those that shall be left out.")
    with editing(store, draft_id) as draft:
        before = draft.spec["mapping"].get("dropped_classes") or []
        draft.spec["mapping"]["dropped_classes"] = list(dict.fromkeys([*before, *picked]))
    return draft


def name_classes(mapping: dict[str, Any], names: dict[str, str], values: Iterable[str]) -> None:
    """Give the classes of a draft's mapping other names. values: of its label, all of them.

    What was left out stays so under its new name, unless that is also the name of something that was not left out.
    """
    fold = mapping.get("fold_label_variants", False)
    key: Callable[[str], str] = variant_key if fold else str
    before, after = name_by(mapping.get("class_names") or {}, fold), name_by(names, fold)
    dropped = {key(name): name for name in mapping.get("dropped_classes") or []}
    are_left_out: dict[str, bool] = {}
    spelled: dict[str, str] = {}
    known: set[str] = set()
    for value in values:
        name = spelled.setdefault(key(after(value)), after(value))
        are_left_out[name] = are_left_out.get(name, True) and key(before(value)) in dropped
        known.add(key(before(value)))
    left = [name for name, is_left_out in are_left_out.items() if is_left_out]
    # Of classes that this file does not have nothing is known: they stay.
    others = [name for one, name in dropped.items() if one not in known and one not in spelled]
    mapping |= {"class_names": names, "dropped_classes": [*left, *others]}


def undo_step(store: Store, draft_id: str, key: str, values: Iterable[str]) -> Draft:
    """Take a step back; `key` as step_words names it. values: the label's."""
    with editing(store, draft_id) as draft:
        mapping = draft.spec["mapping"]
        kind, _, name = key.partition(":")
        names = mapping.get("class_names") or {}
        if kind == "fold":
            mapping["fold_label_variants"] = False
        elif kind == "rare":
            draft.raw.pop("mapping.rare_below", None)
            mapping["rare_below"] = 0
        elif kind == "drop":
            mapping["dropped_classes"] = [other for other in mapping.get("dropped_classes") or [] if other != name]
        elif kind == "merge":
            name_classes(mapping, {value: given for value, given in names.items() if given != name}, values)
        elif kind == "names":
            merged = merged_names(draft)
            name_classes(mapping, {value: given for value, given in names.items() if given in merged}, values)
    return draft
