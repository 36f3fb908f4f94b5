"""Opening the page does not pay for what only editors of Gradio's own code need, and takes nothing from its visitor."""

import subprocess
import sys
from pathlib import Path

from core.workspace import open_workspace
from ui.app import build_app

PROJECT = Path(__file__).resolve().parents[2]
WATCHED = """
import ast
parsed = []
parse = ast.parse
ast.parse = lambda source, *rest, **named: parsed.append(source) or parse(source, *rest, **named)
{first}
import gradio.component_meta
print(len(parsed), gradio.component_meta.create_or_modify_pyi.__module__, gradio.Textbox.change is not None)
"""


def said_after(first: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", WATCHED.format(first=first)], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_gradio_writes_stubs_at_its_import():
    """What `ui` keeps it from; where this fails, Gradio has mended it and `ui/__init__.py` has nothing left to do."""
    parsed, module, _ = said_after("import gradio")
    assert int(parsed) > 50 and module == "gradio.component_meta"


def test_the_page_imports_gradio_without_that():
    parsed, module, works = said_after("import ui.app")
    assert int(parsed) < 10 and module == "ui" and works == "True"


def test_the_load_of_the_page_does_not_empty_the_drop_zone(tmp_path: Path):
    """The page fills itself while a file may already be on its way; what Gradio sets last would stand."""
    app = build_app(open_workspace(tmp_path / "workspace"))
    drop = next(block for block in app.blocks.values() if block.elem_id == "data-file")
    loads = [event for event in app.fns.values() if any(name == "load" for _, name in event.targets)]
    assert loads and all(drop not in event.outputs for event in loads)
