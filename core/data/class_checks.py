"""What is worth saying of spellings of a class, and of classes that are left out."""

from collections.abc import Mapping

from core.data.class_steps import commonest_spellings, label_variants
from core.data.findings import Finding, counted, listed
from core.data.labelled_part import Part
from core.data.labels import variant_key
from core.schema import MappingSpec


def about_class_steps(parts: Mapping[str, Part], mapping: MappingSpec) -> list[Finding]:
    """Of the training file; an error where no class is left."""
    if mapping.kind in ("soft", "none"):
        return []
    train = parts["train"]
    return [*_about_variants(train, mapping), *_about_dropped(train, mapping)]


def _about_variants(train: Part, mapping: MappingSpec) -> list[Finding]:
    found = label_variants(train.as_in_file.items(), mapping.model_copy(update={"class_names": {}}))
    if not found:
        return []
    where = train.table.path.name
    named = "; ".join(f"{listed([name for name, _ in one.others])} like '{one.kept[:40]}'" for one in found[:3])
    more = f" and {len(found) - 3:,} more classes" if len(found) > 3 else ""
    rows = sum(count for one in found for _, count in one.others)
    if mapping.fold_label_variants:
        told = f"Spellings of a class are one: {counted(rows, 'row', 'rows')} ({named}{more})."
        return [Finding("note", told, where, "", rows, "variants_folded")]
    told = (
        f"{counted(sum(len(one.others) for one in found), 'label differs', 'labels differ')} from another only in case "
        f"or white space ({named}{more}): {counted(rows, 'row', 'rows')}."
    )
    todo = "Make them one class, under Merge or leave out classes."
    return [Finding("warning", told, where, todo, rows, "label_variants")]


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
