"""Marks on labels, and the corrected files they become: the same rows and columns, cells that give the chosen class."""

import csv
import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.correcting.corrected_file import corrected_targets, upload_targets, write_corrected
from core.correcting.marks import data_keys, mark_ambiguous, mark_wrong, run_marks, take_back, undo_last
from core.correcting.plan import plan_corrections
from core.data.corrected_from import SUFFIX, origin_of
from core.data.labels import read_labels
from core.data.split import write_split
from core.data.table import open_table, preview
from core.errors import UserError
from core.runs.store import open_store
from core.schema import TableFile
from core.spec_files import spec_yaml
from core.workspace import open_workspace
from tests.error_runs import split_file
from tests.label_kinds import split_run
from ui.run.corrections import corrected_draft, diff_html

TEXTS = ("Ships, goods", 'He said "no",\nthen left', "line one\r\nline two", "=SUM(A1)", "  padded  ", "متن فارسی")
CLASSES = ("1", "2", "3")
NAMES = {"1": "World", "2": "Sport", "3": "Sport"}
"""Two values are one class."""


def write_csv(path: Path, rows: int = 90, delimiter: str = ";") -> Path:
    with path.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened, delimiter=delimiter)
        writer.writerow(["id", "text", "label"])
        for row in range(rows):
            writer.writerow([f"{row:03}", f"{TEXTS[row % 6]} {row}", CLASSES[row % 3]])
    return path


@pytest.fixture
def store(workspace):
    return open_store(workspace)


@pytest.fixture
def run(workspace, tmp_path):
    mapping = {"text": ["text"], "label": "label", "class_names": NAMES}
    return split_file(workspace, "a-run", write_csv(tmp_path / "news.csv"), mapping)


def sha(path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_marks_belong_to_the_data_and_show_in_another_run_on_it(run, store, workspace, tmp_path):
    mark_wrong(store, run.folder, ("train", 4), ["World"])
    mark_ambiguous(store, run.folder, ("train", 7))
    again = open_store(open_workspace(workspace.root))
    copy = tmp_path / "elsewhere.csv"
    copy.write_bytes(Path(run.spec.data.train.path).read_bytes())
    other = split_file(workspace, "other", copy, {"text": ["text"], "label": "label"})
    for folder in (run.folder, other.folder):
        marks = run_marks(again, folder)
        assert {place: mark.verdict for place, mark in marks.items()} == {
            ("train", 4): "wrong", ("train", 7): "ambiguous",
        }  # fmt: skip
    # The other run has no class of that name: the mark is no use to it, and it is said.
    plan = plan_corrections(other.folder, run_marks(again, other.folder))
    assert plan.unusable == 1 and len(plan.changes) == 1
    store.delete_run("a-run")
    assert len(run_marks(again, other.folder)) == 2


def test_undo_brings_back_what_was_said_before(run, store):
    place = ("train", 4)
    mark_wrong(store, run.folder, place, ["World"])
    mark_ambiguous(store, run.folder, place)
    assert run_marks(store, run.folder)[place].verdict == "ambiguous"
    undo_last(store, run.folder)
    assert run_marks(store, run.folder)[place].classes == ("World",)
    take_back(store, run.folder, place)
    assert run_marks(store, run.folder) == {}
    undo_last(store, run.folder)
    assert len(run_marks(store, run.folder)) == 1
    undo_last(store, run.folder)
    assert undo_last(store, run.folder) is None


def test_a_file_that_is_read_in_another_way_has_other_rows(run, workspace, tmp_path):
    read = {"data": {"train": {"path": run.spec.data.train.path, "skip_lines": 3, "header": False,
                               "column_names": ["id", "text", "label"]}}}  # fmt: skip
    other = split_file(workspace, "other", Path(run.spec.data.train.path), {"text": ["text"], "label": "label"}, **read)
    assert data_keys(other.folder) != data_keys(run.folder)


def test_classes_that_the_run_does_not_know_are_refused(run, store):
    for classes in (["Weather"], [], ["World", "Sport"]):
        with pytest.raises(UserError):
            mark_wrong(store, run.folder, ("train", 4), classes)
    assert run_marks(store, run.folder) == {}


def test_a_corrected_file_differs_in_the_corrected_cells_alone(run, store, workspace):
    before = sha(run.spec.data.train.path)
    mark_wrong(store, run.folder, ("train", 4), ["World"])
    mark_wrong(store, run.folder, ("train", 0), ["Sport"])
    mark_wrong(store, run.folder, ("train", 5), ["Sport"])  # 3 is Sport already
    mark_ambiguous(store, run.folder, ("train", 7))
    plan = plan_corrections(run.folder, run_marks(store, run.folder))
    assert [(change.row, change.words) for change in plan.changes] == [
        (0, ("World", "Sport")), (4, ("Sport", "World")), (7, ("Sport", "left out")),
    ]  # fmt: skip
    shown = diff_html(plan)
    assert "2 labels change, 1 row is left out" in shown and "then left 7" in shown
    spec = write_corrected(plan, upload_targets(plan, workspace))
    assert sha(run.spec.data.train.path) == before
    file = spec.data.train
    assert Path(file.path).is_relative_to(workspace.uploads)
    old, new = (open_table(one, workspace) for one in (run.spec.data.train, file))
    assert new.names == old.names and new.rows == old.rows - 1
    expected = preview(old, limit=100)
    expected[0]["label"], expected[4]["label"] = "2", "1"
    del expected[7]
    assert preview(new, limit=100) == expected


def test_the_new_run_has_the_same_rows_in_each_part(run, store, workspace):
    mark_wrong(store, run.folder, ("train", 4), ["World"])
    mark_ambiguous(store, run.folder, ("train", 7))
    plan = plan_corrections(run.folder, run_marks(store, run.folder))
    spec = write_corrected(plan, upload_targets(plan, workspace))
    folder = workspace.run("again")
    facts = write_split(spec, workspace, folder)
    assert facts.same_rows == "a-run"
    parts = {}
    for one in (run.folder, folder):
        content = pq.read_table(one.examples).to_pylist()
        parts[one.id] = {row["text"]: (row["part"], row["label"]) for row in content}
    changed = {text for text, told in parts["a-run"].items() if parts["again"].get(text) != told}
    assert {text[-2:] for text in changed} == {" 4", " 7"}
    before = {text: part for text, (part, _) in parts["a-run"].items()}
    assert all(before[text] == part for text, (part, _) in parts["again"].items())
    # A duplicate of it has its rows, and those of the file that it was corrected from no more.
    folder.spec.write_text(spec_yaml(spec), encoding="utf-8")
    duplicate = spec.model_copy(update={"split": spec.split.model_copy(update={"same_as": "again"})})
    assert write_split(duplicate, workspace, workspace.run("twice")).same_rows == "again"
    twice = pq.read_table(workspace.run("twice").examples).to_pylist()
    assert {row["text"]: (row["part"], row["label"]) for row in twice} == parts["again"]
    # An edited file is a file of its own.
    path = Path(spec.data.train.path)
    assert origin_of(spec.data.train).left_out == (7,)
    path.write_bytes(path.read_bytes() + b"090,more,1\r\n")
    assert origin_of(spec.data.train) is None
    assert write_split(spec, workspace, workspace.run("divided-anew")).same_rows == ""


def test_rare_classes_that_became_one_are_written_as_that_class(workspace, store, tmp_path):
    path = tmp_path / "rare.csv"
    with path.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["text", "label"])
        for row in range(80):
            label = f"odd {row // 4}" if row < 12 else ("cats", "Dogs", "dogs")[row % 3]
            writer.writerow([f"a text of number {row}", label])
    mapping = {
        "text": ["text"], "label": "label", "class_names": {"cats": "Cats"}, "rare_below": 5,
        "fold_label_variants": True,
    }  # fmt: skip
    run = split_file(workspace, "rare", path, mapping)
    assert set(run.facts.labels) == {"Cats", "Dogs", "Other"}
    for row, name in ((20, "Other"), (21, "Other"), (0, "Dogs"), (1, "Cats"), (22, "Dogs")):
        mark_wrong(store, run.folder, ("train", row), [name])
    plan = plan_corrections(run.folder, run_marks(store, run.folder))
    spec = write_corrected(plan, upload_targets(plan, workspace))
    folder = workspace.run("again")
    write_split(spec, workspace, folder)
    labels = {row["row"]: row["label"] for row in pq.read_table(folder.examples).to_pylist()}
    for change in plan.changes:
        assert (labels[change.row],) == change.new
    # Values that were rare are so still, and no spelling has come to be a class.
    assert set(labels.values()) == {"Cats", "Dogs", "Other"}


def test_a_test_file_of_its_own_is_corrected_on_its_own(workspace, store, tmp_path):
    test = write_csv(tmp_path / "test.csv", 30)
    train = write_csv(tmp_path / "train.csv", 90, ",")
    mapping = {"text": ["text"], "label": "label"}
    run = split_file(
        workspace, "two", train, mapping, data={"train": {"path": str(train)}, "test": {"path": str(test)}}
    )
    mark_wrong(store, run.folder, ("test", 3), ["2"])
    plan = plan_corrections(run.folder, run_marks(store, run.folder))
    assert plan.roles == ("test",)
    target = tmp_path / "out.csv"
    assert corrected_targets(plan, target) == {"test": target}
    spec = write_corrected(plan, {"test": target})
    assert spec.data.train == run.spec.data.train and spec.data.test.path == str(target)
    assert preview(open_table(spec.data.test, workspace))[3]["label"] == "2"
    assert write_split(spec, workspace, workspace.run("again")).same_rows == "two"
    mark_ambiguous(store, run.folder, ("train", 1))
    both = plan_corrections(run.folder, run_marks(store, run.folder))
    assert {role: path.name for role, path in corrected_targets(both, target).items()} == {
        "train": "out.csv", "test": "out_test.csv",
    }  # fmt: skip


def test_a_parquet_file_stays_one_with_its_types(workspace, store, tmp_path):
    path = tmp_path / "news.parquet"
    table = pa.table(
        {
            "text": [f"a text of number {row}" for row in range(60)],
            "label": pa.array([row % 3 for row in range(60)], pa.int8()),
            "score": pa.array([row / 7 for row in range(60)], pa.float32()),
        }
    )
    pq.write_table(table, path)
    run = split_file(workspace, "parquet", path, {"text": ["text"], "label": "label", "class_names": {"1": "One"}})
    mark_wrong(store, run.folder, ("train", 3), ["One"])
    mark_ambiguous(store, run.folder, ("train", 59))
    plan = plan_corrections(run.folder, run_marks(store, run.folder))
    spec = write_corrected(plan, upload_targets(plan, workspace))
    written = pq.read_table(spec.data.train.path)
    assert written.schema == table.schema
    labels = table["label"].to_pylist()[:59]
    labels[3] = 1
    assert written["label"].to_pylist() == labels
    assert written.drop_columns(["label"]) == table.slice(0, 59).drop_columns(["label"])


def test_a_parquet_file_whose_columns_are_read_under_other_names(workspace, store, tmp_path):
    path = tmp_path / "news.parquet"
    names = ["text", " label", "more"]
    pq.write_table(
        pa.table([[f"a text of number {row}" for row in range(60)], ["a", "b"] * 30, ["x"] * 60], names), path
    )
    run = split_file(workspace, "parquet", path, {"text": ["text"], "label": "label"})
    mark_wrong(store, run.folder, ("train", 3), ["a"])
    plan = plan_corrections(run.folder, run_marks(store, run.folder))
    written = pq.read_table(write_corrected(plan, upload_targets(plan, workspace)).data.train.path)
    assert written.column_names == names
    assert written[" label"].to_pylist() == ["a", "b", "a", "a", *["a", "b"] * 28]


@pytest.mark.parametrize("kind", ["multi", "soft"])
def test_rows_with_several_classes_or_probabilities(workspace, store, tmp_path, kind):
    run = split_run(workspace, tmp_path / "topics.csv", kind, rows=120)
    names = [run.facts.labels[2], run.facts.labels[0]] if kind == "multi" else [run.facts.labels[2]]
    used = pq.read_table(run.folder.split)["row"].to_pylist()
    for row in used[:3]:
        mark_wrong(store, run.folder, ("train", row), names)
    plan = plan_corrections(run.folder, run_marks(store, run.folder))
    spec = write_corrected(plan, upload_targets(plan, workspace))
    table = open_table(spec.data.train, workspace)
    labels = read_labels(table, spec.mapping)
    for change in plan.changes:
        found = [
            labels.names[number] for number in labels.classes[labels.starts[change.row] : labels.starts[change.row + 1]]
        ]
        assert set(found) == set(names)
    if kind == "multi":
        mark_wrong(store, run.folder, ("train", used[5]), [])
        plan = plan_corrections(run.folder, run_marks(store, run.folder))
        spec = write_corrected(plan, upload_targets(plan, workspace))
        labels = read_labels(open_table(spec.data.train, workspace), spec.mapping)
        assert labels.sizes[used[5]] == 0 and labels.used[used[5]]


def test_a_file_that_changed_since_is_not_corrected(run, store, workspace):
    mark_wrong(store, run.folder, ("train", 4), ["World"])
    path = Path(run.spec.data.train.path)
    path.write_text(path.read_text(encoding="utf-8").replace("Ships", "Boats"), encoding="utf-8")
    with pytest.raises(UserError) as raised:
        plan_corrections(run.folder, run_marks(store, run.folder))
    assert "changed" in raised.value.what


def test_the_original_is_never_the_target(run, store, tmp_path):
    mark_wrong(store, run.folder, ("train", 4), ["World"])
    plan = plan_corrections(run.folder, run_marks(store, run.folder))
    for target in (Path(run.spec.data.train.path), tmp_path / "out.xlsx", tmp_path / "none" / "out.csv"):
        with pytest.raises(UserError):
            corrected_targets(plan, target)


def test_the_draft_opens_at_its_review_with_everything_chosen(run, store, workspace):
    mark_wrong(store, run.folder, ("train", 4), ["World"])
    address = corrected_draft(workspace, store, plan_corrections(run.folder, run_marks(store, run.folder)))
    content = store.draft(address.removeprefix("/?draft="))
    assert content["step"] == 4
    assert content["spec"]["split"]["same_as"] == "a-run"
    assert content["spec"]["mapping"] == run.spec.mapping.model_dump(mode="json")
    path = Path(content["spec"]["data"]["train"]["path"])
    assert path.is_file() and path.with_name(path.name + SUFFIX).is_file()
    assert TableFile.model_validate(content["spec"]["data"]["train"])


def test_a_class_is_spelled_as_the_run_has_it(workspace, store, tmp_path):
    """Rows without a text decide nothing about a class, though its spelling is commonest among them."""
    path = tmp_path / "spelled.csv"
    rows = [*(("", "spam") for _ in range(40)), *((f"a text {row}", ("Spam", "ham")[row % 2]) for row in range(60))]
    path.write_text("text,label\n" + "\n".join(",".join(row) for row in (*rows, ("another", "spam"))))
    run = split_file(workspace, "spelled", path, {"text": ["text"], "label": "label", "fold_label_variants": True})
    assert set(run.facts.labels) == {"Spam", "ham"}
    mark_wrong(store, run.folder, ("train", 41), ["Spam"])
    plan = plan_corrections(run.folder, run_marks(store, run.folder))
    written = Path(write_corrected(plan, upload_targets(plan, workspace)).data.train.path)
    assert written.read_text(encoding="utf-8").splitlines()[42] in ("a text 1,Spam", "a text 1,spam")


def test_a_class_of_the_file_is_not_taken_for_the_merged_one_of_the_same_spelling(workspace, store, tmp_path):
    path = tmp_path / "other.csv"
    with path.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["text", "label"])
        for row in range(80):
            writer.writerow([f"a text of number {row}", f"odd {row // 4}" if row < 12 else ("ABBR", "OTHER")[row % 2]])
    mapping = {"text": ["text"], "label": "label", "rare_below": 5, "fold_label_variants": True}
    run = split_file(workspace, "other", path, mapping)
    assert set(run.facts.labels) == {"ABBR", "OTHER", "Other"}
    for row, name in ((20, "OTHER"), (21, "ABBR")):
        mark_wrong(store, run.folder, ("train", row), [name])
    plan = plan_corrections(run.folder, run_marks(store, run.folder))
    assert {change.row: change.new for change in plan.changes} == {20: ("OTHER",), 21: ("ABBR",)}
