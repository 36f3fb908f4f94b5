"""report/figures/: the charts of a report as SVG and PNG files, and report/figures.zip with all of them.

White ground and dark letters, as papers have them. PNG is drawn by resvg at twice the size with the system's fonts, and
with the one inside Pillow where there is none, which has Latin letters only.
"""

import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from core.evaluation.charts import Drawing
from core.evaluation.class_charts import classes_drawing, matrix_drawing
from core.evaluation.learning_curves import loss_drawing, validation_drawing
from core.evaluation.sureness import coverage_drawing, pairs_drawing, reliability_drawing
from core.files import replacing
from core.workspace import RunFolder

ZIP = "figures.zip"
FOLDER = "figures"
EDGE, HEAD = 16, 44
LEAST_WIDTH = 420.0
SCALE = 2.0
MOST_PIXELS = 6000
"""Of a side of a PNG."""
KEY_COLOURS = {"train": "#6b7280", "validation": "#3559c7", "other": "#a15c07", "": "#5d6470"}
STYLE = (
    'text{font-family:"DejaVu Sans","Segoe UI",Arial,"Helvetica Neue","Noto Sans","Liberation Sans",Aileron,sans-serif;'
    "fill:#5d6470;font-size:11px}"
    ".title{font-size:15px;font-weight:bold;fill:#1d2025}.name{font-size:12px;fill:#1d2025}"
    ".count{fill:#1d2025}.ground{fill:#f1f2f4}.right{fill:#3559c7}.wrong{fill:#c8421e}"
    ".grid{stroke:#e2e4e8}.line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}"
    ".faint{stroke-width:1;opacity:.35}.reference{stroke:#5d6470;stroke-dasharray:5 4;fill:none}"
    ".chosen{stroke:#15803d;stroke-dasharray:2 3}.share{opacity:.35}.share.few{opacity:.14}"
    ".mean{stroke:#1d2025;stroke-width:1.5;fill:none}"
    ".line.train{stroke:#6b7280}.line.validation{stroke:#3559c7}.line.other{stroke:#a15c07}"
    ".point.train,.share.train{fill:#6b7280}.point.validation,.share.validation{fill:#3559c7}"
    ".point.other,.share.other{fill:#a15c07}"
)


def drawings(report: Mapping[str, Any]) -> Iterator[tuple[str, Drawing]]:
    """(file name without ending, drawing) of every chart that a report's kind has. report: content of report.json."""
    if report.get("task") != "chat":
        if "confusion" in report["test"]:
            yield "confusion-matrix", matrix_drawing(report)
        yield "classes", classes_drawing(report)
        curve = validation_drawing(report)
        if curve is not None:
            yield "validation", curve
        if "calibration" in report:
            yield "reliability", reliability_drawing(report["calibration"])
            yield "coverage", coverage_drawing(report["coverage"])
        else:
            yield "reliability", pairs_drawing(report["test"], report.get("kind", "single"))
    loss = loss_drawing(report)
    if loss is not None:
        yield "loss", loss


def file_size(drawing: Drawing) -> tuple[float, float]:
    """Width and height of the file, in pixels."""
    return max(drawing.width, LEAST_WIDTH) + 2 * EDGE, drawing.height + HEAD + EDGE


def svg_file(drawing: Drawing) -> str:
    """A drawing as a file of its own: a title, keys, the drawing on white."""
    width, height = file_size(drawing)
    keys, x = [], EDGE + 0.0
    for name, style in drawing.keys:
        colour = KEY_COLOURS[style]
        if style:
            keys.append(f'<rect x="{x:g}" y="33" width="14" height="3" fill="{colour}"/>')
            x += 20
        keys.append(f'<text x="{x:g}" y="38">{escape(name)}</text>')
        x += len(name) * 6.2 + 18
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(f"{drawing.title}: {drawing.said}")}">'
        f'<style>{STYLE}</style><rect width="{width:g}" height="{height:g}" fill="#ffffff"/>'
        f'<text class="title" x="{EDGE}" y="22">{escape(drawing.title)}</text>{"".join(keys)}'
        f'<g transform="translate({EDGE} {HEAD})">{drawing.inner}</g></svg>\n'
    )


def png_file(svg: str, size: tuple[float, float], font: Path) -> bytes:
    """svg drawn at SCALE, or smaller where a side would have more than MOST_PIXELS.

    size: its width and height. font: a file for letters that no font of the system has.
    """
    # Imported here: pages that only read reports need none of it.
    import resvg_py

    scale = min(SCALE, MOST_PIXELS / max(size))
    return bytes(resvg_py.svg_to_bytes(svg_string=svg, zoom=scale, font_files=[str(font)]))


def _own_font(folder: Path) -> Path:
    """The font inside Pillow (CC0) as a file in `folder`."""
    from PIL import ImageFont

    font = ImageFont.load_default(12)
    assert isinstance(font, ImageFont.FreeTypeFont)
    path = folder / "Aileron.ttf"
    path.write_bytes(font.font_bytes)
    return path


def write_figures(folder: RunFolder, report: Mapping[str, Any]) -> list[str]:
    """Write the files and the zip; returns the names of the files, SVG and PNG. Figures of before are replaced."""
    target = folder.report / FOLDER
    target.mkdir(exist_ok=True)
    written: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as fonts:
        font = _own_font(Path(fonts))
        for name, drawing in drawings(report):
            svg = svg_file(drawing)
            written[f"{name}.svg"] = svg.encode()
            written[f"{name}.png"] = png_file(svg, file_size(drawing), font)
    for path in target.iterdir():
        if path.name not in written:
            path.unlink()
    for name, content in written.items():
        with replacing(target / name) as path:
            path.write_bytes(content)
    with replacing(folder.report / ZIP) as path, zipfile.ZipFile(path, "w") as archive:
        for name, content in written.items():
            archive.writestr(zipfile.ZipInfo(f"{FOLDER}/{name}"), content, zipfile.ZIP_DEFLATED)
    return sorted(written)
