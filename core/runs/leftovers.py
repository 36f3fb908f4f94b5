"""What a run needs only until it is finished."""

import shutil

from core.workspace import RunFolder


def remove_leftovers(folder: RunFolder) -> None:
    """Delete a finished run's checkpoints and what it kept to go on with. The model stays.

    Only once the store says finished: until then a crash needs them.
    """
    shutil.rmtree(folder.checkpoints, ignore_errors=True)
    shutil.rmtree(folder.prefix_cache, ignore_errors=True)
    folder.neighbours.unlink(missing_ok=True)
