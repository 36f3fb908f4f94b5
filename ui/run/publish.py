"""Run / Take away, lower half: publish on the hub, with what will be uploaded, progress and what came of it.

Jobs are processes of their own and are found again after a reload, and so is what the form holds: it is kept with the
run at each change.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr
from gradio.context import Context

from core.errors import UserError
from core.export.data_set import LICENCES
from core.export.hub_login import required_token, who
from core.export.hub_upload import KIND_NAMES, name_problem
from core.export.llama_cpp import found_llama_cpp
from core.export.publication import planned_files, publication_of, suggested_name
from core.export.publish_form import PublishForm, keep_form, read_form
from core.export.publish_job import PublishJob, publish_jobs, start_publishing, stop_publishing
from core.export_formats import FORMATS, PRECISION_WORDS, Wish, published_wishes, wished_words
from core.model_facts import run_model_facts
from core.workspace import RunFolder, Workspace
from ui.events import CHOSEN
from ui.run.actions import QUIET, Updates, tell
from ui.run.job_list import job_html, jobs_html
from ui.words import size, time_left

WATCHING_SECONDS = 1.0
NO_LICENCE = "I may not pass them on, or do not know"


@dataclass(frozen=True)
class PublishPart:
    about: gr.HTML
    name: gr.Textbox
    problem: gr.HTML
    format: gr.Dropdown
    private: gr.Radio
    revision: gr.Textbox
    pull_request: gr.Checkbox
    replace: gr.Checkbox
    language: gr.Textbox
    space: gr.Checkbox
    data: gr.Checkbox
    licence: gr.Radio
    plan: gr.HTML
    stop: gr.Button
    jobs: gr.HTML
    timer: gr.Timer

    def parts(self) -> list[Any]:
        """What `publish_updates` and `form_updates` may change."""
        return [*self.moving(), *self.asked()]

    def moving(self) -> list[Any]:
        """What `publish_updates` may change."""
        return [self.plan, self.stop, self.jobs, self.timer]

    def asked(self) -> list[Any]:
        """The form, in the order of PublishForm."""
        return [
            self.name, self.format, self.private, self.revision, self.pull_request, self.replace, self.language,
            self.space, self.data, self.licence,
        ]  # fmt: skip


def build_publish(workspace: Workspace) -> PublishPart:
    quiet: dict[str, Any] = {"apply_default_css": False}
    gr.HTML(
        "<h3>Publish on the Hugging Face Hub</h3><p>The model, its card and how to load it, under a name there. "
        "Publishing again updates it.</p>",
        elem_classes="td-heading td-section", **quiet,
    )  # fmt: skip
    about = gr.HTML(**quiet, elem_id="publish-about")
    with gr.Row(elem_classes="td-publish"):
        name = gr.Textbox(label="Name on the hub", max_lines=1, min_width=260, scale=2, elem_id="publish-name")
        private = gr.Radio(
            [("Private: you alone", True), ("Public: everyone", False)], value=True, label="Who may see it",
            min_width=260, elem_id="publish-private",
        )  # fmt: skip
    problem = gr.HTML(**quiet, elem_id="publish-problem")
    with gr.Accordion("Format, branch, language, data set, Space", open=False, elem_id="publish-more"):
        format_ = gr.Dropdown(
            [], label="Format", elem_id="publish-format",
            info="Another than the run's own is made first, with its card and what loads it.",
        )  # fmt: skip
        with gr.Row():
            revision = gr.Textbox(label="Branch", placeholder="main", max_lines=1, min_width=200)
            language = gr.Textbox(
                label="Language of the texts", placeholder="en", max_lines=1, min_width=200, elem_id="publish-language",
                info="Codes such as en, de, fa, for the card. It is not guessed.",
            )  # fmt: skip
        pull_request = gr.Checkbox(
            label="As a pull request", info="Proposes it to a repository, also of someone else, and changes nothing."
        )
        replace = gr.Checkbox(
            label="Write over it", info="Also where the repository holds files that did not come from here."
        )
        space = gr.Checkbox(
            label="A Space too", elem_id="publish-space",
            info="A page on the hub where a text gets its class. It is started here once before it goes out.",
        )  # fmt: skip
        data = gr.Checkbox(
            label="The rows too, as a data set", elem_id="publish-data",
            info="All texts and labels of this run, readable for those who may see the model.",
        )  # fmt: skip
        licence = gr.Radio(
            [(NO_LICENCE, ""), *((words, key) for key, words in LICENCES.items())], value="", visible=False,
            label="Under which licence may you pass these rows on?", elem_id="publish-licence",
        )  # fmt: skip
    plan = gr.HTML(**quiet, elem_id="publish-plan")
    with gr.Row(elem_classes="td-foot"):
        stop = gr.Button("Stop publishing", visible=False, min_width=120)
        start = gr.Button("Publish", min_width=120, elem_id="run-publish")
    jobs = gr.HTML(**quiet, elem_id="run-publications")
    part = PublishPart(
        about, name, problem, format_, private, revision, pull_request, replace, language, space, data, licence, plan,
        stop, jobs, gr.Timer(WATCHING_SECONDS, active=False),
    )  # fmt: skip
    _connect(workspace, part, start)
    return part


def _connect(workspace: Workspace, part: PublishPart, start: gr.Button) -> None:
    def folder_of(request: gr.Request) -> RunFolder:
        return workspace.run(request.query_params["run"])

    def introduce(request: gr.Request) -> Updates:
        """Who is logged in; the name offered stays a hint, so that nothing that is being typed is overwritten."""
        if not request.query_params.get("run"):
            return {}
        folder = folder_of(request)
        offered = _offered_name(folder, chosen_wish(folder, read_form(folder)))
        return {part.about: about_html(), part.name: gr.update(placeholder=offered)}

    def keep(request: gr.Request, *values: Any) -> None:
        keep_form(folder_of(request), PublishForm(*values))

    def begin(request: gr.Request, *values: Any) -> Updates:
        folder, form = folder_of(request), PublishForm(*values)
        wish = chosen_wish(folder, form)
        repository = form.name.strip() or _offered_name(folder, wish)
        try:
            if wish.format == "gguf":
                found_llama_cpp(wish.precision)
            asked = publication_of(
                run=folder.id,
                repository=repository,
                format=wish.format,
                precision=wish.precision,
                private=form.private,
                revision=form.revision.strip(),
                pull_request=form.pull_request,
                language=tuple(form.language.replace(",", " ").split()),
                data_repository=f"{repository}-data" if form.data else "",
                data_licence=form.licence if form.data else "",
                space_repository=f"{repository}-space" if form.space else "",
                replace=form.replace,
            )
            start_publishing(workspace, asked, required_token())
        except UserError as error:
            tell(error)
        return publish_updates(part, folder)

    def cancel(request: gr.Request) -> Updates:
        folder = folder_of(request)
        for job in publish_jobs(workspace, folder.id):
            if job.state == "running":
                stop_publishing(workspace, folder.id, job.id)
        return publish_updates(part, folder)

    def look(request: gr.Request) -> Updates:
        return publish_updates(part, folder_of(request))

    def choose(request: gr.Request, *values: Any) -> Updates:
        keep(request, *values)
        folder = folder_of(request)
        wish = chosen_wish(folder, PublishForm(*values))
        jobs = publish_jobs(workspace, folder.id)
        return {part.plan: _plan(folder, wish, jobs), part.name: gr.update(placeholder=_offered_name(folder, wish))}

    def check(request: gr.Request, *values: Any) -> str:
        """Keeps the form as well: two listeners on one field that each wait for the last input set each other off."""
        keep(request, *values)
        name = values[0]
        wrong = name_problem(name.strip()) if name.strip() else ""
        return f'<p class="td-name-problem" role="alert">{escape(wrong)}</p>' if wrong else ""

    Context.root_block.load(introduce, None, [part.about, part.name], concurrency_limit=None, **QUIET)
    part.name.input(check, part.asked(), part.problem, **CHOSEN)
    gr.on([part.revision.input, part.language.input], keep, part.asked(), None, **CHOSEN)
    part.format.input(choose, part.asked(), [part.plan, part.name], **CHOSEN)
    ticked = (part.private, part.pull_request, part.replace, part.space, part.data, part.licence)
    gr.on([field.input for field in ticked], keep, part.asked(), None, **CHOSEN)
    part.data.input(lambda on: gr.update(visible=on), part.data, part.licence, **QUIET)
    start.click(begin, part.asked(), part.moving(), **QUIET)
    part.stop.click(cancel, None, part.moving(), **QUIET)
    part.timer.tick(look, None, part.moving(), concurrency_limit=None, **QUIET)


def chosen_wish(folder: RunFolder, form: PublishForm) -> Wish:
    """The format of the form; of none that this run's model has, the run's own."""
    possible = published_wishes(folder)
    return next((wish for wish in possible if wished_words(wish) == form.format), possible[0])


def _format_words(wish: Wish) -> str:
    title = FORMATS[wish.format].title
    return f"{title}, {wish.precision}: {PRECISION_WORDS[wish.precision]}" if wish.precision else title


def _offered_name(folder: RunFolder, wish: Wish) -> str:
    """The name that this format had last, else the run's under the user who is logged in."""
    jobs = [job.asked for job in publish_jobs(folder.workspace, folder.id) if job.asked.repository]
    own = published_wishes(folder)[0]
    named = [
        asked.repository
        for asked in jobs
        if (asked.format or own.format, asked.precision) == (wish.format, wish.precision)
    ]
    if named:
        return named[0]
    try:
        login = who()
    except UserError:
        login = None
    return suggested_name(folder, login.name if login else "", wish)


def form_updates(part: PublishPart, folder: RunFolder) -> Updates:
    """The form as it was left, and the fields that fit this run."""
    form = read_form(folder)
    values = (gr.update(value=value) for value in vars(form).values())
    return dict(zip(part.asked(), values, strict=True)) | {
        part.format: gr.update(
            choices=[(_format_words(wish), wished_words(wish)) for wish in published_wishes(folder)],
            value=wished_words(chosen_wish(folder, form)),
        ),
        part.space: gr.update(value=form.space, visible=run_model_facts(folder).family == "encoder"),
        part.licence: gr.update(value=form.licence, visible=form.data),
    }


def publish_updates(part: PublishPart, folder: RunFolder) -> Updates:
    """Without asking the network: the page is filled with it."""
    jobs = publish_jobs(folder.workspace, folder.id)
    running = any(job.state == "running" for job in jobs)
    return {
        part.plan: _plan(folder, chosen_wish(folder, read_form(folder)), jobs),
        part.jobs: publications_html(jobs),
        part.stop: gr.update(visible=running),
        part.timer: gr.Timer(active=running),
    }


def about_html() -> str:
    settings = '<a href="/settings">Settings</a>'
    try:
        login = who()
    except UserError as error:
        return f'<p class="td-hint">{escape(error.what)} {escape(error.todo)}</p>'
    if login is None:
        return f'<p class="td-hint">Nobody is logged in to the hub. Log in under {settings} first.</p>'
    reads = "" if login.may_write else f" This token may read only: log in with another one under {settings}."
    return f'<p class="td-hint">You are <b>{escape(login.name)}</b> there.{reads}</p>'


def _plan(folder: RunFolder, wish: Wish, jobs: Sequence[PublishJob]) -> str:
    """Of a job that is going on what it sends, else what publishing would send."""
    going = next((job.files for job in jobs if job.state == "running" and job.files), ())
    files = going or planned_files(folder, wish)
    hint = (
        "No rows of your data unless you tick the data set, no report, and nothing else of this computer. Files that "
        "are there already are not sent again."
    )
    if not files:
        return (
            f'<p class="td-hint">{escape(_format_words(wish).partition(":")[0])} is made first. What will be uploaded '
            f"is then listed here, with sizes, before it goes out. {hint}</p>"
        )
    return files_html("What is being uploaded" if going else "What will be uploaded", files, hint)


def files_html(words: str, files: Sequence[tuple[str, int]], hint: str) -> str:
    """Names and sizes, folded."""
    rows = "".join(
        f"<tr><th scope=row>{escape(name)}</th><td class=n>{size(bytes_)}</td></tr>" for name, bytes_ in files
    )
    total = size(sum(bytes_ for _, bytes_ in files))
    return (
        f'<details class="td-plan"><summary>{words}: {len(files)} files, {total}</summary>'
        f'<table><tbody>{rows}</tbody></table><p class="td-hint">{hint}</p></details>'
    )


def publications_html(jobs: Sequence[PublishJob]) -> str:
    """The newest first."""
    return jobs_html(_job(job) for job in jobs)


def _job(job: PublishJob) -> str:
    name = job.asked.repository or job.asked.space_repository
    return job_html(job.state, name, _words(job), job.done, job.total, "".join(map(_result, job.results)))


def _words(job: PublishJob) -> str:
    if job.error:
        return f"{job.error['what']} {job.error['todo']}"
    if job.state != "running":
        return job.words
    parts = [job.words]
    if job.total:
        parts.append(f"{size(job.done)} of {size(job.total)}")
    if job.seconds_left is not None:
        parts.append(time_left(job.seconds_left))
    return ", ".join(parts)


def _result(result: dict[str, Any]) -> str:
    address = result["pull_request"] or result["url"]
    what = "pull request" if result["pull_request"] else KIND_NAMES[result["kind"]]
    return (
        f'<a class="td-download" href="{escape(address)}" target="_blank" rel="noopener">Open the {what}'
        f"<small>{escape(result['repository'])}</small></a> "
    )
