"""launch.py and the command line: what is understood, what is refused with which code, and what is printed."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import pytest

import launch
from core import doctor, environment
from core.cli.arguments import parse
from core.doctor import Gpu, TorchFacts, build_command, explain_torch, read_gpus
from core.schema import RunSpec
from core.sharing.credentials import role_of
from core.spec_settings import settings

PROJECT = Path(__file__).resolve().parents[2]


def run_launch(*words: object, workspace: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """`launch.py --no-venv WORDS` in this environment; where a package lacks, it fails instead of installing it."""
    return subprocess.run(
        [sys.executable, PROJECT / "launch.py", "--no-venv", *map(str, words), "--workspace", workspace],
        env={**os.environ, "PIP_NO_INDEX": "1", **variables},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def launch_here(capsys: pytest.CaptureFixture[str], *words: object, workspace: Path) -> tuple[int, str, str]:
    """The same without a process of its own, for what needs none: exit code, standard output, standard error."""
    capsys.readouterr()
    code = launch.dispatch(parse([*map(str, words), "--workspace", str(workspace)]))
    return code, *capsys.readouterr()


def last_line(done: subprocess.CompletedProcess[str]) -> dict:
    return json.loads(done.stdout.splitlines()[-1])


# The Python that starts it


def old_pythons() -> list[str]:
    """Pythons before 3.11 on this computer: on the PATH, or among pyenv's."""
    names = ["python2.7", *(f"python3.{minor}" for minor in range(6, 11))]
    kept = [str(path) for path in (Path.home() / ".pyenv" / "versions").glob("*/bin/python")]
    working = []
    for python in [*filter(None, map(shutil.which, names)), *kept]:
        code = "import sys; print(sys.version_info[:2] < (3, 11))"
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
        if done.stdout.strip() == "True":
            working.append(python)
    return working


def test_old_pythons_are_told_and_not_met_with_a_syntax_error():
    found = old_pythons()
    if not found:
        pytest.skip("there is no Python before 3.11 on this computer")
    for python in found:
        done = subprocess.run([python, PROJECT / "launch.py"], capture_output=True, text=True, check=False)
        assert done.returncode == 1, python
        assert "Tunedesk needs Python 3.11, 3.12 or 3.13, and this is" in done.stderr, python
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 8, 1), (3, 10, 9), (3, 14, 0)])
def test_wrong_python_names_a_right_one_where_there_is_one(version):
    told = launch.wrong_python(version, lambda name: name == "python3.12")
    assert f"this is {version[0]}.{version[1]} " in told
    assert told.endswith("Run: python3.12 launch.py")
    assert "Install Python 3.12" in launch.wrong_python(version, lambda name: False)


def test_right_pythons_are_those_of_the_project():
    for version in launch.SUPPORTED:
        assert launch.wrong_python((*version, 0), lambda name: False) == ""
    assert launch.SUPPORTED == environment.SUPPORTED
    wanted = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["requires-python"]
    (major, first), (_, last) = launch.SUPPORTED[0], launch.SUPPORTED[-1]
    assert wanted == f">={major}.{first},<{major}.{last + 1}"


# What is understood


def test_without_a_command_it_is_the_page():
    assert parse([]).command == "ui"
    request = parse(["--port", "8000", "--listen", "--workspace", "somewhere"])
    assert (request.command, request.port, request.listen, request.workspace) == ("ui", 8000, "0.0.0.0", "somewhere")
    assert parse(["--workspace", "demo"]).command == "ui"
    assert parse(["--listen", "192.168.1.5", "--auth", "me:a:b"]).listen == "192.168.1.5"


@pytest.mark.parametrize(
    "words", [["--workspace", "w", "runs"], ["runs", "--workspace", "w"], ["runs", "--workspace=w"]]
)
def test_common_options_stand_anywhere(words):
    request = parse(words)
    assert (request.command, request.workspace, request.no_venv, request.json) == ("runs", "w", False, False)


def test_words_after_test_go_to_pytest_in_their_order():
    request = parse(["test", "tests/unit", "-x", "-k", "launch and not slow", "--venv", "v", "--tb=short"])
    assert request.pytest == ["tests/unit", "-x", "-k", "launch and not slow", "--tb=short"]
    assert request.venv == "v"


def test_train_takes_several_text_columns_and_settings():
    line = "train --data a.csv --text title body --text more --label y --set a.b=1 --set c=2 --json"
    request = parse(line.split())
    assert request.text == ["title", "body", "more"]
    assert request.set == ["a.b=1", "c=2"]
    assert request.json is True


@pytest.mark.parametrize(
    "words",
    [
        "train",
        "train spec.yaml --data a.csv",
        "train spec.yaml --label y",
        "predict run-only",
        "runs --nonsense",
        "export run",
        "export run --to x --format pickle",
        "export run --to x --hub a/b",
        "export run --to x --public",
        "export run --hub a/b --with-data a/c",
        "export run --hub a/b --data-licence mit",
        "export run --hub a/b --token hf_secret",
        "export run --hub a/b --format server",
        "no-such-command",
        "ui --auth nopassword",
        "ui --auth user:",
        "ui --guest user:",
        "ui --guest owner:secret",
        "ui --port 70000",
        "ui --port many",
        "runs --venv a --no-venv",
    ],
)
def test_lines_that_do_not_fit_end_with_code_2_and_a_reason(words, capsys):
    with pytest.raises(SystemExit) as caught:
        parse(words.split())
    assert caught.value.code == 2
    told = capsys.readouterr()
    assert "launch.py: " in told.err
    assert "--help" in told.err
    assert told.out == ""


def test_line_that_does_not_fit_is_answered_in_json_too(capsys):
    with pytest.raises(SystemExit):
        parse(["train", "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert set(answer["error"]) == {"what", "where", "todo"}
    assert "--data FILE" in answer["error"]["what"]


# What is answered


def test_wrong_request_has_code_2_and_its_three_parts(workspace, tmp_path):
    done = run_launch("inspect", tmp_path / "absent.csv", "--json", workspace=workspace.root)
    assert done.returncode == 2
    error = last_line(done)["error"]
    assert "absent.csv cannot be read" in error["what"]
    for part in ("what", "where", "todo"):
        assert error[part] in done.stderr
    assert "Traceback" not in done.stderr


OF_A_RUN = (
    ["resume", "no-such-run"],
    ["stop", "no-such-run"],
    ["predict", "no-such-run", "{data}", "out.csv"],
    ["evaluate", "no-such-run", "{data}"],
    ["decide", "no-such-run"],
    ["mistakes", "no-such-run"],
    ["correct", "no-such-run", "--to", "corrected.csv"],
    ["compare", "no-such-run", "neither"],
    ["share", "no-such-run"],
    ["export", "no-such-run", "--to", "away"],
    ["export", "no-such-run", "--to", "away", "--format", "model"],
    ["export", "no-such-run", "--to", "away", "--format", "space"],
    ["export", "no-such-run", "--hub", "somebody/something"],
)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["train", "{data}", "--json"], "does not hold settings"),
        (["train", "--preset", "nope", "--data", "{data}", "--text", "text", "--label", "label"], "no preset 'nope'"),
        (["train", "--data", "{data}", "--text", "words", "--label", "label"], "Column 'words' is not in"),
        (["train", "--data", "{data}", "--text", "text", "--label", "text"], "both the label and a text column"),
        (["train", "--data", "{data}", "--text", "text", "--label", "same"], "nothing to tell apart"),
        (["train", "--data", "{data}", "--text", "text", "--label", "label", "--set", "training.learning_rate=0"],
         "training.learning_rate"),
        (["train", "--data", "{data}", "--text", "text", "--label", "label", "--set", "training.speed=9"],
         "not a setting"),
        (["train", "--data", "{data}", "--text", "text", "--label", "label", "--class-names", "{data}"],
         "class names for 2 labels"),
        (["train", "--data", "{data}", "--chat", "--set", "mapping.chat.turns=text"], "mapping.chat"),
        (["plan", "--data", "{data}", "--text", "text", "--label", "label", "--fit", "--to", "{data}"],
         "is no .yaml file"),
        (["inspect", "{data}", "--lines-to", "{data}"], "nothing is written over it"),
        (["stop", "../../etc"], "There is no run"),
        (["export", "NOSUCH", "--to", "away", "--format", "model"], "There is no run 'NOSUCH'."),
        *((words, "There is no run 'no-such-run'.") for words in OF_A_RUN),
    ],
)  # fmt: skip
def test_requests_that_cannot_be_carried_out_queue_nothing(words, what, workspace, tmp_path, capsys):
    data = tmp_path / "data.csv"
    rows = [f"text number {number},{'ab'[number % 2]},x" for number in range(40)]
    data.write_text("\n".join(["text,label,same", *rows, "short"]) + "\n")
    before = data.read_bytes()
    code, _, told = launch_here(capsys, *[word.format(data=data) for word in words], workspace=workspace.root)
    assert code == 2, told
    assert what in told
    assert "what to do: " in told
    assert not list(workspace.runs.iterdir())
    assert data.read_bytes() == before


def test_inspect_says_what_is_in_a_file(workspace, tmp_path, capsys):
    file = tmp_path / "Größen.csv"
    file.write_bytes('title;topic\r\nCafé; art\r\n"Über; alles";law\r\n;law\r\n'.encode("cp1252"))
    answer = last_line(run_launch("inspect", file, "--json", workspace=workspace.root))
    assert (answer["rows"], answer["rejected"], answer["delimiter"], answer["header"]) == (3, 0, ";", True)
    assert [column["name"] for column in answer["columns"]] == ["title", "topic"]
    code, named, _ = launch_here(capsys, "inspect", file, workspace=workspace.root)
    assert code == 0
    assert "title" in named
    assert "3 rows" in named


def test_conversations_need_a_model_that_answers(workspace, tmp_path, capsys):
    talks = [
        [{"role": "user", "content": f"Question {n}?"}, {"role": "assistant", "content": "Yes."}] for n in range(9)
    ]
    (tmp_path / "talks.json").write_text(json.dumps([{"messages": talk} for talk in talks]))
    code, _, told = launch_here(capsys, "train", "--data", tmp_path / "talks.json", "--chat", workspace=workspace.root)
    assert code == 2, told
    assert "what to do: " in told and not list(workspace.runs.iterdir())


def test_names_that_a_file_has_for_its_numbers_hold_where_the_column_is_named(workspace, tmp_path, capsys):
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = {"label": {"names": ["LOC", "NUM"], "_type": "ClassLabel"}, "text": {"_type": "Value"}}
    table = pa.table({"text": [f"text number {n}" for n in range(60)], "label": [n % 2 for n in range(60)]})
    facts = {"huggingface": json.dumps({"info": {"features": names}})}
    pq.write_table(table.replace_schema_metadata(facts), tmp_path / "a.parquet")
    words = ["plan", "--data", tmp_path / "a.parquet", "--text", "text", "--label", "label"]
    code, _, told = launch_here(capsys, *words, workspace=workspace.root)
    assert code == 0, told
    assert "Class names come from the file itself: LOC, NUM" in told


def test_a_store_that_is_gone_is_not_taken_for_an_empty_one(workspace, capsys):
    (workspace.runs / "20261121-081530-3f9a41c2").mkdir(parents=True)
    assert "runs --check --repair" in launch_here(capsys, "runs", workspace=workspace.root)[1]


def test_settings_lists_every_setting_with_its_facts(workspace, capsys):
    answer = last_line(run_launch("settings", "--json", workspace=workspace.root))
    listed = {entry["key"]: entry for entry in answer["settings"]}
    assert set(listed) == {leaf.key for leaf in settings(RunSpec)}
    rate = listed["training.learning_rate"]
    assert (rate["default"], rate["minimum"], rate["maximum"], rate["type"]) == (1e-4, 0, 1, "number")
    assert listed["split.test"]["unit"] == "share"
    assert listed["model.method"]["type"] == "one of full, freeze, head, lora, qlora, head-on-llm"
    _, printed, _ = launch_here(capsys, "settings", workspace=workspace.root)
    assert all(f"{key}\n" in printed for key in listed)


def test_listings_of_an_empty_workspace(workspace, capsys):
    done = run_launch("runs", "--json", workspace=workspace.root)
    assert (done.returncode, last_line(done)) == (0, {"runs": []})
    assert "launch.py demo" in launch_here(capsys, "runs", workspace=workspace.root)[1]
    presets = json.loads(launch_here(capsys, "presets", "--json", workspace=workspace.root)[1])["presets"]
    assert presets[0]["name"] == "quickstart-minilm"


def test_unusable_workspace_is_a_wrong_request(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    code, _, told = launch_here(capsys, "runs", workspace=tmp_path / "file")
    assert code == 2
    assert "--workspace DIR" in told


def test_reader_that_leaves_early_gets_no_traceback(workspace):
    command = [sys.executable, PROJECT / "launch.py", "--no-venv", "settings", "--workspace", workspace.root]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    child.stdout.close()
    assert child.stderr is not None
    assert child.stderr.read() == ""
    child.stderr.close()
    child.wait()


# The page


@pytest.fixture
def served(monkeypatch, workspace):
    """What launch.py hands to ui.app.serve."""
    calls: list[tuple] = []
    page = types.ModuleType("ui.app")
    page.serve = lambda *words: calls.append(words)
    monkeypatch.setitem(sys.modules, "ui.app", page)
    monkeypatch.delenv("CI", raising=False)

    def start(*words: str) -> tuple:
        assert launch.open_page(parse([*words, "--workspace", str(workspace.root)])) == 0
        return calls[-1]

    return start


def test_page_is_for_this_computer_only_and_opens_the_browser(served, workspace, monkeypatch):
    assert served() == (workspace, "127.0.0.1", None, False, (), True, [])
    assert served("--no-browser", "--port", "8123")[2:6] == (8123, False, (), False)
    monkeypatch.setenv("CI", "1")
    assert served()[5] is False


@pytest.mark.parametrize("word", ["--listen", "--share"])
def test_page_for_others_makes_credentials_and_prints_them(word, served, capsys):
    passwords = set()
    for _ in range(2):
        (login,) = served(word)[4]
        password = capsys.readouterr().err.split(" / ")[1].strip()
        assert len(password) >= 20
        assert role_of([login], "owner", password) == "owner" and password not in repr(login)
        passwords.add(password)
    assert len(passwords) == 2


def test_given_credentials_are_used_and_not_printed(served, capsys):
    _, host, _, share, logins, *_ = served("--listen", "--auth", "ada:pass:word")
    assert (host, share) == ("0.0.0.0", False)
    assert role_of(logins, "ada", "pass:word") == "owner"
    assert role_of(logins, "ada", "pass") is None and role_of(logins, "bob", "pass:word") is None
    assert "pass:word" not in capsys.readouterr().err


def test_a_guest_is_let_in_only_if_asked_for_and_never_as_owner(served, capsys):
    logins = served("--guest")[4]
    owner, guest = (line.split(" / ")[1] for line in capsys.readouterr().err.split("\n")[:2])
    assert [login.role for login in logins] == ["owner", "guest"] and owner != guest
    assert role_of(logins, "guest", guest) == "guest" and role_of(logins, "guest", owner) is None
    assert role_of(served("--listen", "--guest", "eve:secret")[4], "eve", "secret") == "guest"


# Doctor

RTX = Gpu("NVIDIA GeForce RTX 3060", "580.65.06", 12288, 11000)
OLD_DRIVER = Gpu("NVIDIA GeForce RTX 3060", "551.23", 12288, 11000)
GTX = Gpu("NVIDIA GeForce GTX 1060", "580.65.06", 6144, 6000)
CUDA_BUILD = TorchFacts("2.14.1+cu130", "13.0", None, False, True, ("sm_75", "sm_80", "sm_90a"), (8, 6), "")


def torch_facts(**changed) -> TorchFacts:
    return TorchFacts(**{**CUDA_BUILD.__dict__, **changed})


NO_CUDA = torch_facts(version="2.14.1+cpu", cuda=None, available=False, architectures=(), capability=None)
BLIND = torch_facts(available=False, architectures=(), capability=None, error="no device")


@pytest.mark.parametrize(
    ("facts", "gpus", "state", "what", "todo"),
    [
        (CUDA_BUILD, [RTX], "ok", "sees the NVIDIA GeForce RTX 3060", ""),
        (NO_CUDA, [], "ok", "computes on the processor", ""),
        (torch_facts(cuda=None, available=False, mps=True), [], "ok", "GPU of this Mac", ""),
        (NO_CUDA, [RTX], "problem", "built without CUDA", "whl/cu130"),
        (NO_CUDA, [OLD_DRIVER], "problem", "built without CUDA", "whl/cu126"),
        (BLIND, [OLD_DRIVER], "problem", "needs driver 580 or newer; this one is 551.23", "Update the NVIDIA driver"),
        (BLIND, [RTX], "problem", "no device", "--gpus all"),
        (torch_facts(capability=(6, 1)), [GTX], "problem", "as old as the NVIDIA GeForce GTX 1060", "whl/cu126"),
    ],
)
def test_doctor_says_why_torch_sees_no_gpu(facts, gpus, state, what, todo):
    finding = explain_torch(facts, gpus, Path("python"))
    assert finding.state == state
    assert what in finding.what
    assert todo in finding.todo


def test_command_for_another_build_keeps_our_range_of_versions():
    command = build_command(Path("/a b/python"), "cu126")
    assert command.startswith('"/a b/python" -m pip install --force-reinstall "torch>=')
    assert command.endswith(" torchvision --index-url https://download.pytorch.org/whl/cu126")


def test_gpus_are_read_from_the_drivers_own_tool():
    table = "NVIDIA H100, 80GB, 580.65.06, 81559, 81000\nNVIDIA GB10, 580.95.05, [N/A], [N/A]\n"
    assert read_gpus(table) == [
        Gpu("NVIDIA H100, 80GB", "580.65.06", 81559, 81000),
        Gpu("NVIDIA GB10", "580.95.05", 0, 0),
    ]


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for nvidia-smi is a shell script")
def test_driver_that_does_not_answer_is_told_in_its_own_words(tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'Failed to initialize NVML: Driver/library version mismatch'\nexit 18\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    gpus, finding = doctor.find_gpus()
    assert gpus == []
    assert finding.state == "problem"
    assert "Driver/library version mismatch" in finding.what
    assert "Restart" in finding.todo


def test_doctor_in_json_covers_everything(workspace):
    done = run_launch(
        "doctor", "--json", workspace=workspace.root, HF_ENDPOINT="http://127.0.0.1:9", HF_HUB_OFFLINE="0"
    )
    answer = last_line(done)
    findings = {finding["name"]: finding for finding in answer["findings"]}
    assert set(findings) == {"Python", "Packages", "GPU", "torch", "Workspace", "Disk", "Model hub"}
    assert findings["Packages"]["state"] == "ok"
    assert findings["Workspace"]["what"] == f"{workspace.root} can be written"
    assert findings["Model hub"]["state"] == "note"
    assert "http://127.0.0.1:9 does not answer" in findings["Model hub"]["what"]
    assert answer["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert answer["versions"]["gradio"]
    assert isinstance(answer["gpus"], list)


def test_doctor_reports_problems_with_what_to_do():
    finding = {"name": "Disk", "state": "problem", "what": "1.0 GB free", "todo": "Free some space."}
    text = doctor.report({"findings": [finding], "versions": {"python": "3.12.1", "torch": None}})
    assert text == "PROBLEM  Disk: 1.0 GB free\n         -> Free some space.\n\nVersions: python 3.12.1"
