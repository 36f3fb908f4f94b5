"""Two or more runs side by side: their figures, what paired tests say of them, each class, which rows only one of two
has right, and where their specs differ. What `launch.py compare` prints and the Compare page shows.

Paired tests, classes and rows need the same test rows (see standing.py); where they are others, `Compared.why_not`
says so, and figures and specs stand beside each other all the same. Rows are read a page at a time, by DuckDB, from
the two predictions.parquet files, joined on file and row: row ids are a run's own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from core.data.database import connection, literal
from core.data.examples import read_data_facts
from core.errors import UserError
from core.evaluation.leaderboard import AgainstBest, raised, tested
from core.evaluation.report_file import read_content
from core.evaluation.spec_differences import SettingValues, setting_values
from core.evaluation.standing import Contestant, Standing, standing_of
from core.evaluation.verdict import counted
from core.runs.records import told_apart
from core.runs.store import Run, open_store
from core.schema import LabelKind
from core.workspace import RunFolder, Workspace

MOST_RUNS = 8
"""As many as there are lines that a chart can hold apart."""
Which = Literal["first", "second"]
"""Which of two runs is right where the other is wrong."""


@dataclass(frozen=True)
class ComparedRun:
    run: str
    name: str
    """With the id behind it where another of these runs has the same."""
    state: str
    kind: LabelKind | None
    """Of its labels; None before it is measured."""
    figures: Contestant | None
    """None where it has none that can be compared: unfinished, or of conversations."""
    chat: Mapping[str, Any] | None
    """loss, perplexity and what else was measured of conversations."""


@dataclass(frozen=True)
class RightRows:
    """Of two runs on the same rows; of several classes a row is right where all of them are."""

    both: int
    first_only: int
    second_only: int
    neither: int


@dataclass(frozen=True)
class Pair:
    """Of two runs, the second beside the first."""

    first: str
    second: str
    test: AgainstBest
    """Of the second; p values raised by Holm's method over the pairs shown."""
    rows: RightRows
    words: str


@dataclass(frozen=True)
class ClassFigures:
    label: str
    rows: int
    f1: tuple[float, ...]
    """Of each run, in their order."""
    recall: tuple[float, ...]


@dataclass(frozen=True)
class Compared:
    runs: tuple[ComparedRun, ...]
    why_not: str
    """Why rows and classes cannot be compared, a sentence; '' where they can."""
    pairs: tuple[Pair, ...]
    """Each run beside the first."""
    classes: tuple[ClassFigures, ...]
    """Those whose F1 differs most first; of the same rows only."""
    settings: tuple[SettingValues, ...]
    """Every setting that any of the runs has a value for, in the order of the schema."""


def compare_runs(workspace: Workspace, run_ids: Sequence[str]) -> Compared:
    """Raises UserError for fewer than two runs, more than MOST_RUNS, the same one twice, or one that is not there."""
    _require(run_ids)
    store = open_store(workspace)
    runs = told_apart([store.run(workspace.run(run_id).id) for run_id in run_ids])
    folders = [workspace.run(run_id) for run_id in run_ids]
    pairs = zip(runs, folders, strict=True)
    standings = [standing_of(folder) if run.state == "finished" else None for run, folder in pairs]
    reports = [read_content(folder) for folder in folders]
    why_not = _why_not(runs, folders, standings)
    same = [standing for standing in standings if standing is not None] if not why_not else []
    return Compared(
        tuple(_run(*one) for one in zip(runs, standings, reports, strict=True)),
        why_not,
        _pairs(runs, same),
        _classes([report for report in reports if report is not None]) if same else (),
        setting_values(folders),
    )


def _require(run_ids: Sequence[str]) -> None:
    if len(run_ids) < 2:
        raise UserError("There are not two runs to compare.", "runs", "Choose two runs or more.")
    if len(run_ids) > MOST_RUNS:
        raise UserError(f"{len(run_ids)} runs are too many to read side by side.", "runs", f"Choose up to {MOST_RUNS}.")
    if len(set(run_ids)) < len(run_ids):
        raise UserError("A run is named twice.", "runs", "Choose runs that differ.")


def _run(run: Run, standing: Standing | None, report: Mapping[str, Any] | None) -> ComparedRun:
    kind: LabelKind | None = standing.kind if standing else None
    chat = report["test"] if report is not None and run.summary.get("task") == "chat" else None
    return ComparedRun(
        run.id, run.name, run.state, "none" if chat else kind, standing.contestants[0] if standing else None, chat
    )


def _why_not(runs: Sequence[Run], folders: Sequence[RunFolder], standings: Sequence[Standing | None]) -> str:
    """Why the runs have no rows in common that could be compared; '' where they have."""
    for run, standing in zip(runs, standings, strict=True):
        if run.summary.get("task") == "chat":
            return f"“{run.name}” learned from conversations, whose answers are neither right nor wrong."
        if run.state != "finished":
            return f"“{run.name}” has not finished, so nothing is known of its answers."
        if standing is None:
            return f"The predictions of “{run.name}” are gone from its folder."
    first, *others = [standing for standing in standings if standing is not None]
    for place, other in enumerate(others, 1):
        if other.rows_id != first.rows_id:
            both = f"“{runs[0].name}” and “{runs[place].name}”"
            return f"{both} were tested on different rows: {_difference(folders[0], folders[place], first, other)}."
    return ""


def _difference(first: RunFolder, other: RunFolder, one: Standing, two: Standing) -> str:
    if one.kind != two.kind:
        return "their labels are of another kind"
    files = [_test_file(folder) for folder in (first, other)]
    if files[0] != files[1]:
        return f"those of {files[0][0]} and those of {files[1][0]}" + (
            ", which has another content" if files[0][0] == files[1][0] else ""
        )
    if one.labels != two.labels:
        return f"they know other classes ({len(one.labels):,} and {len(two.labels):,})"
    return "the file is the same, but it was read, cleaned or divided in another way"


def _test_file(folder: RunFolder) -> tuple[str, str]:
    """Name and digest of the file that the test rows are from."""
    files = read_data_facts(folder).files
    file = files.get("test", files["train"])
    return str(file["name"]), str(file["sha256"])


def _pairs(runs: Sequence[Run], standings: Sequence[Standing]) -> tuple[Pair, ...]:
    if not standings:
        return ()
    first = standings[0]
    found = [tested(standing, 0, first, 0) for standing in standings[1:]]
    named = raised(found, f"“{runs[0].name}”")
    made = []
    for run, standing, told in zip(runs[1:], standings[1:], named, strict=True):
        rows = right_rows(first, standing)
        made.append(Pair(runs[0].id, run.id, told, rows, _words(runs[0].name, run.name, told, rows)))
    return tuple(made)


def right_rows(first: Standing, second: Standing) -> RightRows:
    one, two = _right(first), _right(second)
    return RightRows(int((one & two).sum()), int((one & ~two).sum()), int((two & ~one).sum()), int((~one & ~two).sum()))


def _right(standing: Standing) -> npt.NDArray[np.bool_]:
    same: npt.NDArray[np.bool_] = np.equal(standing.given[0], standing.true)
    return np.all(same, axis=1) if same.ndim == 2 else same


def _words(first: str, second: str, told: AgainstBest, rows: RightRows) -> str:
    low, high = told.macro_f1_interval
    macro = {"better": "clearly more", "worse": "clearly less", "unclear": "no clear difference"}[told.macro_f1_outcome]
    return (
        f"“{second}” is {told.words}. It alone is right on {counted(rows.second_only, 'row')}, “{first}” alone on "
        f"{rows.first_only:,}; both are right on {rows.both:,}, neither on {rows.neither:,}. Macro F1 "
        f"{told.macro_f1_difference:+.3f} (95 % sure: {low:+.3f} to {high:+.3f}), {macro}."
    )


def _classes(reports: Sequence[Mapping[str, Any]]) -> tuple[ClassFigures, ...]:
    """Of reports over the same rows, whose classes stand in the same order."""
    together = zip(*(report["test"]["per_class"] for report in reports), strict=True)
    found = [
        ClassFigures(
            group[0]["label"],
            group[0]["support"],
            tuple(one["f1"] for one in group),
            tuple(one["recall"] for one in group),
        )
        for group in together
    ]
    return tuple(sorted(found, key=lambda one: (min(one.f1) - max(one.f1), -one.rows, one.label)))


@dataclass(frozen=True)
class DifferingRow:
    row_id: int
    """Of the first run."""
    text: str
    true: str
    first: str
    """What the first run answered."""
    first_confidence: float
    second: str
    second_confidence: float


def differing_rows(
    first: RunFolder, second: RunFolder, right: Which, offset: int = 0, limit: int = 25
) -> list[DifferingRow]:
    """A page of the rows that one of two runs has right and the other wrong, the surest mistakes first.

    The runs must have the same test rows. DuckDB joins and sorts a few narrow columns, and reads this page's texts.
    """
    wrong = "second" if right == "first" else "first"
    query = f"""
        WITH found AS (
            SELECT a.row_id, a."true", a.predicted AS first, a.confidence AS first_confidence,
                b.predicted AS second, b.confidence AS second_confidence
            FROM {_answers(first)} a JOIN {_answers(second)} b ON a.file = b.file AND a.row = b.row
            WHERE {"a" if right == "first" else "b"}.is_right AND NOT {"b" if right == "first" else "a"}.is_right
            ORDER BY {wrong}_confidence DESC, a.row_id LIMIT ? OFFSET ?
        )
        SELECT row_id, text, found."true", first, first_confidence, second, second_confidence
        FROM found JOIN {_parquet(first)} AS texts USING (row_id) WHERE texts.part = 'test'
        ORDER BY {wrong}_confidence DESC, row_id
    """  # noqa: S608  paths become SQL through literal() alone
    with connection(first.report) as database:
        rows = database.execute(query, [limit, offset]).fetchall()
    return [DifferingRow(*row) for row in rows]


def _answers(folder: RunFolder) -> str:
    """SQL for the test rows: row_id, file, row, true, predicted, confidence, is_right."""
    several = read_data_facts(folder).kind == "multi"
    right = "len(missed) + len(added) = 0" if several else '"true" = predicted'
    return (
        f'(SELECT row_id, file, row, "true", predicted, confidence, {right} AS is_right '  # noqa: S608
        f"FROM {_parquet(folder)} JOIN (SELECT row_id, file, row FROM read_parquet({literal(str(folder.examples))})) "
        "USING (row_id) WHERE part = 'test')"
    )


def _parquet(folder: RunFolder) -> str:
    return f"read_parquet({literal(str(folder.report / 'predictions.parquet'))})"
