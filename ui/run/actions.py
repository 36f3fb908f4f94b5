"""What can be done with a run: stop, resume, finish, duplicate, rename, delete."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr
from gradio.events import Dependency

from core.deletion import delete_run
from core.errors import UserError
from core.runs.queue import move
from core.runs.store import ACTIVE, RESUMABLE, Run, open_store
from core.runs.supervisor import can_finish, finish, resume, stop
from core.spec_files import read_spec
from core.workspace import Workspace
from ui.events import GO
from ui.sharing.share_switch import build_share_switch

Updates = dict[Any, Any]
"""New values by component; what is not in it stays as it is."""
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


@dataclass(frozen=True)
class Actions:
    first: gr.Button
    stop: gr.Button
    finish: gr.Button
    resume: gr.Button
    retry: gr.Button
    duplicate: gr.Button
    more: gr.Button
    delete: gr.Button
    moved: list[Dependency]
    """Events after which the run is in another state."""

    def parts(self) -> list[Any]:
        """What `button_updates` may change."""
        return [self.first, self.stop, self.finish, self.resume, self.retry, self.delete]


def build_actions(workspace: Workspace) -> Actions:
    """The buttons at the right of the head, with the menu behind [More]."""
    with gr.Row(elem_classes="td-actions"):
        first = gr.Button("Start it next", size="md", min_width=60, visible=False, elem_id="run-first")
        stop_button = gr.Button("Stop and keep", size="md", min_width=60, visible=False, elem_id="run-stop")
        finish_button = gr.Button("Finish as it is", size="md", min_width=60, visible=False, elem_id="run-finish")
        resume_button = gr.Button("Resume", size="md", min_width=60, visible=False, elem_id="run-resume")
        retry = gr.Button(
            "Change and retry", variant="primary", size="md", min_width=60, visible=False, elem_id="run-retry"
        )
        duplicate = gr.Button("Duplicate", size="md", min_width=60, elem_id="run-duplicate")
        more = gr.Button("More", size="md", min_width=60, elem_id="run-more")
    delete_button = _build_menu(workspace, more)
    address = gr.Textbox(visible=False)

    def duplicate_run(request: gr.Request) -> str:
        return duplicate_of(workspace, request.query_params["run"])

    gr.on([duplicate.click, retry.click], duplicate_run, None, address, **QUIET).success(None, address, js=GO)
    moved = [
        first.click(_acting(workspace, to_front), **QUIET),
        stop_button.click(_acting(workspace, stop), **QUIET),
        finish_button.click(_acting(workspace, finish), **QUIET),
        resume_button.click(_acting(workspace, resume), **QUIET),
    ]
    return Actions(first, stop_button, finish_button, resume_button, retry, duplicate, more, delete_button, moved)


def button_updates(actions: Actions, workspace: Workspace, run: Run) -> Updates:
    """Show the buttons that fit the run's state."""
    return {
        actions.first: gr.update(visible=run.state == "queued"),
        actions.stop: gr.update(
            visible=run.state in ("queued", *ACTIVE),
            interactive=run.state != "stopping",
            value="Take out of the queue" if run.state == "queued" else "Stop and keep",
        ),
        actions.finish: gr.update(visible=can_finish(workspace, run)),
        actions.resume: gr.update(
            visible=run.state in RESUMABLE, variant="secondary" if run.state == "failed" else "primary"
        ),
        actions.retry: gr.update(visible=run.state == "failed"),
        actions.delete: gr.update(value="Stop and discard…" if run.state in ACTIVE else "Delete this run…"),
    }


def _build_menu(workspace: Workspace, more: gr.Button) -> gr.Button:
    opened = gr.State(False)
    with gr.Column(visible=False, elem_classes="td-menu", elem_id="run-menu") as menu:
        with gr.Column(elem_classes="td-menu-page") as choices:
            name = gr.Textbox(label="Name", max_length=200, max_lines=1, elem_id="run-rename")
            with gr.Row():
                rename = gr.Button("Rename", size="sm", min_width=60)
                delete_button = gr.Button(
                    "Delete this run…", variant="stop", size="sm", min_width=60, elem_id="run-delete"
                )
            build_share_switch(workspace, more)
        with gr.Column(visible=False, elem_classes="td-menu-page") as asking:
            question = gr.HTML(apply_default_css=False)
            with gr.Row():
                keep = gr.Button("Keep it", size="sm", min_width=60)
                confirm = gr.Button("Delete", variant="stop", size="sm", min_width=60, elem_id="run-delete-confirm")
    gone = gr.Textbox("/runs", visible=False)

    def toggle(is_open: bool, request: gr.Request) -> tuple[Any, ...]:
        run = open_store(workspace).run(request.query_params["run"])
        return not is_open, gr.update(visible=not is_open), gr.update(visible=True), gr.update(visible=False), run.name

    def ask(request: gr.Request) -> tuple[Any, ...]:
        run = open_store(workspace).run(request.query_params["run"])
        return gr.update(visible=False), gr.update(visible=True), _question(run)

    def rename_run(text: str, request: gr.Request) -> tuple[Any, ...]:
        if text.strip():
            open_store(workspace).rename_run(request.query_params["run"], text.strip())
        return False, gr.update(visible=False)

    def discard_run(request: gr.Request) -> Iterator[str]:
        yield from _discard(workspace, request.query_params["run"])

    more.click(toggle, opened, [opened, menu, choices, asking, name], **QUIET)
    delete_button.click(ask, None, [choices, asking, question], **QUIET)
    keep.click(lambda: (False, gr.update(visible=False)), None, [opened, menu], **QUIET)
    gr.on([rename.click, name.submit], rename_run, name, [opened, menu], **QUIET)
    confirm.click(discard_run, None, question, **QUIET).success(None, gone, js=GO)
    return delete_button


def _question(run: Run) -> str:
    what = "It stops now. Its checkpoints" if run.state in ACTIVE else "Its model, report and log"
    return (
        f'<p class="td-question"><strong>Delete <bdi>{escape(run.name)}</bdi>?</strong><br>'
        f"{what} and everything it wrote are deleted and cannot be brought back.</p>"
    )


def told(error: UserError) -> gr.Error:
    """A UserError as the page's own message; raised, it also keeps what would come next from happening.

    The message renders markup, so what may come from data is escaped.
    """
    return gr.Error(escape(f"{error.what} {error.todo}"), title="That did not work", print_exception=False)


def tell(error: UserError) -> None:
    """The same beside a component that keeps what it shows: a raised error would be written across it."""
    gr.Warning(escape(f"{error.what} {error.todo}"), title="That did not work")


def to_front(workspace: Workspace, run_id: str) -> None:
    """Let a run that waits start next. Raises UserError where it does not wait."""
    move(open_store(workspace), run_id, 1)


def _acting(workspace: Workspace, act: Callable[[Workspace, str], None]) -> Callable[[gr.Request], None]:
    def handler(request: gr.Request) -> None:
        try:
            act(workspace, request.query_params["run"])
        except UserError as error:
            raise told(error) from error

    return handler


def duplicate_of(workspace: Workspace, run_id: str) -> str:
    """A draft with this run's settings; returns the address of the form that shows it."""
    try:
        folder = workspace.run(run_id)
        spec = read_spec(folder.spec)
    except UserError as error:
        raise told(error) from error
    if folder.split.exists():
        # Of a duplicate of a duplicate too the rows are those of the one beside it.
        spec = spec.model_copy(update={"split": spec.split.model_copy(update={"same_as": run_id})})
    draft = open_store(workspace).save_draft(None, {"spec": spec.model_dump(mode="json")})
    return f"/?draft={draft}"


def _discard(workspace: Workspace, run_id: str) -> Iterator[str]:
    """Delete a run; one that runs is stopped first, which takes as long as its step and its checkpoint."""
    store = open_store(workspace)
    try:
        if store.run(run_id).state == "running":
            stop(workspace, run_id)
        while store.run(run_id).state in ACTIVE:
            yield '<p class="td-question">Stopping, then deleting. This page leaves by itself.</p>'
            time.sleep(0.5)
        delete_run(workspace, run_id)
    except UserError as error:
        raise told(error) from error
    yield '<p class="td-question">Deleted.</p>'
