"""What a run learns of texts with labels, in words: how many classes, where they stand, what becomes of rare ones."""

from dataclasses import dataclass
from html import escape

from core.data.class_steps import class_steps, taught
from core.data.conversations import conversations_of
from core.data.labels import OTHER, read_labels
from core.data.table import Table
from core.schema import MappingSpec, RunSpec

CLASSES_NAMED = 8


@dataclass(frozen=True)
class Usable:
    """What can be learned from of the training file."""

    rows: int
    names: list[str]
    """Of the classes, as people sort, after rare ones were merged or dropped; none of conversations."""
    rare: int
    """Classes that were."""
    per_row: float = 1.0


def usable_rows(spec: RunSpec, table: Table) -> Usable:
    mapping = spec.mapping
    if spec.task == "chat":
        return Usable(int(conversations_of(table, mapping.chat).usable.sum()), [], 0)
    labels = read_labels(table, mapping)
    steps = class_steps(labels.counts(), mapping)
    kept = taught(labels, steps)
    rows = int(kept.used.sum())
    return Usable(rows, kept.names, len(steps.rare), len(kept.classes) / max(rows, 1))


def bold(text: str) -> str:
    return f'<b dir="auto">{escape(text)}</b>'


def with_and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def class_task(spec: RunSpec, tables: dict[str, Table], found: Usable) -> str:
    mapping, names = spec.mapping, found.names
    listed = ", ".join(escape(name[:40]) for name in names[:CLASSES_NAMED])
    more = f" and {len(names) - CLASSES_NAMED:,} more" if len(names) > CLASSES_NAMED else ""
    made = f", put together as <q>{escape(mapping.text_template[:120])}</q>," if mapping.text_template else ""
    read = f"by reading {with_and([bold(name) for name in mapping.text])}{made} in {bold(tables['train'].path.name)}"
    classes = f"{bold(f'{len(names):,} classes')}"
    if mapping.kind == "multi":
        what = f"It learns which of {classes} each text has ({listed}{more}), any number of them, {read}; a row has"
        return f"{what} {found.per_row:.1f} on average. {_multi_place(mapping)}{_steps(mapping, found)}"
    if mapping.kind == "soft":
        what = f"It learns how likely each of {classes} is ({listed}{more}) {read}"
        return f"{what}; the probabilities stand in {_columns(mapping)}, and each row's are made to sum to 1."
    return (
        f"It learns to tell {classes} apart ({listed}{more}) {read}; the right answers stand in "
        f"{bold(mapping.label)}.{_steps(mapping, found)}"
    )


def _multi_place(mapping: MappingSpec) -> str:
    if mapping.label_columns:
        return f"Each class has a column of its own: {_columns(mapping)}."
    between = "blanks" if not mapping.label_separator.strip() else f"<q>{escape(mapping.label_separator.strip())}</q>"
    return f"The right answers stand in {bold(mapping.label)}, with {between} between them."


def _columns(mapping: MappingSpec) -> str:
    shown = [bold(name) for name in mapping.label_columns[:CLASSES_NAMED]]
    more = len(mapping.label_columns) - len(shown)
    return with_and(shown) if more <= 0 else f"{', '.join(shown)} and {more:,} more columns"


def _steps(mapping: MappingSpec, found: Usable) -> str:
    """What is done to the classes, in the order in which it is done."""
    told = ""
    values: dict[str, int] = {}
    for name in mapping.class_names.values():
        values[name] = values.get(name, 0) + 1
    merged = [name for name, count in values.items() if count > 1]
    if merged:
        shown = ", ".join(bold(name) for name in merged[:CLASSES_NAMED])
        told += f" Labels that were given one name are one class: {shown}."
    if mapping.fold_label_variants:
        told += " Labels that differ only in case, spaces or the like are one class."
    if mapping.dropped_classes:
        told += f" Left out: {', '.join(bold(name) for name in mapping.dropped_classes[:CLASSES_NAMED])}"
        more = len(mapping.dropped_classes) - CLASSES_NAMED
        told += f" and {more:,} more classes." if more > 0 else "."
    return told + _rare(mapping, found)


def _rare(mapping: MappingSpec, found: Usable) -> str:
    if not found.rare:
        return ""
    become = f"are one, {bold(OTHER)}" if mapping.rare_classes == "merge" else "are dropped"
    count = f"{found.rare:,} class{'es' if found.rare != 1 else ''}"
    return f" Rare classes (fewer than {mapping.rare_below:,} rows: {bold(count)}) {become}."
