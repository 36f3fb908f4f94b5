"""A model that was taken away, opened again as a finished run: `launch.py open FOLDER_OR_REPO`. Light: no torch.

Of what an export holds, tunedesk.json says what the model is; there is no data and no report, so that the run can
predict, be measured on a file, and be taken away again. Of a folder or a repository only data is taken (core.hub_model
says which files): no pickled weights and no code, and nothing of it is ever run.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from core.data.examples import DataFacts, write_data_facts
from core.errors import UserError
from core.export_formats import Tell
from core.files import folder_given, path_given
from core.hub_fetching import OutOfReachError
from core.hub_model import ENDINGS, HubModel, cached, fetch, look_up
from core.model_facts import MODEL_FACTS_FILE, ModelFacts, read_model_facts, write_model_facts
from core.models.source import check_source
from core.runs.store import open_store
from core.schema import DataSpec, MappingSpec, ModelSpec, RunSpec, TableFile
from core.spec_files import spec_yaml
from core.workspace import RunFolder, Workspace, new_id

WHOLE, ADAPTER = ("model.safetensors", "model.safetensors.index.json"), "adapter_model.safetensors"
OWN_CODE = Path(__file__).parent / "models" / "neobert.py"
"""The one architecture that transformers does not know. It is this program's file that goes on, not another's."""


@dataclass(frozen=True)
class Asked:
    """A model to open."""

    model: str
    """A folder, or USER/NAME on the hub."""
    revision: str | None = None
    """Of a repository: branch, tag or commit; None for main."""
    base: str | None = None
    """Of an adapter whose base lies elsewhere than it says."""
    name: str | None = None


@dataclass(frozen=True)
class _Found:
    """A folder with the model's files, and where they come from."""

    folder: Path
    origin: str
    is_ours: bool
    """Whether the files may be moved away."""


def quiet(done: int, total: int, words: str) -> None:
    """Progress that nobody looks at."""


def on_this_computer(model: str) -> bool:
    """Whether it names a folder, or a zip, here; else it is a hub repository."""
    if folder_given(model) is not None:
        return True
    return model.lower().endswith(".zip") and path_given(model).is_file()


def open_model(
    workspace: Workspace, asked: Asked, token: str | None = None, tell: Tell = quiet, room: Path | None = None
) -> str:
    """Make a run of the model and return the run's id.

    token: of the hub. room: a folder beside the workspace's runs for what is fetched; the workspace by default. Raises
    UserError where there is no such model, it was not made here, is of a format that only other programs load, or its
    base cannot be had.
    """
    with _found(asked, token, tell, room or workspace.root) as found:
        facts = _facts(found.folder, asked)
        folder = workspace.run(new_id())
        facts = replace(facts, run=folder.id, name=asked.name or facts.name)
        try:
            _write(folder, found, facts)
        except OSError as error:
            shutil.rmtree(folder.root, ignore_errors=True)
            raise UserError(
                f"The model cannot be copied to {workspace.root} ({error.strerror}).",
                str(workspace.root),
                "Free some space or choose another folder with --workspace DIR.",
            ) from error
    reason = f"Opened from {found.origin}: it was trained elsewhere, or in an earlier run."
    named = f"opened from {Path(asked.model).name}"
    open_store(workspace).add_opened_run(folder.id, facts.name, facts.preset, facts.base, named, reason)
    return folder.id


def look(asked: Asked, token: str | None) -> HubModel:
    """What of a hub repository would be fetched. Raises UserError, also where there is no model to open in it."""
    found = look_up(asked.model, asked.revision, token)
    if MODEL_FACTS_FILE not in found.names:
        raise UserError(
            f"{asked.model} holds no {MODEL_FACTS_FILE}, so it is not a model that Tunedesk trained.",
            asked.model,
            "Any other model can be the base of a new run: give its name on the Model step.",
        )
    _require_weights(found.names, asked.model)
    return found


@contextmanager
def _found(asked: Asked, token: str | None, tell: Tell, room: Path) -> Iterator[_Found]:
    """The folder with the model's files, fetched from the hub where it is no folder here."""
    if on_this_computer(asked.model):
        yield _Found(_folder(asked.model), Path(asked.model).name, is_ours=False)
        return
    try:
        there = look(asked, token)
    except OutOfReachError:
        kept = cached(asked.model, asked.revision)
        if kept is None:
            raise
        yield _Found(kept, f"{asked.model}, as it was fetched before (commit {kept.name[:12]})", is_ours=False)
        return
    with TemporaryDirectory(dir=room, prefix="open.", suffix=".partial") as place:
        fetch(there, Path(place), token, tell)
        yield _Found(Path(place), f"{asked.model}, commit {there.commit[:12]}", is_ours=True)


def _folder(model: str) -> Path:
    folder = path_given(model)
    if folder.is_file():
        raise UserError(f"{folder.name} is a zip.", str(folder), "Unpack it, and open the folder.")
    if (folder / MODEL_FACTS_FILE).is_file():
        return folder
    raise UserError(
        f"{folder} holds no {MODEL_FACTS_FILE}, so it is not a model that Tunedesk trained.",
        str(folder),
        "Choose a folder that was taken away from here (unpack a zip first). Any other model can be the base of a "
        "new run.",
    )


def _facts(place: Path, asked: Asked) -> ModelFacts:
    try:
        facts = read_model_facts(place)
        spec_of(facts)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(
            f"{MODEL_FACTS_FILE} of {asked.model} is damaged: it does not say what the model is.",
            MODEL_FACTS_FILE,
            "Take the model away again where it was trained.",
        ) from None
    _require_weights({path.name for path in place.iterdir()}, asked.model)
    if (place / ADAPTER).is_file():
        facts = replace(facts, weights="adapter" if facts.family == "encoder" else facts.weights)
        facts = _with_base(facts, asked.base)
    return facts


def _require_weights(names: set[str], model: str) -> None:
    if ADAPTER in names or any(name in names for name in WHOLE):
        return
    raise UserError(
        f"{model} holds no safetensors weights; ONNX, GGUF and servers are for other programs.",
        model,
        "Open the model, adapter or merged format of the same run.",
    )


def _with_base(facts: ModelFacts, base: str | None) -> ModelFacts:
    chosen = replace(facts, base=base, base_revision=None) if base else facts
    try:
        check_source(ModelSpec(source=chosen.base, revision=chosen.base_revision, family=chosen.family))
    except UserError as error:
        raise UserError(
            f"It is an adapter, and its base model cannot be had: {error.what}",
            "base",
            f"Give the base's folder or hub id with --base. {error.todo}",
        ) from error
    return chosen


def _write(folder: RunFolder, found: _Found, facts: ModelFacts) -> None:
    folder.model.mkdir(parents=True)
    files = [path.relative_to(found.folder) for path in found.folder.rglob("*") if path.is_file()]
    for name in files:
        if name.suffix not in ENDINGS or any(part.startswith(".") for part in name.parts):
            continue
        target = folder.model / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if found.is_ours:
            (found.folder / name).rename(target)
        else:
            shutil.copyfile(found.folder / name, target)
    if facts.architecture == OWN_CODE.stem:
        shutil.copyfile(OWN_CODE, folder.model / OWN_CODE.name)
    write_model_facts(folder.model, facts)
    folder.spec.write_text(spec_yaml(spec_of(facts)), encoding="utf-8")
    folder.split.touch()
    none = dict.fromkeys(("train", "validation", "test"), 0)
    write_data_facts(
        folder,
        DataFacts(
            labels=list(facts.labels),
            files={},
            parts=none,
            class_counts={part: dict.fromkeys(facts.labels, 0) for part in none},
            left_out={},
            lengths=dict.fromkeys(("p50", "p90", "p99", "max", "mean"), 0.0),
            findings=[],
            kind=facts.label_kind,
        ),
    )


def spec_of(facts: ModelFacts) -> RunSpec:
    """What of a run's description the model itself knows."""
    mapping = {
        "kind": "none" if facts.task == "chat" else facts.label_kind,
        "text": facts.text_columns,
        "label": facts.label or ("label" if facts.label_kind == "single" else ""),
        "label_columns": facts.label_columns or (facts.labels if facts.label_kind == "soft" else ()),
        "label_separator": facts.label_separator,
        "joiner": facts.joiner,
        "backslash_is_space": facts.backslash_is_space,
        "text_template": facts.text_template,
        "class_names": facts.class_names,
        **({"chat": {"instruction": "instruction", "response": "response"}} if facts.task == "chat" else {}),
    }
    model = {
        "source": facts.base, "revision": facts.base_revision, "family": facts.family, "method": facts.method,
        "max_length": facts.max_length, "head": facts.head, "pooling": facts.pooling,
        "double_quantization": facts.double_quantization,
    }  # fmt: skip
    if facts.head_size:
        model["head_size"] = facts.head_size
    return RunSpec(
        name=facts.name,
        preset=facts.preset,
        data=DataSpec(train=TableFile(path="(not part of the model)")),
        mapping=MappingSpec.model_validate(mapping),
        model=ModelSpec.model_validate(model),
    )
