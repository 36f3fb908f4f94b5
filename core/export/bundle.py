"""A run's model as a folder or a zip that plain transformers (and PEFT, for an adapter) loads, with its model card."""

import errno
import json
import os
import re
import secrets
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from core.errors import UserError
from core.export.base import hub_id, shown_base
from core.export.card import model_card
from core.files import replacing
from core.model_facts import MODEL_FACTS_FILE, ModelFacts, run_model_facts
from core.spec_files import read_spec
from core.workspace import RunFolder, Workspace

Format = Literal["folder", "zip"]

CARD_NAME = "README.md"
ADAPTER_CONFIG = "adapter_config.json"
CONFIG = "config.json"


def export_run(workspace: Workspace, run_id: str, export_format: Format, to: Path) -> Path:
    """`launch.py export RUN --format F --to DIR`. Returns what was written.

    folder: `to` itself becomes the model's folder. zip: `to` where it ends with .zip, else a zip named after the run
    in the folder `to`. Raises UserError, see export_folder.
    """
    folder = workspace.run(run_id)
    run_model_facts(folder)
    if export_format == "folder":
        return export_folder(folder, to)
    return export_zip(folder, to if to.suffix.lower() == ".zip" else to / f"{export_name(folder)}.zip")


def export_name(folder: RunFolder) -> str:
    """A name for files, made of the run's name: letters that every file system and the hub take."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", read_spec(folder.spec).name).strip("-").lower()[:80]
    return name or folder.id


def export_folder(folder: RunFolder, to: Path) -> Path:
    """Write the model to the folder `to`, whole or not at all; an earlier export there is replaced.

    Raises UserError where the run has no model, `to` holds other files, or the disk is full.
    """
    contents = list(_contents(folder))
    _require_own(to, {name.split("/")[0] for name, _ in contents})
    with _told(to):
        to.parent.mkdir(parents=True, exist_ok=True)
        mark = secrets.token_hex(4)
        partial, old = to.with_name(f"{to.name}.{mark}.partial"), to.with_name(f"{to.name}.{mark}.old")
        try:
            partial.mkdir()
            for name, content in contents:
                _put(content, partial / name)
            if to.exists():
                to.rename(old)
            partial.rename(to)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)
    return to


def export_zip(folder: RunFolder, to: Path) -> Path:
    """Write the model to the zip file `to`, in one folder named like it; whole or not at all, replacing an earlier one.

    Raises UserError where the run has no model or the disk is full.
    """
    contents = list(_contents(folder))
    with _told(to):
        to.parent.mkdir(parents=True, exist_ok=True)
        # Weights hardly shrink and take long to pack.
        with replacing(to) as partial, zipfile.ZipFile(partial, "w", strict_timestamps=False) as archive:
            for name, content in contents:
                packing = zipfile.ZIP_STORED if name.endswith(".safetensors") else zipfile.ZIP_DEFLATED
                if isinstance(content, Path):
                    archive.write(content, f"{to.stem}/{name}", compress_type=packing)
                else:
                    archive.writestr(f"{to.stem}/{name}", content, compress_type=packing)
    return to


def _contents(folder: RunFolder) -> Iterator[tuple[str, Path | str]]:
    """Every file of an export: its name with `/`, and where it lies or what it holds.

    The report stays at home: it quotes rows of the data, which the person may not be free to pass on.
    """
    facts = run_model_facts(folder)
    for path in sorted(folder.model.rglob("*")):
        name = path.relative_to(folder.model).as_posix()
        if not path.is_file() or name in (CARD_NAME, MODEL_FACTS_FILE):
            continue
        if name == ADAPTER_CONFIG:
            yield name, _adapter_config(path, facts)
        elif name == CONFIG and facts.label_kind == "multi":
            yield name, _with_thresholds(path, facts)
        else:
            yield name, path
    # A local base is named, without the path on this computer.
    yield MODEL_FACTS_FILE, json.dumps({**asdict(facts), "base": shown_base(facts)}, ensure_ascii=False, indent=1)
    yield CARD_NAME, model_card(folder)


def _adapter_config(path: Path, facts: ModelFacts) -> str:
    """PEFT writes the folder that the base was loaded from; others need the base's name."""
    content = json.loads(path.read_text(encoding="utf-8"))
    named = {"base_model_name_or_path": shown_base(facts), "revision": facts.base_revision if hub_id(facts) else None}
    return json.dumps({**content, **named}, ensure_ascii=False, indent=2)


def _with_thresholds(path: Path, facts: ModelFacts) -> str:
    """transformers keeps what it does not know of a config, so the lines that load the model find them there."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return json.dumps({**content, "thresholds": list(facts.thresholds)}, ensure_ascii=False, indent=2)


def _put(content: Path | str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Path):
        shutil.copyfile(content, target)
    else:
        target.write_text(content, encoding="utf-8")


def _require_own(to: Path, names: set[str]) -> None:
    """Raises UserError where the place is taken by anything that an export does not itself write."""
    if to.exists() and not to.is_dir():
        raise UserError(f"{to} is a file.", str(to), "Give the name of a folder.")
    others = sorted(path.name for path in to.iterdir() if path.name not in names) if to.exists() else []
    if others:
        raise UserError(
            f"The folder {to} holds other files ({', '.join(others[:3])}{' ...' if len(others) > 3 else ''}).",
            str(to),
            "Choose an empty folder or one that does not exist yet.",
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
