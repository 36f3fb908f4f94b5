"""Run / Mistakes: how many labels were corrected, undo, and the corrected data as a new run, the change shown first."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr
from gradio.events import Dependency

from core.correcting.corrected_file import upload_targets, write_corrected
from core.correcting.marks import run_marks, undo_last
from core.correcting.plan import Change, Plan, plan_corrections
from core.errors import UserError
from core.runs.store import Store, open_store
from core.workspace import RunFolder, Workspace
from ui.run.actions import GO, QUIET, Updates, tell, told

CHANGES_SHOWN = 200
TEXT_SHOWN = 240
REVIEW = 4
"""The step of the form that the new run opens at: everything else is chosen already."""


@dataclass(frozen=True)
class CorrectionsBox:
    box: gr.Row
    counter: gr.HTML
    panel: gr.Column
    diff: gr.HTML
    write: gr.Button
    undone: Dependency
    """After it other rows may be marked."""

    def parts(self) -> list[Any]:
        """What `corrections_updates` may change."""
        return [self.box, self.counter, self.panel]


def build_corrections(workspace: Workspace) -> CorrectionsBox:
    store = open_store(workspace)
    with gr.Row(visible=False, elem_classes="td-corrections", elem_id="corrections") as box:
        counter = gr.HTML(apply_default_css=False, elem_id="corrections-count")
        undo = gr.Button("Undo last", size="md", min_width=90, elem_id="corrections-undo")
        make = gr.Button(
            "Make corrected data and train again", variant="primary", size="md", min_width=200,
            elem_id="corrections-make",
        )  # fmt: skip
    with gr.Column(visible=False, elem_classes="td-diff-panel", elem_id="corrections-panel") as panel:
        diff = gr.HTML(apply_default_css=False, elem_id="corrections-diff")
        leave_out = gr.Checkbox(True, label="Leave ambiguous rows out", elem_id="corrections-leave-out")
        with gr.Row(elem_classes="td-foot"):
            back = gr.Button("Not now", size="md", min_width=90)
            write = gr.Button(
                "Write it and review the run", variant="primary", size="md", min_width=180, elem_id="corrections-write"
            )
    address = gr.Textbox(visible=False)

    def undo_one(request: gr.Request) -> Updates:
        folder = workspace.run(request.query_params["run"])
        undo_last(store, folder)
        return corrections_updates(found, store, folder)

    def show(leave_out: bool, request: gr.Request) -> Updates:
        try:
            plan = _plan(store, workspace.run(request.query_params["run"]), leave_out)
        except UserError as error:
            tell(error)
            return {panel: gr.update(visible=False)}
        return {
            panel: gr.update(visible=True),
            diff: diff_html(plan),
            write: gr.update(interactive=bool(plan.changes)),
        }

    def write_files(leave_out: bool, request: gr.Request) -> str:
        try:
            plan = _plan(store, workspace.run(request.query_params["run"]), leave_out)
            return corrected_draft(workspace, store, plan)
        except UserError as error:
            raise told(error) from error

    for event in (make.click, leave_out.input):
        event(show, leave_out, [panel, diff, write], **QUIET)
    back.click(lambda: gr.update(visible=False), None, panel, **QUIET)
    write.click(write_files, leave_out, address, **QUIET).success(None, address, js=GO)
    undone = undo.click(undo_one, None, [box, counter, panel], **QUIET)
    found = CorrectionsBox(box, counter, panel, diff, write, undone)
    return found


def corrections_updates(found: CorrectionsBox, store: Store, folder: RunFolder) -> Updates:
    """How many there are; what was shown of them is out of date."""
    marks = run_marks(store, folder).values()
    wrong = sum(mark.verdict == "wrong" for mark in marks)
    return {
        found.box: gr.update(visible=bool(marks)),
        found.counter: count_html(wrong, len(marks) - wrong),
        found.panel: gr.update(visible=False),
    }


def count_html(wrong: int, ambiguous: int) -> str:
    total = wrong + ambiguous
    parts = [f"{wrong:,} {'label' if wrong == 1 else 'labels'} corrected"] if wrong else []
    parts += [f"{ambiguous:,} ambiguous"] if ambiguous else []
    return (
        f'<p role="status"><strong>{total:,} {"correction" if total == 1 else "corrections"}</strong>: '
        f"{', '.join(parts)}. They belong to the data, and show in every run on it.</p>"
    )


def _plan(store: Store, folder: RunFolder, leave_out: bool) -> Plan:
    return plan_corrections(folder, run_marks(store, folder), leave_out_ambiguous=leave_out)


def corrected_draft(workspace: Workspace, store: Store, plan: Plan) -> str:
    """Write the files and a draft over them; returns the address of the form, at its last step. Raises UserError."""
    if not plan.changes:
        raise UserError("There is nothing to change.", plan.folder.id, "Mark a label as wrong first.")
    spec = write_corrected(plan, upload_targets(plan, workspace))
    draft = store.save_draft(None, {"spec": spec.model_dump(mode="json"), "step": REVIEW})
    return f"/?draft={draft}"


def diff_html(plan: Plan) -> str:
    """Every change: row, text, old label, new label; and how many of which."""
    left_out = sum(change.new is None for change in plan.changes)
    relabelled = len(plan.changes) - left_out
    files = ", ".join(f"<bdi>{escape(plan.tables[role].title)}</bdi>" for role in plan.roles)
    head = f"{relabelled:,} {'label changes' if relabelled == 1 else 'labels change'}"
    head += f", {left_out:,} {'row is' if left_out == 1 else 'rows are'} left out" if left_out else ""
    notes = []
    if plan.kept_ambiguous:
        notes.append(f"{plan.kept_ambiguous:,} ambiguous {'row stays' if plan.kept_ambiguous == 1 else 'rows stay'}.")
    if plan.unusable:
        notes.append(f"{plan.unusable:,} marks are on rows, or with classes, that this run does not use.")
    pairs = "".join(
        f"<li><bdi>{escape(old)}</bdi> → <bdi>{escape(new)}</bdi> <b>{rows:,}</b></li>"
        for old, new, rows in plan.pairs()[:12]
    )
    more = len(plan.changes) - CHANGES_SHOWN
    beyond = f'<p class="td-hint">And {more:,} more.</p>' if more > 0 else ""
    return (
        f"<h3>{head if plan.changes else 'Nothing would change'}</h3>"
        f'<p class="td-hint">In a copy of {files or "the data"}; the original stays as it is. The rows keep their '
        f'parts. {" ".join(notes)}</p><ul class="td-pairs">{pairs}</ul>'
        f"{_table(plan.changes[:CHANGES_SHOWN]) if plan.changes else ''}{beyond}"
    )


def _table(changes: Sequence[Change]) -> str:
    rows = "".join(
        f"<tr><td>{escape(change.role)} {change.row:,}</td>"
        f'<td dir="auto"><span class="td-text">{escape(change.text[:TEXT_SHOWN])}</span></td>'
        f'<td dir="auto"><del>{escape(change.words[0])}</del></td>'
        f'<td dir="auto"><ins>{escape(change.words[1])}</ins></td></tr>'
        for change in changes
    )
    return (
        '<div class="td-scroll"><table class="td-diff"><thead><tr><th scope="col">Row</th><th scope="col">Text</th>'
        f'<th scope="col">Old label</th><th scope="col">New label</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )
