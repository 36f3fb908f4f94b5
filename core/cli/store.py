"""`launch.py runs --check [--repair]`: whether the store and the runs' folders say the same."""

import argparse
from dataclasses import asdict

from core.cli.answer import DONE, RUN_FAILED, Answer
from core.store_check import check_store
from core.workspace import Workspace


def check(request: argparse.Namespace, workspace: Workspace) -> Answer:
    """Exit code 1 where something is wrong and was not put right."""
    found = check_store(workspace, request.repair)
    content = {"differences": [asdict(difference) for difference in found], "repaired": request.repair}
    if not found:
        return Answer("The store and the runs' folders say the same.", content)
    lines = [f"{difference.run or 'the store'}: {difference.what}\n    {difference.todo}" for difference in found]
    open_ones = [difference for difference in found if not (request.repair and difference.repairable)]
    if request.repair:
        lines.append(f"{len(found) - len(open_ones)} of {len(found)} put right.")
    else:
        lines.append("`python launch.py runs --check --repair` puts right what can be.")
    return Answer("\n".join(lines), content, RUN_FAILED if open_ones else DONE)
