"""Taking over how another run divided the same data, so that two runs are compared on the same rows.

Only where nothing that decides about rows has changed: the files, how they are read, the mapping, the split settings.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from core.data.examples import PARTS, read_data_facts
from core.data.reading.sources import sha256_of
from core.data.table import Table
from core.errors import UserError
from core.schema import RunSpec
from core.spec_files import read_spec
from core.workspace import RunFolder, Workspace

NOT_USED = -1


def why_not_same_rows(spec: RunSpec, tables: Mapping[str, Table], workspace: Workspace) -> str:
    """Why the rows of the run that `split.same_as` names cannot be taken, to stand behind `because`; '' where they can.

    tables: the spec's files by role, opened.
    """
    other = workspace.run(spec.split.same_as)
    try:
        before, facts = read_spec(other.spec), read_data_facts(other)
    except UserError:
        return "it is gone, or was never divided"
    if before.mapping != spec.mapping:
        return "the mapping has changed"
    if before.split.model_copy(update={"same_as": ""}) != spec.split.model_copy(update={"same_as": ""}):
        return "the split settings have changed"
    if before.data.cleaning != spec.data.cleaning:
        return "other rows are left out of train"
    if set(facts.files) != set(tables):
        return "other files are given"
    for role, table in tables.items():
        file, earlier = (getattr(data, role).model_copy(update={"path": ""}) for data in (spec.data, before.data))
        if file.model_copy(update={"more": ()}) != earlier.model_copy(update={"more": ()}):
            return f"the {role} file is read in another way"
        if facts.files[role]["rows"] != table.rows or facts.files[role]["sha256"] != sha256_of(
            getattr(spec.data, role)
        ):
            return f"the {role} file has changed"
    return ""


def fold_folder(folder: RunFolder, fold: int) -> RunFolder:
    """Where a run keeps what belongs to one of its folds; of the first, whose model is kept, the run itself."""
    return folder if fold == 1 else RunFolder(folder.root / "folds" / "runs" / f"fold-{fold}")


def rows_of_run(folder: RunFolder, fold: int, rows: Mapping[str, int]) -> dict[str, npt.NDArray[np.int8]]:
    """The parts of a run's rows by file, index into PARTS, NOT_USED where a row is in none. rows: those of each file.

    Raises UserError where that fold was never divided.
    """
    found = fold_folder(folder, fold).split
    if not found.exists():
        raise UserError(f"Run {folder.id} has no fold {fold}.", folder.id, "Divide the rows anew.")
    content = pq.read_table(found)
    files, places = content["file"].to_numpy(), content["row"].to_numpy()
    parts = np.searchsorted(np.array(sorted(PARTS)), content["part"].to_numpy().astype(str))
    number = np.array([PARTS.index(part) for part in sorted(PARTS)], dtype=np.int8)[parts]
    taken = {role: np.full(count, NOT_USED, dtype=np.int8) for role, count in rows.items()}
    for role, kept in taken.items():
        kept[places[files == role]] = number[files == role]
    return taken
