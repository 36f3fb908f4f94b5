"""`launch.py compare RUN RUN ...`: what the Compare page shows, as text or JSON."""

import argparse
from dataclasses import asdict
from typing import Any

from core.cli.answer import Answer
from core.workspace import Workspace

CLASSES_SHOWN = 15
TEXT_SHOWN = 100


def compare(request: argparse.Namespace, workspace: Workspace) -> Answer:
    """Figures side by side, what the paired tests say, classes and settings that differ, and of two runs the first
    rows that one alone has right."""
    from core.evaluation.comparison import Compared, compare_runs, differing_rows

    def differing(found: Compared) -> dict[str, Any]:
        """Of each pair the first rows that one alone has right."""
        return {
            f"{pair.first} {pair.second}": {
                right: [asdict(row) for row in differing_rows(
                    workspace.run(pair.first), workspace.run(pair.second), right, limit=max(0, request.rows)
                )]
                for right in ("first", "second")
            }
            for pair in found.pairs
        }  # fmt: skip

    found = compare_runs(workspace, request.runs)
    rows = differing(found)
    lines = [*_figures(found), ""]
    if found.why_not:
        lines.append(found.why_not)
    for pair in found.pairs:
        lines.append(pair.words)
        for right, name in (("first", pair.first), ("second", pair.second)):
            shown = rows[f"{pair.first} {pair.second}"][right]
            if shown:
                lines.append(f"  Right in {name} alone, {len(shown)} shown:")
            lines += [
                f"    {row['true']}: {row['first']} ({row['first_confidence']:.2f}) | {row['second']} "
                f"({row['second_confidence']:.2f}): {' '.join(row['text'].split())[:TEXT_SHOWN]}"
                for row in shown
            ]
    lines += [*_classes(found), "", "Settings that differ:"]
    changed = [one for one in found.settings if one.differs]
    lines += [f"  {one.key}: {' | '.join(one.values)}{f' {one.unit}' if one.unit else ''}" for one in changed]
    if not changed:
        lines.append("  none")
    return Answer("\n".join(lines), {**asdict(found), "differing_rows": rows})


def _figures(found: Any) -> list[str]:
    figures = f"{'accuracy (95 % sure)':>25}{'macro F1 (95 % sure)':>25}{'calib.':>8}{'seconds':>9}"
    wide = max(len(run.run) for run in found.runs) + 2
    lines = [f"{'run':<{wide}}{'name':<40}{figures}"]
    for run in found.runs:
        name = f"{run.run:<{wide}}{run.name.removesuffix(f' ({run.run})')[:39]:<40}"
        if run.figures is None:
            said = f"loss {run.chat['loss']:.3f}, perplexity {run.chat['perplexity']:,.3g}" if run.chat else run.state
            lines.append(f"{name}{said:>25}")
            continue
        one = run.figures
        low, high = one.accuracy_interval
        macro_low, macro_high = one.macro_f1_interval
        seconds = "-" if one.training_seconds is None else f"{one.training_seconds:,.0f}"
        lines.append(
            f"{name}{f'{one.accuracy:.3f} ({low:.3f} to {high:.3f})':>25}"
            f"{f'{one.macro_f1:.3f} ({macro_low:.3f} to {macro_high:.3f})':>25}{one.calibration_error:>8.3f}"
            f"{seconds:>9}"
        )
    return lines


def _classes(found: Any) -> list[str]:
    if not found.classes:
        return []
    head = "".join(f"{f'F1 {place}':>8}" for place in range(1, len(found.runs) + 1))
    lines = ["", f"{'class':<30}{'rows':>8}{head}"]
    for one in found.classes[:CLASSES_SHOWN]:
        figures = "".join(f"{f1:>8.3f}" for f1 in one.f1)
        lines.append(f"{one.label[:29]:<30}{one.rows:>8,}{figures}")
    left = len(found.classes) - CLASSES_SHOWN
    return [*lines, *([f"and {left:,} more that differ less"] if left > 0 else [])]
