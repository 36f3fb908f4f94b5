"""Labelling with a real model: texts, files, the serving process, the job's process, and scoring a labelled file."""

import csv
import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.data.examples import EXAMPLES
from core.data.table import open_table
from core.errors import UserError
from core.evaluate_run import evaluate_file
from core.evaluation.metrics import classification_metrics
from core.evaluation_jobs import evaluation_jobs, start_evaluation
from core.label_jobs import label_job, start_label_job
from core.model_facts import joined_text, run_model_facts
from core.model_input import CHARACTERS_AT_ONCE, ROWS_AT_ONCE, read_chunks
from core.predict import label_file, label_path
from core.prediction_service import PredictionService
from core.predictor import Predictor, load_predictor, predict_probabilities
from core.schema import TableFile
from core.workspace import RunFolder, Workspace, open_workspace
from tests.run_folders import add_model, run_spec, write_run
from ui.run.evaluate_file import evaluations_html

RUN = "20261121-000000-aaaa"
LABELS = ["ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM"]


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> RunFolder:
    rows = read_csv(shared_data / "trec" / "train.csv")[:1000]
    spec = run_spec(str(shared_data / "trec" / "train.csv"), max_length=48)
    made = write_run(open_workspace(tmp_path_factory.mktemp("workspace")), RUN, spec, LABELS)
    add_model(made, spec, [row["text"] for row in rows], [LABELS.index(row["label"]) for row in rows], LABELS)
    return made


@pytest.fixture(scope="module")
def predictor(folder: RunFolder) -> Predictor:
    return load_predictor(folder.model)


def write(path: Path, rows: list[list[str]], delimiter: str = ",") -> TableFile:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return TableFile(path=str(path))


AWKWARD = [
    ["id", "text", "flag", "formula"],
    ["100000000000000001", "Who wrote Hamlet ?", "TRUE", "=HYPERLINK(1)"],
    ["01", "  ", "1.0", "-5"],
    ["1.10", 'What does "NASA" stand for, in full ?', "NA", "-5+3"],
    ["", "Where is\nKathmandu ?", "None", "@you"],
    ["007", "How far is it from Denver to Aspen ?", "2024-01-02", ""],
]


def expected_labels(predictor: Predictor) -> list[str | None]:
    """Of AWKWARD's rows; None where there is no text."""
    texts = [joined_text(predictor.facts, [row[1]]) for row in AWKWARD[1:]]
    best = predict_probabilities(predictor, texts).argmax(axis=1)
    assert len({LABELS[number] for number in best}) > 2
    return [LABELS[number] if text else None for text, number in zip(texts, best, strict=True)]


def test_every_cell_stays_as_it_was(predictor: Predictor, folder: RunFolder, tmp_path: Path) -> None:
    table = open_table(write(tmp_path / "new.csv", AWKWARD), folder.workspace)
    told: list[tuple[int, int, float | None]] = []
    result = label_file(predictor, table, tmp_path / "out.csv", 2, lambda *news: told.append(news))
    rows = read_csv(tmp_path / "out.csv")
    assert list(rows[0]) == [*AWKWARD[0], "label", "probability", "label_2", "probability_2"]
    assert [[row[name] for name in ("id", "text", "flag")] for row in rows] == [row[:3] for row in AWKWARD[1:]]
    assert [row["formula"] for row in rows] == ["'=HYPERLINK(1)", "-5", "'-5+3", "'@you", ""]
    assert [row["label"] for row in rows] == [label or "" for label in expected_labels(predictor)]
    assert [rows[1][name] for name in ("probability", "label_2", "probability_2")] == ["", "", ""]
    assert (result.rows, result.labelled, result.formula_cells) == (5, 4, 3)
    assert any("3 cells begin with a character" in note for note in result.notes)
    assert any("1 row has no text" in note for note in result.notes)
    assert told[-1] == (5, 5, 0.0)
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_parquet_holds_the_same_and_nothing_is_changed(predictor: Predictor, folder: RunFolder, tmp_path: Path) -> None:
    table = open_table(write(tmp_path / "new.csv", AWKWARD), folder.workspace)
    result = label_file(predictor, table, tmp_path / "out.parquet")
    content = pq.read_table(tmp_path / "out.parquet").to_pydict()
    assert content["formula"] == ["=HYPERLINK(1)", "-5", "-5+3", "@you", None]
    assert content["id"] == ["100000000000000001", "01", "1.10", None, "007"]
    assert content["label"] == expected_labels(predictor)
    assert result.formula_cells == 0
    filled = [row[1] for row in AWKWARD[1:] if row[1].strip()]
    expected = predict_probabilities(predictor, [joined_text(predictor.facts, [text]) for text in filled])
    given = [value for value in content["probability"] if value is not None]
    np.testing.assert_allclose(given, expected.max(axis=1), atol=1e-6)


def test_formulas_are_left_alone_when_asked(predictor: Predictor, folder: RunFolder, tmp_path: Path) -> None:
    table = open_table(write(tmp_path / "new.csv", AWKWARD), folder.workspace)
    result = label_file(predictor, table, tmp_path / "out.csv", spreadsheet_safe=False)
    assert read_csv(tmp_path / "out.csv")[0]["formula"] == "=HYPERLINK(1)"
    assert result.formula_cells == 0


def test_more_classes_than_there_are_and_none(predictor: Predictor, folder: RunFolder, tmp_path: Path) -> None:
    table = open_table(write(tmp_path / "new.csv", AWKWARD), folder.workspace)
    result = label_file(predictor, table, tmp_path / "out.csv", 50)
    assert len(result.columns) == 2 * len(LABELS)
    assert any("knows 6 classes" in note for note in result.notes)
    row = read_csv(tmp_path / "out.csv")[0]
    shares = [float(row[name]) for name in result.columns[1::2]]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1, abs=1e-5)
    with pytest.raises(UserError, match="top-k is 0"):
        label_file(predictor, table, tmp_path / "none.csv", 0)


def test_a_file_without_one_text(predictor: Predictor, folder: RunFolder, tmp_path: Path) -> None:
    table = open_table(write(tmp_path / "new.csv", [["text", "n"], ["", "1"], [" ", "2"]]), folder.workspace)
    result = label_file(predictor, table, tmp_path / "out.csv")
    assert [row["label"] for row in read_csv(tmp_path / "out.csv")] == ["", ""]
    assert (result.rows, result.labelled) == (2, 0)


def test_a_real_file_from_the_command_line(folder: RunFolder, shared_data: Path, tmp_path: Path) -> None:
    given = shared_data / "trec" / "test.csv"
    result = label_path(folder.workspace, RUN, given, tmp_path / "labelled.csv")
    before, after = read_csv(given), read_csv(tmp_path / "labelled.csv")
    assert result.columns == ("predicted_label", "probability")
    assert any("predicted_label" in note for note in result.notes)
    assert [{name: row[name] for name in before[0]} for row in after] == before
    right = sum(row["predicted_label"] == row["label"] for row in after)
    # The commonest class is 0.276 of the rows.
    assert right / len(after) > 0.5


def test_the_text_columns_may_be_others(folder: RunFolder, tmp_path: Path) -> None:
    file = write(tmp_path / "new.csv", [["frage", "n"], ["Who is she ?", "1"], ["Where is it ?", "2"]])
    with pytest.raises(UserError, match=r"'text' is not in new\.csv \(columns: frage, n\)"):
        label_path(folder.workspace, RUN, file, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
    label_path(folder.workspace, RUN, file, tmp_path / "out.csv", text_columns=["frage"])
    assert [row["label"] for row in read_csv(tmp_path / "out.csv")] == ["HUM", "LOC"]


def test_a_file_without_header_is_read_like_the_training_file(
    folder: RunFolder, workspace: Workspace, shared_data: Path, tmp_path: Path
) -> None:
    names = ("class", "title", "description")
    train = TableFile(path=str(shared_data / "ag_news" / "train_4k_raw_noheader.csv"), header=False, column_names=names)
    made = write_run(workspace, RUN, run_spec(file=train, text=("title", "description"), max_length=48), LABELS)
    for path in folder.model.iterdir():
        if path.name != "tunedesk.json":
            (made.model / path.name).symlink_to(path)
    new = tmp_path / "new.csv"
    with (shared_data / "ag_news" / "test_raw_noheader.csv").open(encoding="utf-8") as file:
        new.write_text("".join(next(file) for _ in range(50)), encoding="utf-8")
    result = label_path(workspace, RUN, new, tmp_path / "out.csv")
    rows = read_csv(tmp_path / "out.csv")
    assert result.rows == len(rows) == 50
    assert list(rows[0]) == [*names, "label", "probability"]


def test_the_result_is_whole_or_absent(predictor: Predictor, folder: RunFolder, tmp_path: Path) -> None:
    rows = [["text", "filler"], *[[f"What is {number} ?", os.urandom(3000).hex()] for number in range(300)]]
    table = open_table(write(tmp_path / "new.csv", rows), folder.workspace)
    out = tmp_path / "out"
    out.mkdir()
    for name in ("labelled.csv", "labelled.parquet"):
        (out / name).write_text("what was there before")
        with largest_file(500_000), pytest.raises(UserError, match=r"cannot be written \(File too large\)"):
            label_file(predictor, table, out / name)
    assert {path.name: path.read_text() for path in out.iterdir()} == {
        "labelled.csv": "what was there before",
        "labelled.parquet": "what was there before",
    }


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """The system refuses to write more than `size` bytes to a file, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_called_so(
    predictor: Predictor, folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = open_table(write(tmp_path / "new.csv", AWKWARD), folder.workspace)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("core.labelled_files.CsvFile.write", full)
    with pytest.raises(UserError, match="The disk filled up"):
        label_file(predictor, table, tmp_path / "out.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.csv"]


def test_rows_stream_in_order_in_bounded_pieces(predictor: Predictor, folder: RunFolder, tmp_path: Path) -> None:
    count = 30_000
    lengths = [3_000_000 if number in (5, 6, 7) else number % 50 + 1 for number in range(count)]
    rows = [["text", "n"], *[["x" * length, str(number)] for number, length in enumerate(lengths)]]
    table = open_table(write(tmp_path / "new.csv", rows), folder.workspace)
    seen = 0
    for texts, (numbers,) in read_chunks(table, predictor.facts, ["text"], ["n"]):
        assert numbers.to_pylist() == [str(number) for number in range(seen, seen + len(texts))]
        assert [len(text) for text in texts] == lengths[seen : seen + len(texts)]
        assert len(texts) <= ROWS_AT_ONCE
        assert len(texts) == 1 or sum(map(len, texts)) <= CHARACTERS_AT_ONCE
        seen += len(texts)
    assert seen == count


# A damaged model


def test_a_damaged_model_is_called_so(folder: RunFolder, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    broken = tmp_path / "model"
    broken.mkdir()
    for path in folder.model.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    whole = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cannot be loaded"):
        load_predictor(broken)
    weights = load_file(folder.model / "model.safetensors")
    del weights["classifier.weight"]
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match="is not whole"):
        load_predictor(broken)


# The serving process


def test_the_page_gets_the_same_answers_from_a_process_of_its_own(predictor: Predictor, folder: RunFolder) -> None:
    """It leaves when nothing is asked, and comes again: after that, and after it was killed."""
    texts = ["Who wrote Hamlet ?", "  What is an atom ? ", "word " * 500]
    service = PredictionService(folder.workspace, idle_seconds=3)
    try:
        answers = service.predict(RUN, texts)
        expected = predict_probabilities(predictor, [text.strip() for text in texts])
        for answer, row in zip(answers, expected, strict=True):
            assert dict(answer) == pytest.approx(dict(zip(LABELS, row.tolist(), strict=True)), abs=1e-5)
            assert [value for _, value in answer] == sorted((value for _, value in answer), reverse=True)
        deadline = time.monotonic() + 60
        while service.is_loaded(RUN) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not service.is_loaded(RUN)
        assert serving_processes(folder) == []
        assert service.predict(RUN, ["Where ?"])[0][0][0] == "LOC"
        (server,) = serving_processes(folder)
        server.send_signal(signal.SIGKILL)
        server.wait(10)
        assert service.predict(RUN, ["Who ?"])[0][0][0] == "HUM"
    finally:
        service.close()
    assert serving_processes(folder) == []


def serving_processes(folder: RunFolder) -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if str(folder.model) in process.cmdline():
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


# The job's process


def finished(workspace: Workspace, job_id: str, seconds: float = 120) -> str:
    deadline = time.monotonic() + seconds
    while (state := label_job(workspace, RUN, job_id).state) == "running" and time.monotonic() < deadline:
        time.sleep(0.1)
    return state


def test_a_file_is_labelled_in_a_process_of_its_own(folder: RunFolder, shared_data: Path) -> None:
    given = TableFile(path=str(shared_data / "trec" / "test.csv"))
    job_id = start_label_job(folder.workspace, RUN, given, "parquet", 3)
    assert finished(folder.workspace, job_id) == "finished"
    job = label_job(folder.workspace, RUN, job_id)
    assert (job.done, job.total) == (500, 500)
    assert job.output is not None
    content = pq.read_table(job.output)
    assert content.num_rows == 500
    assert content.column_names[-6:] == [
        "predicted_label", "probability", "label_2", "probability_2", "label_3", "probability_3",
    ]  # fmt: skip
    assert any("predicted_label" in note for note in job.notes)


def test_a_job_that_cannot_be_done_says_why(folder: RunFolder, tmp_path: Path) -> None:
    job_id = start_label_job(folder.workspace, RUN, write(tmp_path / "new.csv", [["a", "b"], ["x", "1"], ["y", "2"]]))
    assert finished(folder.workspace, job_id) == "failed"
    job = label_job(folder.workspace, RUN, job_id)
    assert job.error is not None
    assert "columns: a, b" in job.error["what"]
    assert job.output is None


# A labelled file


def test_a_labelled_file_is_scored(predictor: Predictor, folder: RunFolder, shared_data: Path) -> None:
    rows = read_csv(shared_data / "trec" / "test.csv")
    told: list[tuple[int, int, float | None]] = []
    result = evaluate_file(folder.workspace, RUN, shared_data / "trec" / "test.csv", lambda *news: told.append(news))
    probabilities = predict_probabilities(predictor, [row["text"] for row in rows])
    expected = classification_metrics(np.array([LABELS.index(row["label"]) for row in rows]), probabilities, LABELS)
    assert result["metrics"]["confusion"] == expected["confusion"]
    assert result["metrics"]["log_loss"] == pytest.approx(expected["log_loss"], abs=1e-4)
    assert (result["rows"], result["scored"], result["unknown_labels"]) == (500, 500, {})
    assert told[-1][:2] == (500, 500)


def test_labels_that_the_model_never_learned_are_listed(folder: RunFolder, tmp_path: Path) -> None:
    file = write(
        tmp_path / "new.csv",
        [
            ["text", "label"],
            ["Who wrote Hamlet ?", "HUM"],
            ["Where is Rome ?", " LOC "],
            ["Why ?", "PLANET"],
            ["How ?", "PLANET"],
            ["What ?", ""],
            ["", "HUM"],
            ["When ?", "STAR"],
        ],
    )
    result = evaluate_file(folder.workspace, RUN, file)
    assert result["unknown_labels"] == {"PLANET": 2, "STAR": 1}
    assert result["left_out"] == {"empty_text": 1, "empty_label": 1, "label_not_in_model": 3}
    assert (result["rows"], result["scored"], result["metrics"]["accuracy"]) == (7, 2, 1.0)
    assert "PLANET (2)" in result["notes"][0]


def test_a_file_with_no_label_that_the_model_knows(folder: RunFolder, tmp_path: Path) -> None:
    file = write(tmp_path / "new.csv", [["text", "label", "kind"], ["Who ?", "a", "HUM"], ["Where ?", "b", "LOC"]])
    with pytest.raises(UserError, match=r"column 'label' holds a, b; the model knows ABBR, DESC"):
        evaluate_file(folder.workspace, RUN, file)
    assert evaluate_file(folder.workspace, RUN, file, label_column="kind")["scored"] == 2
    with pytest.raises(UserError, match="'missing'"):
        evaluate_file(folder.workspace, RUN, file, label_column="missing")


def test_the_labels_of_the_training_file_get_their_names(
    folder: RunFolder, workspace: Workspace, tmp_path: Path
) -> None:
    spec = run_spec(max_length=48, mapping={"class_names": {"4": "HUM", "5": "LOC"}})
    made = write_run(workspace, RUN, spec, LABELS)
    for path in folder.model.iterdir():
        if path.name != "tunedesk.json":
            (made.model / path.name).symlink_to(path)
    assert run_model_facts(made).class_names == {"4": "HUM", "5": "LOC"}
    file = write(tmp_path / "new.csv", [["text", "label"], ["Who wrote it ?", "4"], ["Where is Rome ?", "LOC"]])
    assert evaluate_file(workspace, RUN, file)["metrics"]["accuracy"] == 1.0


def test_a_labelled_file_is_measured_for_the_page_in_a_process_of_its_own(
    folder: RunFolder, shared_data: Path, tmp_path: Path
) -> None:
    """What it finds is kept in the run's folder, unseen labels and how far the file is from training with it."""
    rows = read_csv(shared_data / "trec" / "train.csv")[:120]
    parts = ["train"] * 80 + ["test"] * 40
    table = {
        "row_id": range(120), "file": ["train"] * 120, "row": range(120), "part": parts,
        "text": [row["text"] for row in rows], "label": [row["label"] for row in rows],
    }  # fmt: skip
    pq.write_table(pa.table({name: list(values) for name, values in table.items()}, schema=EXAMPLES), folder.examples)
    asked = [row for row in read_csv(shared_data / "trec" / "test.csv") if row["label"] == "HUM"]
    file = write(
        tmp_path / "people.csv", [["text", "kind"], *([row["text"], "HUM"] for row in asked), ["Why ?", "NEW"]]
    )
    start_evaluation(folder.workspace, RUN, file, label_column="kind")
    (job,) = until_ended(lambda: evaluation_jobs(folder))
    assert (job.state, job.error, job.name) == ("finished", None, "people.csv")
    assert job.result["scored"] == len(asked) and job.result["unknown_labels"] == {"NEW": 1}
    assert job.result["drift"]["labels"]["classes"][0]["label"] == "HUM"
    notes = " ".join(job.result["notes"])
    assert "NEW (1)" in notes and "HUM 17 % in training" in notes and "classifier tells" in notes
    page = evaluations_html([job])
    assert "Right on" in page and "people.csv" in page and "17 % in training" in page
    start_evaluation(folder.workspace, RUN, file)
    failed = until_ended(lambda: evaluation_jobs(folder))[0]
    assert failed.state == "failed" and "label" in failed.error["what"]
    folder.examples.unlink()


def until_ended(look):
    """The jobs, once none of them runs."""
    deadline = time.monotonic() + 240
    while any(job.state == "running" for job in look()):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    return look()
