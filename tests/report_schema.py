"""docs/report.schema.json held against reports that were written."""

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

DOCS = Path(__file__).resolve().parents[1] / "docs"


def assert_described(report: Any) -> None:
    """Every field of the content of report.json is described, and every field that must be there is."""
    schema = json.loads((DOCS / "report.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    # As it stands on the disk: what JSON has no number for must not be in it either.
    content = json.loads(json.dumps(report, allow_nan=False))
    errors = sorted(Draft202012Validator(schema).iter_errors(content), key=lambda error: error.json_path)
    assert not errors, [f"{error.json_path}: {error.message[:200]}" for error in errors[:5]]
