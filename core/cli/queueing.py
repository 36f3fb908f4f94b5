"""The commands on the queue: which runs wait, in which order, and for what."""

import argparse

from core.cli.answer import Answer
from core.runs.queue import as_json, how_far, move, waiting
from core.runs.store import ACTIVE, open_store
from core.workspace import Workspace


def queue(request: argparse.Namespace, workspace: Workspace) -> Answer:
    """List the queue; with `move RUN N` put a run at a place first."""
    store = open_store(workspace)
    if request.act == "move":
        move(store, request.run, request.place)
    active, found = store.runs(limit=100, states=ACTIVE), waiting(store)
    content = {
        "running": [{"run": run.id, "name": run.name, "status": run.state} for run in active],
        "queue": as_json(found),
    }
    lines = [f"{'':>4}  {run.id:<26}{run.name}: {', '.join([run.state, *how_far(run)])}" for run in active]
    lines += [f"{one.before + 1:>3}.  {one.run.id:<26}{one.run.name}: {one.words}" for one in found]
    if not found:
        lines.append("No run waits. `python launch.py train ...` starts one, or puts it behind the one that runs.")
    return Answer("\n".join(lines), content)
