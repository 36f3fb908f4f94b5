"""Taking over how another run divided the same data, so that two runs are compared on the same rows.

Only where nothing that decides about rows has changed: the files, how they are read, the mapping, the split settings.
A file that was written with corrected labels counts as the file that it came from.
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from core.data.corrected_from import origin_of
from core.data.examples import PARTS, DataFacts, read_data_facts
from core.data.findings import Finding
from core.data.reading.sources import sha256_of
from core.data.table import Table
from core.errors import UserError
from core.schema import RunSpec
from core.spec_files import read_spec
from core.workspace import RunFolder, Workspace

NOT_USED = -1
GONE = "it is gone, or was never divided"


def why_not_same_rows(spec: RunSpec, tables: Mapping[str, Table], workspace: Workspace) -> str:
    """Why the rows of the run that `split.same_as` names cannot be taken, to stand behind `because`; '' where they can.

    tables: the spec's files by role, opened.
    """
    other = workspace.run(spec.split.same_as)
    try:
        before, facts = read_spec(other.spec), read_data_facts(other)
    except UserError:
        return GONE
    if before.mapping != spec.mapping:
        return "the mapping has changed"
    if before.split.model_copy(update={"same_as": ""}) != spec.split.model_copy(update={"same_as": ""}):
        return "the split settings have changed"
    if before.data.cleaning != spec.data.cleaning:
        return "other rows are left out of train"
    if set(facts.files) != set(tables):
        return "other files are given"
    for role, table in tables.items():
        origin = origin_of(getattr(spec.data, role))
        if origin is not None and origin.source_sha256 == facts.files[role]["sha256"]:
            if facts.files[role]["rows"] != table.rows + len(origin.left_out):
                return f"the {role} file has lost rows"
            continue
        file, earlier = (getattr(data, role).model_copy(update={"path": ""}) for data in (spec.data, before.data))
        if file.model_copy(update={"more": ()}) != earlier.model_copy(update={"more": ()}):
            return f"the {role} file is read in another way"
        if facts.files[role]["rows"] != table.rows or facts.files[role]["sha256"] != sha256_of(
            getattr(spec.data, role)
        ):
            return f"the {role} file has changed"
    return ""


def taken_over(spec: RunSpec, tables: Mapping[str, Table], workspace: Workspace) -> tuple[str, list[Finding]]:
    """The run whose division is taken over, '' for none; and where one was asked for in vain, that and why."""
    asked = spec.split.same_as
    why = why_not_same_rows(spec, tables, workspace) if asked else ""
    if not why:
        return asked, []
    told = f"The rows are divided anew, not as in run {asked}, because {why}."
    # From the same data seed and settings draw the same rows once more; a test file is the same in either case.
    drawn = spec.split.by != "column" and "test" not in tables and why != GONE
    todo = "The two compare on different rows." if drawn else ""
    return "", [Finding("note", told, "split.same_as", todo, tables["train"].rows, "divided_anew")]


def fold_folder(folder: RunFolder, fold: int) -> RunFolder:
    """Where a run keeps what belongs to one of its folds; of the first, whose model is kept, the run itself."""
    return folder if fold == 1 else RunFolder(folder.root / "folds" / "runs" / f"fold-{fold}")


def left_out_rows(spec: RunSpec, facts: DataFacts) -> dict[str, tuple[int, ...]]:
    """By file, the rows that the file of the other run had and this one has not: it was corrected from that very file.

    facts: of the other run.
    """
    files = {"train": spec.data.train, "validation": spec.data.validation, "test": spec.data.test}
    origins = {role: origin_of(file) for role, file in files.items() if file is not None}
    return {
        role: origin.left_out
        for role, origin in origins.items()
        if origin is not None and origin.source_sha256 == facts.files[role]["sha256"]
    }


def rows_of_run(
    folder: RunFolder,
    fold: int,
    rows: Mapping[str, int],
    left_out: Mapping[str, tuple[int, ...]] = MappingProxyType({}),
) -> dict[str, npt.NDArray[np.int8]]:
    """The parts of a run's rows by file, index into PARTS, NOT_USED where a row is in none. rows: those of each file;
    left_out: rows of the run's file that this one has not.

    Raises UserError where that fold was never divided.
    """
    found = fold_folder(folder, fold).split
    if not found.exists():
        raise UserError(f"Run {folder.id} has no fold {fold}.", folder.id, "Divide the rows anew.")
    content = pq.read_table(found)
    files, places = content["file"].to_numpy(), content["row"].to_numpy()
    parts = np.searchsorted(np.array(sorted(PARTS)), content["part"].to_numpy().astype(str))
    number = np.array([PARTS.index(part) for part in sorted(PARTS)], dtype=np.int8)[parts]
    taken = {}
    for role, count in rows.items():
        gone = left_out.get(role, ())
        kept = np.full(count + len(gone), NOT_USED, dtype=np.int8)
        kept[places[files == role]] = number[files == role]
        taken[role] = np.delete(kept, np.array(gone, dtype=np.int64))
    return taken
