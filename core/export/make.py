"""Makes an export of any format: `launch.py export RUN`, and `python -m core.export.make JOB_DIR` for the page.

Heavy where a format is: what imports torch is imported when its format is asked for.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from core.data.examples import read_examples
from core.errors import UserError
from core.export.bundle import copy_model, export_name, write_folder, write_zip
from core.export_formats import Exported, Tell, Wish, checked, wished_words
from core.export_jobs import ExportProgress, export_request, write_export_status
from core.masking import mask_output, masked_error
from core.model_facts import run_model_facts
from core.workspace import RunFolder, Workspace

CHECK_ROWS = 200
SECONDS_BETWEEN_WRITES = 0.5


@dataclass(frozen=True)
class Made:
    path: Path
    exported: Exported


def export_run(workspace: Workspace, run_id: str, wish: Wish, to: Path, tell: Tell) -> Made:
    """Write a run's model in a format. A folder: `to` itself becomes it. A zip: `to` where it ends with .zip, else a
    zip named after run and format in the folder `to`.

    Raises UserError where the format does not fit the model, needs what is not here, or cannot be written.
    """
    folder = workspace.run(run_id)
    wish = checked(folder, wish)
    if not wish.zipped:
        return Made(to, write_folder(folder, to, lambda place: _fill(folder, wish, place, tell)))
    file = to if to.suffix.lower() == ".zip" else to / f"{wished_name(folder, wish)}.zip"
    return Made(file, write_zip(folder, file, lambda place: _fill(folder, wish, place, tell, linked=True)))


def wished_name(folder: RunFolder, wish: Wish) -> str:
    """A name for the folder or zip: the run's, the format, and the precision where there is a choice."""
    return f"{export_name(folder)}-{wished_words(wish)}"


def _fill(folder: RunFolder, wish: Wish, place: Path, tell: Tell, *, linked: bool = False) -> Exported:
    facts = run_model_facts(folder)
    if wish.format == "merged":
        from core.export.merged import write_merged

        return write_merged(folder.model, facts, place, tell)
    if wish.format == "onnx":
        from core.export.onnx import write_onnx

        return write_onnx(folder.model, facts, place, wish.precision, _check_texts(folder), tell)
    if wish.format == "gguf":
        from core.export.gguf import write_gguf

        return write_gguf(folder.model, facts, place, export_name(folder), wish.precision, tell)
    if wish.format == "server":
        from core.export.server import write_server

        return write_server(folder, facts, place, _check_texts(folder), tell)
    tell(0, 0, "copying")
    if wish.format == "adapter" and facts.family == "encoder":
        from core.export.encoder_adapter import copy_adapter

        return copy_adapter(folder, place)
    return copy_model(folder, place, linked=linked)


def _check_texts(folder: RunFolder) -> list[str]:
    """Texts of the run's own test part; none of a model that was opened, which has no data."""
    if not folder.examples.is_file():
        return []
    texts: list[str] = read_examples(folder, "test", [])["text"].to_pylist()
    return texts[:CHECK_ROWS]


def run_job(job: Path) -> int:
    """Make the export that job.json in this folder asks for; how it goes is in status.json. Returns an exit code."""
    request = export_request(job)
    folder = RunFolder(job.parents[1])
    began, told = time.monotonic(), [0.0]
    phase = [""]

    def tell(done: int, total: int, words: str) -> None:
        nonlocal began
        now = time.monotonic()
        if words != phase[0]:
            phase[0], began, told[0] = words, now, 0.0
        if now - told[0] > SECONDS_BETWEEN_WRITES:
            told[0] = now
            left = (now - began) / done * (total - done) if done else None
            write_export_status(job, "running", progress=ExportProgress(words, done, total, left))

    try:
        made = export_run(folder.workspace, folder.id, request.wish, job / request.output, tell)
    except UserError as error:
        write_export_status(job, "failed", error=masked_error(error).parts())
        return 1
    write_export_status(job, "finished", notes=made.exported.notes)
    return 0


if __name__ == "__main__":
    mask_output()
    sys.exit(run_job(Path(sys.argv[1]).resolve()))
