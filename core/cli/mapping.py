"""What `launch.py train` is told of columns and labels, and what is guessed where it is told nothing."""

import argparse
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from core.cli.answer import note, table_file
from core.data.label_guess import guess_separator
from core.data.labels import value_counts
from core.data.mapping import class_names_from_lines, mapping_from, names_beside, suggest_mapping
from core.data.table import Table, open_table
from core.errors import UserError, from_validation
from core.schema import LabelKind, MappingSpec, TableFile
from core.spec_files import with_overrides
from core.text_template import template_columns
from core.workspace import Workspace


def mapping_of_options(request: argparse.Namespace, file: TableFile, workspace: Workspace) -> MappingSpec:
    """The mapping that --text, --label and their like give, with --set mapping.* applied; what is missing is guessed.

    Raises UserError where it cannot be guessed, or where what is given does not go together.
    """
    overrides = [override for override in request.set if override.startswith("mapping.")]
    said = with_overrides({"mapping": _said(request)}, overrides)["mapping"]
    if said.get("text_template") and not said.get("text"):
        said["text"] = _template_columns(str(said["text_template"]))
    table = open_table(file, workspace)
    content = said if _is_whole(said) else _guessed(table, said)
    if content.get("label") and content.get("kind", "single") == "single" and "class_names" not in content:
        content["class_names"], told = names_beside(table, content["label"])
        for line in told:
            note(line)
    if content.get("kind") == "multi" and content.get("label") and "label_separator" not in content:
        content["label_separator"] = guess_separator(table, content["label"]) or ";"
    try:
        mapping = MappingSpec.model_validate(content)
    except ValidationError as error:
        raise from_validation(error, "The command line") from error
    if request.class_names:
        names = _class_names(Path(request.class_names), table, mapping)
        mapping = mapping.model_copy(update={"class_names": names})
    return mapping


def _template_columns(template: str) -> tuple[str, ...]:
    try:
        return template_columns(template)
    except ValueError as error:
        todo = "Write each column like {title}."
        raise UserError(f"The text template cannot be used: {error}.", "mapping.text_template", todo) from error


def _said(request: argparse.Namespace) -> dict[str, Any]:
    """What the options say, and nothing else."""
    kind = kind_of_options(request)
    given = {
        "text": tuple(request.text or ()),
        "label": request.label,
        "label_columns": tuple(request.label_columns or ()),
        "label_separator": request.label_separator,
        "kind": kind,
    }
    return {name: value for name, value in given.items() if value}


def kind_of_options(request: argparse.Namespace) -> LabelKind | None:
    """The kind of label that the options ask for; None where they do not say."""
    if request.soft:
        return "soft"
    return "multi" if request.multi or request.label_columns or request.label_separator else None


def _is_whole(said: dict[str, Any]) -> bool:
    return bool(said.get("text") and (said.get("label") or said.get("label_columns")))


def _guessed(table: Table, said: dict[str, Any]) -> dict[str, Any]:
    """What is said, with guesses for text and labels where they are not."""
    usual: LabelKind | None = "single" if said.get("label") else None
    suggestion = suggest_mapping(table, said.get("kind", usual))
    labelled = said.get("label") or said.get("label_columns")
    guessed = mapping_from(suggestion)
    if guessed is None and not (labelled and suggestion.text):
        raise UserError(
            f"In {table.path.name}, text and label columns cannot be told from the others.",
            table.path.name,
            "Name them with --text COL and --label COL (or --label-columns COL ...); `python launch.py inspect FILE` "
            "lists the columns.",
        )
    for reason in suggestion.reasons:
        note(f"Guessed: {reason}")
    found = guessed.model_dump(exclude_unset=True) if guessed else {"text": suggestion.text}
    if labelled:
        # What was guessed of other labels says nothing of these.
        found = {name: value for name, value in found.items() if name in ("text", "backslash_is_space")}
        taken = {said.get("label"), *said.get("label_columns", ())}
        found["text"] = tuple(name for name in found["text"] if name not in taken)
    return found | said


def _class_names(file: Path, table: Table, mapping: MappingSpec) -> dict[str, str]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"The class names in {file} cannot be read ({error}).", str(file), "Give a text file with a name a line."
        ) from error
    return class_names_from_lines(lines, [value for value, _ in value_counts(table, mapping)])


def reading_options(request: argparse.Namespace) -> TableFile:
    """What the options say of how files are read; the path is empty."""
    inside = {"sheet": request.sheet, "member": request.member, "source_column": request.source_column}
    options = table_file("", request.read, request.column_names)
    return options.model_copy(update={name: value for name, value in inside.items() if value is not None})
