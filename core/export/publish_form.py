"""What is filled in under "Publish on the hub", kept with the run so that a reload finds it. No token is part of it."""

from dataclasses import asdict, dataclass, fields

from core.job_processes import read_json, write_json
from core.workspace import RunFolder


@dataclass(frozen=True)
class PublishForm:
    """The fields as they stand, also where they are half filled or cannot be."""

    name: str = ""
    format: str = ""
    """As core.export_formats.wished_words has it; empty: as the run saved it."""
    private: bool = True
    revision: str = ""
    pull_request: bool = False
    replace: bool = False
    language: str = ""
    space: bool = False
    data: bool = False
    licence: str = ""


def read_form(folder: RunFolder) -> PublishForm:
    path = folder.publications / "form.json"
    if not path.is_file():
        return PublishForm()
    kept = read_json(path)
    return PublishForm(**{field.name: kept[field.name] for field in fields(PublishForm) if field.name in kept})


def keep_form(folder: RunFolder, form: PublishForm) -> None:
    folder.publications.mkdir(exist_ok=True)
    write_json(folder.publications / "form.json", asdict(form))
