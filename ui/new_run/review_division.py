"""How the rows are divided, in words: which part gets how many, by what rule, and what several folds cost."""

from collections.abc import Mapping

from core.data.division import part_sizes
from core.data.same_rows import why_not_same_rows
from core.data.table import Table
from core.errors import UserError
from core.schema import RunSpec
from core.spec_files import read_spec
from core.workspace import RunFolder, Workspace
from ui.new_run.review_labels import bold
from ui.words import rows


def planned_rows(spec: RunSpec, tables: Mapping[str, Table], usable: int) -> dict[str, int]:
    """About how many rows each part gets."""
    own = {role: table.rows for role, table in tables.items() if role != "train"}
    return {"validation": 0, "test": 0} | part_sizes(tables["train"], spec.split, usable, own) | own


def division_words(spec: RunSpec, tables: Mapping[str, Table], usable: int) -> str:
    parts, split = planned_rows(spec, tables, usable), spec.split
    counts = {"validation": split.validation_rows, "test": None if split.folds else split.test_rows}
    shares = {"validation": split.validation, "test": 1 / split.folds if split.folds else split.test}

    def where(role: str) -> str:
        if role in tables:
            return f" ({bold(tables[role].path.name)})"
        return f" ({shares[role] * 100:.4g} %)" if counts[role] is None and split.by != "column" else ""

    told = (
        f"It trains on about {bold(rows(parts['train']))}; {rows(parts['validation'])}{where('validation')} decide "
        f"which checkpoint is best, and {rows(parts['test'])}{where('test')} are held back for the final test."
    )
    return told + _by(spec) + _folds(spec)


def _by(spec: RunSpec) -> str:
    column = bold(spec.split.column)
    return {
        "chance": "",
        "group": f" Rows with the same {column} are all in one part.",
        "time": f" The oldest by {column} train, the newest test.",
        "column": f" Which row is for what, {column} says.",
    }[spec.split.by]


def _folds(spec: RunSpec) -> str:
    folds = spec.split.folds
    if not folds:
        return ""
    return (
        f" {bold(f'Cross-validation in {folds} folds')}: every row is tested once, by one of {folds} models that are "
        f"trained one after the other, so all of it takes about {folds} times as long. The report gives mean and "
        "spread; the model of the first fold is kept."
    )


def same_rows_words(workspace: Workspace, spec: RunSpec, tables: Mapping[str, Table]) -> str:
    """Whether the rows are divided as in the run that this one was made from; '' where it was made from none."""
    if not spec.split.same_as:
        return ""
    name = bold(_name_of(workspace.run(spec.split.same_as)))
    why = why_not_same_rows(spec, tables, workspace)
    if why:
        return f"The rows are divided anew, not as in {name}, because {why}; the two compare on different rows."
    return f"Each row is in the same part as in {name}, so that the two compare on the same rows."


def _name_of(folder: RunFolder) -> str:
    try:
        return read_spec(folder.spec).name
    except UserError:
        return folder.id
