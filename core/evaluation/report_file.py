"""The report of a run on its disk: report.json, and the page that shows it."""

import json
from collections.abc import Mapping
from typing import Any

from core.evaluation.figures import write_figures
from core.evaluation.html import report_html
from core.evaluation.mistakes import count_rows, page_of_rows
from core.evaluation.row_filter import RowFilter
from core.files import replacing
from core.workspace import RunFolder

MISTAKES_SHOWN = 40


def save_report(folder: RunFolder, content: Mapping[str, Any]) -> None:
    """Write the figures, report.html, then report.json, which says that the run is measured."""
    figures = write_figures(folder, content)
    with replacing(folder.report / "report.html") as target:
        shown = page_of_rows(folder, RowFilter(), limit=MISTAKES_SHOWN)
        mistakes = count_rows(folder, RowFilter())
        target.write_text(report_html(content, shown, mistakes, figures), encoding="utf-8")
    save_content(folder, content)


def save_content(folder: RunFolder, content: Mapping[str, Any]) -> None:
    with replacing(folder.report / "report.json") as target:
        target.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")


def read_content(folder: RunFolder) -> dict[str, Any] | None:
    """The content of report.json; None until the run is measured."""
    path = folder.report / "report.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
