"""What is worth saying of classes where each row has one: rare ones, very unequal ones, names written twice."""

from core.data.findings import Example, Finding, Fix, counted, listed
from core.data.label_checks import FEW_ROWS
from core.data.labelled_part import Part
from core.data.labels import OTHER
from core.schema import MappingSpec

UNEQUAL = 20
"""From this many times as many rows in the largest class as in the smallest on, rare classes are easily ignored."""
NEARLY_ALL = 0.95
MOST_RARE = 0.5
"""Where more classes than this share are rare, the column is hardly one of classes, and other findings say so."""


def about_classes(train: Part, mapping: MappingSpec) -> list[Finding]:
    """Findings of labels of kind single."""
    if mapping.kind != "single" or len(train.labels) < 2:
        return []
    return [*_rare(train), *_unequal(train), *_written_twice(train)]


def _rare(train: Part) -> list[Finding]:
    few = {name: rows for name, rows in train.labels.items() if 1 < rows < FEW_ROWS and name != OTHER}
    if not few or len(few) > MOST_RARE * len(train.labels):
        return []
    settings = {"mapping.rare_below": FEW_ROWS, "mapping.rare_classes": "merge" if len(few) > 1 else "drop"}
    words = "Merge rare classes into one" if len(few) > 1 else "Leave the class out"
    return [
        Finding(
            "note",
            f"{counted(len(few), 'class has', 'classes have')} fewer than {FEW_ROWS} rows ({listed(list(few))}): "
            "hardly learned, and hardly measured.",
            train.table.path.name,
            "Add rows of them, merge them, or leave them out.",
            len(few),
            "few_rows_of_class",
            "Of a class with so few rows one or none is in the test.",
            _sizes(few),
            Fix(words, settings),
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


def _written_twice(train: Part) -> list[Finding]:
    """Classes whose names differ in case or white space alone."""
    groups: dict[str, list[str]] = {}
    for name in train.labels:
        groups.setdefault(" ".join(name.split()).casefold(), []).append(name)
    twice = [names for names in groups.values() if len(names) > 1]
    if not twice:
        return []
    return [
        Finding(
            "warning",
            f"{counted(len(twice), 'class is', 'classes are')} written in several ways "
            f"({', '.join(' and '.join(repr(name[:40]) for name in names) for names in twice[:3])}).",
            train.table.path.name,
            "Give them one name under Class names, if they mean the same.",
            len(twice),
            "label_variants",
            "To the model they are classes of their own.",
            tuple(Example(name, f"{train.labels[name]:,} rows") for names in twice for name in names)[:5],
        )
    ]


def _sizes(counts: dict[str, int]) -> tuple[Example, ...]:
    """The smallest classes and their rows."""
    ordered = sorted(counts.items(), key=lambda item: (item[1], item[0]))[:5]
    return tuple(Example(name[:80], counted(rows, "row", "rows")) for name, rows in ordered)
