"""Small files of every kind of label, for tests."""

import csv
import json
import random
from collections.abc import Sequence

from core.schema import DataSpec, MappingSpec, RunSpec, TableFile
from core.workspace import Workspace

Rows = Sequence[Sequence[object]]


def table_file(rows: Rows, workspace: Workspace, header: Sequence[str], name: str = "train.csv") -> TableFile:
    path = workspace.root / name
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return TableFile(path=str(path), header=True, delimiter=",")


def records_file(records: Sequence[dict[str, object]], workspace: Workspace, name: str = "train.jsonl") -> TableFile:
    path = workspace.root / name
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return TableFile(path=str(path))


def several_rows(count: int, separator: str = "; ") -> list[tuple[str, str]]:
    """Texts with one to three of six classes, the same in every call."""
    chosen = random.Random(7)
    classes = ["cs.AI", "cs.CL", "cs.CV", "cs.LG", "math.ST", "stat.ML"]
    return [
        (f"a paper about thing {number} of many", separator.join(chosen.sample(classes, number % 3 + 1)))
        for number in range(count)
    ]


def spec(train: TableFile, mapping: MappingSpec, **parts: object) -> RunSpec:
    files = {key: value for key, value in parts.items() if key in {"validation", "test"}}
    rest = {key: value for key, value in parts.items() if key not in files}
    return RunSpec.model_validate(
        {"data": DataSpec.model_validate({"train": train, **files}), "mapping": mapping, **rest}
    )
