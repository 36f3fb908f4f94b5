"""The sidebar of every page: a new run, the last runs and how they are, the other pages, and what the computer has."""

from html import escape

import gradio as gr

from core.doctor import Gpu
from core.runs.store import ACTIVE, Run, Store, open_store
from core.runs.sweeps import sweep_of_runs
from core.training.devices import gpus_here
from core.workspace import Workspace
from ui.words import STATE_WORDS, done_share, figure_words, time_left

SHOWN_RUNS = 12
WATCHING_SECONDS = 2.0
NO_GPU = "CPU only: small encoders train well here."


class Machine:
    """What the computer has, as the driver said it last."""

    def words(self) -> str:
        return "\n".join(_gpu_words(gpu) for gpu in gpus_here()) or NO_GPU

    def has_gpu(self) -> bool:
        return bool(gpus_here())


def build_sidebar(workspace: Workspace, machine: Machine, page: str) -> None:
    """Build it in the current page; `page` is the one that is open: new, run, runs, compare or settings."""
    store = open_store(workspace)
    gr.HTML(
        '<button id="menu-button" type="button" aria-label="Menu" aria-expanded="false" aria-controls="sidebar">'
        '<svg viewBox="0 0 20 20" width="20" height="20" aria-hidden="true"><path d="M3 5h14M3 10h14M3 15h14" '
        'fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round"/></svg></button>'
        '<a href="/">Tunedesk</a>',
        elem_id="top-bar",
        apply_default_css=False,
    )
    with gr.Sidebar(width=272, elem_id="sidebar"):
        gr.HTML(_links(page), apply_default_css=False, elem_id="sidebar-head")
        runs = gr.HTML(_runs_html(store, ""), apply_default_css=False, elem_id="sidebar-runs")
        gr.HTML(_foot_links(page), apply_default_css=False, elem_id="sidebar-pages")
        foot = gr.HTML("&nbsp;", apply_default_css=False, elem_id="sidebar-foot")
    timer = gr.Timer(WATCHING_SECONDS)

    def refresh(request: gr.Request) -> tuple[str, str]:
        return _runs_html(store, request.query_params.get("run") or ""), escape(machine.words()).replace("\n", "<br>")

    gr.on(
        [gr.context.Context.root_block.load, timer.tick], refresh, None, [runs, foot], show_progress="hidden",
        api_visibility="private", concurrency_limit=None, queue=False,
    )  # fmt: skip


def _links(page: str) -> str:
    current = ' aria-current="page"' if page == "new" else ""
    return (
        f'<a class="brand" href="/">Tunedesk</a><a class="new-run" href="/"{current}>'
        '<svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true"><path d="M8 3v10M3 8h10" fill="none" '
        'stroke="currentColor" stroke-width="1.8" stroke-linecap="round"/></svg>New run</a>'
    )


def _foot_links(page: str) -> str:
    links = "".join(
        f'<a href="/{name}"{" aria-current=page" if name == page else ""}>{title}</a>'
        for name, title in (("runs", "Runs"), ("settings", "Settings"))
    )
    return f"<nav aria-label=Pages>{links}</nav>"


def _runs_html(store: Store, open_run: str) -> str:
    runs = store.runs(limit=SHOWN_RUNS)
    if not runs:
        return '<p class="nothing">Your runs will be listed here.</p>'
    grouped = sweep_of_runs(store)
    links = (_run_link(run, run.id == open_run, run.id in grouped) for run in runs)
    return f"<nav aria-label='Last runs'>{''.join(links)}</nav>"


def _run_link(run: Run, is_open: bool, is_grouped: bool) -> str:
    """is_grouped: it is of a sweep, whose runs are not compared by test figures."""
    current = ' aria-current="page"' if is_open else ""
    state = run.state if is_grouped and run.state == "finished" else short_state(run)
    return (
        f'<a href="/?run={escape(run.id)}"{current}><span class="dot {run.state}"></span>'
        f'<span class="name" dir="auto">{escape(run.name)}</span>'
        f'<span class="state">{escape(state)}</span></a>'
    )


def short_state(run: Run) -> str:
    """`96.6 % right`, `perplexity 3.24`, `62 %, 1 min 40 s left`, `stopped`."""
    if run.state == "finished":
        return figure_words(run.summary) or "finished"
    if run.state == "running" and run.progress is not None:
        progress = run.progress
        if not progress.total_steps or progress.phase != "training":
            return progress.phase
        left = f", {time_left(progress.seconds_left)}" if progress.seconds_left else ""
        return f"{done_share(run) * 100:.0f} %{left}"
    if run.state in ACTIVE or run.state == "queued":
        return "waiting" if run.state == "queued" else STATE_WORDS[run.state].lower()
    return run.state


def _gpu_words(gpu: Gpu) -> str:
    return f"{gpu.name}, {gpu.free_mb / 1024:.1f} of {gpu.memory_mb / 1024:.0f} GB free"
