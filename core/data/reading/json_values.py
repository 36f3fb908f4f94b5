"""Values that JSON files hold though no table can: numbers that are none, and halves of characters."""

import re
from pathlib import Path

BLOCK = 2**20
OVERLAP = 64
"""Bytes of a block that are looked at again with the next, since what is searched for may lie across both."""
_NAN = re.compile(rb":\s*-?nan\s*[,}]", re.IGNORECASE)


def may_hold_nan(source: Path) -> bool:
    """Whether NaN stands in a JSON file where a value can; texts may hold the same, so it is no proof."""
    before = b""
    with source.open("rb") as file:
        while block := file.read(BLOCK):
            if _NAN.search(before + block):
                return True
            before = block[-OVERLAP:]
    return False


def nan_notes(count: int) -> list[str]:
    """What is said of so many numbers that are NaN."""
    if not count:
        return []
    return [f"{count:,} {'cell holds' if count == 1 else 'cells hold'} NaN (not a number), taken as empty."]


def whole_characters(text: str) -> str:
    """Half of a character can be written in JSON and in Python, and in no Parquet file."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
