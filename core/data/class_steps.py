"""What a mapping does to classes once they are read: spellings folded, classes dropped, rare ones merged or dropped.

The steps are decided by the training file alone and then taken in every file. Not for probabilities, whose classes
belong together.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from core.data.labels import (
    DROPPED,
    OTHER,
    RowLabels,
    keep_classes,
    most_frequent_first,
    name_of,
    named,
    rare_classes,
    variant_key,
    whatever_the_text,
    without_rare,
)
from core.data.mapping import natural_order
from core.data.table import Table
from core.schema import MappingSpec


@dataclass(frozen=True)
class ClassSteps:
    """Steps in the order in which they are taken."""

    spelling: Mapping[str, str]
    """variant_key -> the spelling that is kept; empty where spellings are not folded."""
    dropped: frozenset[str]
    """Keys of the classes that are left out: their names, or variant_key of these where spellings are folded."""
    rare: frozenset[str]
    how: Literal["merge", "drop"]

    def spelled(self, name: str) -> str:
        return self.spelling.get(variant_key(name), name) if self.spelling else name

    def of(self, name: str) -> str:
        """The class that this one becomes; '' where it is left out."""
        kept = "" if self.drops(name) else self.spelled(name)
        if kept not in self.rare:
            return kept
        return OTHER if self.how == "merge" else ""

    def drops(self, name: str) -> bool:
        return (variant_key(name) if self.spelling else name) in self.dropped


def class_steps(counts: Mapping[str, int], mapping: MappingSpec) -> ClassSteps:
    """counts: class -> rows of the training file, with class names, before any step."""
    if mapping.kind == "soft":
        return ClassSteps({}, frozenset(), frozenset(), "merge")
    fold = mapping.fold_label_variants
    spelling = commonest_spellings(counts) if fold else {}
    dropped = frozenset(variant_key(name) if fold else name for name in mapping.dropped_classes)
    steps = ClassSteps(spelling, dropped, frozenset(), mapping.rare_classes)
    return ClassSteps(spelling, dropped, rare_classes(without_dropped(counts, steps), mapping), mapping.rare_classes)


def commonest_spellings(counts: Mapping[str, int]) -> dict[str, str]:
    """variant_key -> its commonest spelling; of two as common the first as people sort."""
    order = {name: place for place, name in enumerate(natural_order(list(counts)))}
    found: dict[str, str] = {}
    for name in sorted(counts, key=lambda name: (-counts[name], order[name])):
        found.setdefault(variant_key(name), name)
    return found


def without_dropped(counts: Mapping[str, int], steps: ClassSteps) -> dict[str, int]:
    """Class -> rows (of single classes) after spellings were folded and classes dropped."""
    kept: dict[str, int] = {}
    for name, rows in counts.items():
        if not steps.drops(name):
            kept[steps.spelled(name)] = kept.get(steps.spelled(name), 0) + rows
    return kept


def counts_after(counts: Mapping[str, int], steps: ClassSteps) -> dict[str, int]:
    """Class -> rows (of single classes) after all steps."""
    kept = without_dropped(counts, steps)
    rare = {name: rows for name, rows in kept.items() if name in steps.rare}
    common = {name: rows for name, rows in kept.items() if name not in rare}
    if rare and steps.how == "merge":
        common[OTHER] = common.get(OTHER, 0) + sum(rare.values())
    return common


def taught(labels: RowLabels, steps: ClassSteps) -> RowLabels:
    """A file's labels after all steps."""
    if steps.spelling:
        labels = named(labels, [steps.spelled(name) for name in labels.names])
    if any(map(steps.drops, labels.names)):
        labels = keep_classes(labels, {name for name in labels.names if not steps.drops(name)}, DROPPED)
    return without_rare(labels, steps.rare, steps.how)


def before_rare(labels: RowLabels, mapping: MappingSpec) -> RowLabels:
    """A training file's labels with spellings folded and classes dropped, before rare ones are looked for: by these
    it is told whether two rows have the same class."""
    return taught(labels, replace(class_steps(labels.counts(), mapping), rare=frozenset()))


def steps_of(table: Table, mapping: MappingSpec) -> ClassSteps:
    """The steps that the mapping takes with this table as its training file."""
    return class_steps(whatever_the_text(table, mapping).counts(), mapping)


def class_counts(table: Table, mapping: MappingSpec) -> list[tuple[str, int]]:
    """Classes and rows each, as core.data.labels.value_counts counts them, with class names and after all steps."""
    labels = whatever_the_text(table, mapping)
    return most_frequent_first(taught(labels, class_steps(labels.counts(), mapping)).counts())


@dataclass(frozen=True)
class Variants:
    """Spellings of what looks like one class."""

    kept: str
    others: tuple[tuple[str, int], ...]
    """(spelling, rows), the commonest first."""


def label_variants(counts: Iterable[tuple[str, int]], mapping: MappingSpec) -> list[Variants]:
    """Groups of label values that variant_key takes for one, whether or not they are folded.

    counts: (label value, rows). Values that were given one name are one class already.
    """
    name = name_of(mapping.model_copy(update={"fold_label_variants": False}))
    named_rows: dict[str, int] = {}
    for value, rows in counts:
        named_rows[name(value)] = named_rows.get(name(value), 0) + rows
    spellings = commonest_spellings(named_rows)
    others: dict[str, list[tuple[str, int]]] = {}
    for spelling, rows in most_frequent_first(named_rows):
        if spellings[variant_key(spelling)] != spelling:
            others.setdefault(variant_key(spelling), []).append((spelling, rows))
    return [Variants(spellings[key], tuple(found)) for key, found in others.items()]
