"""Seconds until the report of a run with 100,000 test rows and 150 classes can be read, and until its mistakes can.

    python benchmarks/report_rows.py [ROWS [CLASSES [ROUNDS]]]    in an environment with requirements-dev.txt

The run is made directly, with predictions drawn at random: nothing is trained. The page is served by a process of its
own and opened in Chromium (that on the PATH, or TUNEDESK_CHROMIUM), each time in a window of its own without cache.
`bare page` is the New run page in the same browser: what any page of the program takes before a report is read. A
turned page is counted from the press until other rows stand there. The first round, in which Python and the browser
load what they need, is told by itself. Processor time (server and browser together) is printed beside wall time,
because the machine may have other work.
"""

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from playwright.sync_api import Browser, Page, sync_playwright

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from benchmarks.machine import heading  # noqa: E402  the project is found only now
from core.data.examples import EXAMPLES, DataFacts, label_array, read_examples, write_data_facts  # noqa: E402
from core.evaluation.predictions import Baseline, Predictions, same_for_all  # noqa: E402
from core.evaluation.report import write_report  # noqa: E402
from core.runs.store import open_store  # noqa: E402
from core.spec_files import parse_spec, spec_yaml  # noqa: E402
from core.workspace import RunFolder, Workspace, open_workspace  # noqa: E402

RUN = "rows"
TRAIN_ROWS, VALIDATION_ROWS = 6000, 3000
STEPS = 400
SERVE = (
    "import sys; from core.workspace import open_workspace; from ui.app import serve; "
    "serve(open_workspace(sys.argv[1]), port=int(sys.argv[2]), open_browser=False)"
)


def make_run(workspace: Workspace, rows: int, classes: int) -> RunFolder:
    """A finished run whose model is right on about four rows in five and mixes up neighbouring classes."""
    labels = [f"intent {number:03d}" for number in range(classes)]
    spec = parse_spec(
        {
            "name": f"{rows:,} rows, {classes} classes",
            "data": {"train": {"path": "questions.csv"}},
            "mapping": {"text": ["text"], "label": "label"},
        },
        "benchmark",
    )
    folder = workspace.run(RUN)
    facts = _split(folder, labels, {"train": TRAIN_ROWS, "validation": VALIDATION_ROWS, "test": rows})
    folder.spec.write_text(spec_yaml(spec), encoding="utf-8")
    test, validation = (_predictions(folder, part, facts) for part in ("test", "validation"))
    commonest = np.full(classes, 0.5 / (classes - 1), np.float32)
    commonest[0] = 0.5
    baseline = Baseline(
        "majority", "Guessing the commonest class", 0.1, facts.parts["train"], "",
        same_for_all(commonest, len(validation.true), len(test.true)),
    )  # fmt: skip
    history = [{"name": "train/loss", "step": step, "value": 5 / step, "time": 0.0} for step in range(1, STEPS + 1)]
    report = write_report(
        folder, spec, facts, test=test, validation=validation, baselines=[baseline],
        training={
            "steps": STEPS, "epochs": 3.0, "seconds": 60.0, "history": history,
            "best": {"name": "macro_f1", "value": 0.8, "step": STEPS},
            "machine": {"processor": "", "cores": os.cpu_count(), "memory_bytes": 0, "gpu": None, "versions": {}},
        },
    )  # fmt: skip
    folder.model.mkdir()
    model = {
        "schema_version": 1, "run": RUN, "name": spec.name, "preset": spec.preset, "base": spec.model.source,
        "base_revision": None, "method": spec.model.method, "labels": labels, "text_columns": ["text"],
        "max_length": spec.model.max_length, "joiner": spec.mapping.joiner, "backslash_is_space": False,
        "text_template": spec.mapping.text_template, "class_names": {},
    }  # fmt: skip
    (folder.model / "tunedesk.json").write_text(json.dumps(model), encoding="utf-8")
    store = open_store(workspace)
    store.add_run(RUN, spec.name, spec.preset, spec.model.source, "train.csv")
    store.claim_next()
    for point in history:
        store.add_metrics(RUN, point["step"], {point["name"]: point["value"]})
    store.move(RUN, ["running"], "finished", summary={"test": {"accuracy": report["test"]["accuracy"]}})
    return folder


def _split(folder: RunFolder, labels: list[str], parts: dict[str, int]) -> DataFacts:
    """examples.parquet and data.json as dividing a file leaves them, without reading one."""
    rng = np.random.default_rng(0)
    vocabulary = [f"word{number}" for number in range(5000)]
    total = sum(parts.values())
    classes = rng.permutation(np.resize(np.arange(len(labels)), total))
    texts = [" ".join(vocabulary[word] for word in rng.integers(0, 5000, 8 + row % 40)) for row in range(total)]
    folder.root.mkdir(parents=True)
    table = {
        "row_id": np.arange(total),
        "file": ["train"] * total,
        "row": np.arange(total),
        "part": [part for part, count in parts.items() for _ in range(count)],
        "text": texts,
        "label": [labels[number] for number in classes],
    }
    pq.write_table(pa.table(table, schema=EXAMPLES), folder.examples)
    facts = DataFacts(
        labels=labels,
        files={"train": {"name": "questions.csv", "rows": total, "rejected": 0, "sha256": "0" * 64}},
        parts=parts,
        class_counts={},
        left_out={},
        lengths={"p50": 160.0, "p90": 300.0, "p99": 350.0, "max": 370.0, "mean": 170.0},
        findings=[],
    )
    write_data_facts(folder, facts)
    folder.split.touch()
    return facts


def _predictions(folder: RunFolder, part: str, facts: DataFacts) -> Predictions:
    examples = read_examples(folder, part)
    true: npt.NDArray[np.int64] = label_array(examples["label"], facts)
    rng = np.random.default_rng(len(true))
    logits = rng.normal(size=(len(true), len(facts.labels))).astype(np.float32)
    rows = np.arange(len(true))
    logits[rows, true] += 5.0
    logits[rows, (true + rng.integers(1, 4, len(true))) % len(facts.labels)] += 3.7
    powers = np.exp(logits)
    return Predictions(examples["row_id"].to_numpy(), true, powers / powers.sum(axis=1, keepdims=True))


@contextmanager
def served(workspace: Workspace) -> Iterator[tuple[str, psutil.Process]]:
    """The address of the page, and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(workspace.root), str(port)],
        cwd=PROJECT, env={**os.environ, "HF_HUB_OFFLINE": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        while True:
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                if process.poll() is not None:
                    raise SystemExit("the page did not start") from None
                time.sleep(0.1)
        yield url, psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait()


@dataclass(frozen=True)
class Taken:
    wall: float
    processor: float
    """Of the page's process, the browser, and what drives it, together: about the wall time on an idle machine."""


class Clock:
    def __init__(self, served: psutil.Process) -> None:
        self.served = served

    def now(self) -> Taken:
        every = [self.served, *psutil.Process().children(recursive=True)]
        times = [process.cpu_times() for process in {one.pid: one for one in every}.values()]
        return Taken(time.perf_counter(), sum(one.user + one.system for one in times))

    def since(self, began: Taken) -> Taken:
        ended = self.now()
        return Taken(ended.wall - began.wall, ended.processor - began.processor)


def timed_round(browser: Browser, url: str, clock: Clock) -> dict[str, Taken]:
    """What each thing that a person does takes, in a window of its own."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(120_000)
    taken = {}
    began = clock.now()
    page.goto(url)
    page.locator("#samples button").first.wait_for()
    taken["bare page"] = clock.since(began)
    page.goto("about:blank")
    began = clock.now()
    page.goto(f"{url}/?run={RUN}&tab=report")
    page.locator("#run-report .td-verdict h2").wait_for()
    page.locator("#run-classes tbody tr").last.wait_for(state="attached")
    taken["Report, from its address"] = clock.since(began)
    began = clock.now()
    page.get_by_role("tab", name="Mistakes").click()
    page.locator("#run-mistakes summary").first.wait_for()
    taken["Mistakes, first page"] = clock.since(began)
    taken["Mistakes, next page"] = _next_page(page, clock)
    context.close()
    return taken


def _next_page(page: Page, clock: Clock) -> Taken:
    """Until the first row is another."""
    before = page.locator("#run-mistakes summary .td-text").first.inner_text()
    began = clock.now()
    page.locator("#mistakes-next").click()
    page.wait_for_function(
        "before => document.querySelector('#run-mistakes summary .td-text')?.innerText !== before", arg=before
    )
    return clock.since(began)


def main(rows: int, classes: int, rounds: int) -> None:
    chromium = os.environ.get("TUNEDESK_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    print(heading("gradio", "duckdb", "playwright") + f"; load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as place:
        workspace = open_workspace(Path(place))
        began = time.perf_counter(), time.process_time()
        folder = make_run(workspace, rows, classes)
        sizes = {name: (folder.report / name).stat().st_size for name in ("report.json", "predictions.parquet")}
        print(
            f"{rows:,} test rows, {classes} classes, made in {time.perf_counter() - began[0]:.0f} s "
            f"({time.process_time() - began[1]:.0f} s of processor time): "
            + ", ".join(f"{name} {size / 2**20:.1f} MiB" for name, size in sizes.items())
        )
        mistakes = json.loads((folder.report / "report.json").read_text(encoding="utf-8"))["test"]
        print(f"right on {mistakes['accuracy'] * 100:.1f} %, so {round(rows * (1 - mistakes['accuracy'])):,} mistakes")
        taken: dict[str, list[Taken]] = {}
        with served(workspace) as (url, process), sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
            before = process.memory_info().rss
            for _ in range(rounds + 1):
                for name, one in timed_round(browser, url, Clock(process)).items():
                    taken.setdefault(name, []).append(one)
            grown = process.memory_info().rss - before
            browser.close()
        print(f"{'':26}{'first':>8}{'median':>8}{'from':>8}{'to':>8}{'processor, median':>20}")
        for name, (first, *later) in taken.items():
            walls = [one.wall for one in later]
            figures = "".join(
                f"{value:7.2f}s" for value in (first.wall, statistics.median(walls), min(walls), max(walls))
            )
            print(f"{name:26}{figures}{statistics.median(one.processor for one in later):19.2f}s")
        print(f"load now {os.getloadavg()[0]:.1f}")
        print(f"The page's process grew by {grown / 2**20:.0f} MiB.")


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    main(*(given + [100_000, 150, 5][len(given) :]))
