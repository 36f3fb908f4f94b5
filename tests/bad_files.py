"""Files that cannot be learned from, as people have them, each with the words that its message must hold."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


@dataclass(frozen=True)
class BadFile:
    path: Path
    words: str


def table(path: Path, rows: Iterable[Sequence[str]]) -> Path:
    path.write_text("".join(",".join(row) + "\n" for row in [("text", "label"), *rows]), encoding="utf-8")
    return path


def unreadable(folder: Path) -> list[BadFile]:
    """Nothing can be shown of them."""
    empty, picture, noise, cut = (folder / name for name in ("empty.csv", "picture.csv", "noise.csv", "cut.parquet"))
    empty.touch()
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40)
    noise.write_bytes(bytes((number * 7919 >> 3) % 256 for number in range(30_000)))
    columns = {"text": [f"a text {number}" for number in range(5000)], "label": ["a", "b"] * 2500}
    pq.write_table(pa.table(columns), cut)
    cut.write_bytes(cut.read_bytes()[:-2000])
    return [
        BadFile(empty, "empty"),
        BadFile(picture, "picture"),
        BadFile(noise, "noise.csv"),
        BadFile(cut, "not a whole Parquet file"),
    ]


def unlearnable(folder: Path) -> list[BadFile]:
    """They are tables, of text and label, and no classifier can come of them."""
    one_column = folder / "one_column.csv"
    one_column.write_text("text\n" + "".join(f"word {number}\n" for number in range(30)), encoding="utf-8")
    one_class = table(folder / "one_class.csv", [(f"a text {number}", "same") for number in range(30)])
    no_text = table(folder / "no_text.csv", [("", "ab"[number % 2]) for number in range(30)])
    single = table(
        folder / "single.csv", [*((f"a text {number}", "ab"[number % 2]) for number in range(60)), ("lonely", "c")]
    )
    return [
        BadFile(one_column, "one column"),
        BadFile(one_class, "same label"),
        BadFile(no_text, "is empty in the text columns"),
        BadFile(single, "one row only"),
    ]


def huge_cell(folder: Path) -> Path:
    """Fine but for one text of 2 MB."""
    rows = [(f"a text {number}", "ab"[number % 2]) for number in range(60)]
    rows[7] = ("long words " * 190_000, "a")
    return table(folder / "huge_cell.csv", rows)


def many_classes(folder: Path) -> Path:
    """3,000 classes of four rows."""
    rows = [(f"a text {number}", f"class {number % 3000}") for number in range(12_000)]
    return table(folder / "many_classes.csv", rows)
