"""`launch.py mistakes` and `launch.py correct`: the same rows and files as on the page."""

import csv
import json
from pathlib import Path

import pytest

from core.cli.arguments import parse
from core.cli.mistakes import correct, mistakes
from core.correcting.marks import mark_wrong
from core.errors import UserError
from core.runs.store import open_store
from core.spec_files import read_spec
from tests.error_runs import finished, measured, split_file


@pytest.fixture
def run(workspace, tmp_path, shared_data):
    lines = (shared_data / "trec" / "train.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    path = tmp_path / "questions.csv"
    path.write_text("".join(lines[:401]), encoding="utf-8")
    found = split_file(workspace, "a-run", path, {"text": ["text"], "label": "label"}, split={"test": 0.4})
    finished(workspace, found.folder, measured(found))
    return found


def test_rows_are_listed_with_their_places(run, workspace):
    told = mistakes(parse(["mistakes", "a-run", "--limit", "1000", "--json"]), workspace).content
    assert told["total"] == len(told["rows"]) > 5
    with Path(run.spec.data.train.path).open(encoding="utf-8", newline="") as opened:
        lines = list(csv.DictReader(opened))
    for row in told["rows"]:
        assert row["file"] == "train" and lines[row["row"]]["label"] == row["true"] != row["predicted"]
    json.dumps(told)
    first = told["rows"][0]
    pair = ["--true", first["true"], "--predicted", first["predicted"], "--least", "0.2"]
    narrowed = mistakes(parse(["mistakes", "a-run", *pair]), workspace)
    assert 0 < narrowed.content["total"] < told["total"]
    assert f"train {first['row']}" in narrowed.text
    suspicious = mistakes(parse(["mistakes", "a-run", "--suspicious"]), workspace)
    assert "held-out rows" in suspicious.text
    assert {row["part"] for row in suspicious.content["rows"]} <= {"validation", "test"}


def test_corrections_of_the_page_and_of_a_file_are_written(run, workspace, tmp_path):
    store = open_store(workspace)
    rows = mistakes(parse(["mistakes", "a-run"]), workspace).content["rows"]
    one, other, third = rows[:3]
    mark_wrong(store, run.folder, ("train", one["row"]), [one["predicted"]])
    given = tmp_path / "given.csv"
    given.write_text(f"row,label\n{other['row']},{other['predicted']}\n{third['row']},\n", encoding="utf-8")
    target = tmp_path / "better.csv"
    words = ["correct", "a-run", "--to", str(target), "--corrections", str(given)]
    told = correct(parse(words), workspace).content
    assert {(change["row"], tuple(change["new"] or ())) for change in told["changes"]} == {
        (one["row"], (one["predicted"],)), (other["row"], (other["predicted"],)), (third["row"], ()),
    }  # fmt: skip
    with target.open(encoding="utf-8", newline="") as opened:
        assert len(list(csv.DictReader(opened))) == 399
    spec = read_spec(Path(told["spec"]))
    assert spec.data.train.path == str(target) and spec.split.same_as == "a-run"
    kept = correct(parse([*words, "--keep-ambiguous"]), workspace).content
    assert kept["left_out"] == 0 and len(kept["changes"]) == 2
    # What a file says is not kept as if a person had said it on the page.
    assert len(correct(parse(words[:4]), workspace).content["changes"]) == 1


@pytest.mark.parametrize("line", ["x,LOC", "3,nowhere", "3,LOC,elsewhere"])
def test_a_wrong_correction_is_named_by_its_line(run, workspace, tmp_path, line):
    given = tmp_path / "given.csv"
    given.write_text(f"row,label,file\n1,LOC,train\n{line}{',' * (2 - line.count(','))}\n", encoding="utf-8")
    if line == "3,nowhere":
        given.write_text("row,label\n1,LOC\n3,nowhere\n", encoding="utf-8")
    with pytest.raises(UserError) as raised:
        correct(parse(["correct", "a-run", "--to", str(tmp_path / "o.csv"), "--corrections", str(given)]), workspace)
    assert "line 3" in raised.value.where
    assert not (tmp_path / "o.csv").exists()


def test_nothing_to_correct_is_said(run, workspace, tmp_path):
    with pytest.raises(UserError):
        correct(parse(["correct", "a-run", "--to", str(tmp_path / "o.csv")]), workspace)


@pytest.mark.parametrize(
    "words",
    [["--true", "NOPE"], ["--predicted", "NOPE"], ["--least", "5"], ["--least", "0.6", "--most", "0.5"],
     ["--offset", "-1"], ["--limit", "-1"]],
)  # fmt: skip
def test_what_no_row_can_be_is_refused(run, workspace, words):
    with pytest.raises(UserError):
        mistakes(parse(["mistakes", "a-run", *words]), workspace)
