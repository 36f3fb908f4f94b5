"""Guests who predict and look while a run trains: errors, what training loses, how long a page waits.

    python benchmarks/load.py [--guests 50] [--seconds 7] [--pairs 5]    in the environment that launch.py made

A server of its own is started over a workspace in a temporary folder, bound to loopback. A small run is trained and
shared; then a long one trains on one core, in short periods by turns without guests and with them. Each guest asks for
a label every 10 s (each time a new text) and has its page look every 5 s, through the functions and event streams that
the page uses. What training loses is taken from each period and its neighbour, so that a computer that gets slower or
faster meanwhile changes little, and comes with its 95 % interval.

The guests run on this computer, too, which those of a real page do not. So it is measured twice: with all but the
training on the other cores, and with the server and its model on the training's own core, where only the guests are
apart. What each kind of process took of the processor is printed beside it. It ends within five minutes.
"""

import argparse
import asyncio
import csv
import json
import math
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from scipy import stats

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from benchmarks.machine import heading  # noqa: E402
from core.runs.store import ENDED, Store, open_store  # noqa: E402
from core.runs.supervisor import stop, submit  # noqa: E402
from core.spec_files import parse_spec  # noqa: E402
from core.workspace import Workspace, open_workspace  # noqa: E402

OWNER, GUEST = ("owner", "benchmark-owner"), ("guest", "benchmark-guest")
PREDICT_SECONDS, LOOK_SECONDS = 10.0, 5.0
SETTLING_SECONDS = 1.5
"""After guests come or go, before it is measured."""
BATCH = 16
LONGEST_SECONDS = 270
"""No pair of periods begins after that."""
ENOUGH = 4
"""Looks at training that found it further on; where it is slow, a period lasts longer for that."""
STARTING_SECONDS = 60
CORES = sorted(os.sched_getaffinity(0))
"""Linux alone lets a process say on which cores it runs."""
APART, TOGETHER = "training has a core of its own", "server and model on the training's core"
ASKED = ("Who wrote", "Where is", "How many people saw")


@dataclass
class Waits:
    """Seconds that each request of the guests took, and what went wrong."""

    looks: list[float] = field(default_factory=list)
    predictions: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@dataclass
class Presence:
    """Whether the guests are there, and what they met."""

    now: asyncio.Event = field(default_factory=asyncio.Event)
    over: bool = False
    opened: int = 0
    waits: Waits = field(default_factory=Waits)


@dataclass(frozen=True)
class Period:
    rows: float
    """Trained a second."""
    cores: dict[str, float]
    """Processor seconds a second, by kind of process."""


@dataclass(frozen=True)
class Processes:
    server: int
    worker: int

    def kinds(self) -> dict[str, list[int]]:
        """Process ids by what they do."""
        children = psutil.Process(self.server).children()
        living = [child for child in children if child.status() != psutil.STATUS_ZOMBIE]
        models = [child.pid for child in living if "core.predict" in child.cmdline()]
        return {"training": [self.worker], "server": [self.server], "model": models, "guests": [os.getpid()]}

    def seconds(self) -> dict[str, float]:
        """Of the processor, so far."""
        return {
            kind: sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids) for kind, pids in self.kinds().items()
        }

    def place(self, layout: str) -> None:
        """Keep each kind of process on the cores that the layout gives it, all of its threads."""
        *others, last = CORES
        for kind, pids in self.kinds().items():
            own = kind == "training" or (layout == TOGETHER and kind != "guests")
            for pid in pids:
                for thread in Path(f"/proc/{pid}/task").iterdir():
                    os.sched_setaffinity(int(thread.name), {last} if own else set(others))


def start_server(workspace: Workspace) -> tuple[subprocess.Popen[bytes], str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["--auth", ":".join(OWNER), "--guest", ":".join(GUEST), "--workspace", str(workspace.root)]
    words += ["--no-venv", "--no-browser", "--listen", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(
        [sys.executable, "launch.py", *words],
        cwd=PROJECT, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while True:
        try:
            httpx.get(f"http://127.0.0.1:{port}/login", timeout=5)
            return process, f"http://127.0.0.1:{port}"
        except httpx.TransportError:
            if process.poll() is not None:
                raise SystemExit(f"the server ended with code {process.returncode}") from None
            time.sleep(0.2)


def run_of(data: Path, max_steps: int) -> Any:
    return parse_spec(
        {
            "name": f"{max_steps} steps",
            "data": {"train": {"path": str(data)}},
            "mapping": {"text": ["text"], "label": "label"},
            "model": {"source": "packaged:all-MiniLM-L6-v2", "max_length": 48, "method": "full"},
            # No evaluation in between: training alone is measured.
            "training": {"max_steps": max_steps, "batch_size": BATCH, "evaluate_every_steps": max_steps},
            "evaluation": {"baselines": False},
        },
        "the benchmark",
    )


def write_data(path: Path) -> Path:
    words, chance = ["river", "treaty", "railway", "volcano", "library", "bridge", "museum", "island"], random.Random(0)
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label"])
        for number in range(1500):
            rest = " ".join(chance.choices(words, k=12))
            rows.writerow([f"{ASKED[number % 3]} {rest} {number}?", "abc"[number % 3]])
    return path


def functions(url: str) -> tuple[int, int, list[Any]]:
    """Numbers of the shared page's functions that look and predict, and what the second is usually sent."""
    with httpx.Client(base_url=url, timeout=60) as client:
        client.post("/login", data={"name": OWNER[0], "password": OWNER[1]})
        config = client.get("/config").json()
    values = {component["id"]: component["props"].get("value") for component in config["components"]}
    ours = [one for one in config["dependencies"] if one["id"] in config["page"]["shared"]["dependencies"]]
    look = next(one for one in ours if one["targets"][0][1] == "tick" and len(one["inputs"]) == 1)
    predict = next(one for one in ours if len(one["inputs"]) > 10 and one["targets"][0][1] == "click")
    return look["id"], predict["id"], [values[number] for number in predict["inputs"]]


async def event(client: httpx.AsyncClient, number: int, data: list[Any], run_id: str, tab: str) -> float:
    """Seconds from asking to the last answer. Raises ValueError for an answer that is an error."""
    began = time.perf_counter()
    body = {"data": data, "fn_index": number, "session_hash": tab, "trigger_id": None}
    joined = await client.post(f"/gradio_api/queue/join?run={run_id}", json=body)
    if joined.status_code != 200:
        raise ValueError(f"{joined.status_code} {joined.text}")
    async with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": tab}) as stream:
        async for line in stream.aiter_lines():
            message = json.loads(line[6:]) if line.startswith("data: ") else {}
            if message.get("msg") == "process_completed":
                if not message["success"]:
                    raise ValueError(str(message["output"]))
                return time.perf_counter() - began
    raise ValueError("the stream ended without an answer")


async def guest(url: str, number: int, run_id: str, known: tuple[int, int, list[Any]], there: Presence) -> None:
    """One guest, who opens the page and then looks and asks whenever the guests are there."""
    look, predict, usual = known
    headers = {"x-forwarded-for": f"10.0.0.{number + 1}"}  # every guest at an address of its own
    chance = random.Random(number)
    # The server closes what has been idle for five seconds; a browser would ask again by itself.
    kept = httpx.Limits(keepalive_expiry=2)
    async with httpx.AsyncClient(base_url=url, timeout=60, headers=headers, limits=kept) as client:
        answer = await client.post("/login", data={"name": GUEST[0], "password": GUEST[1]})
        if answer.status_code != 303:
            there.waits.errors.append(f"login: {answer.status_code}")
            return

        async def every(pause: float, ask: Any, waits: Callable[[], list[float]]) -> None:
            while not there.over:
                if not there.now.is_set():
                    await there.now.wait()
                    await asyncio.sleep(chance.uniform(0, pause))
                    continue
                try:
                    took = await ask()
                    waits().append(took)
                except (ValueError, httpx.HTTPError) as error:
                    there.waits.errors.append(repr(error)[:200])
                await asyncio.sleep(pause)

        async def ask_look() -> float:
            return await event(client, look, [None], run_id, f"look{number}")

        async def ask_predict() -> float:
            text = f"{chance.choice(ASKED)} {chance.random()} {number}?"
            return await event(client, predict, [*usual[:2], text, *usual[3:]], run_id, f"ask{number}")

        # Opening a page is not yet an update of it, nor the first question of one: the server makes room for either.
        await ask_look()
        await ask_predict()
        there.opened += 1
        await asyncio.gather(
            every(LOOK_SECONDS, ask_look, lambda: there.waits.looks),
            every(PREDICT_SECONDS, ask_predict, lambda: there.waits.predictions),
        )


async def period(store: Store, run_id: str, processes: Processes, seconds: float) -> Period:
    """Training between the first and the last step that the store tells of, and what each process took meanwhile."""
    seen: list[tuple[float, int]] = []
    await asyncio.sleep(SETTLING_SECONDS)
    began, before = time.monotonic(), processes.seconds()
    while time.monotonic() - began < seconds or (len(seen) < ENOUGH and time.monotonic() - began < 6 * seconds):
        progress = store.run(run_id).progress
        if progress is not None and (not seen or progress.step != seen[-1][1]):
            seen.append((time.monotonic(), progress.step))
        await asyncio.sleep(0.05)
    took, over = time.monotonic() - began, processes.seconds()
    if len(seen) < ENOUGH:
        raise SystemExit("Training went on too slowly to be measured; give more --seconds.")
    (first_time, first), (last_time, last) = seen[1], seen[-1]
    rows = (last - first) * BATCH / (last_time - first_time)
    return Period(rows, {name: (over[name] - before[name]) / took for name in over})


async def measure(
    url: str, store: Store, shared: str, training: str, known: Any, processes: Processes, options: argparse.Namespace
) -> None:
    began, there = time.monotonic(), Presence()
    everybody = [asyncio.ensure_future(guest(url, one, shared, known, there)) for one in range(options.guests)]
    while there.opened + len(there.waits.errors) < options.guests:
        await asyncio.sleep(0.1)
    for layout in (APART, TOGETHER):
        there.waits = Waits()
        processes.place(layout)
        alone, beside = list[Period](), list[Period]()
        for pair in range(options.pairs):
            if time.monotonic() - began > LONGEST_SECONDS - STARTING_SECONDS and pair > 1:
                break
            # By turns, so that a computer that slows down is no reason.
            for guests in (False, True) if pair % 2 == 0 else (True, False):
                (there.now.set if guests else there.now.clear)()
                found = await period(store, training, processes, options.seconds)
                (beside if guests else alone).append(found)
        there.now.clear()
        tell(layout, alone, beside, there.waits)
    there.over = True
    for one in everybody:
        one.cancel()


def tell(layout: str, alone: list[Period], beside: list[Period], waits: Waits) -> None:
    print(f"\n{layout}")
    for words, periods in (("training alone", alone), ("training with guests", beside)):
        shown = " / ".join(f"{one.rows:.1f}" for one in periods)
        cores = ", ".join(
            f"{name} {statistics.mean(one.cores[name] for one in periods):.2f}" for name in periods[0].cores
        )
        print(f"{words:<22}{statistics.mean(one.rows for one in periods):8.1f} rows/s   (periods {shown})")
        print(f"{'':<22}cores taken: {cores}")
    lost, least, most = loss([one.rows for one in alone], [one.rows for one in beside])
    print(f"{'training loses':<22}{lost:8.1f} %   (95 % sure: {least:.1f} to {most:.1f})")
    print(f"{'page update':<22}{p95(waits.looks)}")
    print(f"{'prediction':<22}{p95(waits.predictions)}")
    asked = len(waits.looks) + len(waits.predictions) + len(waits.errors)
    print(f"{'errors':<22}{len(waits.errors)} of {asked}")
    for error in sorted(set(waits.errors))[:5]:
        print(f"  {error}")
    sys.stdout.flush()


def loss(alone: list[float], beside: list[float]) -> tuple[float, float, float]:
    """What is lost, percent, with a 95 % interval from the logarithms of each pair's ratio (Student's t)."""
    ratios = [math.log(two / one) for one, two in zip(alone, beside, strict=True)]
    middle, spread = statistics.mean(ratios), statistics.stdev(ratios) / math.sqrt(len(ratios))
    reach = float(stats.t.ppf(0.975, len(ratios) - 1)) * spread
    low, mid, high = (100 * (1 - math.exp(value)) for value in (middle + reach, middle, middle - reach))
    return mid, low, high


def wait_for(store: Store, run_id: str, *, step: int | None = None) -> None:
    """Until the run has ended, or has made so many steps."""
    while True:
        run = store.run(run_id)
        if run.state == "failed" or (step is None and run.state in ENDED):
            break
        progress = run.progress
        if step is not None and progress is not None and progress.phase == "training" and progress.step >= step:
            break
        time.sleep(0.3)
    if run.state in ("failed", "interrupted"):
        raise SystemExit(f"{run.name}: {run.reason}")


def p95(waits: list[float]) -> str:
    if len(waits) < 2:
        return "none"
    return f"{statistics.median(waits):.2f} s median, {statistics.quantiles(waits, n=20)[-1]:.2f} s p95 of {len(waits)}"


def main(options: argparse.Namespace) -> None:
    print(heading("gradio", "torch", "transformers"))
    print(f"load average before: {os.getloadavg()[0]:.1f}")
    print(f"{options.guests} guests; each predicts every {PREDICT_SECONDS:g} s and looks every {LOOK_SECONDS:g} s")
    with tempfile.TemporaryDirectory() as folder:
        workspace = open_workspace(Path(folder) / "workspace")
        data = write_data(Path(folder) / "data.csv")
        server, url = start_server(workspace)
        try:
            _measure_all(workspace, url, data, server.pid, options)
        finally:
            for child in (*psutil.Process(server.pid).children(recursive=True), psutil.Process(server.pid)):
                child.kill()
            server.wait()


def _measure_all(workspace: Workspace, url: str, data: Path, server: int, options: argparse.Namespace) -> None:
    store = open_store(workspace)
    shared = submit(workspace, run_of(data, 4))
    wait_for(store, shared)
    store.share_run(shared, True)
    known = functions(url)
    training = submit(workspace, run_of(data, 20_000))
    wait_for(store, training, step=10)
    worker = store.run(training).pid
    assert worker is not None
    asyncio.run(load_model(url, shared, known))
    asyncio.run(measure(url, store, shared, training, known, Processes(server, worker), options))
    stop(workspace, training)
    wait_for(store, training)


async def load_model(url: str, shared: str, known: tuple[int, int, list[Any]]) -> None:
    """One question, for which the model is loaded; it stays in memory for the guests."""
    _, predict, usual = known
    async with httpx.AsyncClient(base_url=url, timeout=180) as client:
        await client.post("/login", data={"name": GUEST[0], "password": GUEST[1]})
        await event(client, predict, [*usual[:2], "Who wrote it?", *usual[3:]], shared, "first")


if __name__ == "__main__":
    # Where it is ended, its server is as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--guests", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=7.0, help="of each period")
    parser.add_argument("--pairs", type=int, default=5, help="of periods, without guests and with them; two at least")
    main(parser.parse_args())
