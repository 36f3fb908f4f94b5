"""What is worth saying of classes: spellings, classes left out by name, rare and very unequal ones."""

import unicodedata
from collections.abc import Mapping

from core.data.class_steps import commonest_spellings, label_variants
from core.data.findings import EXAMPLES_SHOWN, Example, Finding, Fix, counted, listed
from core.data.label_checks import FEW_ROWS
from core.data.labelled_part import Part
from core.data.labels import OTHER, variant_key
from core.schema import MappingSpec

UNEQUAL = 20
"""From this many times as many rows in the largest class as in the smallest on, rare classes are easily ignored."""
NEARLY_ALL = 0.95
MOST_RARE = 0.5
"""Where rare classes have more than this share of the rows, merging them would make most of the data one class."""
MOST_DIFFERENT = 0.5
"""Where there are more values than this for a row, they are hardly classes, which another finding says."""
NO_VALUE = frozenset(
    (
        "nan",
        "n/a",
        "na",
        "#n/a",
        "<na>",
        "none",
        "null",
        "nil",
        "nat",
        "\\n",
        "?",
        "-",
        "--",
        "missing",
        "(null)",
        "(none)",
    )
)
"""Labels, in lower case, that most often say that there is none."""
OFTEN_A_CLASS = frozenset(("none", "na", "missing"))


def about_class_steps(parts: Mapping[str, Part], mapping: MappingSpec) -> list[Finding]:
    """Of the training file, and of how others spell its classes; an error where no class is left."""
    if mapping.kind in ("soft", "none"):
        return []
    train = parts["train"]
    others = [finding for part in parts.values() if part is not train for finding in _about_spelling(train, part)]
    return [
        *_about_variants(train, mapping),
        *others,
        *_about_no_value(train, mapping),
        *_about_dropped(train, mapping),
    ]


def _about_variants(train: Part, mapping: MappingSpec) -> list[Finding]:
    found = label_variants(train.as_in_file.items(), mapping.model_copy(update={"class_names": {}}))
    if not found:
        return []
    where = train.table.path.name
    named = "; ".join(
        f"{listed([visible(name) for name, _ in one.others])} like '{visible(one.kept)[:40]}'" for one in found[:3]
    )
    more = f" and {len(found) - 3:,} more classes" if len(found) > 3 else ""
    rows = sum(count for one in found for _, count in one.others)
    if mapping.fold_label_variants:
        told = f"Spellings of a class are one: {counted(rows, 'row', 'rows')} ({named}{more})."
        return [Finding("note", told, where, "", rows, "variants_folded")]
    by_case = all(_cased(name) == _cased(one.kept) for one in found for name, _ in one.others)
    only = "case or white space" if by_case else "case, white space, characters that look alike or are invisible, or .0"
    told = (
        f"{counted(sum(len(one.others) for one in found), 'label differs', 'labels differ')} from another only in "
        f"{only} ({named}{more}): {counted(rows, 'row', 'rows')}."
    )
    return [
        Finding(
            "warning",
            told,
            where,
            "Make them one class.",
            rows,
            "label_variants",
            "To the model they are classes of their own.",
            tuple(
                Example(visible(name)[:80], f"{counted(count, 'row', 'rows')}, like '{visible(one.kept)[:40]}'")
                for one in found[:EXAMPLES_SHOWN]
                for name, count in one.others[:1]
            ),
            Fix("Make them one", {"mapping.fold_label_variants": True}),
        )
    ]


def visible(label: str) -> str:
    """With characters that cannot be seen as their escapes: `sports\\u200b`."""
    return "".join(f"\\u{ord(one):04x}" if unicodedata.category(one) == "Cf" else one for one in label)


def _cased(label: str) -> str:
    return unicodedata.normalize("NFC", " ".join(label.split())).casefold()


def _about_spelling(train: Part, part: Part) -> list[Finding]:
    """Labels of another file that train has in another spelling; an error where no label is the same."""
    spelling = {variant_key(name): name for name in train.labels}
    unknown = [name for name in part.labels if name not in train.labels]
    found = {name: spelling[variant_key(name)] for name in unknown if variant_key(name) in spelling}
    if not found:
        return []
    where = part.table.path.name
    pairs = ", ".join(f"'{visible(name)[:40]}' for '{visible(kept)[:40]}'" for name, kept in list(found.items())[:3])
    more = f" and {len(found) - 3:,} more" if len(found) > 3 else ""
    rows = sum(part.labels[name] for name in found)
    return [
        Finding(
            "error" if len(unknown) == len(part.labels) else "warning",
            f"{where} writes {counted(len(found), 'label', 'labels')} otherwise than train ({pairs}{more}): "
            f"{counted(rows, 'row', 'rows')}.",
            where,
            "Set mapping.fold_label_variants to true: spellings of a class are then one.",
            rows,
            "labels_spelled_otherwise",
            fix=Fix("Make them one", {"mapping.fold_label_variants": True}),
        )
    ]


def _about_no_value(train: Part, mapping: MappingSpec) -> list[Finding]:
    key = variant_key if mapping.fold_label_variants else str
    gone = set(map(key, mapping.dropped_classes))
    found = {
        name: rows
        for name, rows in train.as_in_file.items()
        if rows and name.casefold() in NO_VALUE and key(name) not in gone
    }
    if not found:
        return []
    dropped = {"mapping.dropped_classes": [*mapping.dropped_classes, *found]}
    one, rows = len(found) == 1, sum(found.values())
    named = ", ".join(f"'{name}': {counted(count, 'row', 'rows')}" for name, count in list(found.items())[:5])
    return [
        Finding(
            "note" if set(map(str.casefold, found)) <= OFTEN_A_CLASS else "warning",
            f"{counted(len(found), 'class has a name that often means', 'classes have names that often mean')} that "
            f"there is no label ({named}).",
            train.table.path.name,
            f"Leave {'it' if one else 'them'} out, unless {'it is a class' if one else 'they are classes'}.",
            rows,
            "no_value_class",
            "The model learns to answer with it like with any other." if one else "The model learns to answer so.",
            _sizes(found),
            Fix(f"Leave {'it' if one else 'them'} out", dropped) if len(train.labels) >= len(found) + 2 else None,
        )
    ]


def _about_dropped(train: Part, mapping: MappingSpec) -> list[Finding]:
    if not mapping.dropped_classes:
        return []
    where, key = train.table.path.name, variant_key if mapping.fold_label_variants else str
    known = set(map(key, commonest_spellings(train.as_in_file).values() if key is variant_key else train.as_in_file))
    dropped = [name for name in mapping.dropped_classes if key(name) in known]
    unknown = [name for name in mapping.dropped_classes if key(name) not in known]
    if dropped and not train.labels:
        told = f"All classes of {where} are left out by name, so no row is left."
        return [Finding("error", told, where, "Keep two classes or more.", len(dropped), "all_dropped")]
    findings = []
    if dropped:
        told = (
            f"{counted(len(dropped), 'class is', 'classes are')} left out by name ({listed(dropped)}), and "
            f"{counted(train.only_dropped, 'row', 'rows')} with {'it' if len(dropped) == 1 else 'them'}."
        )
        findings.append(Finding("note", told, where, "The model will never answer with it.", len(dropped), "dropped"))
    if unknown:
        told = f"{counted(len(unknown), 'class', 'classes')} to leave out that {where} has not ({listed(unknown)})."
        findings.append(Finding("note", told, where, "Check the spelling.", len(unknown), "unknown_dropped"))
    return findings


def about_classes(train: Part, mapping: MappingSpec) -> list[Finding]:
    """Findings of labels of kind single."""
    if mapping.kind != "single" or len(train.labels) < 2:
        return []
    return [*_rare(train), *_unequal(train)]


def _rare(train: Part) -> list[Finding]:
    few = {name: rows for name, rows in train.labels.items() if 1 < rows < FEW_ROWS and name != OTHER}
    if not few or len(train.labels) > MOST_DIFFERENT * train.usable:
        return []
    most = sum(few.values()) > MOST_RARE * train.usable
    settings = {"mapping.rare_below": FEW_ROWS, "mapping.rare_classes": "merge" if len(few) > 1 else "drop"}
    words = "Merge rare classes into one" if len(few) > 1 else "Leave the class out"
    return [
        Finding(
            "note",
            f"{counted(len(few), 'class has', 'classes have')} fewer than {FEW_ROWS} rows ({listed(list(few))}): "
            "hardly learned, and hardly measured.",
            train.table.path.name,
            "Add rows of them." if most else "Add rows of them, merge them, or leave them out.",
            len(few),
            "few_rows_of_class",
            "Of a class with so few rows one or none is in the test.",
            _sizes(few),
            None if most else Fix(words, settings),
        )
    ]


def _unequal(train: Part) -> list[Finding]:
    counts = {name: rows for name, rows in train.labels.items() if rows}
    largest, smallest = max(counts, key=lambda name: counts[name]), min(counts, key=lambda name: counts[name])
    share = counts[largest] / sum(counts.values())
    if counts[largest] < UNEQUAL * counts[smallest] and share < NEARLY_ALL:
        return []
    return [
        Finding(
            "warning" if share >= NEARLY_ALL else "note",
            f"'{largest[:40]}' has {counts[largest]:,} rows ({100 * share:.0f} %), '{smallest[:40]}' "
            f"{counts[smallest]:,}: the classes are very unequal.",
            train.table.path.name,
            "Look at macro F1, where each class counts the same; or let rare classes weigh more.",
            len(counts),
            "unequal_classes",
            "A model can be right most of the time and never find the rare classes.",
            _sizes(counts),
            Fix("Let rare classes weigh more", {"training.class_weights": "balanced"}),
        )
    ]


def _sizes(counts: dict[str, int]) -> tuple[Example, ...]:
    """The smallest classes and their rows."""
    ordered = sorted(counts.items(), key=lambda item: (item[1], item[0]))[:5]
    return tuple(Example(name[:80], counted(rows, "row", "rows")) for name, rows in ordered)
