"""Seconds from starting the process to the first answered page: Tunedesk beside a bare Gradio page, in turn.

python benchmarks/page_ready.py [ROUNDS]    in the environment that `python launch.py` made
"""

import datetime
import importlib.metadata
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
BARE = (
    "import sys, gradio\n"
    "with gradio.Blocks() as page: gradio.Textbox()\n"
    "page.launch(server_port=int(sys.argv[1]), quiet=True, ssr_mode=False)"
)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def seconds_to_page(command: list[str], port: int) -> float:
    began = time.perf_counter()
    environment = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False"}
    process = subprocess.Popen(
        command, cwd=PROJECT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
                return time.perf_counter() - began
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                if process.poll() is not None:
                    raise SystemExit(f"{' '.join(command)} ended with code {process.returncode}") from None
                time.sleep(0.02)
    finally:
        process.kill()
        process.wait()


def main(rounds: int) -> None:
    load = os.getloadavg()[0] if sys.platform != "win32" else float("nan")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("gradio", "duckdb", "pydantic"))
    print(
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}  {os.cpu_count()} cores, {platform.system()}, load {load:.1f}"
    )
    print(f"Python {platform.python_version()}, {versions}")
    taken: dict[str, list[float]] = {"bare Gradio": [], "Tunedesk": []}
    with tempfile.TemporaryDirectory() as workspace:
        for _ in range(rounds + 1):
            port = free_port()
            taken["bare Gradio"].append(seconds_to_page([sys.executable, "-c", BARE, str(port)], port))
            port = free_port()
            words = ["ui", "--no-venv", "--no-browser", "--port", str(port), "--workspace", workspace]
            taken["Tunedesk"].append(seconds_to_page([sys.executable, "launch.py", *words], port))
    for name, seconds in taken.items():
        counted = seconds[1:]  # the first warms the disk's cache
        print(f"{name:12} median {statistics.median(counted):.2f} s  (from {min(counted):.2f} to {max(counted):.2f})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
