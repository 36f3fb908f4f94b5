"""The commands that start, go on with and stop runs."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from core.chat_rows import suggest_chat_columns
from core.cli.answer import DONE, Answer, note, table_file
from core.cli.following import follow
from core.cli.mapping import kind_of_options, mapping_of_options, reading_options
from core.cli.sweeping import follow_sweep, run_sweep, sweep_of_request
from core.data.chat_checks import check_chat
from core.data.checks import check_data
from core.data.conversations import likely_chat
from core.data.findings import finding_words
from core.data.given import file_for_part, files_given
from core.data.mapping import suggest_mapping
from core.data.same_rows import taken_over
from core.data.samples import make_docstrings
from core.data.table import Table, open_table, open_tables
from core.errors import UserError, from_validation
from core.few_steps import few_steps
from core.files import folder_given, path_given
from core.model_findings import model_findings
from core.models.checkpoint_room import checkpoint_room
from core.models.known import require_known_sizes
from core.models.source import check_source
from core.presets import DEFAULT_PRESET, Preset, find_preset, preset_spec
from core.prompts import prompt_problems
from core.runs import supervisor
from core.runs.queue import waiting_words
from core.runs.store import open_store
from core.runs.sweeps import find_sweep, resume_sweep, stop_sweep
from core.schema import DataSpec, MappingSpec, RunSpec, TableFile, task_of
from core.spec_files import parse_spec, read_yaml, with_overrides
from core.workspace import Workspace


def train(request: argparse.Namespace, workspace: Workspace) -> Answer:
    spec = _checked_spec(request, workspace)
    run_id = supervisor.submit(workspace, spec)
    # A page that is open may have started it already.
    words = waiting_words(open_store(workspace), run_id)
    note(f"Run {run_id} is in the queue{f' and {words}' if words else ''}.")
    return follow(run_id, workspace)


def sweep(request: argparse.Namespace, workspace: Workspace) -> Answer:
    """Try several settings from the same start."""
    plan = sweep_of_request(request)
    return run_sweep(workspace, _checked_spec(request, workspace), plan)


def _checked_spec(request: argparse.Namespace, workspace: Workspace) -> RunSpec:
    """The run that is asked for, its model and data looked at. Raises UserError, so that nothing is queued."""
    spec = spec_of_request(request, workspace)
    check_source(spec.model)
    require_known_sizes(spec.model)
    _check_data(spec, workspace)
    room = checkpoint_room(spec, workspace.root)
    if room is not None:
        note(f"note: {room.words}")
    return spec


def spec_of_request(request: argparse.Namespace, workspace: Workspace) -> RunSpec:
    """The run that is asked for, as it is written. Raises UserError."""
    if request.spec is not None:
        content, source = read_yaml(Path(request.spec)), Path(request.spec).name
        if request.command == "sweep":
            content.pop("sweep", None)
    else:
        content, source = _content_of_options(request, workspace), "The command line"
    content = with_overrides(content, request.set)
    if request.name:
        content["name"] = request.name
    return _with_absolute_paths(parse_spec(content, source))


def demo(_request: argparse.Namespace, workspace: Workspace) -> Answer:
    note("Reading the documentation of this Python's standard library ...")
    train_file, test_file = make_docstrings(workspace)
    data = DataSpec(train=TableFile(path=str(train_file)), test=TableFile(path=str(test_file)))
    mapping = MappingSpec(text=("text",), label="label")
    spec = preset_spec(find_preset(DEFAULT_PRESET), data, mapping).model_copy(update={"name": "Demo"})
    _check_data(spec, workspace)
    run_id = supervisor.submit(workspace, spec)
    note(f"Run {run_id}: which area does a piece of Python's documentation belong to?")
    answer = follow(run_id, workspace)
    if answer.code != DONE:
        return answer
    more = "Run `python launch.py` to look at it, or to train on a file of your own."
    return Answer(f"{answer.text}\n{more}", answer.content)


def resume(request: argparse.Namespace, workspace: Workspace) -> Answer:
    if request.as_it_is:
        supervisor.finish(workspace, request.run)
        return follow(request.run, workspace)
    if find_sweep(open_store(workspace), request.run) is not None:
        resume_sweep(workspace, request.run)
        note(f"Sweep {request.run} goes on.")
        return follow_sweep(workspace, request.run)
    supervisor.resume(workspace, request.run)
    words = waiting_words(open_store(workspace), request.run)
    note(f"Run {request.run} is in the queue again{f' and {words}' if words else ''}.")
    return follow(request.run, workspace)


def stop(request: argparse.Namespace, workspace: Workspace) -> Answer:
    again = f"`python launch.py resume {request.run}` goes on with it."
    if find_sweep(open_store(workspace), request.run) is not None:
        stop_sweep(workspace, request.run)
        return Answer(f"The sweep {request.run} is stopped. {again}", {"sweep": request.run, "status": "stopped"})
    supervisor.stop(workspace, request.run)
    state = open_store(workspace).run(request.run).state
    what = "saves a checkpoint and stops" if state == "stopping" else f"is {state}"
    return Answer(f"Run {request.run} {what}. {again}", {"run": request.run, "status": state})


def _content_of_options(request: argparse.Namespace, workspace: Workspace) -> dict[str, Any]:
    """A spec's content from --preset, --data and what goes with them; what is not said of the mapping is guessed."""
    preset = find_preset(request.preset or DEFAULT_PRESET)
    given = files_given(request.data, workspace, reading_options(request), note)
    for line in given.said:
        note(line)
    data = data_of_options(request, given.files, workspace)
    mapping = _chat_mapping(request, data.train, preset, workspace)
    if mapping is None:
        mapping = mapping_of_options(request, data.train, workspace)
    try:
        return preset_spec(preset, data, mapping).model_dump(mode="json")
    except ValidationError as error:
        raise from_validation(error, "The command line") from error


def data_of_options(request: argparse.Namespace, given: Mapping[str, TableFile], workspace: Workspace) -> DataSpec:
    """The files that are given, by part, and those of --test and --validation, with `--set data.*` applied."""
    own = {part: getattr(request, part) for part in ("validation", "test") if getattr(request, part) is not None}
    files = dict(given) | {
        part: file_for_part(table_file(path, request.read, request.column_names), part, workspace)
        for part, path in own.items()
    }
    content = {"data": {part: file.model_dump(mode="json") for part, file in files.items()}}
    changes = [override for override in request.set if override.startswith("data.")]
    try:
        return DataSpec.model_validate(with_overrides(content, changes)["data"])
    except ValidationError as error:
        raise from_validation(error, "The command line") from error


def _chat_mapping(
    request: argparse.Namespace, file: TableFile, preset: Preset, workspace: Workspace
) -> MappingSpec | None:
    """Where conversations are, if --chat asks for them, or a model that answers is given a file that looks like some.

    Raises UserError where --chat is asked for and no column looks like conversations.
    """
    answers = task_of("single", preset.model.family, preset.model.method) == "answer"
    if not request.chat and (request.text or request.label or kind_of_options(request) or not answers):
        return None
    named = [override for override in request.set if override.startswith("mapping.chat.")]
    if request.chat and named:
        try:
            return MappingSpec.model_validate(with_overrides({"mapping": {"kind": "none"}}, named)["mapping"])
        except ValidationError as error:
            raise from_validation(error, "The command line") from error
    table = open_table(file, workspace)
    form = suggest_chat_columns(table.names) if request.chat else likely_chat(table, suggest_mapping(table))
    if form is None:
        if not request.chat:
            return None
        raise UserError(
            f"No columns of {table.path.name} are named like conversations (columns: {', '.join(table.names)}).",
            table.path.name,
            "Name them: --set mapping.chat.conversation=COL, or --set mapping.chat.instruction=COL and .response=COL.",
        )
    chosen = ", ".join(f"{role} '{name}'" for role, name in form.model_dump().items() if name)
    note(f"{'' if request.chat else 'Guessed: '}It learns from conversations ({chosen}).")
    return MappingSpec(kind="none", chat=form)


def _with_absolute_paths(spec: RunSpec) -> RunSpec:
    """Paths as the person's shell means them; the worker runs in another folder."""

    def absolute(path: str) -> str:
        return str(path_given(path).absolute())

    files = {
        part: file.model_copy(update={"path": absolute(file.path), "more": tuple(map(absolute, file.more))})
        for part, file in (("train", spec.data.train), ("validation", spec.data.validation), ("test", spec.data.test))
        if file is not None
    }
    folder = folder_given(spec.model.source)
    source = str(folder.absolute()) if folder is not None else spec.model.source
    changed = {"data": spec.data.model_copy(update=files), "model": spec.model.model_copy(update={"source": source})}
    return spec.model_copy(update=changed)


def _check_data(spec: RunSpec, workspace: Workspace) -> None:
    """Say what the doctor found. Raises UserError, so that nothing is queued, where it is an error."""
    tables = open_tables(spec.data, workspace)
    train = tables["train"]
    if spec.task == "chat":
        findings = check_chat(tables, spec.mapping, spec.split)
    else:
        findings = check_data(
            train, tables.get("validation"), tables.get("test"), spec.mapping, spec.split, spec.data.cleaning
        )
    if spec.task == "answer":
        for problem in prompt_problems(spec.prompt, train.names, spec.mapping.label):
            raise problem
    for finding in [*findings, *taken_over(spec, tables, workspace)[1]]:
        if finding.severity == "error":
            raise UserError(finding.what, finding.where, finding.todo)
        note(finding_words(finding))
    if spec.task == "classify":
        for finding in few_steps(spec, tables):
            note(finding_words(finding))
        _note_model_findings(train, spec)


def _note_model_findings(train: Table, spec: RunSpec) -> None:
    try:
        for finding in model_findings(train, spec.mapping, spec.model):
            note(finding_words(finding))
    except UserError as error:
        note(f"note: What the model makes of the texts is not known: {error.what}")
