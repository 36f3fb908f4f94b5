"""The process that measures a run's model on a labelled file for the page: `python -m core.evaluation_worker JOB_DIR`.

Heavy: imports torch. See core/evaluation_jobs.py.
"""

import json
import sys
import time
import traceback
from pathlib import Path

from core.errors import UserError
from core.evaluate_run import evaluate_file
from core.evaluation_jobs import request_of
from core.files import replacing
from core.label_jobs import write_status
from core.masking import mask_output, masked_error
from core.workspace import RunFolder

SECONDS_BETWEEN_WRITES = 0.5


def run_job(job: Path) -> int:
    """Do what a job's folder asks. Returns the exit code."""
    request = request_of(job)
    told = 0.0

    def tell(done: int, total: int, seconds_left: float | None) -> None:
        nonlocal told
        if time.monotonic() - told >= SECONDS_BETWEEN_WRITES:
            told = time.monotonic()
            write_status(job, "running", done=done, total=total, seconds_left=seconds_left)

    try:
        result = evaluate_file(
            RunFolder(job.parent.parent).workspace,
            request.run,
            request.file,
            tell,
            text_columns=request.text_columns or None,
            label_column=request.label_column or None,
        )
        with replacing(job / "result.json") as target:
            target.write_text(json.dumps(result, ensure_ascii=False), encoding="utf-8")
    except UserError as error:
        write_status(job, "failed", error=masked_error(error).parts())
        return 1
    except Exception as error:  # noqa: BLE001  the process's outer edge: the page must learn how it ended
        traceback.print_exc()
        first_line = (str(error).splitlines() or [""])[0][:200]
        words = UserError(
            f"Evaluating failed ({type(error).__name__}: {first_line}).",
            str(job / "log.txt"),
            f"Try again. If it fails again, the end of {job / 'log.txt'} says why.",
        )
        write_status(job, "failed", error=masked_error(words).parts())
        return 1
    write_status(job, "finished", done=result["rows"], total=result["rows"])
    return 0


if __name__ == "__main__":
    mask_output()
    sys.exit(run_job(Path(sys.argv[1]).resolve()))
