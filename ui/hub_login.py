"""The hub's login under Settings: who it is, with a token, through the browser, log out."""

from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr
from gradio.context import Context

from core.errors import UserError
from core.export.hub_login import (
    DeviceLogin,
    Login,
    current_token,
    log_in,
    log_out,
    offers_device_login,
    start_device_login,
    who,
)
from core.hub_fetching import hub_address
from ui.events import PRIVATE
from ui.new_run.data_html import busy_html
from ui.run.actions import Updates, tell

WATCHING_SECONDS = 1.5
TITLE = "<h3>Hugging Face Hub</h3>"
SOURCES = {
    "page": "with a token that is in this program's memory alone, until it ends",
    "environment": "through HF_TOKEN",
    "stored": "through huggingface_hub's own login on this computer",
}


@dataclass(frozen=True)
class HubLogin:
    state: gr.HTML
    form: gr.Column
    token: gr.Textbox
    leave: gr.Button
    code: gr.HTML
    timer: gr.Timer

    def parts(self) -> list[Any]:
        return [self.state, self.form, self.token, self.leave, self.code, self.timer]


def build_hub_login() -> None:
    """Build the card in the current Blocks. One login a program: all who publish from the page publish as it."""
    waiting: list[DeviceLogin] = []
    with gr.Column(elem_classes="card", elem_id="hub-login"):
        state = gr.HTML(TITLE + busy_html("Asking the hub who is logged in"), apply_default_css=False)
        with gr.Column(visible=False) as form:
            with gr.Row(equal_height=False, elem_classes="hub-token"):
                token = gr.Textbox(
                    label="Token", type="password", placeholder="hf_…", max_lines=1, scale=3, min_width=220,
                    elem_id="hub-token",
                    info="One with the role “write”. It stays in this program's memory and is written nowhere.",
                )  # fmt: skip
                enter = gr.Button("Log in", variant="primary", size="md", scale=1, min_width=120, elem_id="hub-enter")
            through = gr.Button(
                "Log in through the browser", size="md", visible=offers_device_login(), elem_id="hub-device"
            )
        code = gr.HTML(visible=False, apply_default_css=False, elem_id="hub-code")
        with gr.Row(elem_classes="right"):
            leave = gr.Button("Log out", size="md", min_width=120, visible=False, elem_id="hub-leave")
    page = HubLogin(state, form, token, leave, code, gr.Timer(WATCHING_SECONDS, active=False))

    def look() -> Updates:
        return login_updates(page, waiting[-1] if waiting else None)

    def typed(given: str) -> Updates:
        try:
            log_in(given)
            waiting.clear()
        except UserError as error:
            tell(error)
        return look()

    def begin() -> Updates:
        try:
            waiting[:] = [start_device_login()]
        except UserError as error:
            tell(error)
        return look()

    def end() -> Updates:
        try:
            gr.Info(log_out())
        except UserError as error:
            tell(error)
        waiting.clear()
        return look()

    Context.root_block.load(look, None, page.parts(), **PRIVATE)
    gr.on([enter.click, token.submit], typed, token, page.parts(), **PRIVATE)
    through.click(begin, None, page.parts(), **PRIVATE)
    leave.click(end, None, page.parts(), **PRIVATE)
    page.timer.tick(look, None, page.parts(), **PRIVATE)


def login_updates(page: HubLogin, waiting: DeviceLogin | None) -> Updates:
    problem: UserError | None = None
    login: Login | None = None
    try:
        login = who()
    except UserError as error:
        problem = error
    shown = waiting is not None and waiting.state != "done" and login is None
    changes: Updates = {
        page.state: state_html(login, problem),
        page.form: gr.update(visible=login is None),
        page.leave: gr.update(visible=current_token() is not None),
        page.code: gr.update(visible=shown, value=code_html(waiting) if waiting and shown else ""),
        page.timer: gr.Timer(active=waiting is not None and waiting.state == "waiting"),
    }
    # What is being typed stays while a code waits.
    return changes if waiting is not None and login is None else changes | {page.token: ""}


def state_html(login: Login | None, problem: UserError | None) -> str:
    address = f"{hub_address()}/settings/tokens"
    link = f'<a href="{escape(address)}" target="_blank" rel="noopener">{escape(address)}</a>'
    if problem is not None:
        return (
            f'{TITLE}<div class="problem" role="alert"><strong>{escape(problem.what)}</strong>'
            f"<p>{escape(problem.todo)}</p></div>"
        )
    if login is None:
        return (
            f'{TITLE}<p class="quiet">Nobody is logged in. That is needed only to publish a model. A token comes from '
            f"{link}.</p>"
        )
    reads = "" if login.may_write else '<p class="bad">This token may read only: publishing needs the role “write”.</p>'
    others = f", who may write for {escape(', '.join(login.organisations))}" if login.organisations else ""
    return (
        f'{TITLE}<p class="fine"><i aria-hidden="true">✓</i>Logged in as <strong>{escape(login.name)}</strong>'
        f"{others}, {SOURCES[login.source]}.</p>{reads}"
    )


def code_html(login: DeviceLogin) -> str:
    if login.state == "failed":
        return f'<div class="problem" role="alert">{escape(login.words)}</div>'
    address = escape(login.address)
    return (
        f'<p>Open <a href="{address}" target="_blank" rel="noopener">{address}</a> and enter <strong class="code">'
        f"{escape(login.code)}</strong></p>{busy_html('Waiting for it')}"
    )
