"""Whether classes can be learned and tested: how many there are, how many rows each has, what other files lack."""

import numpy as np

from core.data.allocation import quotas
from core.data.division import shares_of
from core.data.findings import Finding, Fix, counted, listed
from core.data.labelled_part import Part, rows_with_unknown
from core.data.labels import has_label_columns
from core.data.row_checks import GRAVE_LOSS
from core.schema import MappingSpec, SplitSpec

FEWEST_ROWS = 10
MOST_CLASSES = 1000


def about_learnable(train: Part, parts: dict[str, Part], mapping: MappingSpec, split: SplitSpec) -> list[Finding]:
    where = train.table.path.name
    findings = []
    only = next((label for label, count in train.labels.items() if count == train.usable), None)
    if train.usable > 0 and len(train.labels) == 1 and only is not None:
        findings.append(
            Finding(
                "error",
                f"Every row has the same label ('{only}'): there is nothing to tell apart.",
                where,
                "Choose another label column, or add rows of another class.",
                1,
                "one_class",
            )
        )
    elif 0 < train.usable < FEWEST_ROWS:
        findings.append(
            Finding(
                "error",
                f"Only {train.usable} rows have a text and a label.",
                where,
                f"Give at least {FEWEST_ROWS}; a model begins to learn from some hundred.",
                train.usable,
                "few_rows",
            )
        )
    else:
        findings += _about_parts(train, parts, mapping, split)
    single = [label for label, count in train.labels.items() if count == 1]
    # Of several classes, rare ones have a finding of their own; likeliest ones are not all that a row is.
    if single and len(train.labels) > 1 and mapping.kind == "single":
        in_train = split.by == "chance" and split.stratified
        goes = "it goes to train" if in_train else "it is learned from, or is left out where it falls into another part"
        findings.append(
            Finding(
                "warning",
                f"{counted(len(single), 'class has', 'classes have')} one row only ({listed(single)}): {goes}, and "
                "nothing can tell how well it was learned.",
                where,
                "Add rows of it, or leave it out." if len(single) == 1 else "Add rows of them, or leave them out.",
                len(single),
                "single_row_class",
                fix=Fix("Leave out classes of one row", {"mapping.rare_below": 2, "mapping.rare_classes": "drop"}),
            )
        )
    if len(train.labels) > MOST_CLASSES:
        findings.append(
            Finding(
                "warning",
                f"There are {len(train.labels):,} classes: training takes more memory and time, and rare ones are "
                "hardly learned.",
                where,
                "Check that the label column is the right one; merge or drop rare classes.",
                len(train.labels),
                "many_classes",
            )
        )
    if train.usable >= 20 and len(train.labels) > 0.5 * train.usable and not has_label_columns(mapping):
        findings.append(
            Finding(
                "warning",
                f"The label column holds {len(train.labels):,} different values in {train.usable:,} rows: it looks "
                "like free text or an id, not like classes.",
                where,
                "Choose the column that holds the class.",
                len(train.labels),
                "label_is_free_text",
                asks=True,
            )
        )
    return findings


def _about_parts(train: Part, parts: dict[str, Part], mapping: MappingSpec, split: SplitSpec) -> list[Finding]:
    """Errors where a share of train would come out empty."""
    # Where a row has several classes, none of them says how many rows a part gets.
    groups = {"": train.usable} if mapping.kind == "multi" else train.labels
    counts = np.array([groups[label] for label in sorted(groups)], dtype=np.int64)
    used = np.zeros_like(counts)
    findings = []
    shares = shares_of(split, train.usable, parts) if split.by == "chance" and train.usable else {}
    for name, share in shares.items():
        if share >= 1:
            return []  # about_division says so
        most = np.maximum(counts - 1 - used, 0) if split.stratified else counts
        given = quotas(counts, share, most)
        used = used + given
        if given.sum() == 0:
            findings.append(
                Finding(
                    "error",
                    f"A share of {share:g} leaves no row for {name}: "
                    f"{train.usable} rows in {len(train.labels)} classes.",
                    train.table.path.name,
                    f"Give more rows, a larger share, or a file for {name}.",
                    0,
                    "empty_part",
                )
            )
    return findings


def about_unknown_labels(train: Part, part: Part, mapping: MappingSpec) -> list[Finding]:
    """Labels of another file that train lacks."""
    findings = []
    where = part.table.path.name
    unknown = [label for label in part.labels if label not in train.labels]
    if unknown and len(unknown) == len(part.labels):
        findings.append(
            Finding(
                "error",
                f"No label of {where} ({listed(list(part.labels))}) occurs in train ({listed(list(train.labels))}).",
                where,
                "Choose the file that belongs to this training file, or give the classes the same names.",
                len(unknown),
                "labels_differ",
            )
        )
    elif unknown:
        rows, left_out = rows_with_unknown(part, set(train.labels))
        lost = f"{counted(left_out, 'row is', 'rows are')} left out"
        if mapping.kind == "multi":
            lost = f"{counted(rows, 'row loses', 'rows lose')} them, and {lost}, having no other"
        findings.append(
            Finding(
                "warning",
                f"{counted(len(unknown), 'label', 'labels')} of {where} never "
                f"{'occurs' if len(unknown) == 1 else 'occur'} in train ({listed(list(unknown))}): {lost}.",
                where,
                "Add such rows to train if the model should know them.",
                rows,
                "label_not_in_train",
                asks=left_out > GRAVE_LOSS * part.usable,
            )
        )
    return findings


def about_unused_names(train: Part, mapping: MappingSpec) -> list[Finding]:
    unused = [value for value, name in mapping.class_names.items() if name not in train.as_in_file]
    if not unused or not train.usable:
        return []
    return [
        Finding(
            "note",
            f"{counted(len(unused), 'class name', 'class names')} for labels that do not occur ({listed(unused)}).",
            "mapping.class_names",
            "Check that the names go with the label values.",
            len(unused),
            "unused_class_names",
        )
    ]
