"""Files on their way into a run: uploads come to rest in the workspace, paths are read where they lie."""

import shutil
from pathlib import Path

from core.data.table import Table, first_look
from core.errors import UserError
from core.files import new_folder, path_given
from core.schema import TableFile
from core.workspace import Workspace, new_id
from ui.new_run.draft import Draft

FILE_TYPES = [
    ".csv", ".tsv", ".txt", ".tab", ".label", ".parquet", ".json", ".jsonl", ".ndjson", ".xlsx", ".xlsm", ".xlsb",
    ".xls", ".ods", ".zip", ".gz", ".zst",
]  # fmt: skip
ROLES = ("train", "validation", "test")


def keep_upload(workspace: Workspace, uploaded: str, copied: bool = False) -> Path:
    """Move an uploaded file from the server's temporary folder into the workspace, under its own name.

    copied: it stays there as well, where it can be sent once more. Raises UserError where it is there no more, and
    where the workspace is full or read-only; guests read these words too, so they name no place.
    """
    source = Path(uploaded)
    target = workspace.uploads / new_id() / source.name
    if not source.is_file():
        raise UserError(f"{source.name} is there no more: it was uploaded too long ago.", source.name, "Drop it again.")
    try:
        with new_folder(target.parent):
            (shutil.copyfile if copied else shutil.move)(source, target)
    except OSError as error:
        raise UserError(
            f"{source.name} cannot be kept in the workspace ({error.strerror}).",
            source.name,
            "Free some space on its disk, or start with --workspace DIR on a larger one.",
        ) from error
    return target


def keep_uploads(workspace: Workspace, uploaded: list[str]) -> list[str]:
    """The same for several files. Raises UserError."""
    return [str(keep_upload(workspace, one)) for one in uploaded]


def given_path(text: str) -> Path:
    """A path as a person typed or pasted it. Raises UserError where there is none."""
    path = text.strip().strip("\"'")
    if not path:
        raise UserError("No path is given.", "path", "Type or paste the path of a file on this computer.")
    return path_given(path).absolute()


def open_role(workspace: Workspace, draft: Draft, role: str) -> Table | None:
    """The draft's table of that role; None where it has none. Raises UserError where it cannot be read."""
    file = draft.file(role)
    return None if file is None else first_look(file, workspace)


def companion(workspace: Workspace, train: Table, file: TableFile) -> TableFile:
    """How to read a file that goes with the training file: one without a header gets that file's column names.

    What the cells mean (words for empty ones, rows that do not fit) is as there; how it is written is detected.

    Raises UserError where it cannot be read.
    """
    file = file.model_copy(update={"null_words": train.file.null_words, "ragged_rows": train.file.ragged_rows})
    if train.header is False and train.file.column_names:
        table = first_look(file, workspace)
        if table.header is not None and len(table.columns) == len(train.columns):
            return file.model_copy(update={"header": False, "column_names": train.names})
    return file
