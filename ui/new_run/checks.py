"""The doctor on the page: what the checks say of a draft, the buttons that put things right, and how to undo them.

A fix changes the draft's settings, never a file. What was found is kept in memory for the last few states of data and
settings, so that the steps of the walkthrough do not look at the same rows again.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Generator, Mapping, Sequence
from html import escape
from typing import Any

from core.data.chat_checks import check_chat
from core.data.checks import Checked, checked_of, checking, to_the_end
from core.data.findings import Example, Finding
from core.data.table import Table
from core.errors import UserError
from core.few_steps import few_steps
from core.model_findings import model_findings
from core.runs.store import Store
from core.schema import CleaningSpec, MappingSpec, RunSpec, SplitSpec
from core.workspace import Workspace
from ui.new_run.draft import SETTINGS, Draft, editing, missing, read_draft
from ui.new_run.files import ROLES, open_role
from ui.new_run.fitting import has_meaning

SIGNS = {"error": "!", "warning": "!", "note": "i"}
SEVERITIES = {"error": "Must be put right", "warning": "Look at this", "note": "Good to know"}
UNDO = "undo:"
KEPT = 8
"""States of data and settings whose findings are kept in memory."""
_kept: OrderedDict[str, Checked] = OrderedDict()
_cut: OrderedDict[str, list[Finding]] = OrderedDict()
_KEEPING = threading.Lock()


def look(workspace: Workspace, draft: Draft) -> Generator[str, None, Checked]:
    """What the checks say of the draft's data; yields what is looked at next, in words.

    Raises UserError where a file cannot be read or something is missing.
    """
    tables = _tables(workspace, draft)
    mapping = MappingSpec.model_validate(draft.spec["mapping"])
    split = SplitSpec.model_validate(draft.spec.get("split") or {})
    cleaning = CleaningSpec.model_validate(draft.spec["data"].get("cleaning") or {})
    state = json.dumps(
        [{role: str(table.parquet) for role, table in tables.items()},
         *(part.model_dump(mode="json") for part in (mapping, split, cleaning))]
    )  # fmt: skip
    with _KEEPING:
        if state in _kept:
            return _kept[state]
    if draft.is_chat:
        found = Checked(check_chat(tables, mapping, split), [])
    else:
        steps = checking(tables["train"], tables.get("validation"), tables.get("test"), mapping, split, cleaning)
        while True:
            try:
                yield next(steps)
            except StopIteration as ended:
                found = checked_of(ended)
                break
    _keep(_kept, state, found)
    return found


def _keep(kept: OrderedDict[str, Any], state: str, found: Any) -> None:
    with _KEEPING:
        kept[state] = found
        while len(kept) > KEPT:
            kept.popitem(last=False)


def settings_findings(workspace: Workspace, draft: Draft, spec: RunSpec) -> list[Finding]:
    """What there is to say of model and settings with these data: too few steps, cut texts, another language."""
    tables = {role: table for role in ROLES if (table := open_role(workspace, draft, role)) is not None}
    if spec.task != "classify" or "train" not in tables:
        return []
    return [*few_steps(spec, tables), *_model_findings(tables["train"], spec)]


def _model_findings(train: Table, spec: RunSpec) -> list[Finding]:
    """Nothing where the model's tokenizer cannot be had."""
    state = json.dumps([str(train.parquet), spec.mapping.model_dump(mode="json"), spec.model.model_dump(mode="json")])
    with _KEEPING:
        if state in _cut:
            return _cut[state]
    try:
        found = model_findings(train, spec.mapping, spec.model)
    except UserError:
        return []
    _keep(_cut, state, found)
    return found


def find_all(workspace: Workspace, draft: Draft) -> Checked:
    """The same in one go. Raises UserError."""
    return to_the_end(look(workspace, draft))


def find_problems(workspace: Workspace, draft: Draft) -> list[Finding]:
    """What the checks say of the draft's data. Raises UserError where a file cannot be read or something is missing."""
    return find_all(workspace, draft).findings


def _tables(workspace: Workspace, draft: Draft) -> dict[str, Table]:
    tables = {role: table for role in ROLES if (table := open_role(workspace, draft, role)) is not None}
    train = tables.get("train")
    if train is not None and len(train.columns) < 2 and not draft.is_chat:
        raise UserError(
            f"{train.path.name} has only one column, so there is no label beside the text.",
            train.path.name,
            "If there are more, press Change and say what stands between them.",
        )
    needed = missing(draft)
    if needed or train is None:
        raise UserError("The data is not complete.", "Data", needed)
    return tables


def fix(workspace: Workspace, store: Store, draft_id: str, key: str) -> Draft:
    """Do what a button says: the fix of the finding of this key, or, with `undo:` before it, take a step back.

    Nothing where the finding is gone. Raises UserError where a file cannot be read.
    """
    if key.startswith(UNDO):
        with editing(store, draft_id) as draft:
            _undo(draft, key.removeprefix(UNDO))
        return draft
    return carry_out(store, draft_id, key, find_problems(workspace, read_draft(store, draft_id)))


def carry_out(store: Store, draft_id: str, key: str, findings: Sequence[Finding]) -> Draft:
    """Apply the fix of the finding of this key; nothing where it is not among `findings`."""
    found = next((finding for finding in findings if key_of(finding) == key), None)
    with editing(store, draft_id) as draft:
        if found is not None and found.fix is not None:
            apply(draft, found.fix.words, found.fix.settings)
    return draft


def apply(draft: Draft, words: str, settings: Mapping[str, Any]) -> None:
    """Change settings, and remember what they were."""
    before = {key: draft.get(key) for key in settings}
    for key, value in settings.items():
        draft.put(key, value)
        draft.raw.pop(key, None)
    if not all(key.startswith("data.cleaning.") for key in settings):
        step = {"words": words, "before": before, "after": dict(settings)}
        draft.fixes = [*(kept for kept in draft.fixes if kept["after"].keys() != step["after"].keys()), step]


def _undo(draft: Draft, key: str) -> None:
    if key.startswith("data.cleaning.") and key in SETTINGS:
        draft.put(key, SETTINGS[key].default)
        return
    for step in list(draft.fixes):
        if "+".join(step["after"]) == key:
            for name, value in step["before"].items():
                draft.put(name, value)
            draft.fixes.remove(step)


def key_of(finding: Finding) -> str:
    return f"{finding.kind}|{finding.where}"


def in_force(draft: Draft, settings: Mapping[str, Any]) -> bool:
    """Whether the draft has these settings already."""

    def plain(value: Any) -> Any:
        return list(value) if isinstance(value, tuple) else value

    return all(plain(draft.get(key)) == plain(value) for key, value in settings.items())


def checks_html(draft: Draft, found: Checked, *, only: tuple[str, ...] | None = None) -> str:
    """What was found, with buttons, and what is already put right. only: settings that buttons here may change, by
    their first word; of the others it is said where to find them."""
    return f"{_steps_html(draft, found, only is None)}{findings_html(found.findings, draft, only)}"


def _steps_html(draft: Draft, found: Checked, with_buttons: bool) -> str:
    steps = [(step["key"], f"{step['words']}: {step['rows']:,} row{'s' if step['rows'] != 1 else ''}.")
             for step in found.steps]  # fmt: skip
    steps += [("+".join(step["after"]), f"{step['words']}: done.") for step in draft.fixes
              if in_force(draft, step["after"])]  # fmt: skip
    if not steps:
        return ""
    items = "".join(
        f'<li><i aria-hidden="true">✓</i><span dir="auto">{escape(words)}</span>'
        + (f'<button type="button" data-key="{escape(UNDO + key)}">Undo</button>' if with_buttons else "")
        + "</li>"
        for key, words in steps
    )
    return f'<ul class="steps" aria-label="What was put right">{items}</ul>'


def findings_html(findings: Sequence[Finding], draft: Draft | None = None, only: tuple[str, ...] | None = None) -> str:
    """What the checks found, errors first; with buttons where a draft is given."""
    if not findings:
        return '<p class="fine"><i aria-hidden="true">✓</i>The checks found nothing to worry about in the data.</p>'
    return f'<ul class="findings">{"".join(_finding_html(finding, draft, only) for finding in findings)}</ul>'


def _finding_html(finding: Finding, draft: Draft | None, only: tuple[str, ...] | None) -> str:
    why = f'<span class="why">{escape(finding.why)}</span>' if finding.why else ""
    return (
        f'<li class="{finding.severity}" data-kind="{escape(finding.kind)}"><i aria-hidden="true">'
        f"{SIGNS[finding.severity]}</i><div>"
        f'<span class="unseen">{SEVERITIES[finding.severity]}: </span><strong>{escape(finding.what)}</strong> '
        f"<span>{escape(finding.todo)}</span>{why}{_examples_html(finding.examples)}"
        f"{_button_html(finding, draft, only)}</div></li>"
    )


def _button_html(finding: Finding, draft: Draft | None, only: tuple[str, ...] | None) -> str:
    fix = finding.fix
    if fix is None or draft is None or in_force(draft, fix.settings):
        return ""
    if not all(has_meaning(draft, key) for key in fix.settings):
        return ""
    if only is not None and not all(key.startswith(only) for key in fix.settings):
        return f'<span class="why">The Data step has a button for this: {escape(fix.words)}.</span>'
    return f'<button type="button" class="fix" data-key="{escape(key_of(finding))}">{escape(fix.words)}</button>'


def _examples_html(examples: Sequence[Example]) -> str:
    if not examples:
        return ""
    items = "".join(
        f'<li><q dir="auto">{escape(shown.text)}</q>'
        + (f'<small dir="auto">{escape(shown.about)}</small>' if shown.about else "")
        + "</li>"
        for shown in examples
    )
    return f'<details class="examples"><summary>Examples</summary><ul>{items}</ul></details>'
