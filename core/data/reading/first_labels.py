"""Lines of a label word, or several, and the text behind: `LABEL text`, and fastText's `__label__a __label__b text`."""

import json
import re
from collections.abc import Iterable
from dataclasses import replace

from core.data.reading.records import Record

FASTTEXT = "__label__"

_LABEL_WORD = re.compile(r"\S*[:_#/=|]\S*|\d+|[A-Z][A-Z0-9]+")
_LEADING = re.compile(rf"\s*(?:{FASTTEXT}\S*(?:\s+|$))+")
_SEVERAL = re.compile(rf"\s*{FASTTEXT}\S*\s+{FASTTEXT}")


def begin_with_labels(lines: list[str], *, of_one_column: bool) -> bool:
    """Whether lines are `LABEL text`: first words that are few, repeat, and look like labels rather than prose."""
    split = [line.split(maxsplit=1) for line in lines if line.strip()]
    if len(split) < 20 or any(len(words) < 2 for words in split):
        return False
    labels = [words[0] for words in split]
    if all(label.startswith(FASTTEXT) for label in labels):
        return True
    if not of_one_column:
        return False
    looks = sum(bool(_LABEL_WORD.fullmatch(label)) for label in labels)
    return len(set(labels)) <= 0.15 * len(labels) and looks > 0.9 * len(labels)


def any_has_several(lines: Iterable[str]) -> bool:
    """Whether a line begins with two of fastText's labels or more."""
    return any(_SEVERAL.match(line) for line in lines)


def at_text(record: Record, *, in_lists: bool) -> Record:
    """Two cells: the label, or all of them as a JSON list, and the text."""
    line = record.cells[0]
    if not in_lists:
        return replace(record, cells=line.split(maxsplit=1))
    labels = _LEADING.match(line)
    end = labels.end() if labels else 0
    return replace(record, cells=[json.dumps(line[:end].split(), ensure_ascii=False), line[end:]])
