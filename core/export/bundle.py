"""A folder or a zip that leaves this program: whole or not at all, with its card and what a model needs beside weights.

What fills it is the business of a format (core.export.make). Here also stands the format that a run's model has by
itself, which takes no more than copying: light, no torch.
"""

import errno
import json
import os
import re
import secrets
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from core.errors import UserError
from core.export.base import hub_id, shown_base
from core.export.card import model_card
from core.export.picture import PICTURE_NAME, confusion_picture
from core.export_formats import Exported, natural_format
from core.files import replacing
from core.model_facts import MODEL_FACTS_FILE, NEWEST_VERSION, ModelFacts, run_model_facts
from core.spec_files import read_spec
from core.workspace import RunFolder

CARD_NAME = "README.md"
ADAPTER_CONFIG = "adapter_config.json"
CONFIG = "config.json"
CARD_BYTES = 6_000
"""About: a card is a page or two of text, and writing one reads the run's texts."""
STORED = (".safetensors", ".onnx", ".gguf")
"""Weights hardly shrink and take long to pack."""

Fill = Callable[[Path], Exported]
"""Writes a format's files into an empty folder, and says what they are."""


def export_name(folder: RunFolder) -> str:
    """A name for files, made of the run's name: letters that every file system and the hub take."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", read_spec(folder.spec).name).strip("-").lower()[:80]
    return name or folder.id


def export_folder(folder: RunFolder, to: Path) -> Path:
    """Write the model as the run saved it (core.export_formats.natural_format) to the folder `to`.

    Raises UserError, see write_folder.
    """
    write_folder(folder, to, lambda place: copy_model(folder, place))
    return to


def export_sizes(folder: RunFolder) -> list[tuple[str, int]]:
    """What an export of the model as the run saved it holds: names with `/`, and bytes, without writing it.

    Raises UserError where the run has no model.
    """
    run_model_facts(folder)
    kept = [path for path in sorted(folder.model.rglob("*")) if path.is_file()]
    names = [path.relative_to(folder.model).as_posix() for path in kept]
    sizes = {name: path.stat().st_size for name, path in zip(names, kept, strict=True)}
    sizes[CARD_NAME] = CARD_BYTES
    picture = confusion_picture(folder)
    if picture is not None:
        sizes[PICTURE_NAME] = picture.stat().st_size
    return sorted(sizes.items())


def write_folder(folder: RunFolder, to: Path, fill: Fill) -> Exported:
    """Let `fill` make an export in the folder `to`, whole or not at all; an earlier export there is replaced.

    Raises UserError where the run has no model, `to` holds other files, or the disk is full.
    """
    run_model_facts(folder)
    _require_own(to)
    with _told(to), _partial(folder, to, fill) as (partial, exported):
        old = to.with_name(f"{to.name}.{secrets.token_hex(4)}.old")
        if to.exists():
            to.rename(old)
        partial.rename(to)
        shutil.rmtree(old, ignore_errors=True)
    return exported


def write_zip(folder: RunFolder, to: Path, fill: Fill) -> Exported:
    """Let `fill` make an export, packed as the zip file `to` in one folder named like it; whole or not at all.

    An earlier export is replaced. Raises UserError where the run has no model, `to` is anything else, or the disk is
    full.
    """
    run_model_facts(folder)
    _require_own_zip(to)
    with _told(to), _partial(folder, to, fill) as (partial, exported), replacing(to) as packed:
        _pack(partial, packed, to.stem)
    return exported


def _pack(place: Path, packed: Path, name: str) -> None:
    with zipfile.ZipFile(packed, "w", strict_timestamps=False) as archive:
        for path in sorted(place.rglob("*")):
            if path.is_file():
                packing = zipfile.ZIP_STORED if path.suffix in STORED else zipfile.ZIP_DEFLATED
                archive.write(path, f"{name}/{path.relative_to(place).as_posix()}", compress_type=packing)


def copy_model(folder: RunFolder, place: Path, *, linked: bool = False) -> Exported:
    """The run's model as it was saved. linked: of what is only read there, no copy is made.

    The report stays at home: it quotes rows of the data, which the person may not be free to pass on.
    """
    facts = run_model_facts(folder)
    copy_files(folder.model, place, facts, linked=linked)
    return Exported(facts, natural_format(facts))


def copy_files(model: Path, place: Path, facts: ModelFacts, *, linked: bool = False) -> None:
    """Every file of a model's folder but card and facts; in its configs what others need to load it."""
    for path in sorted(model.rglob("*")):
        name = path.relative_to(model).as_posix()
        if not path.is_file() or name in (CARD_NAME, MODEL_FACTS_FILE):
            continue
        target = place / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if name == ADAPTER_CONFIG:
            target.write_text(_adapter_config(path, facts), encoding="utf-8")
        elif name == CONFIG and facts.label_kind == "multi":
            target.write_text(_with_thresholds(path.read_text(encoding="utf-8"), facts), encoding="utf-8")
        else:
            _copy(path, target, linked)


def copy_tokenizer(model: Path, place: Path) -> None:
    """What stands beside the weights of a model: tokenizer, chat template and prompt."""
    for path in sorted(model.iterdir()):
        weights = path.suffix in (".safetensors", ".py") or path.name.endswith(".safetensors.index.json")
        if path.is_file() and not weights and path.name not in (CARD_NAME, MODEL_FACTS_FILE, ADAPTER_CONFIG, CONFIG):
            shutil.copyfile(path, place / path.name)


def _adapter_config(path: Path, facts: ModelFacts) -> str:
    """PEFT writes the folder that the base was loaded from; others need the base's name."""
    content = json.loads(path.read_text(encoding="utf-8"))
    named = {"base_model_name_or_path": shown_base(facts), "revision": facts.base_revision if hub_id(facts) else None}
    return json.dumps({**content, **named}, ensure_ascii=False, indent=2)


def _with_thresholds(config: str, facts: ModelFacts) -> str:
    """transformers keeps what it does not know of a config, so the lines that load the model find them there."""
    return json.dumps({**json.loads(config), "thresholds": list(facts.thresholds)}, ensure_ascii=False, indent=2)


def _copy(path: Path, target: Path, linked: bool) -> None:
    if linked:
        try:
            os.link(path, target)
            return
        except OSError:  # a file system without links
            pass
    shutil.copyfile(path, target)


@contextmanager
def _partial(folder: RunFolder, to: Path, fill: Fill) -> Iterator[tuple[Path, Exported]]:
    """A folder beside `to` with the whole export, gone where anything fails."""
    to.parent.mkdir(parents=True, exist_ok=True)
    partial = to.with_name(f"{to.name}.{secrets.token_hex(4)}.partial")
    try:
        partial.mkdir()
        exported = fill(partial)
        (partial / CARD_NAME).write_text(model_card(folder, exported), encoding="utf-8")
        picture = confusion_picture(folder)
        if picture is not None:
            shutil.copyfile(picture, partial / PICTURE_NAME)
        (partial / MODEL_FACTS_FILE).write_text(_facts_content(folder, exported, partial), encoding="utf-8")
        yield partial, exported
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _facts_content(folder: RunFolder, exported: Exported, place: Path) -> str:
    """tunedesk.json: the model's facts, a local base without its path, the format, and which files are the export's."""
    facts, mapping = exported.facts, read_spec(folder.spec).mapping
    content = {
        **asdict(facts),
        "schema_version": max(facts.schema_version, NEWEST_VERSION),
        "base": shown_base(facts),
        "label": mapping.label,
        "label_columns": list(mapping.label_columns),
        "label_separator": mapping.label_separator,
        "format": exported.format,
        "precision": exported.precision,
        "notes": list(exported.notes),
        "files": sorted({MODEL_FACTS_FILE, *(path.name for path in place.iterdir())}),
    }
    return json.dumps(content, ensure_ascii=False, indent=1)


def _require_own(to: Path) -> None:
    """Raises UserError where the place is taken by anything that an export did not itself write."""
    if to.exists() and not to.is_dir():
        raise UserError(f"{to} is a file.", str(to), "Give the name of a folder.")
    own = set()
    if (to / MODEL_FACTS_FILE).is_file():
        own = set(json.loads((to / MODEL_FACTS_FILE).read_text(encoding="utf-8")).get("files", []))
    others = sorted(path.name for path in to.iterdir() if path.name not in own) if to.exists() else []
    if others:
        raise UserError(
            f"The folder {to} holds other files ({', '.join(others[:3])}{' ...' if len(others) > 3 else ''}).",
            str(to),
            "Choose an empty folder or one that does not exist yet.",
        )


def _require_own_zip(to: Path) -> None:
    """Raises UserError where there is a file of that name which no export is."""
    if not to.exists():
        return
    if zipfile.is_zipfile(to):
        with zipfile.ZipFile(to) as archive:
            if any(Path(name).name == MODEL_FACTS_FILE for name in archive.namelist()):
                return
    raise UserError(
        f"{to} is there already and is no export.", str(to), "Give another name, or take that file away first."
    )


@contextmanager
def _told(to: Path) -> Iterator[None]:
    """Turn what the file system says into a UserError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"The disk filled up while {to.name} was written; nothing of it was kept.",
                str(to.parent),
                "Free some space or choose a folder on another disk, and start again.",
            ) from error
        raise UserError(
            f"{to} cannot be written ({os.strerror(error.errno) if error.errno else error}).",
            str(to),
            "Choose another place.",
        ) from error
