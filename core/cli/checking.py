"""`launch.py inspect FILE --label COL`: what the doctor says of the data, with examples, as the Data page shows it."""

import argparse
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import ValidationError

from core.cli.mapping import mapping_of_options
from core.cli.training import data_of_options
from core.data.checks import checking, to_the_end
from core.data.findings import Finding, finding_words
from core.data.table import open_tables
from core.errors import from_validation
from core.schema import SplitSpec, TableFile
from core.spec_files import with_overrides
from core.workspace import Workspace

EXAMPLE_SHOWN = 100
"""Characters of an example on a terminal."""


@dataclass(frozen=True)
class Told:
    """What is told of a file's data."""

    lines: list[str]
    content: dict[str, Any]


def wants_checks(request: argparse.Namespace) -> bool:
    return bool(request.text or request.label or request.label_columns or request.test or request.validation)


def told_of_data(request: argparse.Namespace, given: Mapping[str, TableFile], workspace: Workspace) -> Told:
    """Findings with examples and the settings that put them right, and what --set data.cleaning.* leaves out.

    Raises UserError where a file cannot be read, or text and label cannot be told.
    """
    data = data_of_options(request, given, workspace)
    mapping = mapping_of_options(request, data.train, workspace)
    content = with_overrides({"data": {}, "split": {}}, request.set)
    try:
        split = SplitSpec.model_validate(content["split"])
    except ValidationError as error:
        raise from_validation(error, "The command line") from error
    tables = open_tables(data, workspace)
    found = to_the_end(
        checking(tables["train"], tables.get("validation"), tables.get("test"), mapping, split, data.cleaning)
    )
    lines = [f"{step['words']}: {step['rows']:,} rows." for step in found.steps]
    lines += [line for finding in found.findings for line in _lines(finding)] or [
        "The checks found nothing to worry about in the data."
    ]
    return Told(lines, {"findings": [asdict(finding) for finding in found.findings], "cleaning": found.steps})


def _lines(finding: Finding) -> list[str]:
    # What cannot be printed would move the cursor or worse.
    shown = ["".join(c if c.isprintable() else " " for c in one.text[:EXAMPLE_SHOWN]) for one in finding.examples]
    return [
        finding_words(finding),
        *(f"    {one.about}: {text}" for one, text in zip(finding.examples, shown, strict=True)),
    ]
