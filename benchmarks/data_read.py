"""A CSV file of 1 GB: what the data page shows of it, beside pandas.read_csv. Seconds and peak memory, from one run.

    python -m benchmarks.data_read [--gigabytes 1] [--rounds 3] [--keep FILE]

The file is written first: id, text (two of three quoted, with commas), label, score; no row twice. It is waited for
until it is on the disk, or whoever comes first would write beside that. Then the sides take turns, each time in a
process of its own, with the file read once before, so that all find it in the system's cache. Seconds are without
imports, processor seconds those of all its threads, both the median of the rounds; peak memory is the process's largest
resident size, imports included. Ours is what `launch.py inspect FILE` does on a big file (columns, types, dialect, a
guess of text and label, from its start) and the first 100 rows; reading all of it, as training does and the page in the
background, is measured beside it.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import heading

PROJECT = Path(__file__).resolve().parents[1]
SENTENCE = (
    "the order came late and nobody answered when we asked where it was so in the end we drove to the shop and took "
    "another one home which works well though its colour is not what the picture shows and the handle feels cheap"
)
WORDS = SENTENCE.split()
LABELS = ("delivery", "quality", "price", "service", "other")

PREPARE = """
import json, resource, sys, time
path, folder = sys.argv[1:]
"""
REPORT = """
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds": time.perf_counter() - start, "processor": time.process_time() - used,
                  "peak": peak, "rows": rows}))
"""
SIDES = {
    "Tunedesk, inspect and preview": """
from core.data.mapping import suggest_mapping
from core.data.table import first_look, preview
from core.schema import TableFile
from core.workspace import open_workspace
workspace = open_workspace(folder)
start, used = time.perf_counter(), time.process_time()
table = first_look(TableFile(path=path), workspace)
suggest_mapping(table)
assert len(preview(table)) == 100
rows = table.rows_in_all
""",
    "pandas.read_csv and head(100)": """
import pandas
start, used = time.perf_counter(), time.process_time()
frame = pandas.read_csv(path)
assert len(frame.head(100)) == 100
rows = len(frame)
""",
    "Tunedesk, reading all of it": """
from core.data.table import open_table, preview
from core.schema import TableFile
from core.workspace import open_workspace
workspace = open_workspace(folder)
start, used = time.perf_counter(), time.process_time()
table = open_table(TableFile(path=path), workspace)
assert len(preview(table)) == 100
rows = table.rows
""",
}


def write_file(path: Path, size: int) -> int:
    """Rows of a file of at least `size` bytes."""
    draw = random.Random(1)
    pieces = [" ".join(draw.choices(WORDS, k=draw.randint(4, 25))) for _ in range(5000)]
    rows = written = 0
    with path.open("w", encoding="utf-8", newline="") as out:
        written += out.write("id,text,label,score\n")
        while written < size:
            lines = []
            for _ in range(10_000):
                first, second = draw.choice(pieces), draw.choice(pieces)
                text = f'"{first}, {second}"' if rows % 3 else f"{first} {second}"
                lines.append(f"{rows},{text},{LABELS[rows % 5]},{draw.random():.4f}\n")
                rows += 1
            written += out.write("".join(lines))
    return rows


def measure(code: str, path: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="data_read-") as folder:
        command = [sys.executable, "-c", PREPARE + code + REPORT, str(path), folder]
        done = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="where to write the file, and leave it (default: a temporary one)")
    request = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="data_read-") as folder:
        path = request.keep or Path(folder) / "big.csv"
        rows = write_file(path, int(request.gigabytes * 1e9))
        print(heading("duckdb", "pyarrow", "pandas"))
        print(f"{path.stat().st_size / 1e9:.2f} GB, {rows:,} rows, 4 columns\n", flush=True)
        os.sync()
        with path.open("rb") as file:
            while file.read(2**24):
                pass
        rounds = [{name: measure(code, path) for name, code in SIDES.items()} for _ in range(request.rounds)]
        print(f"{'':<32}{'seconds':>9}  {'from':>6}{'to':>7}{'processor':>11}{'peak MB':>9}{'rows':>13}")
        found = {}
        for name in SIDES:
            measured = [one[name] for one in rounds]
            found[name] = {key: statistics.median(one[key] for one in measured) for key in measured[0]}
            least, most = (pick(one["seconds"] for one in measured) for pick in (min, max))
            print(
                "{:<32}{seconds:>9.2f}  {:>6.2f}{:>7.2f}{processor:>11.2f}{peak:>9.0f}{rows:>13,.0f}".format(
                    name, least, most, **found[name]
                )
            )
        ours, pandas, _ = found.values()
        print(
            f"\nInspect and preview: {pandas['seconds'] / ours['seconds']:.1f} times as fast as pandas ("
            f"{pandas['processor'] / ours['processor']:.1f} in processor seconds), with "
            f"{100 * ours['peak'] / pandas['peak']:.0f} % of its memory."
        )


if __name__ == "__main__":
    started = time.perf_counter()
    main()
    print(f"{time.perf_counter() - started:.0f} s in all")
