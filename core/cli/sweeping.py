"""The commands on sweeps: several settings tried as one group of runs, compared by validation figures."""

import argparse
import contextlib
import signal
import time
from pathlib import Path
from typing import Any

from core.cli.answer import DONE, RUN_FAILED, STOPPED, Answer, note
from core.errors import UserError
from core.runs.queue import how_far
from core.runs.store import open_store
from core.runs.supervisor import Supervisor
from core.runs.sweep_board import WHY_VALIDATION, SweepBoard, as_json, estimated_seconds, sweep_board
from core.runs.sweeps import start_sweep, stop_sweep, sweep, sweeps, ungroup
from core.schema import RunSpec
from core.spec_files import read_yaml
from core.sweep_spec import SweepSpec, full_key, parse_sweep, parse_values, planned_trials, settings_words
from core.workspace import Workspace

SECONDS_BETWEEN_LOOKS = 0.5


def sweep_of_request(request: argparse.Namespace) -> SweepSpec:
    """What is to be tried: the `sweep` section of SPEC.yaml, changed by the options. Raises UserError."""
    content: dict[str, Any] = {}
    if request.spec is not None:
        content = dict(read_yaml(Path(request.spec)).get("sweep") or {})
    fields = dict(content.get("fields") or {})
    for option, given in (("--values", request.values), ("--set-range", request.set_range)):
        for word in given:
            name, equals, text = word.partition("=")
            if not equals or (option == "--set-range") != (".." in text):
                form = "KEY=LOW..HIGH[:log]" if option == "--set-range" else "KEY=A,B,C"
                raise UserError(f"{option} {word} cannot be read.", option, f"Write {option} {form}.")
            fields[full_key(name)] = parse_values(text).model_dump(exclude_defaults=True)
    options = {name: getattr(request, name) for name in ("search", "trials", "prune", "seed", "points")}
    changed = {name: value for name, value in options.items() if value is not None}
    if not fields:
        raise UserError(
            "Nothing is to be tried.", "sweep", "Give --values KEY=A,B,C or --set-range KEY=LOW..HIGH[:log]."
        )
    return parse_sweep({**content, **changed, "fields": fields}, "The sweep")


def run_sweep(workspace: Workspace, base: RunSpec, plan: SweepSpec) -> Answer:
    """Start a sweep and see it through. Ctrl-C stops it: what runs saves a checkpoint."""
    store = open_store(workspace)
    sweep_id = start_sweep(workspace, base, plan)
    count = planned_trials(plan)
    known = estimated_seconds(store, base)
    about = f", about {count * known[0] / 60:.0f} min ({known[1]})" if known else ""
    note(f"Sweep {sweep_id}: {count} runs at most{about}. {WHY_VALIDATION}")
    return follow_sweep(workspace, sweep_id)


def follow_sweep(workspace: Workspace, sweep_id: str) -> Answer:
    """Supervise until the sweep has ended and none of its runs is active."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        board = _to_end(workspace, sweep_id)
    except KeyboardInterrupt:
        note("Stopping: the run finishes its step and saves a checkpoint. (Ctrl-C again: do not wait for that.)")
        with contextlib.suppress(UserError):  # it came to its end just before
            stop_sweep(workspace, sweep_id)
        board = _to_end(workspace, sweep_id)
    content = as_json([board])["sweeps"][0]
    if board.sweep.state == "stopped":
        note(f"{board.sweep.reason} `python launch.py resume {sweep_id}` goes on with it.")
    code = STOPPED if board.sweep.state == "stopped" else DONE if board.best is not None else RUN_FAILED
    return Answer("\n".join(_lines(board)), content, code)


def list_sweeps(request: argparse.Namespace, workspace: Workspace) -> Answer:
    """Every sweep, or one, with its leaderboard; with --ungroup forget the group and keep its runs."""
    store = open_store(workspace)
    if request.ungroup:
        ungroup(workspace, request.ungroup)
        return Answer(f"The runs of sweep {request.ungroup} stand alone now.", {"ungrouped": request.ungroup})
    found = [sweep(store, request.sweep)] if request.sweep else sweeps(store)
    boards = [sweep_board(store, one) for one in found]
    if not boards:
        return Answer("No sweeps yet. `python launch.py sweep --help` says how to start one.", as_json(boards))
    lines = [line for board in boards for line in (*_lines(board), "")]
    return Answer("\n".join([*lines, WHY_VALIDATION]), as_json(boards))


def _to_end(workspace: Workspace, sweep_id: str) -> SweepBoard:
    supervisor, told = Supervisor(workspace), set[str]()
    while True:
        supervisor.tick()
        board = sweep_board(supervisor.store, sweep(supervisor.store, sweep_id))
        for entry in sorted(board.entries, key=lambda entry: entry.trial.number):
            words = _news(entry.trial.number + 1, board.planned, entry.state, entry.figure, board.metric)
            if entry.trial.run is not None and words not in told:
                told.add(words)
                progress = ", ".join(how_far(entry.trial.run)) if entry.state == "running" else ""
                note(f"{words}: {settings_words(entry.trial.settings)}{f' ({progress})' if progress else ''}")
        if board.sweep.state != "searching" and not board.open:
            return board
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _news(number: int, planned: int, state: str, figure: float | None, metric: str) -> str:
    reached = f", validation {metric} {figure:.3f}" if figure is not None else ""
    return f"run {number} of {planned} {state}{reached}"


def _lines(board: SweepBoard) -> list[str]:
    found = board.sweep
    head = f"{found.id}  {found.name}: {found.state}, {len(board.entries)} of at most {board.planned} runs made"
    lines = [head, f"{'run':<28}{'state':<13}{f'validation {board.metric}':>22}  settings"]
    for entry in board.entries:
        figure = "" if entry.figure is None else f"{entry.figure:.3f}"
        mark = "  (best)" if entry.is_best else ""
        words = settings_words(entry.trial.settings)
        lines.append(f"{entry.trial.run_id:<28}{entry.state:<13}{figure:>22}  {words}{mark}")
    return [*lines, *filter(None, [board.sentence])]
