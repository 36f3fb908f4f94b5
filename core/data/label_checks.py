"""What is worth saying of rare classes, of rows with several classes, and of rows with probabilities."""

import numpy as np

from core.data.findings import Finding, counted, listed
from core.data.labelled_part import Part
from core.data.labels import OTHER, SUM_TOLERANCE, has_label_columns
from core.schema import MappingSpec

FEW_ROWS = 10
"""A class of several with fewer rows is hardly learned."""


def about_label_kind(parts: dict[str, Part], rare: frozenset[str], mapping: MappingSpec) -> list[Finding]:
    """Findings that are not about labels of one class in ordinary numbers."""
    findings = _about_rare(parts, rare, mapping)
    if mapping.kind == "multi":
        findings += _about_multi(parts["train"], mapping)
    if mapping.kind == "soft":
        findings += [finding for part in parts.values() for finding in _about_sums(part)]
    return findings


def no_label_words(part: Part, mapping: MappingSpec) -> str:
    """Why rows with a text have no label, to stand before `left out`."""
    count = part.empty_label
    left = f"and {'is' if count == 1 else 'are'} left out."
    if mapping.kind == "soft":
        return (
            f"{counted(count, 'row has', 'rows have')} no probabilities that can be used (one is negative or no "
            f"number, or all are 0) {left}"
        )
    if has_label_columns(mapping):
        return (
            f"{counted(count, 'row holds', 'rows hold')} something other than 1 and 0 (or true and false, yes and no) "
            f"in the columns of the classes {left}"
        )
    return f"{counted(count, 'row has', 'rows have')} no label {left}"


def _about_rare(parts: dict[str, Part], rare: frozenset[str], mapping: MappingSpec) -> list[Finding]:
    if not rare:
        return []
    train = parts["train"]
    few = counted(len(rare), "class has", "classes have")
    which = f"{few} fewer than {mapping.rare_below:,} rows ({listed(list(rare))})"
    where, lost = train.table.path.name, sum(part.only_rare for part in parts.values())
    if mapping.rare_classes == "merge":
        what = f"{which}: {'it becomes' if len(rare) == 1 else 'they become'} the class '{OTHER}'."
        return [Finding("note", what, where, "The model then tells them from the rest, not from each other.",
                        len(rare), "rare_classes")]  # fmt: skip
    left = f" {counted(lost, 'row has', 'rows have')} no other and {'is' if lost == 1 else 'are'} left out."
    what = f"{which}: {'it is' if len(rare) == 1 else 'they are'} dropped.{left if lost else ''}"
    return [
        Finding(
            "warning" if lost else "note",
            what,
            where,
            "The model will never answer with them.",
            len(rare),
            "rare_classes",
        )
    ]


def _about_multi(train: Part, mapping: MappingSpec) -> list[Finding]:
    assert train.rows is not None
    sizes = train.rows.sizes[train.rows.used]
    if not len(sizes) or not train.labels:
        return []
    where, without = train.table.path.name, int((sizes == 0).sum())
    several = int((sizes > 1).sum())
    findings = [
        Finding(
            "note",
            f"A row has {sizes.mean():.2f} classes on average, {int(sizes.max())} at most; "
            f"{counted(several, 'row has', 'rows have')} more than one.",
            where,
            "" if several else "If no row ever has several, labels of one class suit better.",
            several,
            "classes_per_row",
        )
    ]
    if without:
        findings.append(
            Finding(
                "warning" if without > 0.9 * len(sizes) else "note",
                f"{counted(without, 'row has', 'rows have')} no class: the model learns from "
                f"{'it' if without == 1 else 'them'} that none may fit.",
                where,
                "Take them out if they were only never labelled.",
                without,
                "no_class",
            )
        )
    everywhere = [name for name, rows in train.labels.items() if rows == len(sizes)]
    if everywhere and len(train.labels) > 1:
        findings.append(
            Finding(
                "warning",
                f"{counted(len(everywhere), 'class stands', 'classes stand')} at every row ({listed(everywhere)}): "
                "there is nothing to learn about it.",
                where,
                "Look whether the columns are the right ones.",
                len(everywhere),
                "class_everywhere",
            )
        )
    return findings + _few_rows(train, mapping)


def _few_rows(train: Part, mapping: MappingSpec) -> list[Finding]:
    few = [name for name, rows in train.labels.items() if rows < FEW_ROWS and name != OTHER]
    if not few:
        return []
    return [
        Finding(
            "warning",
            f"{len(few):,} of {len(train.labels):,} classes {'has' if len(few) == 1 else 'have'} fewer than {FEW_ROWS} "
            f"rows ({listed(few)}): hardly learned, and hardly measured.",
            train.table.path.name,
            "Merge or drop rare classes." if mapping.rare_below < FEW_ROWS else "Add rows of them.",
            len(few),
            "few_rows_of_class",
        )
    ]


def _about_sums(part: Part) -> list[Finding]:
    assert part.rows is not None and part.rows.probabilities is not None
    if not part.rows.bad_sums:
        return []
    used = part.rows.probabilities[part.rows.used]
    sure = float((used.max(axis=1) > 1 - SUM_TOLERANCE).mean()) if len(used) else 0.0
    return [
        Finding(
            "warning",
            f"In {counted(part.rows.bad_sums, 'row', 'rows')} the probabilities do not sum to 1: each is divided by "
            f"its row's sum.",
            part.table.path.name,
            "Look whether a column of a class is missing." + (
                " Most rows are wholly one class: labels of one class may suit better." if sure > 0.5 else ""
            ),
            part.rows.bad_sums,
            "bad_sums",
        )
    ]  # fmt: skip


def nothing_labelled(part: Part) -> bool:
    """Whether a file of labels of several classes has rows, and none of them any class."""
    return part.rows is not None and not np.any(part.rows.sizes)
