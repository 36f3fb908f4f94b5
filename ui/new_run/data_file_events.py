"""What happens on the Data step when a file is given, read otherwise, or paged through."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import gradio as gr

from core.data.hub_data import PREFIX, Told
from core.deletion import delete_draft
from core.errors import UserError
from core.runs.store import open_store
from core.workspace import Workspace
from ui.events import CHOSEN, PRIVATE, without_sent
from ui.new_run.data_html import busy_html, problem_html
from ui.new_run.data_view import DataStep, data_view, page_rows, preview_view
from ui.new_run.draft import Draft, editing, read_draft
from ui.new_run.files import given_path, keep_uploads, open_role
from ui.new_run.inside import choose_inside
from ui.new_run.label_columns import draft_counts
from ui.new_run.reading import read_again
from ui.new_run.source import ask_hub, drafts_view, start_over, take_files, take_sample

TELLING_SECONDS = 0.2
ONE_AT_A_TIME: dict[str, Any] = CHOSEN | {"concurrency_limit": 1}


def connect_source(
    workspace: Workspace, step: DataStep, draft_id: gr.Textbox, outputs: list[Any], then: dict[str, Any],
    keep_address: dict[str, Any],
) -> None:  # fmt: skip
    store, source = open_store(workspace), step.source

    def opening(name: str, take: Callable[[Told], Draft]) -> Iterator[dict[Any, Any]]:
        said: SimpleQueue[str] = SimpleQueue()
        yield {step.problem: gr.update(value=busy_html(f"Reading {name}"), visible=True)}
        try:
            with ThreadPoolExecutor(1) as working:
                taking = working.submit(take, said.put)
                while not wait([taking], TELLING_SECONDS).done:
                    while not said.empty():
                        yield {step.problem: gr.update(value=busy_html(said.get()), visible=True)}
                draft = taking.result()
        except UserError as error:
            yield {step.problem: gr.update(value=problem_html(error), visible=True), source.drop: None}
            return
        yield data_view(workspace, step, draft) | {source.drop: None}

    def upload(draft_id: str, uploaded: list[str]) -> Iterator[dict[Any, Any]]:
        name = Path(uploaded[0]).name if len(uploaded) == 1 else f"{len(uploaded)} files"
        yield from opening(
            name, lambda tell: take_files(workspace, store, draft_id, keep_uploads(workspace, uploaded), tell)
        )

    def open_path(draft_id: str, text: str) -> Iterator[dict[Any, Any]]:
        name = Path(text.strip()).name or "the file"

        def take(tell: Told) -> Draft:
            word = text.strip() if text.strip().startswith(PREFIX) else str(given_path(text))
            return take_files(workspace, store, draft_id, [word], tell)

        yield from opening(name, take)

    def fetch(draft_id: str, name: str) -> Iterator[dict[Any, Any]]:
        yield from opening(
            f"{name} of the hub", lambda tell: take_files(workspace, store, draft_id, [f"{PREFIX}{name}"], tell)
        )

    def pick(draft_id: str, event: gr.EventData) -> Iterator[dict[Any, Any]]:
        yield from opening("the sample", lambda _: take_sample(workspace, store, draft_id, event.key))

    def another(draft_id: str) -> dict[Any, Any]:
        with editing(store, draft_id) as draft:
            start_over(draft)
        return data_view(workspace, step, draft)

    def remove(draft_id: str, event: gr.EventData) -> dict[Any, Any]:
        delete_draft(workspace, event.key)
        return drafts_view(source, store, draft_id)

    # Only here is the drop zone emptied: the page's load may still be filling it when a file is dropped.
    quiet, opened = PRIVATE, [source.drop, *outputs]
    for event in (
        source.drop.upload(upload, [draft_id, source.drop], opened, **quiet),
        gr.on([source.open.click, source.path.submit], open_path, [draft_id, source.path], opened, **quiet),
        gr.on([source.fetch.click, source.hub.submit], fetch, [draft_id, source.hub], opened, **quiet),
        source.samples.click(pick, draft_id, opened, **quiet),
        step.other.click(another, draft_id, outputs, **quiet),
    ):
        event.then(**keep_address).then(**then)
    source.drafts.click(remove, draft_id, source.drafts, **quiet)
    source.hub_fold.expand(partial(ask_hub, source), None, [source.hub_state, source.hub_row], **quiet)


def connect_reading(
    workspace: Workspace, step: DataStep, draft_id: gr.Textbox, outputs: list[Any], then: dict[str, Any]
) -> None:
    store, is_open = open_store(workspace), gr.State(False)

    def toggle(opened: bool) -> tuple[Any, ...]:
        return not opened, gr.update(visible=not opened), "Change" if opened else "Close"

    def anew(draft: Draft, said: str) -> dict[Any, Any]:
        told = {step.said: gr.update(value=f'<p class="quiet">{said}</p>', visible=True)} if said else {}
        return data_view(workspace, step, draft) | told

    def otherwise(read: Callable[..., tuple[Draft, str]], options: list[Any]) -> Callable[..., dict[Any, Any]]:
        def follow(draft_id: str, *given: Any) -> dict[Any, Any]:
            before = read_draft(store, draft_id).file("train")
            try:
                draft, said = read(workspace, store, draft_id, *given)
            except UserError as error:
                return {step.refused: gr.update(value=problem_html(error), visible=True)}
            if draft.file("train") == before:
                # A field was left as it was, or Gradio told of one choice twice; what is being typed, and what was said
                # of the first, must stay.
                return {step.refused: gr.update(value="", visible=False)}
            return without_sent(anew(draft, said), options, given)

        return follow

    def turn(direction: int) -> Callable[[str, int], dict[Any, Any]]:
        def page(draft_id: str, offset: int) -> dict[Any, Any]:
            draft = read_draft(store, draft_id)
            table = open_role(workspace, draft, "train")
            if table is None:
                return {}
            counts = [] if draft.is_chat else draft_counts(draft, table)
            size = page_rows(draft)
            last_page = (table.rows - 1) // size * size
            return preview_view(step, table, draft, min(max(0, offset + direction * size), last_page), counts)

        return page

    paged = [step.preview, step.position, step.back, step.forth, step.offset]
    step.change.click(toggle, is_open, [is_open, step.reading.box, step.change], **PRIVATE)
    options = step.reading.inputs()
    read = otherwise(read_again, options)
    gr.on(step.reading.changes(), read, [draft_id, *options], outputs, **ONE_AT_A_TIME).then(**then)
    inside = [step.inside.member, step.inside.sheet, step.inside.source]
    chosen, read = [one.input for one in inside], otherwise(choose_inside, inside)
    gr.on(chosen, read, [draft_id, *inside], outputs, **ONE_AT_A_TIME).then(**then)
    step.back.click(turn(-1), [draft_id, step.offset], paged, **PRIVATE)
    step.forth.click(turn(1), [draft_id, step.offset], paged, **PRIVATE)
