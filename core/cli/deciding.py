"""The command that chooses which rows a run's model labels, and what stands beside the label."""

import argparse
from dataclasses import asdict

from core.cli.answer import Answer
from core.deciding import Wish, decided, threshold_words
from core.deciding import decide as decide_run
from core.decision import decision_sentences
from core.evaluation.abstaining import label_set_words
from core.evaluation.calibration import calibration_words
from core.evaluation.report_file import read_content
from core.model_facts import run_model_facts
from core.workspace import Workspace


def decide(request: argparse.Namespace, workspace: Workspace) -> Answer:
    """Change what is asked for and say what holds; without an option say it only."""
    folder = workspace.run(request.run)
    wish = Wish(
        abstain_below=request.abstain_below,
        accuracy=request.accuracy,
        coverage=request.coverage,
        label_set=request.label_set,
        label_set_sum=request.label_set_sum,
        label_set_size=request.label_set_size,
    )
    report = read_content(folder)
    decision = decided(run_model_facts(folder), report, wish) if wish == Wish() else decide_run(folder, wish)
    lines = [*decision_sentences(decision), threshold_words(report, decision)]
    if report is not None and "calibration" in report:
        lines += [label_set_words(report["label_sets"], decision), *calibration_words(report["calibration"])]
    content = {"run": request.run, "decision": asdict(decision), "notes": [line for line in lines if line]}
    return Answer("\n".join(content["notes"]), content)
