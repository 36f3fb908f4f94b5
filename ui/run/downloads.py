"""Files of a run that the browser may fetch."""

from pathlib import Path

import gradio as gr
from gradio.utils import is_static_file


def offered(path: Path) -> str:
    """Let the server hand out exactly this file, where it lies, to those who may see the page.

    Without it gradio copies the file into its cache first, which a labelled file of some gigabytes does not fit, or
    wants a whole folder allowed, and the store lies in it.
    """
    if not is_static_file(path):
        gr.set_static_paths([path])
    return str(path)
