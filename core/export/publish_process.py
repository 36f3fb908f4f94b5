"""The process that publishes, as `python -m core.export.publish_process JOB_DIR`; see core/export/publish_job.py."""

import sys
import time
from pathlib import Path

from core.errors import UserError
from core.export.publication import Publication
from core.export.publish import publish
from core.export.publish_job import write_status
from core.masking import mask_output, masked_error
from core.workspace import Workspace

TELL_SECONDS = 0.5


class Pace:
    """Bytes done in all -> how long it will take, from those that this process sent in its last half minute."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, int]] = []

    def left(self, done: int, total: int, now: float) -> float | None:
        self.seen = [each for each in self.seen if now - each[0] < 30] + [(now, done)]
        (began, first), sent = self.seen[0], done - self.seen[0][1]
        return (total - done) * (now - began) / sent if sent > 0 and first >= 0 and now > began else None


def main(place: str) -> None:
    """Do the job in this folder; the token comes on standard input."""
    job = Path(place)
    token = sys.stdin.read().strip()
    mask_output(token)
    asked = Publication.model_validate_json((job / "publication.json").read_text(encoding="utf-8"))
    workspace = Workspace(job.parents[3])
    pace, last = Pace(), 0.0
    files: list[tuple[str, int]] = []

    def tell(done: int, total: int, words: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > TELL_SECONDS or not done:
            last = now
            left = pace.left(done, total, now) if done else None
            write_status(job, "running", words=words, done=done, total=total, seconds_left=left, files=files)

    try:
        results = [
            {"kind": done.kind, "repository": done.repository, **vars(done.pushed)}
            for done in publish(workspace, asked, token, tell, files.extend, room=job)
        ]
    except UserError as error:
        parts = masked_error(error, token).parts()
        print(f"{parts['what']}\n  where: {parts['where']}\n  what to do: {parts['todo']}", flush=True)
        write_status(job, "failed", error=parts)
    except Exception:
        unknown = UserError(
            "Publishing failed in a way that this program does not know.",
            str(job / "log.txt"),
            f"Publish again. If it fails again, the end of {job / 'log.txt'} says why.",
        )
        write_status(job, "failed", error=unknown.parts())
        raise
    else:
        write_status(job, "finished", words="Published", files=files, results=results)


if __name__ == "__main__":
    main(sys.argv[1])
