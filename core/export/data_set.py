"""The rows that a run learned from as a data set for the hub: a folder with a table for each part, and a card.

Only where the person says under which licence the rows may be passed on. The rows are those of the frozen split, after
cleaning: text and label as the run read them, not the columns of the file that went into neither.
"""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import DatasetCardData

from core.data.examples import PARTS, DataFacts, conversation_of, extra_columns, read_data_facts, read_examples
from core.errors import UserError
from core.export.markdown import code, plain, table
from core.export.metadata import PROGRAM
from core.spec_files import read_spec
from core.workspace import RunFolder

LICENCES = {
    "cc0-1.0": "CC0: no rights reserved",
    "cc-by-4.0": "CC BY 4.0: with the author named",
    "cc-by-sa-4.0": "CC BY-SA 4.0: named, and passed on alike",
    "cc-by-nc-4.0": "CC BY-NC 4.0: named, not for commerce",
    "odc-by": "ODC-BY: data, with the source named",
    "odbl": "ODbL: data, named, and passed on alike",
    "mit": "MIT",
    "apache-2.0": "Apache 2.0",
    "other": "Another one, which lets me pass the rows on",
}
"""The hub's id -> words. There is no "unknown": whoever does not know may not publish the rows."""


def require_licence(licence: str) -> None:
    """Raises UserError for anything but one of LICENCES."""
    if licence not in LICENCES:
        raise UserError(
            "The data set goes to the hub only with a licence."
            if not licence
            else f"'{licence}' is not one of the licences to choose from.",
            "licence of the data",
            f"Choose one of {', '.join(LICENCES)}; without the right to pass the rows on, leave the data set out.",
        )


def write_data_set(folder: RunFolder, to: Path, licence: str, language: tuple[str, ...] = ()) -> Path:
    """Write data/PART.parquet (conversations: .jsonl), README.md and tunedesk.json into the new folder `to`.

    Raises UserError without a licence, or where the run has no split.
    """
    require_licence(licence)
    facts = read_data_facts(folder)
    spec = read_spec(folder.spec)
    (to / "data").mkdir(parents=True)
    columns = extra_columns(folder)
    files = {}
    for part in PARTS:
        rows = read_examples(folder, part, columns)
        if rows.num_rows:
            files[part] = _write_part(to, part, rows, facts)
    marker = {"program": PROGRAM, "kind": "data set", "run": folder.id, "labels": facts.labels}
    (to / "tunedesk.json").write_text(json.dumps(marker, ensure_ascii=False, indent=1), encoding="utf-8")
    (to / "README.md").write_text(_card(spec.name, facts, files, licence, language), encoding="utf-8")
    return to


def _write_part(to: Path, part: str, rows: pa.Table, facts: DataFacts) -> str:
    if facts.kind == "none":
        name = f"data/{part}.jsonl"
        with (to / name).open("w", encoding="utf-8") as file:
            for text in rows["text"].to_pylist():
                talk = conversation_of(text)
                content = {"messages": [dict(message) for message in talk.messages]}
                content |= {"tools": [dict(tool) for tool in talk.tools]} if talk.tools else {}
                file.write(json.dumps(content, ensure_ascii=False) + "\n")
        return name
    name = f"data/{part}.parquet"
    pq.write_table(rows.drop_columns(["row_id"]), to / name, compression="zstd")
    return name


def _card(name: str, facts: DataFacts, files: dict[str, str], licence: str, language: tuple[str, ...]) -> str:
    chat = facts.kind == "none"
    data = DatasetCardData(
        license=licence,
        language=list(language) or None,
        task_categories=["text-generation" if chat else "text-classification"],
        pretty_name=name,
        tags=[PROGRAM.lower()],
        configs=[
            {
                "config_name": "default",
                "data_files": [{"split": part, "path": path} for part, path in files.items()],
            }
        ],
    )
    sources = ", ".join(code(str(file["name"])) for file in facts.files.values())
    words = [
        f"---\n{data.to_yaml()}\n---",
        f"# {plain(name)}, the data",
        f"The rows that the model {plain(name)} was trained and tested on with {PROGRAM}, from {sources}, after "
        "cleaning and in the parts that the run kept to.",
        table(["part", "rows"], [[part, f"{facts.parts[part]:,}"] for part in files]),
    ]
    if not chat:
        words.append(f"Classes: {', '.join(plain(label) for label in facts.labels[:200])}.")
    if facts.kind == "soft":
        words.append("`label` holds the probability of each class, in this order.")
    found = [plain(finding["what"]) for finding in facts.findings if finding["severity"] == "warning"]
    if found:
        words.append("The checks found:\n\n" + "\n".join(f"- {what}" for what in found))
    return "\n\n".join(words) + "\n"
