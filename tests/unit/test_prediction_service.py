"""The page's side of predicting, against a stand-in for the model's process; the real one is in tests/flow."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from core import job_processes, prediction_service
from core.data.expressions import text_sql
from core.deciding import save_decision
from core.decision import Decision
from core.errors import UserError
from core.label_jobs import cancel_label_job, label_job, label_jobs, start_label_job, write_status
from core.model_facts import joined_text, run_model_facts
from core.prediction_service import PredictionService
from core.schema import TableFile
from core.workspace import RunFolder, Workspace
from tests.run_folders import run_spec, write_run

RUN = "20261121-000000-aaaa"
OTHER = "20261121-000000-bbbb"
LABELS = ["no", "yes"]

STAND_IN = """
import json, os, pathlib, sys, time
kind, place = sys.argv[1:3]
if kind == "file":
    time.sleep(60)
count = pathlib.Path(place, "starts.txt")
count.write_text(str(int(count.read_text()) + 1 if count.exists() else 1))
print("a word for the log", file=sys.stderr)
if pathlib.Path(place, "broken").exists():
    print(json.dumps({"error": {"what": "It is broken.", "where": "model", "todo": "Mend it."}}), flush=True)
    sys.exit()
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    text = request["texts"][0]
    if text == "crash":
        sys.exit(3)
    if text == "leave":
        leaving = pathlib.Path(place, "left")
        if not leaving.exists():
            leaving.touch()
            sys.exit(0)
    if text == "hang":
        time.sleep(60)
    yes = [0.25 if "no" in text else 0.75 for text in request["texts"]]
    print(json.dumps({"id": request["id"], "probabilities": [[1 - y, y] for y in yes]}), flush=True)
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "project" / "core"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "predict.py").write_text(STAND_IN, encoding="utf-8")
    monkeypatch.setattr(prediction_service, "PROJECT", package.parent)
    monkeypatch.setattr(job_processes, "PROJECT", package.parent)


@pytest.fixture
def run(workspace: Workspace) -> RunFolder:
    return write_run(workspace, RUN, run_spec(), LABELS)


@pytest.fixture
def service(workspace: Workspace, run: RunFolder, stand_in: None) -> Iterator[PredictionService]:
    made = PredictionService(workspace, answer_seconds=30)
    yield made
    made.close()


def starts(folder: RunFolder) -> int:
    return int((folder.model / "starts.txt").read_text())


def test_labels_come_the_likeliest_first_from_one_process(service: PredictionService, run: RunFolder) -> None:
    assert not service.is_loaded(RUN)
    assert service.predict(RUN, ["fine", "no"]) == [[("yes", 0.75), ("no", 0.25)], [("no", 0.75), ("yes", 0.25)]]
    assert service.predict(RUN, ["fine"]) == [[("yes", 0.75), ("no", 0.25)]]
    assert service.is_loaded(RUN)
    assert starts(run) == 1
    assert "a word for the log" in (run.predictions / "serve.log").read_text()


def test_another_run_replaces_the_process(service: PredictionService, workspace: Workspace, run: RunFolder) -> None:
    other = write_run(workspace, OTHER, run_spec(), LABELS)
    service.predict(RUN, ["a"])
    service.predict(OTHER, ["a"])
    assert not service.is_loaded(RUN)
    service.predict(RUN, ["b"])
    assert (starts(run), starts(other)) == (2, 1)


def test_a_model_that_was_written_anew_is_loaded_anew(service: PredictionService, run: RunFolder) -> None:
    service.predict(RUN, ["a"])
    (run.model / "model.safetensors").write_bytes(b"other weights")
    service.predict(RUN, ["a"])
    assert starts(run) == 2


def test_a_new_decision_is_used_at_once_by_the_same_process(service: PredictionService, run: RunFolder) -> None:
    assert service.predict(RUN, ["fine"]) == [[("yes", 0.75), ("no", 0.25)]]
    save_decision(run, Decision(temperature=2.0))
    ((best, other),) = service.predict(RUN, ["fine"])
    odds = 3**0.5  # 0.75 to 0.25 at temperature 2
    assert best == ("yes", pytest.approx(odds / (1 + odds)))
    assert other == ("no", pytest.approx(1 / (1 + odds)))
    assert starts(run) == 1


def test_a_crash_costs_one_request(service: PredictionService, run: RunFolder) -> None:
    with pytest.raises(UserError, match=r"ended without an answer \(code 3\)") as caught:
        service.predict(RUN, ["crash"])
    assert caught.value.where == str(run.predictions / "serve.log")
    assert service.predict(RUN, ["fine"])[0][0] == ("yes", 0.75)
    assert starts(run) == 2


def test_a_process_that_left_as_it_was_asked_is_asked_again(service: PredictionService, run: RunFolder) -> None:
    service.predict(RUN, ["a"])
    assert service.predict(RUN, ["leave"])[0][0] == ("yes", 0.75)
    assert starts(run) == 2


def test_the_model_gives_way_to_a_run_and_comes_back_when_it_is_asked(
    service: PredictionService, run: RunFolder
) -> None:
    service.make_room()
    assert service.predict(RUN, ["a"])
    service.make_room()
    assert not service.is_loaded(RUN)
    assert service.predict(RUN, ["another"])
    assert starts(run) == 2


def test_no_answer_is_waited_for_for_ever(workspace: Workspace, run: RunFolder, stand_in: None) -> None:
    service = PredictionService(workspace, answer_seconds=0.5)
    with pytest.raises(UserError, match="did not answer within"):
        service.predict(RUN, ["hang"])
    assert service.predict(RUN, ["fine"])
    service.close()


def test_what_the_process_says_of_a_broken_model_is_passed_on(service: PredictionService, run: RunFolder) -> None:
    (run.model / "broken").touch()
    with pytest.raises(UserError, match="It is broken") as caught:
        service.predict(RUN, ["a"])
    assert caught.value.todo == "Mend it."
    (run.model / "broken").unlink()
    assert service.predict(RUN, ["a"])


def test_threads_take_turns(service: PredictionService, run: RunFolder) -> None:
    answers: dict[int, str] = {}

    def ask(number: int) -> None:
        ((first, *_),) = service.predict(RUN, ["no" if number % 2 else "fine"])
        answers[number] = first[0]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: "no" if number % 2 else "yes" for number in range(20)}
    assert starts(run) == 1


def test_requests_that_cannot_be(service: PredictionService) -> None:
    with pytest.raises(UserError, match="Text 2 of 3 is empty"):
        service.predict(RUN, ["one", "  ", "three"])
    with pytest.raises(UserError, match="no text"):
        service.predict(RUN, ["  \n"])
    for absent in ("20261121-000000-cccc", "../elsewhere"):
        with pytest.raises(UserError, match=f"There is no run '{absent}'"):
            service.predict(absent, ["a"])


# Jobs


def test_a_job_runs_and_can_be_cancelled(workspace: Workspace, run: RunFolder, stand_in: None) -> None:
    job_id = start_label_job(workspace, RUN, TableFile(path="/data/new questions.csv.gz"), "parquet", top_k=2)
    job = label_job(workspace, RUN, job_id)
    assert (job.state, job.name, job.output) == ("running", "new questions.csv.gz", None)
    half = run.predictions / job_id / "new_questions_labelled.parquet.1234.partial"
    half.touch()
    cancel_label_job(workspace, RUN, job_id)
    assert label_job(workspace, RUN, job_id).state == "stopped"
    assert not half.exists()
    cancel_label_job(workspace, RUN, job_id)
    assert [job.state for job in label_jobs(workspace, RUN)] == ["stopped"]


def test_a_job_whose_process_is_gone_has_failed(workspace: Workspace, run: RunFolder, stand_in: None) -> None:
    job_id = start_label_job(workspace, RUN, TableFile(path="new.csv"))
    folder = run.predictions / job_id
    pid = json.loads((folder / "process.json").read_text())["pid"]
    (folder / "new_labelled.csv.1234.partial").touch()
    os.kill(pid, 9)
    deadline = time.monotonic() + 30
    while label_job(workspace, RUN, job_id).state == "running" and time.monotonic() < deadline:
        time.sleep(0.05)
    job = label_job(workspace, RUN, job_id)
    assert job.state == "failed"
    assert job.error is not None
    assert "its process is gone" in job.error["what"]
    assert sorted(path.name for path in folder.iterdir()) == ["job.json", "log.txt", "process.json", "status.json"]


def test_a_pid_that_was_given_to_another_process_is_not_the_job(
    workspace: Workspace, run: RunFolder, stand_in: None
) -> None:
    job_id = start_label_job(workspace, RUN, TableFile(path="new.csv"))
    folder = run.predictions / job_id
    noted = json.loads((folder / "process.json").read_text())
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    (folder / "process.json").write_text(json.dumps({"pid": other.pid, "started": noted["started"] - 1000}))
    assert label_job(workspace, RUN, job_id).state == "failed"
    cancel_label_job(workspace, RUN, job_id)
    assert other.poll() is None
    other.kill()
    other.wait()
    (folder / "process.json").write_text(json.dumps(noted))
    cancel_label_job(workspace, RUN, job_id)


def test_a_finished_job_names_its_file(workspace: Workspace, run: RunFolder, stand_in: None) -> None:
    job_id = start_label_job(workspace, RUN, TableFile(path="новые вопросы.v2.csv"))
    cancel_label_job(workspace, RUN, job_id)
    write_status(run.predictions / job_id, "finished", done=7, total=7, notes=["2 cells were changed."])
    job = label_job(workspace, RUN, job_id)
    assert job.output == run.predictions / job_id / "новые_вопросы_labelled.csv"
    assert (job.done, job.total, job.notes) == (7, 7, ("2 cells were changed.",))


def test_no_id_reaches_outside(workspace: Workspace, run: RunFolder) -> None:
    run.predictions.mkdir()
    write_status(run.root, "finished")
    for job_id in ("..", "../..", "", "."):
        with pytest.raises(UserError, match="has no labelling"):
            label_job(workspace, RUN, job_id)


def test_a_run_without_a_model_starts_no_job(workspace: Workspace) -> None:
    workspace.run(OTHER).root.mkdir()
    with pytest.raises(UserError, match="no model yet"):
        start_label_job(workspace, OTHER, TableFile(path="new.csv"))


# One text and a file's rows become the same text

CELLS = ["plain", "  padded\t\n", " \u3000both\ufeff ", "", " ", r"line\break", r"\ ", "in  side", "\x0b\x0ca\r\n"]


@pytest.mark.parametrize("template", ["", " A: {a}\n{{it's}} {b}, {a}"])
@pytest.mark.parametrize("backslash", [False, True])
def test_cells_are_joined_as_the_data_are(workspace: Workspace, backslash: bool, template: str) -> None:
    mapping = {"joiner": " '|' ", "backslash_is_space": backslash, "text_template": template}
    spec = run_spec(text=("a", "b"), mapping=mapping)
    facts = run_model_facts(write_run(workspace, RUN, spec, LABELS))
    pairs = [(first, second) for first in CELLS for second in CELLS]
    with duckdb.connect() as database:
        database.execute("CREATE TABLE rows (a VARCHAR, b VARCHAR)")
        database.executemany("INSERT INTO rows VALUES (?, ?)", pairs)
        text = text_sql(("a", "b"), facts.joiner, backslash, template)
        expected = database.execute(f"SELECT {text} FROM rows").fetchall()
    assert [joined_text(facts, pair) for pair in pairs] == [text for (text,) in expected]
